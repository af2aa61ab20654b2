"""The verb `audit`: checks and scores predictions of any system, alone or against a manifest; two files are paired."""

from __future__ import annotations

from pathlib import Path

import click

from foalnet.core.errors import DataError, UsageError
from foalnet.core.files import json_bytes, publish_bytes

FILE = click.Path(path_type=Path)
MOST_FILES = 2


@click.command(short_help="check and score predictions of any system; compare two files")
@click.argument("files", nargs=-1, required=True, type=FILE, metavar="FILE...")
@click.option("--corpus", metavar="NAME", help="Compare with the manifest of this corpus of params.yaml.")
@click.option("--manifest", type=FILE, metavar="FILE", help="Compare with this manifest.jsonl.")
@click.option(
    "--classes", metavar="A,B,…", help="Classes in the order of class numbers and columns [default: --corpus]."
)
@click.option("--column", "columns", multiple=True, metavar="ROLE=NAME", help="What a column holds; repeatable.")
@click.option("--epoch", type=click.IntRange(min=0), help="The epoch to score [default: the last of each fold].")
@click.option("--json", "json_file", type=FILE, metavar="FILE", help="Write all figures as JSON, too.")
@click.option("--page", "page_file", type=FILE, metavar="FILE", help="Write the audit as one HTML page, too.")
def audit(
    files: tuple[Path, ...],
    corpus: str | None,
    manifest: Path | None,
    classes: str | None,
    columns: tuple[str, ...],
    epoch: int | None,
    json_file: Path | None,
    page_file: Path | None,
) -> None:
    """Check predictions of any system, and score them as the report does; two files are compared in pairs.

    FILE is csv, tsv, jsonl, json, npz or parquet with a row for each utterance: key or file name, label, prediction or
    probabilities or logits; fold, seed, epoch, speaker, dialogue. Usual names of columns are known; roles for --column:
    key, label, predicted, probabilities, fold, part, session, seed, epoch, speaker, dialogue (docs/audit.md lists the
    checks). Exit 0 without a fault, 3 with one; JSON and page are written in both cases.
    """
    from foalnet.audit import audit as audited
    from foalnet.audit import faults, of_corpus, of_file, wanted_of
    from foalnet.audit.page import page, text

    if len(files) > MOST_FILES:
        raise UsageError(f"{len(files)} files", action="give one file, or two to compare")
    if corpus is not None and manifest is not None:
        raise UsageError("--corpus and --manifest do not go together", action="give one of them")
    wanted = wanted_of(columns)
    order = [name.strip() for name in classes.split(",") if name.strip()] if classes is not None else []
    reference = of_corpus(corpus) if corpus is not None else of_file(manifest) if manifest is not None else None
    facts = audited(files, reference=reference, classes=order, columns=wanted, epoch=epoch)
    click.echo(text(facts))
    if json_file is not None:
        publish_bytes(json_file, json_bytes(facts))
    if page_file is not None:
        publish_bytes(page_file, page(facts).encode())
    if wrong := faults(facts):
        named = "; ".join(f"{file}: {', '.join(names)}" for file, names in wrong.items())
        raise DataError(f"faults in {named}", action="see the section Checks above; docs/audit.md says what each means")
