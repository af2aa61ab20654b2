"""The pictures of a dialogue's utterances: one decode, the speaker's half, the face tracked through it, JPEGs.

Frames are taken as they come. Only the utterances that are open at a frame hold it, so memory follows the longest
utterance and not the video. Shapes: H rows, W columns, C = 3 colours.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from foalnet import media
from foalnet.clips.reel import Pieces, Reel
from foalnet.clips.slots import Slots, slots_of
from foalnet.config.blocks import Shards
from foalnet.core.errors import DataError
from foalnet.core.records import Box, BoxSource, FaceTrack, Side, Utterance
from foalnet.faces import Detector, count_jumps, crop, enlarged, looked_at, search, track
from foalnet.faces.motion import Motion

Area = tuple[int, int, int, int]

# Black bars are looked for in this many of the first frames used, this many apart: one dark moment tells nothing.
LETTERBOX_FRAMES = 9
LETTERBOX_STEP = 8
# The half pictures of one open utterance, were they raw: an hour-long one would take the machine down.
MAX_OPEN_BYTES = 3 * 2**29
# The raw frames that an open utterance may hold.
HELD_BYTES = 2**28
MISSING: BoxSource = "missing"


@dataclass(frozen=True, kw_only=True, slots=True)
class Film:
    """What a shard holds of one utterance's picture.

    `track` has one slot per frame, its boxes in pixels of the source picture. `faces` and `halves` are the JPEGs of
    each slot, empty where there is none. `area` is what `halves` show of the source picture: left, top, right, bottom.
    `failed`: frames on which the detector broke down; `jumps`: frames on which it saw only somebody else.
    """

    track: FaceTrack
    faces: Pieces
    halves: Pieces
    area: Area
    failed: int = 0
    jumps: int = 0


def masked(slots: Slots, reason: str) -> Film:
    """Return the film of an utterance without any picture: every slot missing for one reason."""
    frames = len(slots.times_s)
    nothing = Pieces.empty(frames)
    face_track = FaceTrack(
        boxes=(None,) * frames, sources=(MISSING,) * frames, reasons=(reason,) * frames, times_s=slots.times_s
    )
    return Film(track=face_track, faces=nothing, halves=nothing, area=(0, 0, 0, 0))


def film_dialogue(
    path: Path,
    utterances: Iterable[Utterance],
    *,
    params: Shards,
    detector: Detector,
    timeout_s: float,
    motion: Motion | None = None,
    reel: Reel | None = None,
    held_bytes: int = HELD_BYTES,
) -> dict[str, Film]:
    """Return the film of every utterance of one video, by key; `motion` watches the frames as they pass.

    `reel` takes the JPEGs; without it there is one for this call. An utterance whose frames are more than `held_bytes`
    is decoded once more for its crops instead of being held: the bytes are the same.

    Decodes the video once, no further than its last frame that is used, and its first frames once more beforehand,
    where black bars are looked for: only the rows between them leave the decoder then. VideoUnreadable or
    VideoTooLarge (exit 3) where it cannot be decoded, DataError for an utterance too long to be held.
    """
    reel = reel or Reel()
    info = media.probe_times(path, timeout_s=timeout_s)
    if motion is not None:
        motion.times_s = info.times_s
    plans = {u.key: (u, slots_of(u.start_s, u.end_s, info.times_s, info.rate_fps)) for u in utterances}
    for u, slots in plans.values():
        _check_size(u, slots, params)
    films = {key: masked(slots, "video_missing") for key, (_, slots) in plans.items() if not slots.existing}
    waiting = sorted((p for p in plans.values() if p[1].existing), key=lambda p: (p[1].first, p[0].key))
    if not waiting:
        return films
    start, stop = waiting[0][1].first, max(slots.stop for _, slots in waiting)
    used = functools.partial(_used, path, info, range(start, stop), timeout_s)
    rows = _rows(used(None), info, params)
    sides = {u.side for u, _ in waiting}
    open_now: list[_Open] = []
    again: list[_Open] = []

    def done(utterance: _Open) -> None:
        utterance.follow(params, detector)
        if utterance.held or not any(utterance.boxes):
            films[utterance.u.key] = utterance.film(reel)
        else:
            again.append(utterance)

    for index, halves in _halves(used(rows), sides, info.width_px, rows, params, motion):
        while waiting and waiting[0][1].first <= index:
            open_now.append(_opened(*waiting.pop(0), info.width_px, rows, held_bytes))
        for utterance in open_now:
            if index < utterance.slots.stop:
                utterance.add(index, halves(utterance.u.side), params)
        for utterance in [o for o in open_now if index >= o.slots.stop - 1]:
            done(utterance)
            open_now.remove(utterance)
    # Frames at the end that exist in the container and do not decode leave utterances open, or never opened.
    for utterance in [*open_now, *(_opened(*plan, info.width_px, rows, held_bytes) for plan in waiting)]:
        done(utterance)
    if again:
        _cut_again(used(rows), again, info.width_px, params)
    return films | {utterance.u.key: utterance.film(reel) for utterance in again}


def _cut_again(
    frames: Generator[tuple[int, media.Picture], None, None], utterances: list[_Open], width_px: int, params: Shards
) -> None:
    """Cut the faces of utterances whose frames were not held: the very frames, decoded once more."""
    stop = max(utterance.slots.stop for utterance in utterances)
    with contextlib.closing(frames):
        for index, picture in frames:
            if index >= stop:
                return
            for utterance in utterances:
                if index in utterance.frames:
                    left, right = _columns(utterance.u.side, width_px)
                    utterance.cut(
                        index - utterance.slots.first, picture.part((left, 0, right, picture.height_px)), params
                    )


def _check_size(u: Utterance, slots: Slots, params: Shards) -> None:
    needed = slots.existing * params.half_width_px * params.half_height_px * 3 // 2
    if needed > MAX_OPEN_BYTES:
        raise DataError(
            f"the utterance has {slots.existing} frames, whose half pictures are {needed / 2**30:.1f} GiB; one may "
            f"have {MAX_OPEN_BYTES / 2**30:.1f}",
            utterance=u.key,
            stage="shards",
            action="cut it into shorter utterances, or make shards.half_width_px and half_height_px smaller",
        )


def _opened(u: Utterance, slots: Slots, width_px: int, rows: media.Rows, held_bytes: int) -> _Open:
    """Return an utterance that begins; it holds its frames where they are no more than so many bytes."""
    needed = slots.existing * (rows[1] - rows[0]) * width_px * 3 // (2 if u.side == "whole" else 4)
    return _Open(u, slots, held=needed <= held_bytes)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Half:
    """One side of one frame: its picture, its JPEG as the shard holds it, and the area of the source it shows."""

    picture: media.Picture
    jpeg: bytes
    area: Area


@dataclass(slots=True)
class _Open:
    """An utterance whose frames are coming in; `held`: they stay in memory until its face is known and cut.

    By slot: `pictures` are the frames held (else the last alone), `looks` what the detector is to see, `boxes` the
    face, `faces` its crops as JPEGs.
    """

    u: Utterance
    slots: Slots
    held: bool
    frames: dict[int, tuple[bytes, Area]] = field(default_factory=dict)
    pictures: dict[int, media.Picture] = field(default_factory=dict)
    looks: dict[int, np.ndarray] = field(default_factory=dict)
    boxes: tuple[Box | None, ...] = ()
    faces: dict[int, bytes] = field(default_factory=dict)
    tracked: Film | None = None

    def add(self, index: int, half: _Half, params: Shards) -> None:
        """Take a frame."""
        slot = index - self.slots.first
        self.frames[index] = (half.jpeg, half.area)
        if not self.held:
            self.pictures.clear()
        self.pictures[slot] = half.picture
        if slot % params.stride == 0:
            self.looks[slot] = looked_at(half.picture, params)

    def follow(self, params: Shards, detector: Detector) -> None:
        """Find the face in the strided frames and the last, and track it through all; cut it from frames held."""
        if not self.frames:
            return
        last = max(self.pictures)
        self.looks.setdefault(last, looked_at(self.pictures[last], params))
        area = next(iter(self.frames.values()))[1]
        width_px, height_px = area[2] - area[0], area[3] - area[1]
        answer = search(detector, list(self.looks.values()), roi=params.roi, min_score=params.detector_score)
        boxes = [
            tuple(enlarged(box, picture_HWC.shape, width_px, height_px) for box in found)
            for picture_HWC, found in zip(self.looks.values(), answer.boxes, strict=True)
        ]
        detections = dict(zip(self.looks, boxes, strict=True))
        times_s = self.slots.times_s[: self.slots.existing]
        found = track(detections, times_s, width_px=width_px, height_px=height_px, params=params)
        have = [index - self.slots.first for index in self.frames]
        self.boxes = tuple(box if slot in set(have) else None for slot, box in enumerate(found.boxes))
        nothing = Pieces.empty(0)
        self.tracked = Film(
            track=_whole_track(found, have, self.slots, area),
            faces=nothing,
            halves=nothing,
            area=area,
            failed=len(answer.failed),
            jumps=count_jumps(detections, times_s, width_px=width_px, height_px=height_px, params=params),
        )
        self.looks.clear()
        if self.held:
            for slot, picture in self.pictures.items():
                self.cut(slot, picture, params)
        self.pictures.clear()

    def cut(self, slot: int, picture: media.Picture, params: Shards) -> None:
        """Cut the face out of one frame, where it has any."""
        box = self.boxes[slot]
        if box is not None:
            face_HWC = crop(picture, box, size_px=params.face_px, margin=params.margin)
            self.faces[slot] = media.jpeg_bytes(face_HWC, params.jpeg_quality)

    def film(self, reel: Reel) -> Film:
        """Put every slot's JPEGs on the reel."""
        if self.tracked is None:
            return masked(self.slots, "video_missing")
        slots = range(len(self.slots.times_s))
        halves = {index - self.slots.first: jpeg for index, (jpeg, _) in self.frames.items()}
        return replace(
            self.tracked,
            faces=reel.put(self.faces.get(slot, b"") for slot in slots),
            halves=reel.put(halves.get(slot, b"") for slot in slots),
        )


