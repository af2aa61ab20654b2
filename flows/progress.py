"""Shows a stage's progress in Prefect's UI: a progress artifact that follows the verb's progress lines."""

from __future__ import annotations

import re
from typing import Any, cast
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact

# `train foal-s1: 43.3 %, 26 of 60 epochs, about 40 s left; …`
# `shards: 20.1 %, 31 of 151 dialogues, about 12 min left`
LINE = re.compile(r"^\w+(?: [\w-]+)?: ((\d+\.\d) %, \d+ of \d+ \w+.*)")


class Progress:
    """Writes a stage's lines to the run's log; a progress line also updates the stage's artifact.

    The first progress line creates the artifact. If the server refuses it, one warning is logged and the stage goes on.
    """

    def __init__(self, stage: str, logger: Any) -> None:
        self._stage, self._logger = stage, logger
        self._artifact: UUID | None = None
        self._failed = False

    def line(self, line: str) -> None:
        """Log one line of the stage and update the artifact."""
        self._logger.info(line)
        match = LINE.match(line)
        if match is None:
            return
        try:
            self._show(float(match[2]), f"{self._stage}: {match[1]}")
        except Exception as error:  # whatever the client raises must not stop the training
            if not self._failed:
                self._logger.warning("its progress cannot be shown in the UI: %s", error)
            self._failed = True

    def _show(self, percent: float, text: str) -> None:
        if self._artifact is None:
            key = re.sub(r"[^a-z0-9]+", "-", self._stage.lower())
            self._artifact = cast(UUID, create_progress_artifact(percent, key=key, description=text))
        else:
            update_progress_artifact(self._artifact, percent, description=text)
