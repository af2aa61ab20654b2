"""What `foalnet draw` would do: it keeps nothing between runs, so it is always the whole."""

from __future__ import annotations

from pathlib import Path

from foalnet.artifact.speeds import read_speed, write_speed
from foalnet.config import Settings
from foalnet.config.blocks import Draw
from foalnet.core.errors import DataError
from foalnet.core.files import read_json
from foalnet.core.progress import duration
from foalnet.drawn.write import RULE, TRUTH, planned, refuse_foreign, rule_facts
from foalnet.stages.forecast.base import Forecast, free_bytes

NOTE = "draw-drawn"


def draw_forecast(
    params: Draw,
    settings: Settings,
    out: Path,
    *,
    cached: bool,
    structure: Path | None = None,
    media: int | None = None,
) -> Forecast:
    """Return what `foalnet draw` would do; `cached`: DVC keeps a copy of `out`.

    UsageError (exit 2) and DataError (exit 3) as drawing itself raises them, before a picture is drawn.
    """
    refuse_foreign(out)
    dialogues, with_media = planned(params, structure, media)
    film_s = sum(d.seconds for d in dialogues if d.name in with_media)
    workers = max(1, min(settings.workers, len(dialogues)))
    note = read_speed(settings, NOTE)
    try:
        per_s, bytes_per_s = note["wall_s"] * note["workers"] / note["film_s"], note["bytes"] / note["film_s"]
    except (KeyError, TypeError, ZeroDivisionError):
        per_s = bytes_per_s = None
    copies = 2 if cached else 1
    return Forecast(
        verb="draw",
        steps=(
            f"{len(dialogues)} dialogues, {sum(len(d.turns) for d in dialogues)} utterances",
            f"sound and picture of {len(with_media)} of them: {duration(film_s)}, workers: {workers}",
            _there(params, out, structure),
        ),
        left=len(dialogues),
        time_s=None if per_s is None else film_s * per_s / workers,
        measured="" if per_s is None else f"the last run took {per_s:.2f} s of a worker per second of film",
        disk_bytes=None if bytes_per_s is None else round(copies * bytes_per_s * film_s),
        free_bytes=free_bytes(out),
    )


def _there(params: Draw, out: Path, structure: Path | None) -> str:
    """Say what lies at `out` already: nothing of it is used again."""
    if not (out / TRUTH).is_dir():
        return "nothing is kept from earlier runs: an interrupted drawing begins anew"
    try:
        same = read_json(out / TRUTH / RULE) == rule_facts(params, structure)
    except DataError:
        same = False
    return f"{out} is there, of {'these' if same else 'other'} params: it would be drawn anew and put in its place"


def note_drawing(
    params: Draw,
    settings: Settings,
    out: Path,
    *,
    wall_s: float,
    structure: Path | None = None,
    media: int | None = None,
) -> None:
    """Note how long a drawing took and what it weighs, for the next forecast; nothing where nothing was filmed."""
    dialogues, with_media = planned(params, structure, media)
    if not with_media:
        return
    note = {
        "bytes": sum(path.stat().st_size for path in out.rglob("*") if path.is_file()),
        "film_s": round(sum(d.seconds for d in dialogues if d.name in with_media), 3),
        "wall_s": round(wall_s, 3),
        "workers": max(1, min(settings.workers, len(dialogues))),
    }
    write_speed(settings, NOTE, note)
