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

from foalnet import media
from foalnet.clips.reel import Pieces, Reel
from foalnet.clips.slots import Slots, slots_of
from foalnet.config.blocks import Shards
from foalnet.errors import DataError
from foalnet.faces import Detector, count_jumps, crop, search, track
from foalnet.faces.motion import Motion
from foalnet.records import Box, BoxSource, FaceTrack, Side, Utterance

Area = tuple[int, int, int, int]

# Black bars are looked for in this many of the first frames used, this many apart: one dark moment tells nothing.
LETTERBOX_FRAMES = 9
LETTERBOX_STEP = 8
# The raw frames of one open utterance; an hour-long "utterance" would otherwise take the machine down.
MAX_OPEN_BYTES = 3 * 2**29
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
) -> dict[str, Film]:
    """Return the film of every utterance of one video, by key; `motion` watches the frames as they pass.

    `reel` takes the JPEGs; without it there is one for this call.

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
        _check_size(u, slots, info)
    films = {key: masked(slots, "video_missing") for key, (_, slots) in plans.items() if not slots.existing}
    waiting = sorted((p for p in plans.values() if p[1].existing), key=lambda p: (p[1].first, p[0].key))
    if not waiting:
        return films
    start, stop = waiting[0][1].first, max(slots.stop for _, slots in waiting)
    used = functools.partial(_used, path, info, range(start, stop), timeout_s)
    rows = _rows(used(None), info, params)
    open_now: list[_Open] = []
    for index, halves in _halves(used(rows), {u.side for u, _ in waiting}, info.width_px, rows, params, motion):
        while waiting and waiting[0][1].first <= index:
            open_now.append(_Open(*waiting.pop(0)))
        for utterance in open_now:
            if index < utterance.slots.stop:
                utterance.frames[index] = halves(utterance.u.side)
        for utterance in [o for o in open_now if index >= o.slots.stop - 1]:
            films[utterance.u.key] = utterance.finish(params, detector, reel)
            open_now.remove(utterance)
    # Frames at the end that exist in the container and do not decode leave utterances open, or never opened.
    for utterance in [*open_now, *(_Open(*plan) for plan in waiting)]:
        films[utterance.u.key] = utterance.finish(params, detector, reel)
    return films


def _check_size(u: Utterance, slots: Slots, info: media.VideoInfo) -> None:
    share = 1 if u.side == "whole" else 2
    needed = slots.existing * info.height_px * info.width_px * 3 // (2 * share)
    if needed > MAX_OPEN_BYTES:
        raise DataError(
            f"the utterance has {slots.existing} frames of {info.width_px} x {info.height_px} pixels, "
            f"{needed / 2**30:.1f} GiB; one may have {MAX_OPEN_BYTES / 2**30:.1f}",
            utterance=u.key,
            stage="shards",
            action="cut it into shorter utterances, or scale the video down",
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Half:
    """One side of one frame: its picture, its JPEG as the shard holds it, and the area of the source it shows."""

    picture: media.Picture
    jpeg: bytes
    area: Area


@dataclass(slots=True)
class _Open:
    """An utterance whose frames are coming in."""

    u: Utterance
    slots: Slots
    frames: dict[int, _Half] = field(default_factory=dict)

    def finish(self, params: Shards, detector: Detector, reel: Reel) -> Film:
        """Find the face in the strided frames and the last, track it through all, and encode every slot."""
        if not self.frames:
            return masked(self.slots, "video_missing")
        first = self.slots.first
        have = {index - first: half for index, half in sorted(self.frames.items())}
        area = next(iter(have.values())).area
        looked_at = [i for i in have if i % params.stride == 0 or i == max(have)]
        pictures = [have[i].picture.rgb() for i in looked_at]
        answer = search(detector, pictures, roi=params.roi, min_score=params.detector_score)
        detections = dict(zip(looked_at, answer.boxes, strict=True))
        times_s = self.slots.times_s[: self.slots.existing]
        width_px, height_px = area[2] - area[0], area[3] - area[1]
        found = track(detections, times_s, width_px=width_px, height_px=height_px, params=params)
        jumps = count_jumps(detections, times_s, width_px=width_px, height_px=height_px, params=params)
        faces = [
            media.jpeg_bytes(
                crop(have[i].picture, box, size_px=params.face_px, margin=params.margin), params.jpeg_quality
            )
            if box is not None and i in have
            else b""
            for i, box in enumerate(found.boxes)
        ]
        after = len(self.slots.times_s) - self.slots.existing
        return Film(
            track=_whole_track(found, have.keys(), self.slots, area),
            faces=reel.put((*faces, *(b"",) * after)),
            halves=reel.put(
                (*(have[i].jpeg if i in have else b"" for i in range(self.slots.existing)), *(b"",) * after)
            ),
            area=area,
            failed=len(answer.failed),
            jumps=jumps,
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
            sample = [picture.rgb((0, 0, info.width_px, info.height_px)) for _, picture in seen]
        top, bottom = media.letterbox_rows(sample) if sample else (top, bottom)
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
