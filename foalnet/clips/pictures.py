"""Cuts the pictures of a dialogue's utterances: decodes the video once, tracks the speaker's face, encodes JPEGs.

Frames are processed in decoding order. A frame is held only by the utterances that contain it, so memory grows with
the longest utterance and not with the video. Shapes: H rows, W columns, C = 3 colours.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from foalnet import media
from foalnet.clips.bars import HELD_BYTES, picture_rows
from foalnet.clips.candidates import MISSING, ONE_FACE, Candidate, FaceChoice, Guide, candidates_of, choose
from foalnet.clips.slots import Slots, slots_of
from foalnet.clips.spool import Pieces, Spool
from foalnet.config.blocks import Shards
from foalnet.core.errors import DataError
from foalnet.core.records import Box, FaceTrack, Side, Utterance
from foalnet.faces import Detector, count_jumps, detector_input, search, to_picture
from foalnet.faces.motion import Motion
from foalnet.faces.speaker import Shots

Area = tuple[int, int, int, int]

# The largest raw size of one utterance's half pictures: an hour-long utterance would exhaust the memory.
MAX_OPEN_BYTES = 3 * 2**29
# Ends the key of an utterance that stands for the listener of another (foalnet.clips.listener); no key has a dot.
LISTENER = ".listener"


@dataclass(frozen=True, kw_only=True, slots=True)
class Pictures:
    """One utterance's pictures as the shard stores them.

    `track` has one slot per frame, with boxes in pixels of the source picture. `faces` and `halves` hold one JPEG per
    slot, empty if the slot has no picture. `area` is the part of the source picture that `halves` show: left, top,
    right, bottom. `failed`: frames on which the detector failed; `jumps`: frames on which it saw only another face;
    `choice`: of how many faces this one was chosen, and how.
    """

    track: FaceTrack
    faces: Pieces
    halves: Pieces
    area: Area
    failed: int = 0
    jumps: int = 0
    choice: FaceChoice = ONE_FACE


def missing_pictures(slots: Slots, reason: str) -> Pictures:
    """Return the pictures of an utterance that has none: every slot is missing for the same reason."""
    frames = len(slots.times_s)
    nothing = Pieces.empty(frames)
    face_track = FaceTrack(
        boxes=(None,) * frames, sources=(MISSING,) * frames, reasons=(reason,) * frames, times_s=slots.times_s
    )
    return Pictures(track=face_track, faces=nothing, halves=nothing, area=(0, 0, 0, 0))


def cut_pictures(
    path: Path,
    utterances: Iterable[Utterance],
    *,
    params: Shards,
    detector: Detector,
    timeout_s: float,
    motion: Motion | None = None,
    spool: Spool | None = None,
    held_bytes: int = HELD_BYTES,
    guides: Mapping[str, Guide] | None = None,
) -> dict[str, Pictures]:
    """Return the pictures of every utterance of one video, by key; `motion` receives every frame decoded.

    `guides` decide between several faces (`shards.face`), by key, with points in pixels of the source picture. `spool`
    stores the JPEGs; by default this call makes its own. If the frames of an utterance exceed `held_bytes`, the video
    is decoded a second time for its face crops; the result has the same bytes.

    Decodes the video once, up to the last frame used; with black bars or large pictures the beginning once before.
    VideoUnreadable or VideoTooLarge (exit 3) if it cannot be decoded, DataError for an utterance too long to be held.
    """
    spool = spool or Spool()
    info = media.probe_times(path, timeout_s=timeout_s)
    if motion is not None:
        motion.times_s = info.times_s
    plans = [(u, slots_of(u.start_s, u.end_s, info.times_s, info.rate_fps)) for u in utterances]
    for u, slots in plans:
        _check_size(u, slots, params)
    pictures = {u.key: missing_pictures(slots, "video_missing") for u, slots in plans if not slots.existing}
    waiting = sorted((plan for plan in plans if plan[1].existing), key=lambda plan: (plan[1].first, plan[0].key))
    if not waiting:
        return pictures
    wanted = range(waiting[0][1].first, max(slots.stop for _, slots in waiting))
    used = functools.partial(_decode_used, path, info, wanted, timeout_s)
    rows, frames = picture_rows(used, info, params)
    opened = functools.partial(_open_utterance, info.width_px, rows, held_bytes, params, guides or {})
    open_now: list[_OpenUtterance] = []
    again: list[_OpenUtterance] = []

    def done(utterance: _OpenUtterance) -> None:
        utterance.follow(detector)
        if utterance.held or not utterance.sees_a_face():
            pictures[utterance.u.key] = utterance.finish(spool)
        else:
            again.append(utterance)

    for index, halves in _cut_halves(frames, {u.side for u, _ in plans}, info.width_px, rows, params, motion):
        while waiting and waiting[0][1].first <= index:
            open_now.append(opened(*waiting.pop(0)))
        for utterance in open_now:
            if index < utterance.slots.stop:
                utterance.add(index, halves(utterance.u.side))
        for utterance in [o for o in open_now if index >= o.slots.stop - 1]:
            done(utterance)
            open_now.remove(utterance)
    # If the last frames are in the container but do not decode, utterances are still open or were never opened.
    for utterance in [*open_now, *(opened(*plan) for plan in waiting)]:
        done(utterance)
    _cut_again(used(rows), again, info.width_px)
    return pictures | {utterance.u.key: utterance.finish(spool) for utterance in again}


def _cut_again(
    frames: Generator[tuple[int, media.Picture], None, None],
    utterances: list[_OpenUtterance],
    width_px: int,
) -> None:
    """Cut the faces of utterances without held frames, from a second decode of the same frames."""
    stop = max((utterance.slots.stop for utterance in utterances), default=0)
    if not stop:
        return
    with contextlib.closing(frames):
        for index, picture in frames:
            if index >= stop:
                return
            for utterance in utterances:
                if index in utterance.halves:
                    left, right = _columns(utterance.u.side, width_px)
                    part = picture.part((left, 0, right, picture.height_px))
                    utterance.cut(index - utterance.slots.first, part)


class UtteranceTooLongError(DataError):
    """The pictures of one utterance exceed the limit on memory."""


def _check_size(u: Utterance, slots: Slots, params: Shards) -> None:
    needed = slots.existing * params.half_width_px * params.half_height_px * 3 // 2
    if needed > MAX_OPEN_BYTES:
        raise UtteranceTooLongError(
            f"the utterance has {slots.existing} frames; their half pictures are {needed / 2**30:.1f} GiB, the limit "
            f"per utterance is {MAX_OPEN_BYTES / 2**30:.1f}",
            utterance=u.key,
            action="cut it into shorter utterances, or make shards.half_width_px and half_height_px smaller",
        )


def _open_utterance(
    width_px: int,
    rows: media.Rows,
    held_bytes: int,
    params: Shards,
    guides: Mapping[str, Guide],
    u: Utterance,
    slots: Slots,
) -> _OpenUtterance:
    """Return a new open utterance; it holds its raw frames if they fit into `held_bytes`."""
    needed = slots.existing * (rows[1] - rows[0]) * width_px * 3 // (2 if u.side == "whole" else 4)
    listens = u.key.endswith(LISTENER)
    if listens:
        params = params.model_copy(update={"face": "largest"})
    return _OpenUtterance(u, slots, params, guides.get(u.key, Guide()), held=needed <= held_bytes, listens=listens)


@dataclass(frozen=True, kw_only=True)
class _Half:
    """One side of one frame: its picture, and the area of the source it shows."""

    picture: media.Picture
    area: Area
    params: Shards

    @functools.cached_property
    def jpeg(self) -> bytes:
        """The picture as the shard stores it."""
        size = {"width_px": self.params.half_width_px, "height_px": self.params.half_height_px}
        return self.picture.scaled(**size).jpeg(self.params.jpeg_quality)


@dataclass(slots=True)
class _OpenUtterance:
    """An utterance while its frames are decoded; `held`: raw frames stay in memory until the face is cut from them.

    `listens`: it stands for the listener of one, and has no half pictures.

    `halves`: JPEG and area by frame index. By slot: `raw_frames` the frames held (if not `held`, only the last),
    `looks` the detector's input pictures. `candidates`: the faces among which `finish` chooses; `faced`: frames in
    which the detector saw a face, `failed`: on which it failed.
    """

    u: Utterance
    slots: Slots
    params: Shards
    guide: Guide
    held: bool
    listens: bool
    halves: dict[int, tuple[bytes, Area]] = field(default_factory=dict)
    raw_frames: dict[int, media.Picture] = field(default_factory=dict)
    looks: dict[int, np.ndarray] = field(default_factory=dict)
    shots: Shots = field(default_factory=Shots)
    candidates: list[Candidate] = field(default_factory=list)
    failed: int = 0
    faced: int = 0

    def add(self, index: int, half: _Half) -> None:
        """Add one frame."""
        slot, params = index - self.slots.first, self.params
        self.halves[index] = (b"" if self.listens else half.jpeg, half.area)
        if not self.held:
            self.raw_frames.clear()
        self.raw_frames[slot] = half.picture
        if slot % params.stride == 0:
            self.looks[slot] = detector_input(half.picture, params)
        if params.face != "largest":
            self.shots.watch(slot, half.picture.luma_HW)

    def follow(self, detector: Detector) -> None:
        """Detect the face in every `stride`-th frame and the last, track it through all, cut it from held frames."""
        if not self.halves:
            return
        params = self.params
        last = max(self.raw_frames)
        self.looks.setdefault(last, detector_input(self.raw_frames[last], params))
        area = next(iter(self.halves.values()))[1]
        width_px, height_px = area[2] - area[0], area[3] - area[1]
        answer = search(detector, list(self.looks.values()), roi=params.roi, min_score=params.detector_score)
        boxes = [
            tuple(to_picture(box, picture_HWC.shape, width_px, height_px) for box in seen)
            for picture_HWC, seen in zip(self.looks.values(), answer.boxes, strict=True)
        ]
        detections = dict(zip(self.looks, boxes, strict=True))
        times_s = self.slots.times_s[: self.slots.existing]
        self.candidates = candidates_of(
            detections, times_s, cuts=self.shots.cuts, width_px=width_px, height_px=height_px, params=params
        )
        self.failed = len(answer.failed)
        jumps = count_jumps(detections, times_s, width_px=width_px, height_px=height_px, params=params)
        self.faced = self.candidates[0].track.sources.count("detected") + jumps
        self.looks.clear()
        if self.held:
            for slot, picture in self.raw_frames.items():
                self.cut(slot, picture)
        self.raw_frames.clear()

    def sees_a_face(self) -> bool:
        """Return whether a frame that decoded has a face."""
        decoded = [index - self.slots.first for index in self.halves]
        return any(one.track.boxes[slot] is not None for one in self.candidates for slot in decoded)

    def cut(self, slot: int, picture: media.Picture) -> None:
        """Cut every candidate's face out of one frame."""
        for candidate in self.candidates:
            candidate.cut(slot, picture, self.params)

    def finish(self, spool: Spool) -> Pictures:
        """Choose the face; return the utterance's pictures, with every slot's JPEGs in the spool."""
        if not self.candidates:
            return missing_pictures(self.slots, "video_missing")
        area = next(iter(self.halves.values()))[1]
        point = self.guide.point
        at = None if point is None else (point[0] - area[0], point[1] - area[1])
        guide = replace(self.guide, point=at)
        face, choice = choose(self.candidates, guide, start_s=self.u.start_s, params=self.params)
        slots = range(len(self.slots.times_s))
        halves = {index - self.slots.first: jpeg for index, (jpeg, _) in self.halves.items()}
        return Pictures(
            track=_source_track(face.track, halves.keys(), self.slots, area),
            faces=spool.put(face.crops.get(slot, b"") for slot in slots),
            halves=spool.put(halves.get(slot, b"") for slot in slots),
            area=area,
            failed=self.failed,
            jumps=self.faced - face.track.sources.count("detected"),
            choice=choice,
        )


