"""The verbs `add-corpus` and `config`: they edit params and settings, print the diff, and are idempotent."""

from __future__ import annotations

import click
import yaml

from foalnet.config import load_params
from foalnet.config.load import DEFAULT_PARAMS, read_file
from foalnet.config.presets import PRESETS
from foalnet.config.variants import MAIN_VARIANTS
from foalnet.core.redact import redact


class _NamesReaders(click.Command):
    """A command with the corpus readers in its help; they are imported only when the help is shown."""

    def get_help(self, ctx: click.Context) -> str:
        from foalnet.corpora import READERS

        return super().get_help(ctx).replace("READERS", ", ".join(READERS))


@click.command("add-corpus", cls=_NamesReaders, short_help="add a corpus on this machine to the project")
@click.argument("reader")
@click.option("--root", required=True, help="Folder of the corpus as it was downloaded; it is only read.")
@click.option("--table", help="Reader `table`: the CSV or JSON-lines file, in the root; without it a folder per class.")
@click.option("--name", help="Name of the entry, its folders and its report [default: the reader's name].")
@click.option("--classes", help="Classes, in order: 'neutral,happy,sad,angry', 'happy=hap+exc,sad', or 'all'.")
@click.option("--variants", help=f"What to train [default: {','.join(MAIN_VARIANTS)}; of sound alone: audio_only].")
@click.option("--seeds", help="Seeds, separated by commas [default: the preset's, else 1].")
@click.option("--epochs", type=click.IntRange(min=1), help="At most so many epochs [default: params.yaml's].")
@click.option("--preset", help=f"Starting point: {', '.join(PRESETS)} [default: the reader's own, small encoders].")
@click.option("--dry-run", is_flag=True, help="Show the changes and write nothing.")
def add_corpus(
    reader: str,
    root: str,
    table: str | None,
    name: str | None,
    classes: str | None,
    variants: str | None,
    seeds: str,
    epochs: int | None,
    preset: str | None,
    dry_run: bool,
) -> None:
    """Add a corpus that READER (READERS) reads: its root to settings.yaml, its entry to params.yaml.

    It also adds deployments to prefect.yaml. All changes are shown as a diff; other corpora stay as they are.
    """
    from foalnet.cli.entries import add
    from foalnet.cli.new_entry import NewEntry

    entry = NewEntry.parse(
        reader=reader,
        root=root,
        table=table,
        name=name,
        classes=classes,
        variants=variants,
        seeds=seeds,
        epochs=epochs,
        preset=preset,
    )
    for line in add(entry, write=not dry_run):
        click.echo(line)


@click.command(short_help="check params and print the resolved ones of a corpus")
@click.argument("corpus", required=False)
@click.option("--sync", "sync_", is_flag=True, help="Rewrite params.yaml's `runs` from variants, seeds, protocols.")
@click.option("--explain", "explain_", is_flag=True, help="Print each param with its origin, unit, meaning and source.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: corpus -> params, or -> rows with --explain.")
def config(corpus: str | None, sync_: bool, explain_: bool, as_json: bool) -> None:
    """Check params.yaml and print the resolved params of CORPUS (default: all)."""
    import json

    from foalnet.cli.entries import check_runs, sync
    from foalnet.cli.explain import explain
    from foalnet.cli.names import check_names, notes_on_roots

    if sync_:
        for line in sync(DEFAULT_PARAMS):
            click.echo(line)
        return
    names = [corpus] if corpus else list(read_file().corpora)
    resolved = [load_params(each) for each in names]
    for params in resolved:
        check_names(params)
    check_runs()
    for note in notes_on_roots(resolved):
        click.echo(f"note: {redact(note)}", err=True)
    if as_json:
        document = {
            each: [row.as_json() for row in explain(each)] if explain_ else load_params(each).model_dump(mode="json")
            for each in names
        }
        click.echo(json.dumps(document, indent=1, ensure_ascii=False))
        return
    if explain_:
        for each in names:
            click.echo("\n".join(str(row) for row in explain(each)))
        return
    for params in resolved:
        click.echo(
            yaml.safe_dump({params.corpus: params.model_dump(mode="json")}, sort_keys=False, allow_unicode=True),
            nl=False,
        )
