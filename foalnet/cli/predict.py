"""The verb `predict`: class probabilities for a user's own clips as JSON lines; a bad clip does not stop the others."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from foalnet.core.errors import DataError, FoalnetError, MachineError, UsageError
from foalnet.core.progress import counted

if TYPE_CHECKING:
    from foalnet.predict.model import Model
    from foalnet.predict.request import Request

FILE = click.Path(path_type=Path)
# Returns the rows of one clip.
Answer = Callable[["Request"], Iterable[dict[str, Any]]]


# The options of a clip, which `predict` and `extract` share.
OPTIONS = (
    click.option(
        "--people", type=click.Choice(["1", "2"]), default="1", show_default=True, help="People in the picture."
    ),
    click.option(
        "--side",
        type=click.Choice(["left", "right", "both"]),
        default="both",
        help="Which of two people [default: both].",
    ),
    click.option("--start", type=float, help="Seconds; with --end, for one CLIP [default: the whole clip]."),
    click.option("--end", type=float, help="Seconds; with --start."),
    click.option(
        "--channel",
        help="Which channel: mean, left, right, speaker (by side), or a number from 1 [default: as in staging].",
    ),
    click.option(
        "--track", type=click.IntRange(min=1), help="Of several sound tracks: its number [default: the first]."
    ),
    click.option("--sound", type=FILE, help="A wav or flac file to use instead of the one CLIP's own sound."),
    click.option(
        "--face", type=click.Choice(["largest", "speaker"]), help="Which of several faces [default: as in staging]."
    ),
    click.option("--text", help="The words spoken in the one CLIP, for a model that takes text."),
)


def clip_options(verb: Callable[..., Any]) -> Callable[..., Any]:
    """Add the clips and OPTIONS to a verb."""
    for option in reversed(OPTIONS):
        verb = option(verb)
    return click.argument("clips", nargs=-1, required=True, metavar="CLIP…", type=FILE)(verb)


def requests_of(clips: tuple[Path, ...], options: dict[str, Any]) -> list[Request]:
    """Return a request for each clip; UsageError (exit 2) for contradictory options."""
    from foalnet.predict.request import Request

    if len(clips) > 1 and any(options[name] is not None for name in ("start", "end", "sound", "text")):
        what = "--start, --end, --sound and --text belong to one clip"
        raise UsageError(what, action="give one CLIP at a time with them")
    given = dict(options)
    times = {"start_s": given.pop("start"), "end_s": given.pop("end"), "people": int(given.pop("people"))}
    return [Request(clip=clip, **given, **times) for clip in clips]


def answered(rows: Iterator[tuple[dict[str, Any], int]], clips: int, write: Callable[[dict[str, Any]], str]) -> int:
    """Print rows as `write` returns them, then how many clips have none; return the first exit code that is not 0."""
    code = lost = 0
    for row, failed in rows:
        click.echo(write(row), nl=False)
        code, lost = code or failed, lost + bool(failed)
    if lost:
        click.echo(f"foalnet: no answer for {lost} of {clips} clips; their lines say why", err=True)
    return code


def json_line(row: dict[str, Any]) -> str:
    """Return a row as a JSON line in ASCII: a file's name may hold bytes that are no text in any encoding."""
    return json.dumps(row) + "\n"


@click.command(short_help="predict class probabilities for your own clips, as JSON lines or CSV")
@click.option("--model", required=True, type=FILE, help="Folder of a sealed model, for example models/drawn/final.")
@click.option(
    "--window",
    "window_s",
    type=float,
    help="Seconds: predict windows of this length, the last one up to the clip's end [default: the clip as a whole].",
)
@click.option("--step", "step_s", type=float, help="Seconds from window to window [default: half a window].")
@click.option(
    "--format", "form", type=click.Choice(["jsonl", "csv"]), default="jsonl", show_default=True, help="Of the output."
)
@click.option("--timeline", type=FILE, help="With --window: write this HTML page of emotion and face over time.")
@clip_options
def predict(clips: tuple[Path, ...], model: Path, form: str, timeline: Path | None, **options: Any) -> int:
    """Print a sealed model's prediction for each CLIP: a video, with or without sound, or a wav or flac file.

    One line per window and person: its span in the clip, class probabilities, the likeliest label, whether sound and
    picture were found, frames with a face, where the face is, notes. A window without a prediction has a line that says
    why. A clip that cannot be read becomes a line with `error`, the others go on, and the exit code is 3 (or 4 for a
    fault of this machine).
    """
    from foalnet import predict as package

    requests = requests_of(clips, options)
    if timeline is not None and options["window_s"] is None:
        raise UsageError("a timeline shows windows", action="give --window, for example --window 4")
    package.check_model(model)
    loaded = cache(lambda: package.load(model))
    rows = each_clip(requests, lambda: _answer(loaded(), alone=len(clips) == 1))
    write = json_line
    with ExitStack() as stack:
        if form == "csv":
            from foalnet.predict.csvs import csv_row, header

            classes = loaded().classes
            click.echo(header(classes), nl=False)
            write = partial(csv_row, classes=classes)
        if timeline is not None:
            from foalnet.predict.timeline import writing

            rows = stack.enter_context(writing(timeline))(rows)
        return answered(rows, len(clips), write)


def _answer(model: Model, *, alone: bool) -> Answer:
    """Return the rows of a request; `alone`: stderr shows how many windows of the one clip are done."""

    def rows(request: Request) -> Iterator[dict[str, Any]]:
        with ExitStack() as stack:
            done: list[Callable[[], None]] = []

            def begun(windows: int) -> None:
                if alone and windows > len(request.sides):
                    done.append(stack.enter_context(_progress(windows, "windows")))

            for each in model.windows(request, begun):
                yield each.row()
                for one_more in done:
                    one_more()

    return rows


def _progress(total: int, unit: str) -> AbstractContextManager[Callable[[], None]]:
    """Return `counted`, silent where the rows themselves show the progress at a terminal."""
    return nullcontext(lambda: None) if sys.stdout.isatty() else counted("foalnet", total, unit)


def each_clip(requests: list[Request], prepare: Callable[[], Answer]) -> Iterator[tuple[dict[str, Any], int]]:
    """Yield (row, exit code) of each row that the answer to a request has; one row with `error` where it fails.

    `prepare` takes seconds: it is called with the first clip that can be opened. Of several clips, stderr shows how
    many are done.
    """
    from foalnet.predict.answer import error_row
    from foalnet.predict.request import check_files

    several = _progress(len(requests), "clips") if len(requests) > 1 else nullcontext(lambda: None)
    with several as one_more:
        answer: Answer | None = None
        for request in requests:
            try:
                check_files(request)
            except FoalnetError as error:
                yield {"clip": str(request.clip), "error": error_row(error)}, error.exit_code
                one_more()
                continue
            answer = answer or prepare()
            try:
                for row in answer(request):
                    yield {"clip": str(request.clip), **row}, 0
            except (DataError, MachineError) as error:
                yield {"clip": str(request.clip), "error": error_row(error)}, error.exit_code
            one_more()
