"""Computes confidence intervals and paired tests over clusters of utterances. No torch.

Each utterance has one value: its correctness averaged over seeds, from 0 to 1. Utterances of one dialogue (or of one
speaker, where folds are made by speaker) are alike, so the bootstrap draws whole clusters, never single utterances.

Shape letters: N utterances, K clusters, C classes, R resamples, P permutations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

Metric = Literal["ua", "wa"]

# With fewer clusters a percentile interval is too narrow to trust.
FEW_CLUSTERS = 20
# A narrower interval has no width apart from rounding errors.
NO_WIDTH = 1e-9
# Numbers in one chunk of resamples or sign flips: limits memory to about 10 MB for any number of clusters.
CHUNK = 1_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Interval:
    """An estimate with its confidence interval; `method` and `warning` state how far to trust it."""

    estimate: float
    low: float
    high: float
    level: float
    clusters: int
    method: Literal["bootstrap", "t", "exact", "crossed"]
    warning: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """The score of a minus that of b on the same utterances: its interval, and the p value of a sign-flip test.

    The two are computed in different ways and can disagree close to a boundary: `decided` is true only where both
    indicate a difference, `disagree` where only one does.
    """

    interval: Interval
    p: float
    exact: bool

    @property
    def decided(self) -> bool:
        """Whether the interval excludes zero and p is at most 1 - level."""
        return self._outside and self._small

    @property
    def disagree(self) -> bool:
        """Whether only one of interval and p indicates a difference."""
        return self._outside != self._small

    @property
    def _outside(self) -> bool:
        return self.interval.low > 0 or self.interval.high < 0

    @property
    def _small(self) -> bool:
        return self.p <= 1 - self.interval.level + 1e-12


@dataclass(frozen=True, kw_only=True, slots=True)
class Sums:
    """Sum of values and number of utterances per cluster and class, both [K, C]; enough to compute UA and WA."""

    value_KC: np.ndarray
    count_KC: np.ndarray


def sums(values: Sequence[float], clusters: Sequence[str], labels: Sequence[str]) -> Sums:
    """Sum values by cluster and class, both sorted by name: the order of the rows does not change the result.

    ValueError where the three differ in length, are empty, or hold a value that is not finite.

    >>> table = sums([1, 0, 1], ["d1", "d1", "d2"], ["sad", "happy", "sad"])
    >>> table.value_KC.tolist(), table.count_KC.tolist()  # rows d1, d2; columns happy, sad
    ([[0.0, 1.0], [0.0, 1.0]], [[1.0, 1.0], [0.0, 1.0]])
    """
    value_N = np.asarray(values, dtype=np.float64)
    if not len(value_N) == len(clusters) == len(labels) or len(value_N) == 0:
        raise ValueError(f"{len(value_N)} values, {len(clusters)} clusters, {len(labels)} labels: need as many of each")
    if not np.isfinite(value_N).all():
        raise ValueError("a value is not finite")
    names, cluster_N = np.unique(np.asarray(clusters, dtype=str), return_inverse=True)
    classes, class_N = np.unique(np.asarray(labels, dtype=str), return_inverse=True)
    value_KC = np.zeros((len(names), len(classes)))
    count_KC = np.zeros((len(names), len(classes)))
    order = np.lexsort((value_N, class_N, cluster_N))
    np.add.at(value_KC, (cluster_N[order], class_N[order]), value_N[order])
    np.add.at(count_KC, (cluster_N, class_N), 1.0)
    return Sums(value_KC=value_KC, count_KC=count_KC)


def metric_of(value_RC: np.ndarray, count_RC: np.ndarray, metric: Metric) -> np.ndarray:
    """Return UA (mean over the classes that occur) or WA of each row of sums; [..., C] in, [...] out.

    >>> right_C, count_C = np.array([1.0, 4.0]), np.array([2.0, 4.0])
    >>> float(metric_of(right_C, count_C, "ua")), round(float(metric_of(right_C, count_C, "wa")), 3)
    (0.75, 0.833)
    """
    if metric == "wa":
        return value_RC.sum(axis=-1) / count_RC.sum(axis=-1)
    present_RC = count_RC > 0
    recall_RC = np.divide(value_RC, count_RC, out=np.zeros_like(value_RC), where=present_RC)
    return recall_RC.sum(axis=-1) / present_RC.sum(axis=-1)


def shares(cluster_sums: Sums, metric: Metric) -> np.ndarray:
    """Return each cluster's contribution to the metric, [K]; the contributions sum to the metric.

    >>> table = sums([1, 0, 1], ["d1", "d1", "d2"], ["sad", "happy", "sad"])
    >>> shares(table, "ua").tolist()  # UA is (0 / 1 + 2 / 2) / 2
    [0.25, 0.25]
    """
    totals_C = cluster_sums.count_KC.sum(axis=0)
    if metric == "wa":
        return cluster_sums.value_KC.sum(axis=1) / totals_C.sum()
    return (cluster_sums.value_KC / totals_C).mean(axis=1)


def interval(
    values: Sequence[float],
    clusters: Sequence[str],
    labels: Sequence[str],
    *,
    metric: Metric,
    level: float,
    resamples: int,
    seed: int,
    bounds: tuple[float, float] = (0.0, 1.0),
) -> Interval:
    """Return UA or WA of correctness `values` with a confidence interval over clusters.

    With at least `FEW_CLUSTERS` clusters: cluster bootstrap with expanded percentiles (Hesterberg 2015, section 4.3:
    the levels are widened, since the t distribution with K - 1 degrees of freedom is wider than the normal one). With
    fewer: a t interval over cluster means, with a warning. Where all clusters are alike (all correct, all wrong), both
    would have no width; then `exact_bounds` gives the exact binomial limit.

    >>> names = [f"d{i}" for i in range(6)]
    >>> all_right = interval([1] * 6, names, ["sad"] * 6, metric="wa", level=0.95, resamples=2000, seed=7)
    >>> all_right.method, all_right.high, round(all_right.low, 3)  # low: 0.025 ** (1 / 6)
    ('exact', 1.0, 0.541)
    """
    table = sums(values, clusters, labels)
    estimate = float(metric_of(table.value_KC.sum(axis=0), table.count_KC.sum(axis=0), metric))
    count = len(table.value_KC)
    if count < FEW_CLUSTERS:
        low, high = _t_bounds(table, metric, estimate, level)
        warning: str | None = (
            f"only {count} clusters: the interval assumes that their means are normally distributed"
            if count > 1
            else "one cluster only: the spread is unknown"
        )
    else:
        low, high = _bootstrap_bounds(table, metric, level, resamples, seed)
        warning = None
    method: Literal["bootstrap", "t", "exact"] = "bootstrap" if warning is None else "t"
    if high - low < NO_WIDTH:
        method, (low, high) = "exact", exact_bounds(estimate, count, level, bounds)
    return Interval(
        estimate=estimate,
        low=max(bounds[0], low),
        high=min(bounds[1], high),
        level=level,
        clusters=count,
        method=method,
        warning=warning,
    )


def confusion_bounds(
    counts_SKCC: np.ndarray,
    value: Callable[[np.ndarray], float],
    *,
    level: float,
    resamples: int,
    seed: int,
) -> tuple[float, float] | None:
    """Return the bounds of a metric of confusion matrices, such as weighted F1, averaged over seeds.

    `counts_SKCC`: seeds, clusters, true and predicted classes. The interval is that of `interval`: a cluster bootstrap
    with expanded percentiles, the same clusters for all seeds. None with fewer than `FEW_CLUSTERS` clusters.
    """
    seeds, count = counts_SKCC.shape[:2]
    if count < FEW_CLUSTERS:
        return None
    flat_SKN = counts_SKCC.reshape(seeds, count, -1)
    metric_R = [
        float(np.mean([value(matrix.reshape(counts_SKCC.shape[2:])) for matrix in times_K @ flat_SKN]))
        for times_RK in _drawn(count, resamples, seed)
        for times_K in times_RK
    ]
    return _expanded(np.array(metric_R), count, level)


def exact_bounds(estimate: float, count: int, level: float, bounds: tuple[float, float]) -> tuple[float, float]:
    """Return the interval where all `count` clusters have the same value.

    If a share q of all clusters differs, a sample of `count` clusters is uniform with probability (1 - q) ^ count; the
    largest plausible q is the Clopper-Pearson limit. The differing clusters may have any value within `bounds`. Each
    cluster counts once, however many utterances it has.
    """
    hidden = 1 - ((1 - level) / 2) ** (1 / count)
    return estimate - hidden * (estimate - bounds[0]), estimate + hidden * (bounds[1] - estimate)


def _bootstrap_bounds(table: Sums, metric: Metric, level: float, resamples: int, seed: int) -> tuple[float, float]:
    """Return the expanded percentiles of the metric over clusters drawn with replacement."""
    count = len(table.value_KC)
    parts = [
        metric_of(times_RK @ table.value_KC, times_RK @ table.count_KC, metric)
        for times_RK in _drawn(count, resamples, seed)
    ]
    return _expanded(np.concatenate(parts), count, level)


def _drawn(count: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Yield how often each of `count` clusters is drawn in a resample, [R, K], in chunks of resamples."""
    generator, step = np.random.default_rng(seed), max(1, CHUNK // count)
    for start in range(0, resamples, step):
        yield generator.multinomial(count, np.full(count, 1 / count), size=min(step, resamples - start))


def _expanded(metric_R: np.ndarray, count: int, level: float) -> tuple[float, float]:
    """Return the expanded percentiles of a metric over resamples of `count` clusters."""
    from scipy.stats import norm, t

    tail = norm.cdf(np.sqrt(count / (count - 1)) * t.ppf((1 - level) / 2, count - 1))
    low, high = np.quantile(metric_R, [tail, 1 - tail])
    return float(low), float(high)


def _t_bounds(table: Sums, metric: Metric, estimate: float, level: float) -> tuple[float, float]:
    """Return the t interval over cluster means.

    A cluster's mean is the metric plus K times the cluster's contribution beyond its share of utterances. For clusters
    of equal composition this is the plain mean; unequal ones keep their weight (linearised ratio).
    """
    from scipy.stats import t

    count = len(table.value_KC)
    if count < 2:
        return -np.inf, np.inf
    totals_C = table.count_KC.sum(axis=0)
    level_C = table.value_KC.sum(axis=0) / totals_C if metric == "ua" else np.full(len(totals_C), estimate)
    excess = Sums(value_KC=table.value_KC - level_C * table.count_KC, count_KC=table.count_KC)
    mean_K = estimate + count * shares(excess, metric)
    half = t.ppf((1 + level) / 2, count - 1) * mean_K.std(ddof=1) / np.sqrt(count)
    return float(estimate - half), float(estimate + half)


def difference(
    a: Sequence[float],
    b: Sequence[float],
    clusters: Sequence[str],
    labels: Sequence[str],
    *,
    metric: Metric,
    level: float,
    resamples: int,
    permutations: int,
    seed: int,
) -> Difference:
    """Return the score of a minus that of b on the same utterances, with an interval and a paired test over clusters.

    The test assumes that a and b are exchangeable within each cluster and flips the sign of each cluster's contribution
    to the difference at random, two-sided. With few clusters it counts all sign patterns (`exact`); otherwise
    p = (1 + hits) / (1 + permutations).

    >>> three, options = ["d1", "d2", "d3"], {"level": 0.95, "resamples": 2000, "permutations": 100, "seed": 7}
    >>> gap = difference([1, 1, 1], [0, 0, 0], three, ["sad"] * 3, metric="wa", **options)
    >>> gap.interval.estimate, gap.p, gap.exact  # 2 of the 8 sign patterns are as large
    (1.0, 0.25, True)
    """
    if len(a) != len(b):
        raise ValueError(f"a has {len(a)} utterances, b has {len(b)}: a paired difference needs the same utterances")
    gap = np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)
    gap_interval = interval(
        gap.tolist(),
        clusters,
        labels,
        metric=metric,
        level=level,
        resamples=resamples,
        seed=seed,
        bounds=(-1.0, 1.0),
    )
    p, exact = sign_flip(shares(sums(gap.tolist(), clusters, labels), metric), permutations=permutations, seed=seed)
    return Difference(interval=gap_interval, p=p, exact=exact)


