"""The board of a study: scores with intervals over people and seeds, paired differences, ranks; as JSON and a page.

A difference over (session or speaker) x seed is decided by its p value, adjusted by Holm's method for all comparisons
of the study. Two variants count as equal if two one-sided tests, adjusted in the same way, say that they differ by less
than the margin (docs/study.md). Shape letters: S seeds, K sessions or speakers, M variants.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from foalnet.core.errors import DataError
from foalnet.core.records import Prediction
from foalnet.evidence.crossed import LEAST_SE, Contrast, Crossed, as_interval, by_unit, contrasts, crossed, unit_of
from foalnet.evidence.metrics import mean_sd, rounded
from foalnet.study.plan import Plan

SCHEMA = 1
FEWEST_VARIANTS = 2
# Numbers of seeds for which the board says what a study would detect.
MORE_SEEDS = (3, 5, 10, 15, 20, 40)
SCORES = ("ua", "wa", "weighted_f1")


@dataclass(frozen=True, kw_only=True)
class Trained:
    """One run: its metrics, and its prediction for each utterance by key."""

    seed: int
    metrics: Mapping[str, Any]
    rows: Mapping[str, Prediction]


Runs = Mapping[str, Sequence[Trained]]


def board(plan: Plan, runs: Runs, failed: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return the contents of board.json; `failed`: run -> why it has no predictions.

    DataError (exit 3) without two variants that have predictions of all seeds, or if runs tested other utterances or
    folds.
    """
    count = len(plan.study.seeds)
    runs = {name: each for name, each in runs.items() if len(each) == count}
    if len(runs) < FEWEST_VARIANTS:
        raise DataError(
            "fewer than two variants were trained with all seeds",
            action="; ".join(f"{name}: {why}" for name, why in (failed or {}).items()),
        )
    first = next(iter(runs.values()))[0]
    _check_alike(runs)
    keys, unit = sorted(first.rows), unit_of_run(first)
    level, margin = plan.params.report.level, plan.study.margin
    single = best_single(runs)
    pairs = [pair for pair in plan.pairs() if set(pair) <= runs.keys()]
    if single is not None:
        known = {frozenset(pair) for pair in pairs}
        pairs += [(name, single) for name in runs if name != single and {name, single} not in known]
    gaps = {f"{a} - {b}": _gap(runs[a], runs[b], keys, unit, level) for a, b in pairs}
    decided = contrasts(gaps, margin)
    differences = {
        name: _difference(each) | {"a": a, "b": b} for (name, each), (a, b) in zip(decided.items(), pairs, strict=True)
    }
    return {
        "schema": SCHEMA,
        "study": plan.name,
        "corpus": plan.params.corpus,
        "fold_by": plan.params.train.fold_by,
        "seeds": list(plan.study.seeds),
        "unit": unit,
        "level": level,
        "margin": margin,
        "utterances": len(keys),
        "units": len({getattr(first.rows[key], unit) for key in keys}),
        "classes": len(first.metrics["classes"]),
        "reference": plan.study.reference,
        "best_single": single,
        "settings": plan.study.settings,
        "variants": {name: _variant(each, keys, unit, level) for name, each in runs.items()},
        "differences": differences,
        "power": power_of(gaps),
        "ranks": ranks_of(runs),
        "explained": [name for name, each in runs.items() if each[0].metrics["explain"]],
        "failed": dict(failed or {}),
    }


def _check_alike(runs: Runs) -> None:
    """Raise DataError (exit 3) if runs tested other utterances, or in other folds."""
    tested = {name: {key: row.fold for key, row in run.rows.items()} for name, each in runs.items() for run in each[:1]}
    first, *others = tested
    for name in others:
        if tested[name] != tested[first]:
            raise DataError(
                f"{name} and {first} were not tested on the same utterances in the same folds",
                action="give all variants of a study the same folds and the same utterances",
            )


def unit_of_run(run: Trained) -> str:
    """Return the unit over which people vary in a run (foalnet.evidence.crossed.unit_of)."""
    sessions = {row.session for row in run.rows.values()}
    return unit_of(str(run.metrics["cluster"]), folds=len(run.metrics["folds"]), sessions=sessions)


def best_single(runs: Runs) -> str | None:
    """Return the variant of one modality with the best mean UA on the dev parts; None without any."""
    alone = {
        name: float(np.mean([run.metrics["facts"]["dev_ua"] for run in each]))
        for name, each in runs.items()
        if len(each[0].metrics["facts"]["inputs"]) == 1
    }
    return max(alone, key=lambda name: alone[name]) if alone else None


def _correct(run: Trained, keys: Sequence[str]) -> list[float]:
    return [float(run.rows[key].label == run.rows[key].predicted) for key in keys]


