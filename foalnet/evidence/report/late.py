"""Computes the late average: two models of one modality each, combined at the end; the baseline of every fusion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from foalnet.config.variants import HALF
from foalnet.core.records import Prediction
from foalnet.evidence.report.accounts import Known
from foalnet.evidence.report.aggregate import (
    RESAMPLED,
    SEES,
    Comparison,
    compare,
    gap_interval,
    gap_row,
    score,
    score_row,
)
from foalnet.evidence.report.phrases import KINDS
from foalnet.evidence.report.results import Results, Run
from foalnet.evidence.stats import Interval

LATE = "late_average"


@dataclass(frozen=True, kw_only=True)
class OnKind:
    """Accuracy on one kind of utterances by variant (and of the late average), and gains over the late average.

    `best` is the most that can be expected from each variant's inputs.
    """

    kind: str
    n: int
    right: Mapping[str, Interval]
    gains: Mapping[str, Interval]
    best: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Late:
    """Late average of two single variants, and each fused variant's gain over it on the same utterances."""

    name: str
    of: tuple[str, str]
    n: int
    ua: Interval
    wa: Interval
    best: float | None
    gains: tuple[Comparison, ...]
    kinds: tuple[OnKind, ...]

    @property
    def half(self) -> bool:
        """Whether its picture is the speaker's half."""
        return self.name.endswith(HALF)


def late(results: Results) -> list[Late]:
    """Return a late average for each picture (face, half) whose two single variants were trained with the same seeds.

    The score of a class is the product of the two probabilities. That is the Bayes decision if sound and picture are
    independent given the class and the classes are equally frequent, as training's sampler or class weights make them.
    Ties go to the larger sum, then to the first class.
    """
    averages = []
    for half in ("", HALF):
        pair = ("audio_only", "video_only" + half)
        if all(name in results.runs for name in pair) and (runs := averaged(*(results.runs[name] for name in pair))):
            averages.append(_late(results, pair, half, runs))
    return averages


def averaged(sound: Sequence[Run], picture: Sequence[Run]) -> tuple[Run, ...]:
    """Return the averaged runs, one per common seed; of their `facts` only classes and cluster are valid."""
    by_seed = {run.seed: run for run in picture}
    return tuple(
        Run(
            variant=LATE,
            seed=run.seed,
            facts=run.facts,
            rows={
                key: replace(row, predicted=_decide(run.facts.classes, row, by_seed[run.seed].rows[key]))
                for key, row in run.rows.items()
                if key in by_seed[run.seed].rows
            },
        )
        for run in sound
        if run.seed in by_seed
    )


def _decide(classes: Sequence[str], sound: Prediction, picture: Prediction) -> str:
    votes = [(p * q, p + q) for p, q in zip(sound.probabilities, picture.probabilities, strict=True)]
    return classes[max(range(len(votes)), key=lambda i: (votes[i], -i))]


def _late(results: Results, pair: tuple[str, str], half: str, runs: tuple[Run, ...]) -> Late:
    params, name = results.params.report, LATE + half
    keys = sorted(set.intersection(*(set(run.rows) for run in runs)))
    fused = {
        v: r for v, r in results.runs.items() if v.removesuffix(HALF) not in SEES and v.endswith(HALF) == bool(half)
    }
    ua, wa = (score(runs, keys, metric, params) for metric in RESAMPLED)
    return Late(
        name=name,
        of=pair,
        n=len(keys),
        ua=ua,
        wa=wa,
        best=results.best_possible.get(LATE),
        gains=tuple(compare(variant, its, name, runs, params) for variant, its in fused.items()),
        kinds=_by_kind(results, {pair[0]: results.runs[pair[0]], pair[1]: results.runs[pair[1]], name: runs} | fused),
    )


def _by_kind(results: Results, shown: Mapping[str, Sequence[Run]]) -> tuple[OnKind, ...]:
    """Return one entry per kind that occurs among the utterances that all runs of `shown` predicted.

    () for a corpus that states no kinds of utterances.
    """
    known = results.inventory.facts if results.inventory is not None else Known()
    kind_of, best = known.kinds, known.best_by_kind
    common = sorted(set.intersection(*(set(run.rows) for runs in shown.values() for run in runs)))
    name = next(variant for variant in shown if variant.startswith(LATE))
    table = []
    for kind in (name for name in KINDS if name in best):
        keys = [key for key in common if kind_of.get(key) == kind]
        if not keys:
            continue
        table.append(
            OnKind(
                kind=kind,
                n=len(keys),
                right={v: score(runs, keys, "wa", results.params.report) for v, runs in shown.items()},
                gains={
                    v: gap_interval(runs, shown[name], keys, "wa", results.params.report)
                    for v, runs in shown.items()
                    if v.removesuffix(HALF) not in (*SEES, LATE)
                },
                best={v: best[kind][_sees(v)] for v in shown},
            )
        )
    return tuple(table)


def _sees(variant: str) -> str:
    base = variant.removesuffix(HALF)
    return LATE if base == LATE else SEES.get(base, "both")


def late_metrics(averages: Sequence[Late]) -> dict[str, Any]:
    """Return metrics.json's entry on late averages; {} where there is none."""
    return {LATE: {each.name: _row(each) for each in averages}} if averages else {}


def _row(each: Late) -> dict[str, Any]:
    row: dict[str, Any] = {"of": list(each.of), "n": each.n}
    row |= score_row("ua", each.ua) | score_row("wa", each.wa)
    row |= {} if each.best is None else {"ua_best_possible": each.best}
    row["differences"] = {pair.name: gap_row(pair) for pair in each.gains}
    if each.kinds:
        row["kinds"] = {
            on.kind: {
                "n": on.n,
                "right": {v: score_row("share", i) | {"best_possible": on.best[v]} for v, i in on.right.items()},
                "differences": {f"{v}_minus_{each.name}": score_row("share", gap) for v, gap in on.gains.items()},
            }
            for on in each.kinds
        }
    return row