def _source_track(half: FaceTrack, decoded: Collection[int], slots: Slots, area: Area) -> FaceTrack:
    """Return a half's track with boxes in the source picture, and a reason for each slot without a picture."""
    last = max(decoded)
    boxes: list[Box | None] = []
    reasons: list[str | None] = []
    sources = list(half.sources)
    for i, (box, reason) in enumerate(zip(half.boxes, half.reasons, strict=True)):
        if i in decoded:
            boxes.append(None if box is None else _in_source(box, area))
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


def _in_source(box: Box, area: Area) -> Box:
    left, top = area[:2]
    return replace(box, left=box.left + left, top=box.top + top, right=box.right + left, bottom=box.bottom + top)


def _decode_used(
    path: Path, info: media.VideoInfo, wanted: range, timeout_s: float, rows: media.Rows | None
) -> Generator[tuple[int, media.Picture], None, None]:
    """Yield (index, picture) of each wanted frame that decodes."""
    with contextlib.closing(media.decode_pictures(path, info, rows=rows, timeout_s=timeout_s)) as frames:
        for index, picture in frames:
            if index >= wanted.stop:
                return
            if index >= wanted.start:
                yield index, picture


def _cut_halves(
    frames: Iterator[tuple[int, media.Picture]],
    sides: set[Side],
    width_px: int,
    rows: media.Rows,
    params: Shards,
    motion: Motion | None,
) -> Iterator[tuple[int, Callable[[Side], _Half]]]:
    """Yield (index, function from side to half) per frame; each side is cut and encoded at most once per frame."""
    columns = {side: _columns(side, width_px) for side in sorted(sides)}
    for index, picture in frames:
        if motion is not None:
            motion.watch(index, picture.luma_HW, rows[0])
        yield index, _half_cutter(picture, columns, rows, params)


def _columns(side: Side, width: int) -> tuple[int, int]:
    """Return the source columns (left, right) of a side, both even; an odd last column is left out.

    The left half is columns [0, W/2), the right half the rest.
    """
    width, middle = width - width % 2, width // 4 * 2
    return {"left": (0, middle), "right": (middle, width), "whole": (0, width)}[side]


def _half_cutter(
    picture: media.Picture, columns: Mapping[Side, tuple[int, int]], rows: media.Rows, params: Shards
) -> Callable[[Side], _Half]:
    done: dict[Side, _Half] = {}

    def half(side: Side) -> _Half:
        if side not in done:
            left, right = columns[side]
            part = picture.part((left, 0, right, picture.height_px))
            done[side] = _Half(picture=part, area=(left, rows[0], right, rows[1]), params=params)
        return done[side]

    return half