def sign_flip(share_K: np.ndarray, *, permutations: int, seed: int) -> tuple[float, bool]:
    """Return the two-sided p value of a sum under random signs of its terms, and whether it counts all patterns.

    >>> sign_flip(np.array([1.0, 1.0, 1.0, 1.0]), permutations=100, seed=7)  # 2 of 16 patterns: all +, all -
    (0.125, True)
    """
    terms_K = share_K[share_K != 0]  # a zero is the same under either sign
    seen = abs(float(share_K.sum())) - 1e-12  # rounding errors must not break a tie
    exact = 2 ** len(terms_K) <= permutations
    patterns = 2 ** len(terms_K) if exact else permutations
    generator = np.random.default_rng(seed)
    hits, step = 0, max(1, CHUNK // max(1, len(terms_K)))
    for start in range(0, patterns, step):
        size = min(step, patterns - start)
        if exact:
            bits_PK = (np.arange(start, start + size)[:, None] >> np.arange(len(terms_K))) & 1
        else:
            bits_PK = generator.integers(0, 2, size=(size, len(terms_K)), dtype=np.int8)
        hits += int((np.abs((1.0 - 2.0 * bits_PK) @ terms_K) >= seen).sum())
    return (hits / patterns if exact else (1 + hits) / (1 + patterns)), exact