def _whole_track(found: FaceTrack, have: Iterable[int], slots: Slots, area: Area) -> FaceTrack:
    """Move the boxes into the source picture, and say why each slot without a picture has none."""
    present = set(have)
    last = max(present)
    boxes: list[Box | None] = []
    reasons: list[str | None] = []
    sources = list(found.sources)
    for i, (box, reason) in enumerate(zip(found.boxes, found.reasons, strict=True)):
        if i in present:
            boxes.append(None if box is None else _moved(box, area))
            reasons.append(reason)
        else:
            boxes.append(None)
            sources[i] = MISSING
            reasons.append("video_damaged" if i < last else "video_truncated")
    after = len(slots.times_s) - slots.existing
    return FaceTrack(
        boxes=(*boxes, *(None,) * after),
        sources=(*sources, *(MISSING,) * after),
        reasons=(*reasons, *("video_truncated",) * after),
        times_s=slots.times_s,
    )


def _moved(box: Box, area: Area) -> Box:
    left, top = area[:2]
    return replace(box, left=box.left + left, top=box.top + top, right=box.right + left, bottom=box.bottom + top)


def _used(
    path: Path, info: media.VideoInfo, wanted: range, timeout_s: float, rows: media.Rows | None
) -> Generator[tuple[int, media.Picture], None, None]:
    """Yield (index, picture) of the frames wanted that decode."""
    with contextlib.closing(media.decode_pictures(path, info, rows=rows, timeout_s=timeout_s)) as frames:
        for index, picture in frames:
            if index >= wanted.stop:
                return
            if index >= wanted.start:
                yield index, picture


