"""Aggregates runs: means over seeds, intervals over people and over recordings, paired differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from foalnet.config.blocks import Report
from foalnet.config.variants import HALF
from foalnet.evidence.crossed import Contrast, Crossed, as_interval, contrasts, over_people
from foalnet.evidence.metrics import METRICS, SHOWN, mean_sd, rounded, weighted_f1
from foalnet.evidence.report.results import Bin, Fold, Probabilities, Results, Run
from foalnet.evidence.stats import Interval, Metric, confusion_bounds, interval

# Input of a single-modality variant: it selects the best possible score to compare with. All others see both.
# The words of the drawn corpus say nothing on the class.
SEES = {"audio_only": "sound", "video_only": "picture", "text_only": "chance"}
# Metrics with intervals.
RESAMPLED: tuple[Metric, ...] = ("ua", "wa")


@dataclass(frozen=True, kw_only=True)
class FoldResult:
    """UA and WA of one fold, means over seeds; `epochs` has one text per seed: "7 of 12"."""

    ua: float
    wa: float
    epochs: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Share of correct utterances over speakers: the lowest and its speaker, the highest, the standard deviation."""

    worst: float
    worst_name: str
    best: float
    sd: float


@dataclass(frozen=True, kw_only=True)
class Result:
    """Scores of one variant: means over its seeds; `confusion` is summed over them; `means` has every metric by key.

    `ua`, `wa`: with the interval over people and seeds. `recordings`: UA with that over other recordings of the same
    people; None where folds do not keep recordings together. `over_folds`: mean and standard deviation over folds, each
    the mean of its seeds; `seed_sd`: the standard deviation of UA over seeds, None with one seed. `frozen` names
    the variants that trained its encoders (`train.encoders: single`); empty where it trains its own.
    """

    variant: str
    seeds: tuple[int, ...]
    n: int
    ua: Interval
    wa: Interval
    recordings: Interval | None
    seed_sd: float | None
    means: Mapping[str, float]
    recall: Mapping[str, Interval | None]
    support: Mapping[str, int]
    confusion: tuple[tuple[int, ...], ...]
    probabilities: Mapping[str, float]
    speakers: Spread
    bins: tuple[Bin, ...]
    folds: Mapping[str, FoldResult]
    over_folds: Mapping[str, Mapping[str, float]]
    best: float | None
    f1_bounds: Mapping[str, float]
    frozen: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The difference of UA, a minus b, over the `n` utterances that both predicted.

    `gap` is over people and seeds; `only_a`, `only_b`: correct predictions of one alone, summed over seeds.
    `contrast`: the difference among all comparisons of the page, once all are known.
    """

    a: str
    b: str
    n: int
    gap: Crossed
    only_a: int
    only_b: int
    contrast: Contrast | None = None

    @property
    def name(self) -> str:
        """Its key in metrics.json."""
        return f"{self.a}_minus_{self.b}"

    @property
    def ua(self) -> Contrast:
        """The difference with its adjusted p values."""
        assert self.contrast is not None, "compared before all comparisons were known"
        return self.contrast


def by_variant(results: Results) -> list[Result]:
    """Return one Result per variant, in the order of params."""
    return [_result(runs, results) for runs in results.runs.values()]


def _result(runs: Sequence[Run], results: Results) -> Result:
    pooled = [run.facts.pooled for run in runs]
    keys = sorted(set.intersection(*(set(run.rows) for run in runs)))
    variant = runs[0].variant
    scored = {metric: score(runs, keys, metric, results.params.report) for metric in RESAMPLED}
    folds = {name: _fold([run.facts.folds[name] for run in runs]) for name in runs[0].facts.folds}
    by_dialogue = runs[0].facts.cluster == "dialogue"
    return Result(
        variant=variant,
        seeds=tuple(run.seed for run in runs),
        n=len(keys),
        means={metric.key: _mean([scores.metrics[metric.key] for scores in pooled]) for metric in METRICS},
        recall=_recalls(runs, keys, results.params.report),
        support=pooled[0].support,
        confusion=tuple(
            tuple(map(sum, zip(*lines, strict=True)))
            for lines in zip(*(scores.confusion for scores in pooled), strict=True)
        ),
        probabilities=_worth([run.facts.probabilities for run in runs]),
        speakers=_speakers(runs, keys),
        bins=_bins([scores.calibration.bins for scores in pooled]),
        folds=folds,
        over_folds={metric: mean_sd([getattr(fold, metric) for fold in folds.values()]) for metric in RESAMPLED},
        recordings=recordings(runs, keys, "ua", results.params.report) if by_dialogue else None,
        seed_sd=mean_sd([scores.metrics["ua"] for scores in pooled])["sd"] if len(runs) > 1 else None,
        f1_bounds=_f1_bounds(runs, keys, results),
        best=results.best_possible.get(SEES.get(variant.removesuffix(HALF), "both")),
        frozen=tuple(sorted({name.rpartition("-s")[0] for name in runs[0].facts.train.encoders})),
        **scored,
    )


def _recalls(runs: Sequence[Run], keys: Sequence[str], params: Report) -> dict[str, Interval | None]:
    """Return the recall of each class, the mean of the seeds, with its interval over people and seeds.

    Only people with an utterance of the class count. Where all of them and all seeds agree, as at 0 and 1, the interval
    is the exact binomial limit. None for a class without an utterance.
    """
    by_class: dict[str, list[str]] = {name: [] for name in runs[0].facts.classes}
    for key in keys:
        by_class[runs[0].rows[key].label].append(key)
    return {name: score(runs, each, "wa", params) if each else None for name, each in by_class.items()}


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


def _worth(runs: Sequence[Probabilities]) -> dict[str, float]:
    """Return the means over seeds of what the probabilities are worth, under metrics.json's keys."""
    row = {name: _mean([getattr(run, name) for run in runs]) for name in ("ece", "nll", "brier")}
    areas = [run.auc for run in runs if run.auc is not None]
    row |= {"auc": _mean(areas)} if areas else {}
    row |= {f"ece_calibrated_{name}": _mean([run.calibrated[name] for run in runs]) for name in ("mean", "high")}
    scaled = [run.scaled for run in runs if run.scaled is not None]
    if scaled:
        row |= {f"{name}_scaled": _mean([getattr(one, name) for one in scaled]) for name in ("ece", "nll", "brier")}
    return row


