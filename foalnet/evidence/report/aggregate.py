"""Aggregates runs: means over seeds, intervals over clusters, paired differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from foalnet.config.blocks import Report
from foalnet.config.variants import HALF
from foalnet.evidence.metrics import METRICS, SHOWN, mean_sd, rounded, weighted_f1
from foalnet.evidence.report.results import Bin, Fold, Results, Run
from foalnet.evidence.stats import Difference, Interval, Metric, confusion_bounds, difference, interval

# Input of a single-modality variant: it selects the best possible score to compare with. All others see both.
# The words of the drawn corpus say nothing on the class.
SEES = {"audio_only": "sound", "video_only": "picture", "text_only": "chance"}
# Metrics with an interval: foalnet.evidence.stats draws clusters for these.
RESAMPLED: tuple[Metric, ...] = ("ua", "wa")


@dataclass(frozen=True, kw_only=True)
class FoldResult:
    """UA and WA of one fold, means over seeds; `epochs` has one text per seed: "7 of 12"."""

    ua: float
    wa: float
    epochs: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Result:
    """Scores of one variant: means over its seeds; `confusion` is summed over them; `means` has every metric by key.

    `frozen` names the variants that trained its encoders (`train.encoders: single`); empty where it trains its own.
    """

    variant: str
    seeds: tuple[int, ...]
    n: int
    ua: Interval
    wa: Interval
    means: Mapping[str, float]
    recall: Mapping[str, float | None]
    support: Mapping[str, int]
    confusion: tuple[tuple[int, ...], ...]
    ece: float
    bins: tuple[Bin, ...]
    folds: Mapping[str, FoldResult]
    over_folds: Mapping[str, Mapping[str, float]]
    best: float | None
    f1_bounds: Mapping[str, float]
    frozen: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Differences of UA and WA, a minus b, over the `n` utterances that both predicted."""

    a: str
    b: str
    n: int
    ua: Difference
    wa: Difference


def by_variant(results: Results) -> list[Result]:
    """Return one Result per variant, in the order of params."""
    return [_result(runs, results) for runs in results.runs.values()]


def _result(runs: Sequence[Run], results: Results) -> Result:
    pooled = [run.facts.pooled for run in runs]
    keys = sorted(set.intersection(*(set(run.rows) for run in runs)))
    variant = runs[0].variant
    scored = {metric: score(runs, keys, metric, results.params.report) for metric in RESAMPLED}
    folds = [fold.metrics for run in runs for fold in run.facts.folds.values()]
    return Result(
        variant=variant,
        seeds=tuple(run.seed for run in runs),
        n=len(keys),
        means={metric.key: _mean([scores.metrics[metric.key] for scores in pooled]) for metric in METRICS},
        recall={
            name: _mean([scores.recall[name] or 0.0 for scores in pooled]) if pooled[0].support[name] else None
            for name in pooled[0].recall
        },
        support=pooled[0].support,
        confusion=tuple(
            tuple(map(sum, zip(*lines, strict=True)))
            for lines in zip(*(scores.confusion for scores in pooled), strict=True)
        ),
        ece=_mean([scores.calibration.ece for scores in pooled]),
        bins=_bins([scores.calibration.bins for scores in pooled]),
        folds={name: _fold([run.facts.folds[name] for run in runs]) for name in runs[0].facts.folds},
        over_folds={metric: mean_sd([fold[metric] for fold in folds]) for metric in RESAMPLED},
        f1_bounds=_f1_bounds(runs, keys, results),
        best=results.best_possible.get(SEES.get(variant.removesuffix(HALF), "both")),
        frozen=tuple(sorted({name.rpartition("-s")[0] for name in runs[0].facts.train.encoders})),
        **scored,
    )


def _mean(values: Sequence[float]) -> float:
    return rounded(sum(values) / len(values))


def _bins(tables: Sequence[Sequence[Bin]]) -> tuple[Bin, ...]:
    """Pool the calibration bins of several seeds, weighted by their counts."""
    pooled = []
    for bins in zip(*tables, strict=True):
        count = sum(each.n for each in bins)
        accuracy, confidence = (
            rounded(sum(each.n * (getattr(each, name) or 0.0) for each in bins) / count) if count else None
            for name in ("accuracy", "confidence")
        )
        pooled.append(Bin(low=bins[0].low, high=bins[0].high, n=count, accuracy=accuracy, confidence=confidence))
    return tuple(pooled)


def _fold(folds: Sequence[Fold]) -> FoldResult:
    return FoldResult(
        ua=_mean([fold.metrics["ua"] for fold in folds]),
        wa=_mean([fold.metrics["wa"] for fold in folds]),
        epochs=tuple(f"{fold.epoch} of {fold.epochs_run}" for fold in folds),
    )


def _correctness(runs: Sequence[Run], keys: Sequence[str]) -> list[float]:
    """Return each utterance's correctness, averaged over seeds."""
    return [sum(run.rows[key].label == run.rows[key].predicted for run in runs) / len(runs) for key in keys]


