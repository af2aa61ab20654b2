"""Probes the trained runs of a corpus: predicts disturbed clips, computes controls, and writes the page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from foalnet.artifact.results import METRICS, Results, read_results
from foalnet.artifact.seal import sealed_bytes
from foalnet.config import Params, Settings
from foalnet.config.base import nearest
from foalnet.config.load import DEFAULT_PARAMS
from foalnet.config.probing import Probe
from foalnet.core.errors import DataError, MachineError, UsageError
from foalnet.core.files import publish_together
from foalnet.core.paths import Paths, run_name
from foalnet.probe.board import Probed, board
from foalnet.probe.disturb import disturbances
from foalnet.probe.learning import trained_with
from foalnet.probe.networks import answers_of
from foalnet.probe.page import page
from foalnet.stages.train.group import Group, Job
from foalnet.train.environment import at_start

BOARD, PAGE = "probe.json", "probe.md"
Curve = dict[int, dict[str, list[dict[str, str]]]]


def run_probe(
    params: Params, probe: Probe, settings: Settings, paths: Paths, *, say: Callable[[str], None] = lambda _: None
) -> str:
    """Probe the runs of a corpus that are trained and evaluated; return the page.

    Writes `reports/<corpus>/probe/`: probe.json and probe.md. `say` gets a line for every run. UsageError (2),
    DataError (3), MachineError (4) as their messages say.
    """
    variants, seeds = chosen(params, probe)
    results = {(name, seed): _results(paths, name, seed) for name in variants for seed in seeds}
    _check_alike(results)
    group = Group.of(params, settings, paths)
    say(f"probe {params.corpus}: {at_start(settings, params.train)}")
    runs: dict[str, list[Probed]] = {}
    names: Sequence[str] = ()
    for (variant, seed), stored in results.items():
        job = group.job(variant, seed, params.train)
        every = disturbances(probe, group.store(job).shape.rate_hz)
        names = [one.name for one in every]
        answers = answers_of(group, job, every)
        runs.setdefault(variant, []).append(Probed(seed=seed, results=stored, answers=answers))
        say(f"{run_name(variant, seed)}: {len(answers.predicted)} of {len(names)} disturbances applied")
    jobs = [group.job(*run, params.train) for run in results if probe.learning_curve]
    curve = _curve(group, jobs, probe, say)
    facts = board(params, probe, runs, group.utterances, names, curve)
    text = page(facts)
    out = paths.probe
    publish_together({out / PAGE: text.encode(), out / BOARD: sealed_bytes(BOARD, facts)}, marker=out / BOARD)
    return text


def chosen(params: Params, probe: Probe) -> tuple[list[str], list[int]]:
    """Return the variants and seeds that are probed; UsageError (exit 2) for one that the corpus does not train."""
    variants, seeds = probe.variants or params.variants, probe.seeds or params.seeds
    where: list[tuple[str, Sequence[Any], Sequence[Any]]] = [
        ("variants", variants, params.variants),
        ("seeds", seeds, params.seeds),
    ]
    for key, named, known in where:
        for one in named:
            if one not in known:
                raise UsageError(
                    f"probe.{params.corpus}.{key}: {one} is not among those of the corpus; "
                    f"{nearest(str(one), map(str, known))}",
                    file=DEFAULT_PARAMS,
                    action="correct it, or add it to the corpus' entry and train it",
                )
    return list(dict.fromkeys(variants)), list(dict.fromkeys(seeds))


def _results(paths: Paths, variant: str, seed: int) -> Results:
    """Return the stored results of a run; their epoch is that of the kept weights."""
    folder, again = paths.run(variant, seed), f"evaluate@{paths.corpus}-{run_name(variant, seed)}"
    results = read_results(paths, folder)
    if results is None:
        raise MachineError("the run has no results here", file=folder / METRICS, action=f"run `dvc repro {again}`")
    for fold, row in results.metrics["folds"].items():
        if row["epoch"] != row["checkpoint_epoch"]:
            raise DataError(
                f"fold {fold}: epoch {row['epoch']} is scored, the network of epoch {row['checkpoint_epoch']} is kept",
                file=folder / METRICS,
                action=f"run `dvc repro -f -s {again}`",
            )
    return results


def _check_alike(results: Mapping[tuple[str, int], Results]) -> None:
    """Raise DataError (exit 3) if runs tested other utterances."""
    (first, one), *others = results.items()
    for other, each in others:
        if each.rows.keys() != one.rows.keys():
            raise DataError(
                f"{run_name(*first)} and {run_name(*other)} were not tested on the same utterances",
                action="evaluate all of them again: `dvc repro`",
            )


def _curve(group: Group, jobs: Sequence[Job], probe: Probe, say: Callable[[str], None]) -> Curve:
    """Return number of sessions -> variant -> for each seed the predicted classes, of runs trained with fewer."""
    curve: Curve = {}
    for count in sorted(set(probe.sessions)):
        for job in jobs:
            name = run_name(job.run.variant, job.run.seed)
            predicted = trained_with(group, job, count)
            if predicted is None:
                say(f"{name}: a fold has no more than {count} training sessions: they are all of them")
                continue
            curve.setdefault(count, {}).setdefault(job.run.variant, []).append(dict(predicted))
            say(f"{name}: trained with {count} sessions")
    return curve
