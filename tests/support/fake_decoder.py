"""An ffmpeg that misbehaves, files that pass for videos, and who is still alive."""

from __future__ import annotations

from pathlib import Path

import imageio_ffmpeg
import pytest

from foalnet.media import inside


def disguises(secret: Path, url: str) -> dict[str, str]:
    segments = f"#EXTINF:1,\nfile://{secret}\n#EXTINF:1,\n{url}/a.ts\n#EXT-X-ENDLIST\n"
    return {
        "playlist": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n{segments}",
        "remote": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{url}/a.ts\n#EXT-X-ENDLIST\n",
        "concat": f"ffconcat version 1.0\nfile '{secret}'\nfile '{url}/b.avi'\n",
        # Only this one would be played by an ffmpeg left to itself.
        "neighbour": f"ffconcat version 1.0\nfile {secret.name}\n",
        "sdp": f"v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=video 5000 RTP/AVP 96\na=control:{url}/c\n",
        "dash": f'<?xml version="1.0"?><MPD><BaseURL>{url}/</BaseURL></MPD>',
    }


# More than any pipe to us holds (foalnet asks for a megabyte).
LOUD = 'head -c 4194304 /dev/zero | tr "\\0" "x" >&2'


def nothing_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave every video to ffmpeg's own process, as those are that ask for more than decoding."""
    monkeypatch.setattr(inside, "CODECS", frozenset())


def fake_ffmpeg(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a script before the real ffmpeg, which it reaches as $REAL; every video is decoded by it."""
    nothing_inside(monkeypatch)
    fake = folder / "fake-ffmpeg"
    fake.write_text(f"#!/bin/sh\nREAL='{imageio_ffmpeg.get_ffmpeg_exe()}'\n{script}\n")
    fake.chmod(0o755)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(fake))