def _rows(
    frames: Generator[tuple[int, media.Picture], None, None], info: media.VideoInfo, params: Shards
) -> media.Rows:
    """Return the even rows that hold the picture: colour is shared by two by two pixels, and no black row is taken."""
    top, bottom = 0, info.height_px
    if params.letterbox:
        with contextlib.closing(frames):
            seen = itertools.islice(frames, 0, LETTERBOX_FRAMES * LETTERBOX_STEP, LETTERBOX_STEP)
            light = [media.light_of(picture.rgb((0, 0, info.width_px, info.height_px))) for _, picture in seen]
        top, bottom = media.letterbox_rows(light) if light else (top, bottom)
    return top + top % 2, bottom - bottom % 2


def _halves(
    frames: Iterator[tuple[int, media.Picture]],
    sides: set[Side],
    width_px: int,
    rows: media.Rows,
    params: Shards,
    motion: Motion | None,
) -> Iterator[tuple[int, Callable[[Side], _Half]]]:
    """Yield (index, side -> half) for every frame of those rows; each side is cut and encoded at most once a frame."""
    columns = {side: _columns(side, width_px) for side in sorted(sides)}
    for index, picture in frames:
        if motion is not None:
            motion.watch(index, picture.luma_HW, rows[0])
        yield index, _cutter(picture, columns, rows, params)


def _columns(side: Side, width: int) -> tuple[int, int]:
    """Return the source columns of a side, left and right, both even: an odd last one is left out.

    The left picture is columns [0, W/2), the right one the others.
    """
    width, middle = width - width % 2, width // 4 * 2
    return {"left": (0, middle), "right": (middle, width), "whole": (0, width)}[side]


def _cutter(
    picture: media.Picture, columns: Mapping[Side, tuple[int, int]], rows: media.Rows, params: Shards
) -> Callable[[Side], _Half]:
    done: dict[Side, _Half] = {}

    def half(side: Side) -> _Half:
        if side not in done:
            left, right = columns[side]
            part = picture.part((left, 0, right, picture.height_px))
            small = part.scaled(width_px=params.half_width_px, height_px=params.half_height_px)
            area = (left, rows[0], right, rows[1])
            done[side] = _Half(picture=part, jpeg=small.jpeg(params.jpeg_quality), area=area)
        return done[side]

    return half
