"""Turns the numbers of a table into probabilities: recognises logits, logarithms and percentages, and says so.

Shape letters: N rows, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from foalnet.audit.base import Check, check, ok
from foalnet.evidence.metrics import softmax
from foalnet.evidence.report.phrases import plural

NAME = "probabilities"
# Rounding of printed probabilities: a sum this far from 1 is no fault. Two decimals and eight classes reach 0.04.
TOLERANCE = 0.02
# More values that are 1 for a class are saturated: they repeat without a fault.
SATURATED = 0.9995
MANY = 20
# A smaller share of rows that repeat others is no sign of copies.
FEW_SAME = 0.05
MOST_DIGITS = 7
USED = 50


def probabilities_of(value_NC: np.ndarray, keys: Sequence[str]) -> tuple[np.ndarray, list[Check]]:
    """Return probabilities [N, C], rows of NaN where a row has none, and what was wrong with the numbers.

    Rows sum to 1, up to the rounding of what is printed.

    >>> probabilities_of(np.array([[1.0, 3.0], [2.0, -1.0]]), ["a", "b"])[1][0].text
    'the numbers are logits: softmax was applied'
    """
    finite_N = np.isfinite(value_NC).all(axis=1)
    value_NC = np.where(finite_N[:, None], value_NC, np.nan)
    inside_NC = value_NC[finite_N]
    checks = []
    if not finite_N.all():
        wrong = [keys[row] for row in np.flatnonzero(~finite_N).tolist()]
        text = f"absent, NaN or infinite numbers: {plural(len(wrong), 'row')}, without probabilities here"
        checks.append(check(NAME, "fault", text, wrong))
    if not len(inside_NC):
        return value_NC, checks
    with np.errstate(over="ignore", invalid="ignore"):
        negative_N = np.any(value_NC < 0, axis=1)
        sum_N = value_NC.sum(axis=1)
        off_N = finite_N & ~negative_N & (np.abs(sum_N - 1) > TOLERANCE)
        proper = finite_N.sum() - (negative_N | off_N).sum()
        logarithm = (inside_NC <= 0).all() and (np.abs(np.exp(inside_NC).sum(axis=1) - 1) <= TOLERANCE).mean() >= 0.5
    if 2 * proper >= finite_N.sum():
        checks += _wrong_rows(negative_N, off_N, keys)
        value_NC = np.where(value_NC < 0, 0.0, value_NC)
    elif logarithm:
        checks.append(check(NAME, "warning", "the numbers are logarithms of probabilities: exp was applied"))
        value_NC = np.exp(value_NC)
    elif not negative_N.any() and (np.abs(sum_N[finite_N] - 100) <= 100 * TOLERANCE).mean() >= 0.5:
        checks.append(check(NAME, "warning", "the numbers are percentages: they were divided by 100"))
    elif negative_N.any() or inside_NC.max() > 1 + TOLERANCE:
        checks.append(check(NAME, "warning", "the numbers are logits: softmax was applied"))
        return _rows_to(value_NC, finite_N), checks
    else:
        checks += _wrong_rows(negative_N, off_N, keys)
    return _normalised(value_NC), checks or [ok(NAME, "every row is finite, not negative and sums to 1")]


def _rows_to(value_NC: np.ndarray, finite_N: np.ndarray) -> np.ndarray:
    """Return the softmax of the finite rows; the others stay NaN."""
    result_NC = np.full(value_NC.shape, np.nan)
    with np.errstate(over="ignore"):
        result_NC[finite_N] = softmax(value_NC[finite_N])
    return result_NC


def _normalised(value_NC: np.ndarray) -> np.ndarray:
    """Return rows divided by their sum where rounding does not explain it; without a positive number: NaN."""
    with np.errstate(over="ignore"):
        if (np.abs(value_NC.sum(axis=1) - 1) <= TOLERANCE).all():
            return value_NC
    scaled_NC = value_NC / np.where((top_N := value_NC.max(axis=1)) > 0, top_N, np.nan)[:, None]
    normal_NC: np.ndarray = scaled_NC / scaled_NC.sum(axis=1, keepdims=True)
    return normal_NC


def _wrong_rows(negative_N: np.ndarray, off_N: np.ndarray, keys: Sequence[str]) -> list[Check]:
    checks = []
    for rows_N, what in ((negative_N, "with a negative number"), (off_N, "with a sum other than 1")):
        if rows_N.any():
            wrong = [keys[row] for row in np.flatnonzero(rows_N).tolist()]
            checks.append(check(NAME, "fault", f"{plural(len(wrong), 'row')} {what}; scaled to sum to 1", wrong))
    return checks


def repeated(probability_NC: np.ndarray, rows_N: np.ndarray, keys: Sequence[str]) -> Check:
    """Return whether many rows have exactly the probabilities of another one, as copied rows have.

    Rows that are sure of a class repeat without a fault, and so do as many as the printed digits explain.
    """
    kept = np.flatnonzero(rows_N & np.isfinite(probability_NC).all(axis=1))
    kept = kept[probability_NC[kept].max(axis=1) < SATURATED]
    name = "repeated"
    if len(kept) < MANY:
        return ok(name, f"fewer than {MANY} rows have probabilities below {SATURATED:g} to compare")
    _, of_row, count = np.unique(probability_NC[kept], axis=0, return_inverse=True, return_counts=True)
    same = kept[count[of_row.reshape(-1)] > 1]
    share, digits = len(same) / len(kept), digits_of(probability_NC[kept])
    text = f"{len(same):,} of {len(kept):,} rows have exactly the probabilities of another row"
    if share <= FEW_SAME:
        return ok(name, text)
    if digits <= 2:
        return check(name, "warning", f"{text}; they are printed with {digits} digits, which alone can explain it")
    # Systems use a small part of all rows of so many digits, since they are rather sure.
    expected = 1 - np.exp(-len(kept) * USED / 10.0 ** (digits * (probability_NC.shape[1] - 1)))
    if share <= 3 * expected:
        return ok(name, f"{text}: as many as {digits} digits explain")
    return check(name, "fault" if share > 0.5 else "warning", text, [keys[row] for row in same.tolist()])


def digits_of(probability_NC: np.ndarray) -> int:
    """Return with how many digits nine tenths of the numbers are printed, at most MOST_DIGITS.

    >>> digits_of(np.array([[0.25, 0.75]])), digits_of(np.array([[1 / 3, 2 / 3]]))
    (2, 7)
    """
    for digits in range(1, MOST_DIGITS):
        scaled_NC = probability_NC * 10.0**digits
        if (np.abs(scaled_NC - np.round(scaled_NC)) < 1e-6).mean() >= 0.9:
            return digits
    return MOST_DIGITS
