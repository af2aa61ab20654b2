"""Turns boxes on some frames into the track of one person on every frame: chooses, bridges, smooths.

Shapes: D detections that may be the person, K chosen ones, F frames; a place row is (centre x, centre y, width,
height).
Everything here is arithmetic on a few numbers: deterministic, no pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from foalnet.config.blocks import Shards
from foalnet.core.records import Box, BoxSource, FaceTrack
from foalnet.faces.base import is_box

# A head's centre moves at most this many box sides between two looks: JUMP_SIDES at once (it covers the detector's own
# noise), and JUMP_SIDES_PER_S more for each second, up to JUMP_SIDES_MOST.
JUMP_SIDES = 0.6
JUMP_SIDES_PER_S = 1.5
JUMP_SIDES_MOST = 2.0
# A head's size changes at most by this factor (Haar's own steps are 1.2, and two of them are noise).
SIZE_RATIO = 1.7
# The worth of a box at the picture's side edge relative to one in the middle: a third person may stand at the edge.
EDGE_WORTH = 0.4
# A jump costs this share of a box's worth per side length moved, so that the track follows the steadier of two people.
MOVE_COST = 0.5
# Widths of the smoothing kernels: a box's size is noisier than its centre, and a head's size changes more slowly.
CENTRE_SIGMA_S = 0.25
SIZE_SIGMA_S = 0.6
# Within this time three neighbouring boxes show the same face at the same place, so their median is safe.
MEDIAN_SPAN_S = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class _Candidates:
    """The usable boxes of an utterance in time order: frame_D, time_D (s), place_D4, score_D, worth_D."""

    frame_D: np.ndarray
    time_D: np.ndarray
    place_D4: np.ndarray
    score_D: np.ndarray
    worth_D: np.ndarray


def track(
    detections: Mapping[int, Sequence[Box]],
    times_s: Sequence[float],
    *,
    width_px: int,
    height_px: int,
    params: Shards,
) -> FaceTrack:
    """Return one person's box on every frame of `times_s`, or a reason for each frame without a box.

    `detections`: frame index -> detected boxes; [] means no face was detected, an absent index that no detection ran.
    The function chooses the chain of boxes with the highest worth (large, sure, near the middle, steady): at most one
    per frame, and none further from the last than a head can move. Frames of the chain are "detected". Between two of
    them at most `bridge_s` apart it interpolates boxes over time; elsewhere it holds a box for at most half of
    `bridge_s`: both are "bridged". The rest is "missing", reason no_face. It smooths centres and sizes over time.

    >>> face = Box(left=40, top=40, right=60, bottom=60)
    >>> seen = track({0: [face], 2: [face]}, [0.0, 0.1, 0.2], width_px=100, height_px=100, params=Shards())
    >>> seen.sources
    ('detected', 'bridged', 'detected')
    """
    candidates = _usable(detections, times_s, width_px, height_px, params)
    chosen_K = _best_chain(candidates)
    time_F = np.asarray(times_s, dtype=np.float64)
    if not len(chosen_K):
        return _track(time_F, {}, np.full(len(time_F), -1))
    frame_K, time_K = candidates.frame_D[chosen_K], candidates.time_D[chosen_K]
    place_K4 = _smoothed(time_K, candidates.place_D4[chosen_K])
    score_K = candidates.score_D[chosen_K]
    slots: dict[int, tuple[np.ndarray, float]] = {}
    for frame in range(len(time_F)):
        place = _place_at(float(time_F[frame]), time_K, place_K4, score_K, params.bridge_s)
        if place is not None:
            slots[frame] = place
    return _track(time_F, slots, frame_K)


def count_jumps(
    detections: Mapping[int, Sequence[Box]], times_s: Sequence[float], *, width_px: int, height_px: int, params: Shards
) -> int:
    """Return the number of frames with detected faces of which none is the chosen person."""
    candidates = _usable(detections, times_s, width_px, height_px, params)
    chosen = set(candidates.frame_D[_best_chain(candidates)].tolist())
    return len(set(candidates.frame_D.tolist()) - chosen)


def is_usable(box: Box, width_px: int, height_px: int, params: Shards) -> bool:
    """Return whether a box is valid, sure enough, and centred inside the picture."""
    if not is_box(box) or box.score < params.detector_score:
        return False
    return 0 <= (box.left + box.right) / 2 <= width_px and 0 <= (box.top + box.bottom) / 2 <= height_px


def _usable(
    detections: Mapping[int, Sequence[Box]], times_s: Sequence[float], width_px: int, height_px: int, params: Shards
) -> _Candidates:
    """Return the boxes by time and position, without those that are invalid, unsure or centred outside the picture."""
    rows = []
    for frame in sorted(detections):
        if not 0 <= frame < len(times_s):
            raise ValueError(f"detections on frame {frame} of an utterance with {len(times_s)} frames")
        for box in detections[frame]:
            if is_usable(box, width_px, height_px, params):
                x, y = (box.left + box.right) / 2, (box.top + box.bottom) / 2
                rows.append((frame, times_s[frame], x, y, box.right - box.left, box.bottom - box.top, box.score))
    table = np.array(sorted(rows), dtype=np.float64).reshape(-1, 7)
    place_D4, score_D = table[:, 2:6], table[:, 6]
    central_D = 2.0 * np.minimum(place_D4[:, 0], width_px - place_D4[:, 0]) / width_px
    worth_D = score_D * _side(place_D4) * (EDGE_WORTH + (1.0 - EDGE_WORTH) * central_D)
    return _Candidates(
        frame_D=table[:, 0].astype(np.int64), time_D=table[:, 1], place_D4=place_D4, score_D=score_D, worth_D=worth_D
    )


def _side(place_D4: np.ndarray) -> np.ndarray:
    side_D: np.ndarray = place_D4[:, 2:4].mean(axis=1)
    return side_D


def _best_chain(candidates: _Candidates) -> np.ndarray:
    """Return the indices of the chain with the highest worth, in time order: a longest path over possible moves."""
    count = len(candidates.frame_D)
    total_D, before_D = candidates.worth_D.copy(), np.full(count, -1)
    side_D = _side(candidates.place_D4)
    for this in range(count):
        earlier = np.flatnonzero(candidates.frame_D[:this] < candidates.frame_D[this])
        if not len(earlier):
            continue
        side = (side_D[earlier] + side_D[this]) / 2
        moved = np.hypot(*(candidates.place_D4[earlier, :2] - candidates.place_D4[this, :2]).T) / side
        gap_s = candidates.time_D[this] - candidates.time_D[earlier]
        reach = np.minimum(JUMP_SIDES + JUMP_SIDES_PER_S * gap_s, JUMP_SIDES_MOST)
        ratio = np.maximum(side_D[earlier], side_D[this]) / np.minimum(side_D[earlier], side_D[this])
        gain = np.where(
            (moved <= reach) & (ratio <= SIZE_RATIO),
            total_D[earlier] - MOVE_COST * np.minimum(moved, 1.0) * candidates.worth_D[this],
            -np.inf,
        )
        best = int(np.argmax(gain))
        if gain[best] > 0.0:
            total_D[this] += gain[best]
            before_D[this] = earlier[best]
    chain = []
    at = int(np.argmax(total_D)) if count else -1
    while at >= 0:
        chain.append(at)
        at = int(before_D[at])
    return np.array(chain[::-1], dtype=np.int64)


def _smoothed(time_K: np.ndarray, place_K4: np.ndarray) -> np.ndarray:
    """Smooth a chain over time: centres by a local line (no lag behind a moving head), sizes by local means."""
    centre_K2 = _local_line(time_K, _medians(time_K, place_K4[:, :2]), CENTRE_SIGMA_S)
    weight_KK = _kernel(time_K, SIZE_SIGMA_S)
    size_K2 = weight_KK @ _medians(time_K, place_K4[:, 2:]) / weight_KK.sum(axis=1, keepdims=True)
    return np.concatenate([centre_K2, size_K2], axis=1)


def _medians(time_K: np.ndarray, value_K2: np.ndarray) -> np.ndarray:
    """Replace each value with near neighbours on both sides by the median of the three; this removes outliers."""
    out_K2 = value_K2.copy()
    if len(value_K2) >= 3:
        near = (time_K[2:] - time_K[:-2] <= MEDIAN_SPAN_S)[:, None]
        inner = np.median(np.stack([value_K2[:-2], value_K2[1:-1], value_K2[2:]]), axis=0)
        out_K2[1:-1] = np.where(near, inner, value_K2[1:-1])
    return out_K2


def _kernel(time_K: np.ndarray, sigma_s: float) -> np.ndarray:
    weight_KK: np.ndarray = np.exp(-0.5 * ((time_K[:, None] - time_K[None, :]) / sigma_s) ** 2)
    return weight_KK


def _local_line(time_K: np.ndarray, value_K2: np.ndarray, sigma_s: float) -> np.ndarray:
    """Fit a line around each time by weighted least squares and return its value there."""
    weight_KK = _kernel(time_K, sigma_s)
    offset_KK = time_K[None, :] - time_K[:, None]
    total = weight_KK.sum(axis=1)
    first = (weight_KK * offset_KK).sum(axis=1)
    second = (weight_KK * offset_KK**2).sum(axis=1)
    determinant = total * second - first**2
    # A single detection determines no line: its own value stays.
    steady = determinant <= 1e-9 * total**2 * sigma_s**2
    line_K2 = second[:, None] * (weight_KK @ value_K2) - first[:, None] * ((weight_KK * offset_KK) @ value_K2)
    mean_K2 = weight_KK @ value_K2 / total[:, None]
    out: np.ndarray = np.where(steady[:, None], mean_K2, line_K2 / np.where(steady, 1.0, determinant)[:, None])
    return out


def _place_at(
    time_s: float, time_K: np.ndarray, place_K4: np.ndarray, score_K: np.ndarray, bridge_s: float
) -> tuple[np.ndarray, float] | None:
    """Return (place, score) at a time on, between or near the chain's boxes; None if they are too far away."""
    after = int(np.searchsorted(time_K, time_s))
    if after < len(time_K) and time_K[after] == time_s:
        return place_K4[after], float(score_K[after])
    if 0 < after < len(time_K) and time_K[after] - time_K[after - 1] <= bridge_s:
        share = (time_s - time_K[after - 1]) / (time_K[after] - time_K[after - 1])
        place = (1.0 - share) * place_K4[after - 1] + share * place_K4[after]
        return place, float(min(score_K[after - 1], score_K[after]))
    near = [i for i in (after - 1, after) if 0 <= i < len(time_K) and abs(time_K[i] - time_s) <= bridge_s / 2]
    if not near:
        return None
    nearest = min(near, key=lambda i: (abs(time_K[i] - time_s), i))
    return place_K4[nearest], float(score_K[nearest])


def _track(time_F: np.ndarray, slots: Mapping[int, tuple[np.ndarray, float]], frame_K: np.ndarray) -> FaceTrack:
    """Return the track with one slot per frame, from the placed boxes."""
    detected = set(frame_K.tolist())
    sources: list[BoxSource] = []
    boxes: list[Box | None] = []
    for frame in range(len(time_F)):
        if frame not in slots:
            boxes.append(None)
            sources.append("missing")
            continue
        (x, y, width, height), score = slots[frame]
        left, top = float(x - width / 2), float(y - height / 2)
        boxes.append(Box(left=left, top=top, right=left + float(width), bottom=top + float(height), score=score))
        sources.append("detected" if frame in detected else "bridged")
    return FaceTrack(
        boxes=tuple(boxes),
        sources=tuple(sources),
        reasons=tuple("no_face" if source == "missing" else None for source in sources),
        times_s=tuple(float(time) for time in time_F),
    )
