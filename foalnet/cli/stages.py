"""The verbs that dvc.yaml calls, one for each stage of foalnet.stages.table, and `show`."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click

from foalnet.config import Params, load_params, load_settings
from foalnet.config.blocks import SPLIT_OF, SPLITS, Split
from foalnet.config.load import DRAWN, Run
from foalnet.core.errors import UsageError
from foalnet.core.paths import Paths, run_name
from foalnet.stages import draw as drawing
from foalnet.stages.base import Context, Stage, errors_of, run_stage
from foalnet.stages.table import BY_NAME

PATH = click.Path(path_type=Path)
VERIFY = """With --verify: compare index, shards and samples, name each damaged shard, its first damaged key and the
dialogues to stage again; exit 0 where all is whole, 3 where not."""
CORPUS = click.argument("corpus")
DRY_RUN = click.option("--dry-run", is_flag=True, help="Say what would run, how long, how much disk; write nothing.")
RUN = (
    click.option(
        "--variant",
        required=True,
        help="One of the corpus' variants; the block `variants` of params.yaml defines them.",
    ),
    click.option("--seed", required=True, type=int, help="One of the corpus' seeds."),
    click.option(
        "--split",
        type=click.Choice(SPLITS),
        default="dev",
        show_default=True,
        help="dev: one session chooses the epoch; four: it trains too, for two other protocols (docs/protocols.md).",
    ),
)


def _context(corpus: str, *, variant: str | None = None, seed: int = 0, split: Split = "dev") -> Context:
    """Return what a stage is run for."""
    params = load_params(corpus)
    run = None
    if variant is not None:
        name = run_name(variant, seed, split)
        # Without validation: a run that params.yaml does not list is refused in words, by `_check_run` or the forecast.
        run = Run.model_construct(corpus=corpus, variant=variant, seed=seed, split=split, name=name)
    say = partial(click.echo, err=True)
    return Context(params=params, settings=load_settings(), paths=Paths(corpus), run=run, say=say)


def _check_run(params: Params, run: Run) -> None:
    """Raise UsageError (exit 2) if params.yaml does not list this run: DVC would not track its outputs."""
    variant, seed, split = run.variant, run.seed, run.split
    splits = {SPLIT_OF[protocol] for protocol in params.protocols}
    if variant in params.variants and seed in params.seeds and split in splits:
        return
    raise UsageError(
        f"{run_name(variant, seed, split)} is none of the runs of corpus {params.corpus}: variants "
        f"{', '.join(params.variants)}; seeds {', '.join(map(str, params.seeds))}; splits {', '.join(sorted(splits))}",
        file="params.yaml",
        action="correct the options, or add it to the corpus' entry and run `foalnet config --sync`",
    )


def _run(stage: Stage, context: Context, *, dry_run: bool) -> None:
    if dry_run and stage.forecast is not None:
        with errors_of(stage.name):
            click.echo(stage.forecast(context))
        return
    if context.run is not None:
        _check_run(context.params, context.run)
    writes = True
    if stage.processes:
        from foalnet.train.ranks import is_first

        _in_processes(stage, context)
        writes = is_first()
    lines = run_stage(stage, context, writes=writes)
    for line in lines if writes else ():
        click.echo(line)


def _in_processes(stage: Stage, context: Context) -> None:
    """Run this verb in several processes, and end as they end, where the settings ask for them."""
    from foalnet.cli.launch import in_processes
    from foalnet.train.ranks import processes, started

    if started() or (count := processes(context.settings)) == 1:
        return
    arguments, run = [stage.name, context.params.corpus], context.run
    if run is not None:
        arguments += ["--variant", run.variant, "--seed", str(run.seed), "--split", run.split]
    sys.exit(in_processes(arguments, count))


def _command(name: str, before: Callable[[], None] = lambda: None) -> click.Command:
    """Return a stage's verb; `before` is called first."""
    stage = BY_NAME[name]

    def verb(corpus: str, *, dry_run: bool = False, **run: Any) -> None:
        before()
        _run(stage, _context(corpus, **run), dry_run=dry_run)

    for option in reversed([CORPUS, *(RUN if stage.per_run else ()), *([DRY_RUN] if stage.forecast else [])]):
        verb = option(verb)
    return click.command(name, short_help=stage.short, help=inspect.getdoc(stage.run))(verb)


