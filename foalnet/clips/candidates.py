"""The faces of one utterance among which staging chooses: their tracks, crops and mouths, and the choice.

`shards.face` names the rule. With `largest` there is one candidate, the track of foalnet.faces.track. The other rules
also track each face by itself where there are several; what they cannot decide falls back to the first candidate.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from foalnet import media
from foalnet.config.blocks import Shards
from foalnet.core.ledger import Ledger
from foalnet.core.records import Box, BoxSource, FaceTrack
from foalnet.faces import crop, track
from foalnet.faces.link import link
from foalnet.faces.speaker import Mouth, Speaking, speaking

# A point of a picture in pixels: x, y.
Point = tuple[float, float]
# Returns an utterance's sound [N] and its rate in Hz; None if it has none.
Listen = Callable[[], tuple[np.ndarray, int] | None]
By = Literal["alone", "largest", "speaker", "table"]
MISSING: BoxSource = "missing"
# Why a frame has no face if others' faces were detected in it.
OTHER_FACE = "other_face"


@dataclass(frozen=True, kw_only=True, slots=True)
class Guide:
    """What decides between the faces of one utterance: its sound, and the table's point in its face in pixels."""

    listen: Listen | None = None
    point: Point | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class FaceChoice:
    """Of how many faces one was chosen, by what, and how sure the sound and the mouths' motion are of it.

    `by`: "alone" for at most one face; "largest" where no other rule decided. `confidence`: of the face that speaks
    (foalnet.faces.speaker), None without a comparison. `off_point`: the table's point is in no face.
    """

    faces: int
    by: By
    confidence: float | None = None
    off_point: bool = False


ONE_FACE = FaceChoice(faces=1, by="alone")


@dataclass(slots=True)
class Candidate:
    """One face: its track in the half picture, its crops by slot as JPEGs, and its mouth if faces are compared."""

    track: FaceTrack
    mouth: Mouth | None = None
    crops: dict[int, bytes] = field(default_factory=dict)

    def cut(self, slot: int, picture: media.Picture, params: Shards) -> None:
        """Cut the face out of one frame and look at its mouth; do nothing if the slot has no box."""
        box = self.track.boxes[slot]
        if self.mouth is not None:
            self.mouth.watch(self.track.times_s[slot], picture.luma_HW, box)
        if box is not None:
            face_HWC = crop(picture, box, size_px=params.face_px, margin=params.margin)
            self.crops[slot] = media.jpeg_bytes(face_HWC, params.jpeg_quality)


def candidates_of(
    detections: Mapping[int, Sequence[Box]],
    times_s: Sequence[float],
    *,
    cuts: Collection[int],
    width_px: int,
    height_px: int,
    params: Shards,
) -> list[Candidate]:
    """Return the track of the rule `largest`; then, for another rule and several faces, the track of each."""
    place = {"width_px": width_px, "height_px": height_px}
    first = Candidate(track=track(detections, times_s, **place, params=params))
    if params.face == "largest":
        return [first]
    linked = link(detections, times_s, cuts=cuts, **place, params=params)
    if len(linked) < 2:
        return [first]
    several = [first]
    for boxes in linked:
        face = track({frame: [box] for frame, box in boxes.items()}, times_s, **place, params=params)
        several.append(Candidate(track=_within_shot(face, boxes, cuts), mouth=Mouth()))
    return several


def _within_shot(face: FaceTrack, boxes: Collection[int], cuts: Collection[int]) -> FaceTrack:
    """Return a track without the frames of other shots, to which it was held."""
    begin = max((cut for cut in cuts if cut <= min(boxes)), default=0)
    stop = min((cut for cut in cuts if cut > max(boxes)), default=len(face.boxes))
    kept = range(begin, stop)
    return replace(
        face,
        boxes=tuple(box if slot in kept else None for slot, box in enumerate(face.boxes)),
        sources=tuple(source if slot in kept else MISSING for slot, source in enumerate(face.sources)),
        reasons=tuple(why if slot in kept else "no_face" for slot, why in enumerate(face.reasons)),
    )


def choose(
    candidates: Sequence[Candidate], guide: Guide, *, start_s: float, params: Shards
) -> tuple[Candidate, FaceChoice]:
    """Return the chosen face and how it was chosen; the guide's point is in pixels of the half picture."""
    several, point = candidates[1:], guide.point
    if not several:
        return candidates[0], ONE_FACE
    if point is not None:
        hits = [sum(_holds(box, point) for box in one.track.boxes) for one in several]
        if any(hits):
            return several[int(np.argmax(hits))], FaceChoice(faces=len(several), by="table")
    judged = _speaking(several, guide.listen, start_s)
    choice = FaceChoice(
        faces=len(several),
        by="largest",
        confidence=None if judged is None else judged.confidence,
        off_point=point is not None,
    )
    if judged is None or judged.confidence <= params.face_confidence:
        return candidates[0], choice
    return _joined(several, _order(several, judged, params.face_confidence)), replace(choice, by="speaker")


def account_choice(key: str, choice: FaceChoice, ledger: Ledger) -> None:
    """Record in the ledger a choice that the table made, and one that neither sound nor table could make."""
    if choice.by == "largest":
        sure = "no sound to compare" if choice.confidence is None else f"confidence {choice.confidence:.2f}"
        ledger.keep(key, "face_unsure", f"{choice.faces} faces, {sure}")
    if choice.by == "table":
        ledger.repair(key, "face_by_table", f"{choice.faces} faces")
    if choice.off_point:
        ledger.keep(key, "face_off_point", f"{choice.faces} faces")


def _holds(box: Box | None, point: Point) -> bool:
    return box is not None and box.left <= point[0] <= box.right and box.top <= point[1] <= box.bottom


def _speaking(several: Sequence[Candidate], listen: Listen | None, start_s: float) -> Speaking | None:
    heard = None if listen is None else listen()
    mouths = [one.mouth for one in several if one.mouth is not None]
    return None if heard is None else speaking(mouths, heard[0], rate_hz=heard[1], start_s=start_s)


def _order(several: Sequence[Candidate], judged: Speaking, bound: float) -> list[int]:
    """Return the face that leads, then those that are surely its person in other shots: seen at no time with another.

    A face that is seen together with one of those is somebody else.
    """
    chosen = [judged.first]
    for i in sorted(range(len(several)), key=lambda i: (-judged.own[i], i)):
        alone = all(not _together(several[i].track, several[j].track) for j in chosen)
        if alone and judged.own[i] > bound:
            chosen.append(i)
    return chosen


def _together(one: FaceTrack, other: FaceTrack) -> bool:
    return any(a is not None and b is not None for a, b in zip(one.boxes, other.boxes, strict=True))


def _joined(several: Sequence[Candidate], order: Sequence[int]) -> Candidate:
    """Return one candidate with the boxes and crops of those in `order`; frames with other faces alone say so."""
    boxes, sources = list(several[order[0]].track.boxes), list(several[order[0]].track.sources)
    crops = dict(several[order[0]].crops)
    for i in order[1:]:
        for slot, box in enumerate(several[i].track.boxes):
            if box is not None:
                boxes[slot], sources[slot] = box, several[i].track.sources[slot]
        crops |= several[i].crops
    others = [any(one.track.boxes[slot] is not None for one in several) for slot in range(len(boxes))]
    reasons = [None if box else OTHER_FACE if other else "no_face" for box, other in zip(boxes, others, strict=True)]
    face = FaceTrack(
        boxes=tuple(boxes), sources=tuple(sources), reasons=tuple(reasons), times_s=several[0].track.times_s
    )
    return Candidate(track=face, crops=crops)
