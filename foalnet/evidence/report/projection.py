"""Projects a variant's out-of-fold log-probabilities onto two principal components, a panel per class.

Shape letters: N utterances, C classes. It computes the geometry, as figures.py does; templates/figures.jinja draws it.
"""

from __future__ import annotations

import numpy as np

from foalnet.evidence.report.figures import Figure
from foalnet.evidence.report.results import Results

SIDE, EDGE = 170, 8
# Enough dots to show clusters, few enough for a page that opens at once.
SHOWN = 250
FLOOR = 1e-6


def plane(probability_NC: np.ndarray) -> tuple[np.ndarray, tuple[float, float]] | None:
    """Return positions [N, 2] in [0, 1] and the two components' shares of the variance.

    None where no plane exists: fewer than three predictions, or all alike.
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


def answers(results: Results, variant: str) -> Figure | None:
    """Return the figure of one variant's first seed; None where no plane exists."""
    rows = results.runs[variant][0].rows
    keys = sorted(rows)
    placed = plane(np.array([rows[key].probabilities for key in keys]))
    if placed is None:
        return None
    places_N2, shares = placed
    shown = range(0, len(keys), -(-len(keys) // SHOWN))
    dots = [
        (rows[keys[i]].label, round(EDGE + SIDE * float(places_N2[i, 0]), 1), _down(places_N2[i, 1])) for i in shown
    ]
    panels = [
        {
            "name": name,
            "text": f"{sum(label == name for label, _, _ in dots)} of {len(dots)}",
            "others": [(x, y) for label, x, y in dots if label != name],
            "own": [(x, y) for label, x, y in dots if label == name],
        }
        for name in results.facts.classes
    ]
    return Figure(
        macro="clouds",
        data={
            "panels": panels,
            "side": SIDE + 2 * EDGE,
            "variant": variant,
            "shares": shares,
            "shown": len(dots),
            "total": len(keys),
        },
    )


def _down(share: float) -> float:
    return round(EDGE + SIDE * (1.0 - float(share)), 1)
