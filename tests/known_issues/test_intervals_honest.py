"""An interval says what is known: it has a width where nothing varied, shows no excluded zero, and argues with no p."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from foalnet.evidence.crossed import Contrast, Crossed
from foalnet.evidence.report.phrases import points, verdict
from foalnet.evidence.report.terminal import table_text
from foalnet.evidence.stats import difference, interval

SETTING: dict[str, Any] = {"level": 0.95, "resamples": 500, "seed": 1}


def rows(clusters: int, each: int = 2) -> tuple[list[str], list[str]]:
    names = [f"d{i}" for i in range(clusters) for _ in range(each)]
    return names, [("x", "y")[i % 2] for i in range(len(names))]


@pytest.mark.parametrize("clusters", [4, 19, 25, 50])
@pytest.mark.parametrize(("right", "side"), [(1.0, "low"), (0.0, "high")])
def test_all_right_and_all_wrong_have_the_exact_limit(clusters: int, right: float, side: str) -> None:
    names, labels = rows(clusters)
    result = interval([right] * len(names), names, labels, metric="ua", **SETTING)
    hidden = 1 - 0.025 ** (1 / clusters)  # Clopper and Pearson with 0 of `clusters`
    assert result.method == "exact" and result.estimate == right
    assert getattr(result, side) == pytest.approx(abs(right - hidden))
    assert (result.high if right else result.low) == right


def test_the_exact_limit_covers_what_it_promises() -> None:
    """Of all shares of wrong clusters that would show none in 30 with more than 2.5 %, the interval leaves none out."""
    names, labels = rows(30)
    low = interval([1.0] * len(names), names, labels, metric="wa", **SETTING).low
    for wrong in np.linspace(0.001, 0.4, 400):
        assert (1 - wrong) ** 30 <= 0.025 + 1e-9 or 1 - wrong >= low - 1e-9


def test_two_that_never_differ_have_a_width_and_p_1() -> None:
    names, labels = rows(30)
    values = [float(i % 3 == 0) for i in range(len(names))]
    result = difference(values, values, names, labels, metric="ua", permutations=200, **SETTING)
    hidden = 1 - 0.025 ** (1 / 30)
    assert (result.interval.low, result.interval.high) == pytest.approx((-hidden, hidden)) and result.p == 1.0
    assert not result.decided and not result.disagree


def test_what_varies_keeps_its_bootstrap() -> None:
    names, labels = rows(30)
    values = [1.0] * (len(names) - 1) + [0.0]
    assert interval(values, names, labels, metric="ua", **SETTING).method == "bootstrap"


@pytest.mark.parametrize(
    ("gap", "says"),
    [(0.0003, "+0.03"), (-0.0003, "−0.03"), (0.000002, "+0.0002"), (0.0, "0.0"), (0.042, "+4.2"), (-0.0006, "−0.1")],
)
def test_what_is_not_zero_is_never_shown_as_zero(gap: float, says: str) -> None:
    assert points(gap) == says


def contrast(low: float, p: float, p_holm: float, level: float = 0.95) -> Contrast:
    middle = (low + 0.064) / 2
    gap = Crossed(
        estimate=middle, se=0.01, df=9, low=low, high=0.064, p=p, level=level, units=10, seeds=3
    )  # fmt: skip
    return Contrast(gap=gap, p=p_holm, equal_p=1.0, comparisons=4)


def test_a_variant_is_called_better_only_where_the_adjusted_p_value_says_so() -> None:
    for low, p_holm, level in itertools.product((-0.01, 0.0003, 0.02), (0.001, 0.04, 0.083, 0.5), (0.9, 0.95)):
        says = verdict("foal", "baseline", contrast(low, p_holm / 4, p_holm, level), 0.02)
        assert ("is better than" in says) == (p_holm <= 1 - level)
        assert ("It is not decided" in says) == (p_holm > 1 - level)
        assert "0.0 to +6.4" not in says


def metrics(units: int, low: float, p: float, seeds: int = 3) -> dict[str, Any]:
    score = {"ua": 0.7, "ua_low": 0.6, "ua_high": 0.8, "wa": 0.7, "wa_low": 0.6, "wa_high": 0.8, "macro_f1": 0.7}
    gap = {
        "ua": 0.03,
        "ua_low": low,
        "ua_high": 0.064,
        "ua_p": p,
        "ua_detectable": 0.05,
        "ua_d_z": 0.9,
        "verdict": "not decided",
    }
    return {
        "corpus": "c", "protocol": "loso_dev_session", "classes": 4, "level": 0.95,
        "data": {"utterances": 100, "unit": "speaker", "units": units, "speakers": units},
        "variants": {"baseline": score | {"seeds": seeds}, "foal": score | {"seeds": seeds}},
        "differences": {"foal_minus_baseline": gap | {"only_a": 3, "only_b": 1}},
    }  # fmt: skip


def test_show_cautions_as_the_page_does() -> None:
    few, enough = table_text(metrics(5, -0.01, 0.4)), table_text(metrics(20, -0.01, 0.4, seeds=1))
    assert "the spread over 5 speakers and 3 seeds; so few say little of their own spread" in few
    assert "other people would give, by the spread over 20 speakers." in enough and "so few" not in enough
    assert "One seed was trained" in enough and "One seed was trained" not in few
    assert "+0.03 to +6.4" in table_text(metrics(30, 0.0003, 0.083))