def _check_runs() -> None:
    from foalnet.cli.entries import check_runs

    check_runs()


inventory = _command("inventory", before=_check_runs)
manifest, features, train, evaluate, final, report = map(
    _command, ("manifest", "features", "train", "evaluate", "final", "report")
)


@click.command(short_help=drawing.STAGE.short, help=inspect.getdoc(drawing.run))
@click.option("--structure", type=PATH, help="Draw these utterances: a table of utterance, label, start_s, end_s.")
@click.option("--out", type=PATH, help="Where to, with --structure; `foalnet add-corpus iemocap --root` takes it.")
@click.option("--media", type=click.IntRange(min=0), help="Sound and picture for so many dialogues a session only.")
@DRY_RUN
def draw(structure: Path | None, out: Path | None, media: int | None, dry_run: bool) -> None:
    """See foalnet.stages.draw.run."""
    if (structure is None) != (out is None) or (media is not None and structure is None):
        raise UsageError("--structure and --out go together, --media with them", action="see `foalnet draw --help`")
    stage = drawing.into(out, structure, media) if out and structure else drawing.STAGE
    _run(stage, _context(DRAWN), dry_run=dry_run)


@click.command(short_help=BY_NAME["shards"].short, help=f"{inspect.getdoc(BY_NAME['shards'].run)}\n\n{VERIFY}")
@CORPUS
@DRY_RUN
@click.option(
    "--verify", is_flag=True, help="Read every byte of the shards that are here, list every fault; write nothing."
)
def shards(corpus: str, dry_run: bool, verify: bool) -> None:
    """See foalnet.stages.shards.run."""
    if verify and dry_run:
        raise UsageError("--verify and --dry-run do not go together", action="give one of them")
    if verify:
        _verify(corpus)
    else:
        _run(BY_NAME["shards"], _context(corpus), dry_run=dry_run)


def _verify(corpus: str) -> None:
    from foalnet.shards import verify

    load_params(corpus)
    with errors_of("shards"):
        result = verify(Paths(corpus).shards, corpus=corpus)
        for fault in result.faults:
            click.echo(str(fault))
        if result.faults:
            raise result.error()
    click.echo(f"shards {corpus}: {result}")


@click.command(short_help="print the headline table")
@CORPUS
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "csv", "latex"]),
    default="text",
    show_default=True,
    help="csv and latex (booktabs) have every table, recall and confusion too.",
)
@click.option("--cell", metavar="TRUE,PREDICTED", help="The utterances in this cell of the confusion matrix.")
@click.option("--variant", help="Of this variant, with --cell [default: that of the headline].")
def show(corpus: str, form: str, cell: str | None, variant: str | None) -> None:
    """Print the headline table and the path of the report, or every table for papers and programs.

    With --cell: the utterances of one class that were predicted as another, with their file and times, how sure the
    answers were, and what the variants of one modality say.
    """
    from foalnet.evidence.report import cell_as, headline, tables_as

    params = load_params(corpus)
    paths = Paths(corpus)
    if variant and not cell:
        raise UsageError("--variant goes with --cell", action="give --cell TRUE,PREDICTED, or leave it out")
    if cell:
        true, comma, predicted = cell.partition(",")
        if not comma or form == "latex":
            raise UsageError(
                f"--cell {cell} with --format {form}", action="give two classes, as in --cell sad,happy --format csv"
            )
        click.echo(cell_as(params, paths, form, true=true, predicted=predicted, variant=variant), nl=False)
        return
    if form != "text":
        click.echo(tables_as(paths, form), nl=False)
        return
    click.echo(headline(paths))
    if not paths.report_html.exists():
        click.echo(f"{paths.report_html} was not made here: these are the committed figures; next: `dvc repro`")
