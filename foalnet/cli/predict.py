"""The verb `predict`: class probabilities for a user's own clips as JSON lines; a bad clip does not stop the others."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from foalnet.core.errors import DataError, FoalnetError, MachineError, UsageError

FILE = click.Path(path_type=Path)


@click.command(short_help="predict class probabilities for your own clips, as JSON lines")
@click.argument("clips", nargs=-1, required=True, metavar="CLIP…", type=FILE)
@click.option("--model", required=True, type=FILE, help="Folder of a sealed model, for example models/drawn/final.")
@click.option("--people", type=click.Choice(["1", "2"]), default="1", show_default=True, help="People in the picture.")
@click.option(
    "--side", type=click.Choice(["left", "right", "both"]), default="both", help="Which of two people [default: both]."
)
@click.option("--start", type=float, help="Seconds; with --end, for one CLIP [default: the whole clip].")
@click.option("--end", type=float, help="Seconds; with --start.")
@click.option(
    "--channel", help="Which of several channels: mean, left, right, or a number from 1 [default: the model's]."
)
@click.option("--track", type=click.IntRange(min=1), help="Of several sound tracks: its number [default: the first].")
@click.option("--sound", type=FILE, help="A wav or flac file to use instead of the one CLIP's own sound.")
@click.option("--text", help="The words spoken in the one CLIP, for a model that takes text.")
def predict(
    clips: tuple[Path, ...],
    model: Path,
    people: str,
    side: str,
    start: float | None,
    end: float | None,
    channel: str | None,
    track: int | None,
    sound: Path | None,
    text: str | None,
) -> int:
    """Print a sealed model's prediction for each CLIP: a video, with or without sound, or a wav or flac file.

    One JSON line per person: class probabilities, the likeliest label, whether sound and picture were found, frames
    with a face, notes. A clip that cannot be read becomes a line with `error`, the others go on, and the exit code is 3
    (or 4 for a fault of this machine).
    """
    if len(clips) > 1 and any(each is not None for each in (start, end, sound, text)):
        what = "--start, --end, --sound and --text belong to one clip"
        raise UsageError(what, action="give one CLIP at a time with them")
    options = {
        "people": int(people),
        "side": side,
        "start_s": start,
        "end_s": end,
        "sound": sound,
        "channel": channel,
        "track": track,
        "text": text,
    }
    code = lost = 0
    for row, failed in _rows(clips, model, options):
        # ASCII with escapes: a file's name may hold bytes that are no text in any encoding.
        click.echo(json.dumps(row))
        code, lost = code or failed, lost + bool(failed)
    if lost:
        click.echo(f"foalnet: no answer for {lost} of {len(clips)} clips; their lines say why", err=True)
    return code


def _rows(clips: tuple[Path, ...], model: Path, options: dict[str, Any]) -> Iterator[tuple[dict[str, Any], int]]:
    """Yield a row and its exit code for each prediction or failed clip; errors that concern all clips are raised.

    The model, which takes seconds to load, is loaded with the first clip that can be opened.
    """
    from foalnet import predict

    requests = [predict.Request(clip=clip, **options) for clip in clips]
    predict.check_model(model)
    loaded: predict.Model | None = None
    for request in requests:
        try:
            predict.check_files(request)
        except FoalnetError as error:
            yield {"clip": str(request.clip), "error": _error_json(error)}, error.exit_code
            continue
        loaded = loaded or predict.load(model)
        try:
            for answer in loaded.answer(request):
                yield {"clip": str(request.clip), **answer.row()}, 0
        except (DataError, MachineError) as error:
            yield {"clip": str(request.clip), "error": _error_json(error)}, error.exit_code


def _error_json(error: FoalnetError) -> dict[str, Any]:
    return {"exit_code": error.exit_code, "what": error.what, "file": error.file, "next": error.action}
