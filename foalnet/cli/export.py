"""The verb `export`: writes the staged utterances as loose files or as a folder for Hugging Face `datasets`."""

from __future__ import annotations

from pathlib import Path

import click

from foalnet.cli.stages import CORPUS
from foalnet.config import load_params
from foalnet.core.paths import Paths

FILE = click.Path(path_type=Path)


@click.command(short_help="write staged utterances as loose files, or for Hugging Face datasets")
@CORPUS
@click.option("--format", "form", required=True, type=click.Choice(["hf", "folder"]), help="See above.")
@click.option("--out", required=True, type=FILE, help="A new or empty folder.")
def export(corpus: str, form: str, out: Path) -> None:
    """Write each staged utterance of CORPUS into the folder --out: sound, crops, half pictures or table, metadata.

    folder: a FLAC file, a JPEG for each frame, metadata.jsonl. hf: parquet files that `datasets.load_dataset(DIR)`
    opens (needs the extra `parquet`). The bytes of sound and pictures are those of the shards. They are faces, voices
    and words: the corpus' licence, which is printed and written next to the files, binds everyone who gets them.
    """
    from foalnet.artifact.seal import read_sealed
    from foalnet.export import export_corpus, need_empty, need_parquet, warning_of
    from foalnet.shards import open_shards

    load_params(corpus)
    if form == "hf":
        need_parquet()
    paths = Paths(corpus)
    account = read_sealed(paths.staging, again=f"shards@{corpus}", corpus=corpus)
    shards = open_shards(paths.shards, corpus=corpus)
    need_empty(out)
    if warning := warning_of(out):
        click.echo(f"foalnet: {warning}", err=True)
    drawn = bool(account.get("drawn"))
    count = export_corpus(shards, out, form, licence=account["licence"], drawn=drawn)
    click.echo(f"export {corpus}: {count} utterances in {out}")
    click.echo(f"licence: {account['licence']}")