def _table(values: Sequence[Sequence[float]], run: Trained, keys: Sequence[str], unit: str, level: float) -> Crossed:
    units, labels = [getattr(run.rows[key], unit) for key in keys], [run.rows[key].label for key in keys]
    return crossed(by_unit(values, units, labels, "ua"), level)


def _gap(a: Sequence[Trained], b: Sequence[Trained], keys: Sequence[str], unit: str, level: float) -> Crossed:
    """Return the difference of UA, run by run of equal seeds."""
    values = [
        [one - other for one, other in zip(_correct(x, keys), _correct(y, keys), strict=True)]
        for x, y in zip(a, b, strict=True)
    ]
    return _table(values, a[0], keys, unit, level)


def _difference(one: Contrast) -> dict[str, Any]:
    """Return a row of differences; its interval is not adjusted, `detectable` is for the strictest step of Holm."""
    gap, spread = one.gap, one.has_spread
    return {
        "ua": rounded(gap.estimate),
        "low": rounded(gap.low) if spread else None, "high": rounded(gap.high) if spread else None,
        "p": rounded(gap.p) if spread else None, "p_holm": rounded(one.p), "equal_p": rounded(one.equal_p),
        "df": rounded(gap.df), "detectable": rounded(one.detectable) if spread else None,
        "verdict": one.verdict,
    }  # fmt: skip


def power_of(gaps: Mapping[str, Crossed]) -> dict[str, dict[str, float]]:
    """Return what a study of these units would detect by its number of seeds; {} if one seed was trained.

    `typical` and `largest`: the median and the maximum over the comparisons of the smallest true difference that is
    detected in four of five studies, at the strictest step of Holm's adjustment.
    """
    table = {}
    for seeds in MORE_SEEDS:
        expected = [gap.with_seeds(seeds) for gap in gaps.values() if gap.se > LEAST_SE]
        least = [one.detectable(len(gaps)) for one in expected if one is not None]
        if least:
            table[str(seeds)] = {"typical": rounded(float(np.median(least))), "largest": rounded(max(least))}
    return table


def _variant(runs: Sequence[Trained], keys: Sequence[str], unit: str, level: float) -> dict[str, Any]:
    score = _table([_correct(run, keys) for run in runs], runs[0], keys, unit, level)
    shown = as_interval(score)
    pooled = [run.metrics["pooled"] for run in runs]
    facts = runs[0].metrics["facts"]
    return {
        **{name: rounded(float(np.mean([each[name] for each in pooled]))) for name in SCORES},
        # A score that every unit and seed has equally would have an interval of no width: none is given.
        "low": None if score.se <= LEAST_SE else rounded(shown.low),
        "high": None if score.se <= LEAST_SE else rounded(shown.high),
        "seed_sd": mean_sd([each["ua"] for each in pooled])["sd"] if len(runs) > 1 else None,
        "dev_ua": rounded(float(np.mean([run.metrics["facts"]["dev_ua"] for run in runs]))),
        **_affect(runs),
        **{name: facts[name] for name in ("method", "inputs", "parameters", "trained_parameters", "flops")},
    }  # fmt: skip


def _affect(runs: Sequence[Trained]) -> dict[str, Any]:
    """Return the mean CCC of each rating over the seeds; {} for a variant that learns none."""
    every = [run.metrics["affect"] for run in runs if "affect" in run.metrics]
    names = every[0] if every else ()
    mean = {name: rounded(float(np.mean([each[name]["ccc"] for each in every]))) for name in names}
    return {"affect": mean} if mean else {}


def ranks_of(runs: Runs) -> dict[str, Any]:
    """Return each variant's rank by UA over the seeds (1 is best), and Kendall's W of the orders.

    W is 1 if every seed gives the same order, and about 1 / S if the orders have nothing in common; ties count half.
    """
    from scipy.stats import rankdata

    names = list(runs)
    ua_SM = np.array([[run.metrics["pooled"]["ua"] for run in runs[name]] for name in names]).T
    rank_SM = np.array([rankdata(-row, method="average") for row in ua_SM])
    seeds, count = rank_SM.shape
    spread = float(((rank_SM.sum(axis=0) - seeds * (count + 1) / 2) ** 2).sum())
    ties = sum(float(n**3 - n) for row in rank_SM for n in np.unique(row, return_counts=True)[1])
    most = (seeds**2 * (count**3 - count) - seeds * ties) / 12
    return {
        "kendall_w": rounded(spread / most) if most else 1.0,
        "variants": {
            name: {"mean": rounded(float(of.mean())), "best": float(of.min()), "worst": float(of.max())}
            for name, of in zip(names, rank_SM.T, strict=True)
        },
    }
