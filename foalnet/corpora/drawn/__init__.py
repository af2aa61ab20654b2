"""The embedded corpus, drawn by code in IEMOCAP's layout (docs/drawn.md)."""

from __future__ import annotations

from pathlib import Path

from foalnet.config.blocks import Draw

__all__ = ["draw"]


def draw(
    params: Draw,
    out: Path,
    *,
    workers: int = 1,
    structure: Path | None = None,
    media: int | None = None,
) -> None:
    """Draw the whole corpus and publish it as the folder `out`: absent, old or whole, the same for any `workers`.

    `structure`: a table of utterances (`structure.COLUMNS`) whose dialogues, times and raw labels are drawn instead of
    the rule's own; DataError (exit 3) names the line that cannot be. `media`: sound and picture for that many of each
    session's shortest dialogues only; None is all.
    A folder at `out` that was not drawn by this function is refused (UsageError, exit 2). Errors of the machine (disk,
    ffmpeg) are MachineError (exit 4).
    """
    from foalnet.corpora.drawn.write import draw_corpus

    draw_corpus(params, out, workers=workers, structure=structure, media=media)
