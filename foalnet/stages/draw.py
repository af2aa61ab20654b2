"""Stage `draw`: the drawn corpus, in the layout of IEMOCAP as it is downloaded (docs/drawn.md)."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from foalnet.artifact.speeds import read_speed, write_speed
from foalnet.config import Settings
from foalnet.config.draw import Draw
from foalnet.core.errors import DataError
from foalnet.core.files import need_writable, read_json
from foalnet.core.progress import duration
from foalnet.stages.base import Context, Stage
from foalnet.stages.chain import Chain, link
from foalnet.stages.forecast import Forecast, free_bytes
from foalnet.stages.link import Link, differs, first_few, ok

NOTE = "draw-drawn"
# What a drawn dialogue's truth says of an utterance, in the order in which `check` compares it.
PLANNED = ("raw_label", "kind", "sound", "face", "start_s", "end_s")


def run(
    context: Context, *, out: Path | None = None, structure: Path | None = None, media: int | None = None
) -> list[str]:
    """Draw the embedded corpus into data/drawn/raw, in IEMOCAP's exact layout (docs/drawn.md).

    With --structure: a corpus with the dialogues, times and raw labels of a table, into the folder --out.
    """
    from foalnet.drawn.write import draw as draw_corpus

    params, settings, to, began = context.params.draw, context.settings, out or _place(context), time.monotonic()
    need_writable([to.parent])
    draw_corpus(params, to, workers=settings.workers, structure=structure, media=media)
    _note(params, settings, to, wall_s=time.monotonic() - began, structure=structure, media=media)
    return []


def _place(context: Context) -> Path:
    return context.paths.data / "raw"


def forecast(
    context: Context, *, out: Path | None = None, structure: Path | None = None, media: int | None = None
) -> Forecast:
    """Return what `foalnet draw` would do: it keeps nothing between runs, so it is always the whole.

    UsageError (exit 2) and DataError (exit 3) as drawing itself raises them, before a picture is drawn.
    """
    from foalnet.drawn.write import planned, refuse_foreign

    params, settings, to = context.params.draw, context.settings, out or _place(context)
    refuse_foreign(to)
    dialogues, with_media = planned(params, structure, media)
    seconds = sum(d.seconds for d in dialogues if d.name in with_media)
    workers = max(1, min(settings.workers, len(dialogues)))
    note = read_speed(settings, NOTE)
    try:
        per_s, bytes_per_s = note["wall_s"] * note["workers"] / note["video_s"], note["bytes"] / note["video_s"]
    except (KeyError, TypeError, ZeroDivisionError):
        per_s = bytes_per_s = None
    # DVC's cache keeps a copy of the stage's output.
    copies = 2 if out is None else 1
    return Forecast(
        verb="draw",
        steps=(
            f"{len(dialogues)} dialogues, {sum(len(d.turns) for d in dialogues)} utterances",
            f"sound and picture of {len(with_media)} of them: {duration(seconds)}, workers: {workers}",
            _there(params, to, structure),
        ),
        left=len(dialogues),
        time_s=None if per_s is None else seconds * per_s / workers,
        measured="" if per_s is None else f"the last run took {per_s:.2f} s of a worker per second of video",
        disk_bytes=None if bytes_per_s is None else round(copies * bytes_per_s * seconds),
        free_bytes=free_bytes(to),
    )


def _there(params: Draw, out: Path, structure: Path | None) -> str:
    """Say what is at `out` already: nothing of it is used again."""
    from foalnet.drawn.write import RULE, TRUTH, rule_facts

    if not (out / TRUTH).is_dir():
        return "nothing is kept from earlier runs: an interrupted drawing starts from the beginning"
    try:
        same = read_json(out / TRUTH / RULE) == rule_facts(params, structure)
    except DataError:
        same = False
    return f"{out} is there, of {'these' if same else 'other'} params: it would be drawn again and replaced"


def _note(
    params: Draw, settings: Settings, out: Path, *, wall_s: float, structure: Path | None, media: int | None
) -> None:
    """Note how long a drawing took and how large it is, for the next forecast; nothing where it has no media."""
    from foalnet.drawn.write import planned

    dialogues, with_media = planned(params, structure, media)
    if not with_media:
        return
    note = {
        "bytes": sum(path.stat().st_size for path in out.rglob("*") if path.is_file()),
        "video_s": round(sum(d.seconds for d in dialogues if d.name in with_media), 3),
        "wall_s": round(wall_s, 3),
        "workers": max(1, min(settings.workers, len(dialogues))),
    }
    write_speed(settings, NOTE, note)


def check(chain: Chain) -> Iterator[Link]:
    """Compare the drawn files with the plan that the params of `draw` make."""
    yield link("plan of the drawn corpus", "draw", partial(_plan, chain, "plan of the drawn corpus"))


def _plan(chain: Chain, name: str) -> Link:
    """Every utterance, its label, sound, face and times are those of the plan."""
    from foalnet.drawn.plan import plan
    from foalnet.drawn.write import TRUTH

    drawn: dict[str, list[Any]] = {}
    for dialogue in plan(chain.params.draw):
        truth = json.loads(chain.outputs.read(f"{chain.params.source}/{TRUTH}/{dialogue.name}.json"))
        drawn |= {turn["key"]: [turn[field] for field in PLANNED] for turn in truth["utterances"]}
    expected = {
        turn.key: [turn.raw_label, turn.cell and turn.cell.kind, turn.sound, turn.face, turn.start_s, turn.end_s]
        for dialogue in plan(chain.params.draw)
        for turn in dialogue.turns
    }
    strange = {key for key in expected.keys() | drawn.keys() if expected.get(key) != drawn.get(key)}
    if strange:
        what = (
            f"{len(strange)} utterances are not those that the block `draw` of params.yaml plans: {first_few(strange)}"
        )
        return differs(name, what, action="dvc repro draw")
    return ok(name, f"{len(expected)} utterances, labels, cues and times: those that the block `draw` plans")


STAGE = Stage(
    name="draw",
    short="draw the embedded corpus",
    code=("foalnet.drawn.write",),
    folders=lambda _: [],
    run=run,
    forecast=forecast,
    check=check,
)


def into(out: Path, structure: Path, media: int | None) -> Stage:
    """Return the stage for a corpus of a table's structure, drawn into a folder of the user's."""
    where = {"out": out, "structure": structure, "media": media}
    return replace(STAGE, run=partial(run, **where), forecast=partial(forecast, **where))  # type: ignore[arg-type]
