"""The verb `predict`: class probabilities for a user's own clips as JSON lines; a bad clip does not stop the others."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from foalnet.core.errors import DataError, FoalnetError, MachineError, UsageError

if TYPE_CHECKING:
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


def answered(rows: Iterator[tuple[dict[str, Any], int]], clips: int) -> int:
    """Print rows as JSON lines, then how many clips have none; return the first exit code that is not 0."""
    code = lost = 0
    for row, failed in rows:
        # ASCII with escapes: a file's name may hold bytes that are no text in any encoding.
        click.echo(json.dumps(row))
        code, lost = code or failed, lost + bool(failed)
    if lost:
        click.echo(f"foalnet: no answer for {lost} of {clips} clips; their lines say why", err=True)
    return code


@click.command(short_help="predict class probabilities for your own clips, as JSON lines")
@click.option("--model", required=True, type=FILE, help="Folder of a sealed model, for example models/drawn/final.")
@clip_options
def predict(clips: tuple[Path, ...], model: Path, **options: Any) -> int:
    """Print a sealed model's prediction for each CLIP: a video, with or without sound, or a wav or flac file.

    One JSON line per person: class probabilities, the likeliest label, whether sound and picture were found, frames
    with a face, notes. A clip that cannot be read becomes a line with `error`, the others go on, and the exit code is 3
    (or 4 for a fault of this machine).
    """
    return answered(_rows(requests_of(clips, options), model), len(clips))


def _rows(requests: list[Request], model: Path) -> Iterator[tuple[dict[str, Any], int]]:
    """Yield a row and its exit code for each prediction or failed clip; errors that concern all clips are raised."""
    from foalnet import predict

    predict.check_model(model)

    def answer() -> Answer:
        loaded = predict.load(model)
        return lambda request: (each.row() for each in loaded.answer(request))

    yield from each_clip(requests, answer)


def each_clip(requests: list[Request], prepare: Callable[[], Answer]) -> Iterator[tuple[dict[str, Any], int]]:
    """Yield (row, exit code) of each row that the answer to a request has; one row with `error` where it fails.

    `prepare` takes seconds: it is called with the first clip that can be opened.
    """
    from foalnet.predict.request import check_files

    answer: Answer | None = None
    for request in requests:
        try:
            check_files(request)
        except FoalnetError as error:
            yield {"clip": str(request.clip), "error": _error_json(error)}, error.exit_code
            continue
        answer = answer or prepare()
        try:
            for row in answer(request):
                yield {"clip": str(request.clip), **row}, 0
        except (DataError, MachineError) as error:
            yield {"clip": str(request.clip), "error": _error_json(error)}, error.exit_code


def _error_json(error: FoalnetError) -> dict[str, Any]:
    return {"exit_code": error.exit_code, "what": error.what, "file": error.file, "next": error.action}
