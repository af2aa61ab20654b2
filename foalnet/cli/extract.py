"""The verb `extract`: features of a user's own clips as npy and parquet files; a bad clip does not stop the others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from foalnet.cli.predict import FILE, Answer, answered, clip_options, each_clip, json_line, requests_of
from foalnet.config import load_params, load_settings
from foalnet.core.errors import UsageError

if TYPE_CHECKING:
    from foalnet.predict.request import Request


@click.command(short_help="write features of your own clips: sound, crops, boxes, vectors")
@click.option("--out", required=True, type=FILE, help="Each clip gets a folder of its name in it.")
@click.option("--model", type=FILE, help="Stage and encode as this sealed model does, for example models/drawn/final.")
@click.option("--corpus", help="In place of --model: stage as params.yaml says for this corpus.")
@click.option("--parquet", is_flag=True, help="Also write parquet files (needs the extra `parquet`).")
@clip_options
def extract(
    clips: tuple[Path, ...], out: Path, model: Path | None, corpus: str | None, parquet: bool, **options: Any
) -> int:
    """Write the features of each CLIP, a video or a sound file, by the code that stages corpora and predicts.

    As npy: sound, times_s, boxes, scores, sources, face, half; with --model the vectors of its encoders, with --corpus
    those of the frozen encoder `features.encoder`, if there is one; facts.json says how they were made. One JSON line
    per person. A clip that cannot be read becomes a line with `error`, the others go on, and the exit code is 3 (or 4
    for a fault of this machine). `foalnet features` encodes the pictures of a staged corpus.
    """
    if (model is None) == (corpus is None):
        raise UsageError("one of --model and --corpus is needed", action="see `foalnet extract --help`")
    return answered(_rows(requests_of(clips, options), out, model, corpus, parquet=parquet), len(clips), json_line)


def _rows(
    requests: list[Request], out: Path, model: Path | None, corpus: str | None, *, parquet: bool
) -> Iterator[tuple[dict[str, Any], int]]:
    """Yield a row and its exit code for each person or failed clip; errors that concern all clips are raised."""
    from foalnet import predict
    from foalnet.export import need_parquet, warning_of
    from foalnet.predict.request import folders_of

    folders = dict(zip(requests, folders_of(requests, out), strict=True))
    settings = load_settings()
    params = None if corpus is None else load_params(corpus)
    if model is not None:
        predict.check_model(model)
    if parquet:
        need_parquet()
    if warning := warning_of(out):
        click.echo(f"foalnet: {warning}", err=True)

    def prepare() -> Answer:
        from foalnet.predict.extract import extract, of_model, of_params

        if params is not None:
            source = of_params(params, settings)
        else:
            assert model is not None
            source = of_model(predict.load(model, settings=settings))
        return lambda request: extract(source, request, folders[request], parquet=parquet)

    yield from each_clip(requests, prepare)
