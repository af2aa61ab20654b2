"""Links the boxes of several faces into one track per face: each box continues the track that it overlaps most.

This is the rule of the IoU tracker (Bochinski, Eiselein, Sikora 2017): greedy, without a model of appearance. A cut of
the camera ends every track, because a box at the same place may then be another person.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from foalnet.config.blocks import Shards
from foalnet.core.records import Box
from foalnet.faces.track import is_usable

# Boxes of one face overlap by at least this much (intersection over union): a head that moves by half its width between
# two looks still does.
SAME = 0.3
# Of a crowd the largest faces are linked; a face is compared if the detector saw it in so many looks.
MOST_FACES = 8
FEWEST_BOXES = 2


def link(
    detections: Mapping[int, Sequence[Box]],
    times_s: Sequence[float],
    *,
    cuts: Collection[int],
    width_px: int,
    height_px: int,
    params: Shards,
) -> list[dict[int, Box]]:
    """Return one mapping from frame to box for each face, the largest first.

    `cuts`: the frames that begin another shot. A track ends after `bridge_s` without a box, too.

    >>> faces = [Box(left=0, top=0, right=20, bottom=20), Box(left=50, top=0, right=80, bottom=30)]
    >>> tracks = link({0: faces, 2: faces[::-1]}, [0.0, 0.1, 0.2], cuts=(), width_px=90, height_px=60, params=Shards())
    >>> [[box.left for box in track.values()] for track in tracks]
    [[50, 50], [0, 0]]
    """
    tracks: list[dict[int, Box]] = []
    for frame in sorted(detections):
        boxes = [box for box in detections[frame] if is_usable(box, width_px, height_px, params)]
        going = [track for track in tracks if _goes_on(max(track), frame, times_s, cuts, params)]
        pairs = sorted(
            (-shared, i, j)
            for i, track in enumerate(going)
            for j, box in enumerate(boxes)
            if (shared := overlap(track[max(track)], box)) >= SAME
        )
        taken: set[int] = set()
        for _, i, j in pairs:
            if j not in taken and frame not in going[i]:
                going[i][frame] = boxes[j]
                taken.add(j)
        tracks += [{frame: box} for j, box in enumerate(boxes) if j not in taken]
    seen = [track for track in tracks if len(track) >= FEWEST_BOXES]
    return sorted(seen, key=lambda track: (-sum(map(_area, track.values())), min(track), track[min(track)].left))[
        :MOST_FACES
    ]


def _goes_on(last: int, frame: int, times_s: Sequence[float], cuts: Collection[int], params: Shards) -> bool:
    """Return whether a track with its last box on frame `last` may have one on `frame`."""
    return times_s[frame] - times_s[last] <= params.bridge_s and not any(last < cut <= frame for cut in cuts)


def overlap(one: Box, other: Box) -> float:
    """Return the intersection over union of two boxes.

    >>> overlap(Box(left=0, top=0, right=2, bottom=2), Box(left=1, top=0, right=3, bottom=2))
    0.3333333333333333
    """
    width = max(0.0, min(one.right, other.right) - max(one.left, other.left))
    height = max(0.0, min(one.bottom, other.bottom) - max(one.top, other.top))
    return width * height / (_area(one) + _area(other) - width * height)


def _area(box: Box) -> float:
    return (box.right - box.left) * (box.bottom - box.top)