def _speakers(runs: Sequence[Run], keys: Sequence[str]) -> Spread:
    """Return the spread of the share of correct utterances, the mean of the seeds, over speakers."""
    right_N = np.mean([_correct(run, keys) for run in runs], axis=0)
    by_name: dict[str, list[float]] = {}
    for name, right in zip(_units(runs[0], keys, "speaker"), right_N.tolist(), strict=True):
        by_name.setdefault(name, []).append(right)
    shares = {name: sum(each) / len(each) for name, each in by_name.items()}
    worst = min(sorted(shares), key=lambda name: shares[name])
    return Spread(
        worst=rounded(shares[worst]), worst_name=worst, best=rounded(max(shares.values())),
        sd=mean_sd(list(shares.values()))["sd"],
    )  # fmt: skip


def _fold(folds: Sequence[Fold]) -> FoldResult:
    return FoldResult(
        ua=_mean([fold.metrics["ua"] for fold in folds]),
        wa=_mean([fold.metrics["wa"] for fold in folds]),
        epochs=tuple(f"{fold.epoch} of {fold.epochs_run}" for fold in folds),
    )


def _correct(run: Run, keys: Sequence[str]) -> list[float]:
    return [float(run.rows[key].label == run.rows[key].predicted) for key in keys]


def _labels(run: Run, keys: Sequence[str]) -> list[str]:
    return [run.rows[key].label for key in keys]


