"""Where a variant's answers lie: two principal components of its out-of-fold log-probabilities, a panel per class.

Shape letters: N utterances, C classes. Geometry only, as in figures.py; templates/figures.jinja draws it.
"""

from __future__ import annotations

import numpy as np

from foalnet.evidence.report.gather import Facts
from foalnet.evidence.report.view import Figure
from foalnet.evidence.report.words import percent

SIDE, EDGE = 170, 8
# Enough to see clouds, few enough for a page that opens at once.
SHOWN = 250
FLOOR = 1e-6


def plane(probability_NC: np.ndarray) -> tuple[np.ndarray, tuple[float, float]] | None:
    """Return places [N, 2] in [0, 1] and both components' shares of the variance.

    None where there is no plane: fewer than three answers, or all alike.
    """
    from sklearn.decomposition import PCA

    logs_NC = np.log(np.asarray(probability_NC, np.float64) + FLOOR)
    if len(logs_NC) < 3 or not np.ptp(logs_NC, axis=0).max() > 0:
        return None
    pca = PCA(n_components=2, svd_solver="full").fit(logs_NC)
    places_N2 = pca.transform(logs_NC)
    low_2, span_2 = places_N2.min(axis=0), np.ptp(places_N2, axis=0)
    first, second = (float(share) for share in pca.explained_variance_ratio_)
    return (places_N2 - low_2) / np.where(span_2 > 0, span_2, 1.0), (first, second)


def answers(facts: Facts, variant: str) -> Figure | None:
    """Return the figure of one variant's first seed (None where there is no plane)."""
    rows = facts.runs[variant][0].rows
    keys = sorted(rows)
    found = plane(np.array([rows[key]["probabilities"] for key in keys]))
    if found is None:
        return None
    places_N2, shares = found
    shown = range(0, len(keys), -(-len(keys) // SHOWN))
    dots = [
        (rows[keys[i]]["label"], round(EDGE + SIDE * float(places_N2[i, 0]), 1), _down(places_N2[i, 1])) for i in shown
    ]
    panels = [
        {
            "name": name,
            "text": f"{sum(label == name for label, _, _ in dots)} of {len(dots)}",
            "others": [(x, y) for label, x, y in dots if label != name],
            "own": [(x, y) for label, x, y in dots if label == name],
        }
        for name in facts.classes
    ]
    thinned = "" if len(dots) == len(keys) else f" {len(dots)} of {len(keys)} utterances are drawn, evenly taken."
    return Figure(
        macro="clouds",
        caption=(
            f"Where the answers of {variant} lie: each dot is an utterance, placed by the two directions in which the "
            f"logarithms of its probabilities vary most ({percent(shares[0])} % and {percent(shares[1])} % of their "
            f"variance). Each panel shows one true class in full colour, the others pale.{thinned} A class with a "
            "place of its own is told apart; one that lies among the others is taken for them."
        ),
        data={"panels": panels, "side": SIDE + 2 * EDGE},
    )


def _down(share: float) -> float:
    return round(EDGE + SIDE * (1.0 - float(share)), 1)
