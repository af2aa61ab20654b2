"""The verbs that dvc.yaml calls, one per stage. Heavy imports live inside, so that --help is quick."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import click

from foalnet.config import Params, Settings, load_params, load_settings
from foalnet.config.blocks import SPLIT_OF, SPLITS, Split
from foalnet.core.errors import FoalnetError, UsageError
from foalnet.core.paths import Paths, run_name

PATH = click.Path(path_type=Path)
CORPUS = click.argument("corpus")
DRY_RUN = click.option("--dry-run", is_flag=True, help="Say what would run, how long, how much disk; write nothing.")


def _run_options(verb: Callable[..., Any]) -> Callable[..., Any]:
    split = click.option(
        "--split",
        type=click.Choice(SPLITS),
        default="dev",
        show_default=True,
        help="dev: one session chooses the epoch; four: it trains too, for two other protocols (docs/protocols.md).",
    )
    verb = click.option("--seed", required=True, type=int, help="One of the corpus' seeds.")(split(verb))
    return click.option(
        "--variant",
        required=True,
        help="audio_only, video_only, baseline, avel, mem or foal; all but the first also with _half behind it.",
    )(verb)


def _check_run(params: Params, variant: str, seed: int, split: Split) -> None:
    """Refuse (UsageError, exit 2) what is none of the corpus' runs: its outputs would be nobody's."""
    asked = {SPLIT_OF[protocol] for protocol in params.protocols}
    if variant in params.variants and seed in params.seeds and split in asked:
        return
    raise UsageError(
        f"{run_name(variant, seed, split)} is none of the runs of corpus {params.corpus}: variants "
        f"{', '.join(params.variants)}; seeds {', '.join(map(str, params.seeds))}; splits {', '.join(sorted(asked))}",
        file="params.yaml",
        action="correct the options, or add it to the corpus' entry and run `foalnet config --sync`",
    )


@contextmanager
def _stage(
    name: str, corpus: str, outs: Callable[[Paths], Iterable[Path]], *, writes: bool = True
) -> Iterator[tuple[Params, Settings, Paths]]:
    """Check params, settings and that `outs` can be written first; one writer at a time, and every error has a stage.

    What killed writers left is cleared away. Refuses to finish if the code changed meanwhile.
    """
    from foalnet.artifact.provenance import CodeGuard
    from foalnet.core.files import need_writable
    from foalnet.core.locks import lock
    from foalnet.core.temporaries import remove_temporaries

    params, settings, paths = load_params(corpus), load_settings(), Paths(corpus)
    if not writes:
        yield params, settings, paths
        return
    guard = CodeGuard(name)
    try:
        with lock(settings.work / "locks" / f"{name}-{corpus}", stage=name):
            folders = [settings.work, *outs(paths)]
            need_writable(folders, stage=name)
            for folder in folders:
                # A corpus' own tree may lie below its data folder; nothing in it is ours to remove.
                remove_temporaries(folder, below=folder != paths.data)
            yield params, settings, paths
            guard.check()
    except FoalnetError as error:
        error.stage = error.stage or name
        raise


def with_folders(folder: Path) -> list[Path]:
    """Return a folder and those in it."""
    return [folder, *sorted(path for path in folder.glob("*") if path.is_dir())]


def _of_shards(paths: Paths) -> list[Path]:
    return [paths.reports, *with_folders(paths.shards)]


def _in_processes(*arguments: str) -> None:
    """Run this very verb in several processes, and end as they end, where the settings ask for them."""
    from foalnet.cli.launch import in_processes
    from foalnet.train.ranks import processes, started

    if not started() and (count := processes(load_settings())) > 1:
        sys.exit(in_processes(arguments, count))


@click.command(short_help="draw the embedded corpus")
@click.option("--structure", type=PATH, help="Draw these utterances: a table of utterance, label, start_s, end_s.")
@click.option("--out", type=PATH, help="Where to, with --structure; `foalnet add-corpus iemocap --root` takes it.")
@click.option("--media", type=click.IntRange(min=0), help="Sound and picture for so many dialogues a session only.")
@DRY_RUN
def draw(structure: Path | None, out: Path | None, media: int | None, dry_run: bool) -> None:
    """Draw the embedded corpus into data/drawn/raw, in IEMOCAP's exact layout (docs/drawn.md).

    With --structure: a corpus with the dialogues, times and raw labels of a table, into the folder --out.
    """
    from foalnet.core.files import need_writable
    from foalnet.drawn.write import draw as draw_corpus
    from foalnet.stages.forecast import draw_forecast, note_drawing

    if (structure is None) != (out is None) or (media is not None and structure is None):
        raise UsageError("--structure and --out go together, --media with them", action="see `foalnet draw --help`")
    if dry_run:
        to, here = out or Paths("drawn").data / "raw", load_settings()
        told = draw_forecast(load_params("drawn").draw, here, to, cached=out is None, structure=structure, media=media)
        click.echo(told)
        return
    began = time.monotonic()
    with _stage("draw", "drawn", lambda _: []) as (params, settings, paths):
        to = out or paths.data / "raw"
        need_writable([to.parent], stage="draw")
        draw_corpus(params.draw, to, workers=settings.workers, structure=structure, media=media)
        took_s = time.monotonic() - began
        note_drawing(params.draw, settings, to, wall_s=took_s, structure=structure, media=media)


@click.command(short_help="path, size, digest of each file of the corpus")
@CORPUS
def inventory(corpus: str) -> None:
    """List path, size and digest of each file used; the only verb that knows where the corpus lies."""
    from foalnet.cli.counts import absent_parts
    from foalnet.cli.entries import check_runs
    from foalnet.corpora import get_reader
    from foalnet.corpora.inventory import inventory as take
    from foalnet.corpora.inventory import read_inventory, unused_lines

    check_runs()
    with _stage("inventory", corpus, lambda paths: [paths.data]) as (params, settings, paths):
        summary = take(params, settings, paths.inventory)
        roles = read_inventory(paths.inventory, corpus=corpus).roles()
    note = f"; {summary['note']}" if summary["note"] else ""
    of_roles = ", ".join(f"{role} {number}" for role, number in summary["by_role"].items())
    click.echo(
        f"inventory: {summary['files']} files ({of_roles}), {summary['bytes']:,} bytes, "
        f"{summary['hashed']} hashed now{note}"
    )
    unused = unused_lines(summary["ignored"], summary["named"])
    for line in [*absent_parts(roles, get_reader(params.reader)), *unused]:
        click.echo(line)


@click.command(short_help="labels, transcripts, votes to a checked table")
@CORPUS
def manifest(corpus: str) -> None:
    """Read labels, transcripts and raters into the checked utterance table; hold the counts to their contract."""
    from foalnet.cli.counts import manifest_lines
    from foalnet.corpora import get_reader
    from foalnet.stages.manifest import build

    with _stage("manifest", corpus, lambda paths: [paths.data, paths.reports]) as (params, settings, paths):
        account = build(params, settings, paths.inventory, paths.manifest, paths.counts)
    # The drawn corpus is complete as it is drawn.
    published = None if corpus == "drawn" else get_reader(params.reader).published
    for line in manifest_lines(account, params.manifest.classes, published, paths.counts):
        click.echo(line)


@click.command(short_help="stage faces and sound, one shard a dialogue")
@CORPUS
@DRY_RUN
@click.option(
    "--verify", is_flag=True, help="Read every byte of the shards that are here, list every fault; write nothing."
)
def shards(corpus: str, dry_run: bool, verify: bool) -> None:
    """Stage every dialogue (decode once, find the speaker's face, cut the sound) and pack one shard each.

    With --verify: compare index, shards and samples, name each damaged shard, its first damaged key and the dialogues
    to stage again; exit 0 where all is whole, 3 where not.
    """
    if verify:
        if dry_run:
            raise UsageError("--verify and --dry-run do not go together", action="give one of them")
        _verify(corpus)
        return
    from foalnet.corpora.inventory import resolve_root
    from foalnet.stages.shards import stage

    if dry_run:
        from foalnet.stages.forecast import shards_forecast

        click.echo(shards_forecast(load_params(corpus), load_settings(), Paths(corpus)))
        return
    with _stage("shards", corpus, _of_shards) as (params, settings, paths):
        summary = stage(
            params,
            settings,
            root=resolve_root(params, settings),
            inventory=paths.inventory,
            manifest=paths.manifest,
            out=paths.shards,
            report=paths.staging,
        )
    click.echo(f"shards: {summary}")


def _verify(corpus: str) -> None:
    from foalnet.shards import verify

    load_params(corpus)
    verdict = verify(Paths(corpus).shards, corpus=corpus, stage="shards")
    for fault in verdict.faults:
        click.echo(str(fault))
    if verdict.faults:
        raise verdict.error(stage="shards")
    click.echo(f"shards {corpus}: {verdict}")


@click.command(short_help="train all folds of one variant and seed")
@CORPUS
@_run_options
@DRY_RUN
def train(corpus: str, variant: str, seed: int, split: Split, dry_run: bool) -> None:
    """Train all folds of one variant and seed; interrupted, the same command resumes."""
    from foalnet.stages.train import train_run
    from foalnet.train.ranks import is_first

    if dry_run:
        from foalnet.stages.forecast import train_forecast

        params, settings = load_params(corpus), load_settings()
        click.echo(train_forecast(params, settings, Paths(corpus), variant=variant, seed=seed, split=split))
        return
    _check_run(load_params(corpus), variant, seed, split)
    _in_processes("train", corpus, "--variant", variant, "--seed", str(seed), "--split", split)
    name = f"train-{run_name(variant, seed, split)}"
    outs = partial(Paths.model, variant=variant, seed=seed, split=split)
    with _stage(name, corpus, lambda paths: [outs(paths)], writes=is_first()) as (params, settings, paths):
        train_run(params, settings, paths, variant=variant, seed=seed, split=split, say=partial(click.echo, err=True))


@click.command(short_help="apply each selection rule, score the test sessions")
@CORPUS
@_run_options
def evaluate(corpus: str, variant: str, seed: int, split: Split) -> None:
    """Apply the split's selection rules and score the test sessions: the only verb that sees test labels."""
    from foalnet.stages.evaluate import evaluate_run

    name = f"evaluate-{run_name(variant, seed, split)}"
    with _stage(name, corpus, lambda paths: [paths.reports / "runs"]) as (params, _, paths):
        _check_run(params, variant, seed, split)
        evaluate_run(params, paths, variant=variant, seed=seed, split=split)


@click.command(short_help="train on all sessions and seal the model")
@CORPUS
@DRY_RUN
def final(corpus: str, dry_run: bool) -> None:
    """Train the run that `final` in params names on all sessions, for the epochs its folds fixed; seal it with a card.

    Interrupted, the same command resumes. `foalnet predict` and `foalnet.load` take the folder that it prints.
    """
    from foalnet.stages.final import final_run
    from foalnet.train.ranks import is_first

    if dry_run:
        from foalnet.stages.forecast import final_forecast

        click.echo(final_forecast(load_params(corpus), load_settings(), Paths(corpus)))
        return
    _in_processes("final", corpus)
    with _stage("final", corpus, lambda paths: [paths.final], writes=is_first()) as (params, settings, paths):
        card = final_run(params, settings, paths, say=partial(click.echo, err=True))
    if is_first():
        click.echo(
            f"final: {card['variant']} s{card['seed']}, {card['epochs']['trained']} epochs, sealed in {paths.final}"
        )


@click.command(short_help="write the page and the metrics")
@CORPUS
def report(corpus: str) -> None:
    """Write the offline page, its Markdown twin and the aggregate metrics, with intervals and what was dropped."""
    from foalnet.drawn.plan import kinds_of
    from foalnet.drawn.rule import best_by_kind, best_scores
    from foalnet.evidence.report import build
    from foalnet.evidence.report.late import Kinds

    with _stage("report", corpus, lambda paths: [paths.reports]) as (params, _, paths):
        drawn = corpus == "drawn"
        build(
            params,
            paths,
            best_possible=best_scores(params.draw) if drawn else None,
            kinds=Kinds(of=kinds_of(params.draw), best=best_by_kind()) if drawn else None,
        )


@click.command(short_help="print the headline table")
@CORPUS
def show(corpus: str) -> None:
    """Print the headline table and where the report lies."""
    from foalnet.evidence.report import headline

    load_params(corpus)
    paths = Paths(corpus)
    click.echo(headline(paths))
    if not paths.report_html.exists():
        click.echo(f"{paths.report_html} was not made here: these are the committed figures; next: `dvc repro`")