def _units(run: Run, keys: Sequence[str], unit: str) -> list[str]:
    return [str(getattr(run.rows[key], unit)) for key in keys]


def _over_people(
    values: Sequence[Sequence[float]], run: Run, keys: Sequence[str], metric: Metric, level: float
) -> Crossed:
    units, labels = _units(run, keys, run.unit), _labels(run, keys)
    return over_people(values, units, labels, metric=metric, level=level)


def score(runs: Sequence[Run], keys: Sequence[str], metric: Metric, params: Report) -> Interval:
    """Return UA or WA of one variant, the mean of its seeds, with its interval over people and seeds."""
    values = [_correct(run, keys) for run in runs]
    return as_interval(_over_people(values, runs[0], keys, metric, params.level))


def recordings(runs: Sequence[Run], keys: Sequence[str], metric: Metric, params: Report) -> Interval:
    """Return the same score with its interval over clusters: other recordings of the same people by these models."""
    values = np.mean([_correct(run, keys) for run in runs], axis=0)
    return interval(
        values.tolist(),
        _units(runs[0], keys, runs[0].facts.cluster),
        _labels(runs[0], keys),
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
    names = _units(runs[0], keys, runs[0].facts.cluster)
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


def gap(a: Sequence[Run], b: Sequence[Run], keys: Sequence[str], metric: Metric, params: Report) -> Crossed:
    """Return a minus b on the same utterances, over people and seeds; both may come from one training run.

    Runs of equal seeds are compared with each other; without a common seed, the means over seeds are.
    """
    common = [(one, other) for one in a for other in b if one.seed == other.seed]
    if common:
        values = [np.subtract(_correct(one, keys), _correct(other, keys)).tolist() for one, other in common]
    else:
        means = [np.mean([_correct(run, keys) for run in runs], axis=0) for runs in (a, b)]
        values = [(means[0] - means[1]).tolist()]
    return _over_people(values, a[0], keys, metric, params.level)


def gap_interval(a: Sequence[Run], b: Sequence[Run], keys: Sequence[str], metric: Metric, params: Report) -> Interval:
    """Return the interval of `gap`."""
    return as_interval(gap(a, b, keys, metric, params), bounds=(-1.0, 1.0))


def comparisons(results: Results) -> list[Comparison]:
    """Return the comparisons of `report.compare` whose variants were both trained."""
    return [
        compare(a, results.runs[a], b, results.runs[b], results.params.report)
        for a, b in results.params.report.compare
        if a in results.runs and b in results.runs
    ]


def compare(a: str, a_runs: Sequence[Run], b: str, b_runs: Sequence[Run], params: Report) -> Comparison:
    """Return the difference a minus b over the utterances that all their runs predicted."""
    keys = sorted(set.intersection(*(set(run.rows) for run in (*a_runs, *b_runs))))
    right = {(name, run.seed): _correct(run, keys) for name, runs in ((a, a_runs), (b, b_runs)) for run in runs}
    both = [(right[a, run.seed], right[b, run.seed]) for run in a_runs if (b, run.seed) in right]
    return Comparison(
        a=a,
        b=b,
        n=len(keys),
        gap=gap(a_runs, b_runs, keys, "ua", params),
        only_a=sum(one > other for ones, others in both for one, other in zip(ones, others, strict=True)),
        only_b=sum(one < other for ones, others in both for one, other in zip(ones, others, strict=True)),
    )


def settled(pairs: Sequence[Comparison], margin: float) -> list[Comparison]:
    """Return the comparisons of a page with their p values adjusted for the number of all."""
    adjusted = contrasts({pair.name: pair.gap for pair in pairs}, margin)
    return [replace(pair, contrast=adjusted[pair.name]) for pair in pairs]


def aggregate(results: Results, table: Sequence[Result], pairs: Sequence[Comparison]) -> dict[str, Any]:
    """Return the contents of metrics.json: scores and counts, nothing about single utterances."""
    variants: dict[str, Any] = {}
    for result in table:
        row: dict[str, Any] = {"n": result.n, "seeds": len(result.seeds)}
        row |= {**result.means, **score_row("ua", result.ua), **score_row("wa", result.wa), **result.probabilities}
        row |= recall_row(result.recall) | {"confusion": [list(line) for line in result.confusion]}
        row |= {"bins": [asdict(each) for each in result.bins]}
        row |= {"speakers_worst": result.speakers.worst, "speakers_sd": result.speakers.sd}
        row |= result.f1_bounds
        row |= {} if result.recordings is None else bounds_row("ua_recordings", result.recordings)
        row |= {} if result.seed_sd is None else {"ua_seed_sd": result.seed_sd}
        row |= {"ua_folds_mean": result.over_folds["ua"]["mean"], "ua_folds_sd": result.over_folds["ua"]["sd"]}
        row |= {} if result.best is None else {"ua_best_possible": rounded(result.best)}
        variants[result.variant] = row | ({"frozen_encoders_of": list(result.frozen)} if result.frozen else {})
    return {
        "schema": 1,
        "corpus": results.params.corpus,
        "protocol": results.facts.protocol,
        "classes": len(results.facts.classes),
        "class_names": list(results.facts.classes),
        "level": results.params.report.level,
        "data": {
            "utterances": table[0].n,
            "units": table[0].ua.clusters,
            "unit": results.first.unit,
            "clusters": results.count(results.facts.cluster),
            "cluster": results.facts.cluster,
            "speakers": results.count("speaker"),
        },
        "variants": variants,
        "differences": {pair.name: gap_row(pair) for pair in pairs},
        **({} if results.named is None else {"named_split": asdict(results.named)}),
    }


def few(metrics: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Return the contents of headline.json: the main figures of each variant and each difference."""
    scores = ("ua_low", "ua_high", *(metric.key for metric in SHOWN))
    gaps = ("ua", "ua_low", "ua_high", "ua_p")
    headline = {name: {key: row[key] for key in scores} for name, row in metrics["variants"].items()}
    return headline | {name: {key: row[key] for key in gaps} for name, row in metrics["differences"].items()}


def score_row(metric: str, value: Interval) -> dict[str, float]:
    """Return an estimate and its bounds under metrics.json's keys: ua, ua_low, ua_high."""
    return {metric: rounded(value.estimate), **bounds_row(metric, value)}


def bounds_row(metric: str, value: Interval) -> dict[str, float]:
    """Return the bounds of an interval under metrics.json's keys: ua_low, ua_high."""
    return {f"{metric}_low": rounded(value.low), f"{metric}_high": rounded(value.high)}


def recall_row(recalls: Mapping[str, Interval | None]) -> dict[str, dict[str, float | None]]:
    """Return the recall of each class and its bounds under metrics.json's keys: recall, recall_low, recall_high."""
    ends = {"recall": "estimate", "recall_low": "low", "recall_high": "high"}
    return {
        key: {name: None if one is None else rounded(getattr(one, end)) for name, one in recalls.items()}
        for key, end in ends.items()
    }


def gap_row(pair: Comparison) -> dict[str, Any]:
    """Return a paired difference of UA under metrics.json's keys: those of `score_row`, p values and verdict."""
    one = pair.ua
    return score_row("ua", one.interval) | {
        "ua_p": rounded(one.p),
        "ua_p_unadjusted": rounded(one.gap.p),
        "ua_equal_p": rounded(one.equal_p),
        "ua_d_z": None if pair.gap.d_z is None else rounded(pair.gap.d_z),
        "ua_detectable": rounded(one.detectable) if one.has_spread and pair.gap.units > 1 else None,
        "verdict": one.verdict,
        "only_a": pair.only_a,
        "only_b": pair.only_b,
    }