def _clusters(run: Run, keys: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the cluster and the label of each utterance."""
    rows = [run.rows[key] for key in keys]
    return [getattr(row, run.facts.cluster) for row in rows], [row.label for row in rows]


def score(runs: Sequence[Run], keys: Sequence[str], metric: Metric, params: Report) -> Interval:
    """Return UA or WA of one variant, averaged over its seeds, with its interval over clusters."""
    return interval(
        _correctness(runs, keys),
        *_clusters(runs[0], keys),
        metric=metric,
        level=params.level,
        resamples=params.bootstrap,
        seed=params.seed,
    )


def _f1_bounds(runs: Sequence[Run], keys: Sequence[str], results: Results) -> dict[str, float]:
    """Return the bounds of weighted F1 under metrics.json's keys; {} where params or few clusters leave them out."""
    params, number = results.params.report, {name: place for place, name in enumerate(results.facts.classes)}
    if not params.weighted_f1:
        return {}
    names, _ = _clusters(runs[0], keys)
    cluster = {name: place for place, name in enumerate(sorted(set(names)))}
    counts_SKCC = np.zeros((len(runs), len(cluster), len(number), len(number)), np.int64)
    for seed, run in enumerate(runs):
        for key, name in zip(keys, names, strict=True):
            row = run.rows[key]
            counts_SKCC[seed, cluster[name], number[row.label], number[row.predicted]] += 1
    bounds = confusion_bounds(
        counts_SKCC, weighted_f1, level=params.level, resamples=params.bootstrap, seed=params.seed
    )
    if bounds is None:
        return {}
    return {f"weighted_f1_{end}": rounded(bound) for end, bound in zip(("low", "high"), bounds, strict=True)}


def gap(a: Sequence[Run], b: Sequence[Run], keys: Sequence[str], metric: Metric, params: Report) -> Interval:
    """Return a minus b on the same utterances with its interval; both may come from one training run."""
    return interval(
        [one - other for one, other in zip(_correctness(a, keys), _correctness(b, keys), strict=True)],
        *_clusters(a[0], keys),
        metric=metric,
        level=params.level,
        resamples=params.bootstrap,
        seed=params.seed,
        bounds=(-1.0, 1.0),
    )


def comparisons(results: Results) -> list[Comparison]:
    """Return the comparisons of `report.compare` whose variants were both trained."""
    return [
        compare(a, results.runs[a], b, results.runs[b], results.params.report)
        for a, b in results.params.report.compare
        if a in results.runs and b in results.runs
    ]


def compare(a: str, a_runs: Sequence[Run], b: str, b_runs: Sequence[Run], params: Report) -> Comparison:
    """Return the differences a minus b over the utterances that all their runs predicted."""
    keys = sorted(set.intersection(*(set(run.rows) for run in (*a_runs, *b_runs))))
    ua, wa = (gain(a_runs, b_runs, keys, metric, params) for metric in RESAMPLED)
    return Comparison(a=a, b=b, n=len(keys), ua=ua, wa=wa)


def gain(a: Sequence[Run], b: Sequence[Run], keys: Sequence[str], metric: Metric, params: Report) -> Difference:
    """Return a minus b on these utterances, with its interval and the p value of a sign-flip test over clusters."""
    return difference(
        _correctness(a, keys),
        _correctness(b, keys),
        *_clusters(a[0], keys),
        metric=metric,
        level=params.level,
        resamples=params.bootstrap,
        permutations=params.permutations,
        seed=params.seed,
    )


def aggregate(results: Results, table: Sequence[Result], pairs: Sequence[Comparison]) -> dict[str, Any]:
    """Return the contents of metrics.json: scores and counts, nothing about single utterances."""
    variants: dict[str, Any] = {}
    for result in table:
        row: dict[str, Any] = {"n": result.n, "seeds": len(result.seeds)}
        row |= {**result.means, **score_row("ua", result.ua), **score_row("wa", result.wa), "ece": result.ece}
        row |= result.f1_bounds
        row |= {"ua_folds_mean": result.over_folds["ua"]["mean"], "ua_folds_sd": result.over_folds["ua"]["sd"]}
        row |= {} if result.best is None else {"ua_best_possible": rounded(result.best)}
        variants[result.variant] = row | ({"frozen_encoders_of": list(result.frozen)} if result.frozen else {})
    return {
        "schema": 1,
        "corpus": results.params.corpus,
        "protocol": results.facts.protocol,
        "classes": len(results.facts.classes),
        "level": results.params.report.level,
        "data": {
            "utterances": table[0].n,
            "clusters": table[0].ua.clusters,
            "cluster": results.facts.cluster,
            "speakers": results.count("speaker"),
        },
        "variants": variants,
        "differences": {f"{pair.a}_minus_{pair.b}": gap_row("ua", pair.ua) for pair in pairs},
        **({} if results.named is None else {"named_split": asdict(results.named)}),
    }


def few(metrics: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Return the contents of headline.json: the main figures of each variant and each difference."""
    scores = ("ua_low", "ua_high", *(metric.key for metric in SHOWN))
    headline = {name: {key: row[key] for key in scores} for name, row in metrics["variants"].items()}
    return headline | dict(metrics["differences"])


def score_row(metric: str, value: Interval) -> dict[str, float]:
    """Return an estimate and its bounds under metrics.json's keys: ua, ua_low, ua_high."""
    return {
        metric: rounded(value.estimate),
        f"{metric}_low": rounded(value.low),
        f"{metric}_high": rounded(value.high),
    }


def gap_row(metric: str, value: Difference) -> dict[str, float]:
    """Return a paired difference under metrics.json's keys: those of `score_row`, and its p value."""
    return score_row(metric, value.interval) | {f"{metric}_p": rounded(value.p)}
