"""Intervals and tests with two random factors: the people who are tested, and the seeds of training.

A table has a value for each unit (session or speaker) and each seed. Both factors are random and crossed: another
sample of people and another seed would give another mean. Source: the two-way random model of the analysis of
variance, with Satterthwaite's degrees of freedom (Searle, Casella and McCulloch 1992, chapter 4).
Shape letters: S seeds, K units.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from foalnet.evidence.stats import Interval, Metric, Sums, exact_bounds, metric_of, shares, sums

# Where both factors have no spread, an interval of no width would claim certainty.
LEAST_SE = 1e-9
POWER = 0.8
# With fewer sessions their spread is not known well enough, and the unit is what folds keep together.
FEWEST_SESSIONS = 3
# Mean squares of units, seeds and rest.
Squares = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Crossed:
    """The mean over units and seeds, its standard error with `df` degrees of freedom, and its interval.

    `p`: two-sided, of a mean of 0. With one seed no figure contains what another seed would change. `squares`: the mean
    squares of units, seeds and rest; None with one seed. `unit_sd`: the standard deviation of the units' means.
    """

    estimate: float
    se: float
    df: float
    low: float
    high: float
    p: float
    level: float
    units: int
    seeds: int
    squares: Squares | None = None
    unit_sd: float = 0.0

    @property
    def d_z(self) -> float | None:
        """The effect size of a paired difference: the mean as a multiple of `unit_sd` (Cohen's d_z).

        None where the units do not differ. Source: Cohen 1988, section 2.3.5.

        >>> round(crossed(np.array([[0.5, 0.7], [0.6, 0.8]]), 0.95).d_z, 2)  # 0.65 / sd(0.55, 0.75)
        4.6
        """
        return self.estimate / self.unit_sd if self.unit_sd > LEAST_SE else None

    def with_seeds(self, seeds: int) -> Crossed | None:
        """Return what the same units with another number of seeds are expected to give, by the estimated variances.

        None with one seed, from which the spread over seeds cannot be estimated.
        """
        if self.squares is None:
            return None
        unit_ms, seed_ms, rest_ms = self.squares
        of_unit = max(0.0, (unit_ms - rest_ms) / self.seeds)
        variance, df = _variance(seeds * of_unit + rest_ms, max(seed_ms, rest_ms), rest_ms, seeds, self.units)
        se = max(float(np.sqrt(variance)), LEAST_SE)
        return _with(self.estimate, se, df, self.level, self.units, seeds, None)

    def detectable(self, comparisons: int = 1) -> float:
        """Return the smallest true mean that is detected with a probability of 80 %.

        `comparisons`: the number of tests that share the level, each of which then has an equal part of it.
        """
        from scipy.stats import t

        alpha = (1 - self.level) / comparisons
        return float((t.ppf(1 - alpha / 2, self.df) + t.ppf(POWER, self.df)) * self.se)

    def at_least(self) -> float:
        """Return the one-sided lower bound of the level."""
        from scipy.stats import t

        return float(self.estimate - t.ppf(self.level, self.df) * self.se)

    def refused(self, loss: float, true: float) -> float:
        """Return the probability that the one-sided bound allows a larger loss, if the true mean is `true`."""
        from scipy.stats import t

        return float(t.cdf((-loss - true) / self.se + t.ppf(self.level, self.df), self.df))

    def within(self, margin: float) -> float:
        """Return the p value of two one-sided tests (TOST): that the true mean is not within +-margin."""
        from scipy.stats import t

        return float(t.sf((margin - abs(self.estimate)) / self.se, self.df))


@dataclass(frozen=True, kw_only=True, slots=True)
class Contrast:
    """A paired difference, a minus b, among all comparisons of a page.

    `p`, `equal_p`: adjusted by Holm's method for `comparisons`, of a true difference of 0 and of one outside the
    margin (two one-sided tests). The interval of `gap` is not adjusted.
    """

    gap: Crossed
    p: float
    equal_p: float
    comparisons: int

    @property
    def interval(self) -> Interval:
        """The interval of the difference as shown."""
        return as_interval(self.gap, bounds=(-1.0, 1.0))

    @property
    def has_spread(self) -> bool:
        """Whether units or seeds differ: else nothing is known of what others would give."""
        return self.gap.se > LEAST_SE

    @property
    def verdict(self) -> Literal["better", "worse", "equal", "not decided"]:
        """What the difference says of a: it is decided by the adjusted p values alone."""
        alpha = 1 - self.gap.level
        if self.has_spread and self.p <= alpha:
            return "better" if self.gap.estimate > 0 else "worse"
        known = self.has_spread or self.gap.estimate == 0
        return "equal" if known and self.equal_p <= alpha else "not decided"

    @property
    def detectable(self) -> float:
        """The true difference that is detected with a probability of 80 % at the strictest step of the adjustment."""
        return self.gap.detectable(self.comparisons)


def contrasts(gaps: Mapping[str, Crossed], margin: float) -> dict[str, Contrast]:
    """Return the differences of a page by name, each adjusted for the number of all."""
    # Without any spread a difference has no p value: it is 0, or nothing is known of it.
    p_values = holm({name: gap.p if gap.se > LEAST_SE else 1.0 for name, gap in gaps.items()})
    equal = holm({name: gap.within(margin) for name, gap in gaps.items()})
    return {
        name: Contrast(gap=gap, p=p_values[name], equal_p=equal[name], comparisons=len(gaps))
        for name, gap in gaps.items()
    }


def unit_of(cluster: str, *, folds: int, sessions: Collection[str]) -> str:
    """Return the unit over which people vary: sessions, where at least three are tested in turn; else the cluster.

    `cluster`: what folds keep together, a dialogue or a speaker. The two speakers of a session share a model.
    """
    in_turn = folds >= FEWEST_SESSIONS and len(set(sessions)) >= FEWEST_SESSIONS
    return "session" if cluster == "dialogue" and in_turn else cluster


def crossed(value_SK: np.ndarray, level: float) -> Crossed:
    """Return the mean of a table of seeds and units, with its interval; ValueError for fewer than two units.

    >>> one = crossed(np.array([[0.5, 0.7], [0.6, 0.8]]), 0.95)
    >>> round(one.estimate, 3), round(one.se, 4), round(one.df, 2)
    (0.65, 0.1118, 1.47)
    """
    seeds, units = value_SK.shape
    if units < 2:
        raise ValueError("one unit: the spread over people is unknown")
    estimate, unit_K, seed_S = float(value_SK.mean()), value_SK.mean(axis=0), value_SK.mean(axis=1)
    unit_ms, squares = seeds * float(unit_K.var(ddof=1)), None
    if seeds == 1:
        variance, df = unit_ms / units, float(units - 1)
    else:
        seed_ms = units * float(seed_S.var(ddof=1))
        rest_SK = value_SK - unit_K[None, :] - seed_S[:, None] + estimate
        rest_ms = float((rest_SK**2).sum()) / ((seeds - 1) * (units - 1))
        variance, df = _variance(unit_ms, seed_ms, rest_ms, seeds, units)
        squares = (unit_ms, seed_ms, rest_ms)
    one = _with(estimate, max(float(np.sqrt(variance)), LEAST_SE), df, level, units, seeds, squares)
    return replace(one, unit_sd=float(unit_K.std(ddof=1)))


def _with(
    estimate: float,
    se: float,
    df: float,
    level: float,
    units: int,
    seeds: int,
    squares: Squares | None,
) -> Crossed:
    """Return the mean with its interval and p value."""
    from scipy.stats import t

    half = float(t.ppf((1 + level) / 2, df)) * se
    return Crossed(
        estimate=estimate,
        se=se,
        df=df,
        low=estimate - half,
        high=estimate + half,
        p=float(2 * t.sf(abs(estimate) / se, df)),
        level=level,
        units=units,
        seeds=seeds,
        squares=squares,
    )


def _variance(unit_ms: float, seed_ms: float, rest_ms: float, seeds: int, units: int) -> tuple[float, float]:
    """Return the variance of the mean and its degrees of freedom, from the three mean squares.

    The estimate subtracts the rest, which both others contain; it is never below what one factor alone gives.
    """
    both = unit_ms + seed_ms - rest_ms
    cells = seeds * units
    if both <= max(unit_ms, seed_ms):
        return (unit_ms / cells, units - 1.0) if unit_ms >= seed_ms else (seed_ms / cells, seeds - 1.0)
    parts = unit_ms**2 / (units - 1) + seed_ms**2 / (seeds - 1) + rest_ms**2 / ((seeds - 1) * (units - 1))
    return both / cells, max(both**2 / parts, min(units, seeds) - 1.0)


def by_unit(
    values: Sequence[Sequence[float]], units: Sequence[str], labels: Sequence[str], metric: Metric
) -> np.ndarray:
    """Return [S, K]: for each seed and unit a value such that its mean over the units is the seed's metric.

    `values`: per seed a value for each utterance (its correctness, or the difference of two). A unit's value is the
    metric plus K times the unit's part beyond its share of utterances (linearised ratio, as in `stats.interval`).

    >>> by_unit([[1, 0, 1, 1]], ["a", "a", "b", "b"], ["x", "y", "x", "y"], "ua").tolist()
    [[0.5, 1.0]]
    """
    rows = []
    for of_seed in values:
        table = sums(of_seed, units, labels)
        totals_C = table.count_KC.sum(axis=0)
        estimate = float(metric_of(table.value_KC.sum(axis=0), totals_C, metric))
        level_C = table.value_KC.sum(axis=0) / totals_C if metric == "ua" else np.full(len(totals_C), estimate)
        excess = Sums(value_KC=table.value_KC - level_C * table.count_KC, count_KC=table.count_KC)
        rows.append(estimate + len(table.value_KC) * shares(excess, metric))
    return np.array(rows)


def over_people(
    values: Sequence[Sequence[float]], units: Sequence[str], labels: Sequence[str], *, metric: Metric, level: float
) -> Crossed:
    """Return a metric, or a difference of two, over units and seeds; `values` has a row of utterances for each seed.

    With one unit nothing is known of the spread: the interval then has no bounds, and p is 1.
    """
    table_SK = by_unit(values, units, labels, metric)
    if table_SK.shape[1] > 1:
        return crossed(table_SK, level)
    mean, infinite = float(table_SK.mean()), float("inf")
    return Crossed(
        estimate=mean, se=infinite, df=1.0, low=-infinite, high=infinite, p=1.0, level=level, units=1,
        seeds=len(table_SK),
    )  # fmt: skip


def as_interval(one: Crossed, *, bounds: tuple[float, float] = (0.0, 1.0)) -> Interval:
    """Return the interval as reports show it, within `bounds`; an exact one where units and seeds are all alike.

    >>> same = over_people([[1.0, 1.0, 1.0]], ["a", "b", "c"], ["x"] * 3, metric="ua", level=0.95)
    >>> shown = as_interval(same)
    >>> shown.method, round(shown.low, 3), shown.high  # low: 0.025 ** (1 / 3)
    ('exact', 0.292, 1.0)
    """
    low, high = one.low, one.high
    method: Literal["crossed", "exact"] = "crossed"
    if one.se <= LEAST_SE:
        method, (low, high) = "exact", exact_bounds(one.estimate, one.units, one.level, bounds)
    return Interval(
        estimate=one.estimate, low=max(bounds[0], low), high=min(bounds[1], high), level=one.level, clusters=one.units,
        method=method,
    )  # fmt: skip


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Return the p values adjusted by Holm's method for their number.

    >>> holm({"a": 0.01, "b": 0.04, "c": 0.03})
    {'a': 0.03, 'b': 0.06, 'c': 0.06}
    """
    adjusted, highest = {}, 0.0
    for place, name in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        highest = max(highest, min(1.0, (len(p_values) - place) * p_values[name]))
        adjusted[name] = highest
    return {name: adjusted[name] for name in p_values}
