"""The verb `import-checkpoint`: converts a checkpoint of the authors' code into a sealed model."""

from __future__ import annotations

from pathlib import Path

import click

from foalnet.config import load_settings
from foalnet.core.redact import redact

FILE = click.Path(path_type=Path)
AUTHORS_CLASSES = "happy,neutral,sad,angry"


@click.command("import-checkpoint", short_help="convert a checkpoint of the authors' code to a sealed model")
@click.argument("file", type=FILE)
@click.option(
    "--wavlm",
    type=FILE,
    help="config.json of the WavLM it was trained from, or its folder [default: wavlm_large of the weights folder].",
)
@click.option("--classes", default=AUTHORS_CLASSES, show_default=True, help="In the order of its logits.")
@click.option("--out", default="models/imported", show_default=True, type=FILE, help="Folder of the sealed model.")
def import_checkpoint(file: Path, wavlm: Path | None, classes: str, out: Path) -> None:
    """Convert FILE, a state dict of the authors' code (pickle or safetensors), to a model for `predict` and `load`.

    The network computes as the released code does. A pickle is read as plain tensors; one that runs code is refused.
    """
    from foalnet.authors.imported import import_checkpoint

    names = [name.strip() for name in classes.split(",") if name.strip()]
    settings = load_settings()
    card = import_checkpoint(file, wavlm, out, settings, classes=names)
    click.echo(redact(f"sealed: {out / 'model.safetensors'}\n{card['note']}"))
