"""From a dialogue's files to its clips: sound cut, face tracked, pictures encoded."""
