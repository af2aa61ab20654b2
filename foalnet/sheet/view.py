"""Prepares one dialogue for its sheet, from its shard and from staging's account."""

from __future__ import annotations

import base64
import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from foalnet.evidence.report.phrases import MISSING, NOT_AUDITED
from foalnet.shards import Sample

# A thumbnail every so many seconds: every one or two syllables.
THUMB_EVERY_S = 0.25
# How the face was chosen of several (foalnet/clips/candidates.py).
CHOSEN = {
    "speaker": "the mouth that moves with the sound",
    "table": "the one of the entry's table",
    "largest": "the sound did not decide: the largest",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Thumb:
    """One moment: its crop as a data URL (None without a face), the source and the reason of the frame's box."""

    time_s: float
    address: str | None
    source: str
    says: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """Consecutive frames of one source: position and length in percent of the utterance."""

    source: str
    start: float
    length: float
    says: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Strip:
    """One utterance: speaker, side and times; a half picture with the face's position in percent; mask; crops.

    `notes`: how the face was chosen of several, and what is known of the listener; `listener`: a crop of the listener.
    """

    key: str
    speaker: str
    side: str
    start_s: float
    end_s: float
    half: str | None
    box: tuple[float, float, float, float] | None
    counts: tuple[tuple[str, int], ...]
    frames: int
    mask: tuple[Run, ...]
    thumbs: tuple[Thumb, ...]
    doubted: bool
    notes: tuple[str, ...]
    listener: str | None


def strip(sample: Sample, doubted: frozenset[str], choice: Mapping[str, Any] | None = None) -> Strip:
    """Return the strip of one sample with pictures; `doubted`: keys for which the audit disagrees with the side.

    `choice`: the utterance's row of staging's account of several faces.
    """
    meta, video = sample.meta, sample.meta.video
    assert video is not None
    faces, halves = sample.pictures("face"), sample.pictures("half")
    says = [_says(source, reason) for source, reason in zip(video.sources, video.reasons, strict=True)]
    shown = _shown(halves, video.boxes)
    return Strip(
        key=meta.key,
        speaker=meta.speaker,
        side=meta.side,
        start_s=meta.start_s,
        end_s=meta.end_s,
        half=None if shown is None else _address(halves[shown]),
        box=None if shown is None else _inside(video.boxes[shown], video.area),
        counts=tuple(sorted(Counter(says).items(), key=lambda item: (-item[1], item[0]))),
        frames=len(says),
        mask=_runs(video.sources, says),
        thumbs=tuple(
            Thumb(
                time_s=video.times_s[i],
                address=_address(faces[i]) if faces[i] else None,
                source=video.sources[i],
                says=says[i],
            )
            for i in _moments(video.times_s)
        ),
        doubted=meta.key in doubted,
        notes=(*_choice(choice), *_listener(sample)),
        listener=_listener_crop(sample),
    )


def _choice(row: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Return how one face was chosen of several."""
    if row is None:
        return ()
    sure = "" if row["confidence"] is None else f", confidence {row['confidence']:.2f}"
    return (f"{row['faces']} faces; {CHOSEN[row['by']]}{sure}",)


def _listener(sample: Sample) -> tuple[str, ...]:
    """Return how many frames show the listener's face, and how long both people speak."""
    if (listener := sample.meta.listener_video) is None:
        return ()
    seen = sum(source != "missing" for source in listener.sources)
    both = f"; another speaker speaks for {listener.overlap_s:.2f} s of it" if listener.overlap_s else ""
    return (f"listener's face: {seen} of {len(listener.sources)} frames{both}",)


def _listener_crop(sample: Sample) -> str | None:
    """Return the listener's crop nearest the middle as a data URL."""
    if sample.meta.listener_video is None:
        return None
    crops = sample.pictures("listener")
    there = [i for i, jpeg in enumerate(crops) if jpeg]
    middle = min(there, key=lambda i: (abs(2 * i - len(crops)), i), default=None)
    return None if middle is None else _address(crops[middle])


def _says(source: str, reason: str) -> str:
    return MISSING.get(reason, reason) if reason else source


def _shown(halves: Sequence[bytes], boxes: Sequence[Sequence[float]]) -> int | None:
    """Return the index of the half picture to show: the one nearest the middle, with a face if there is one."""
    there = [i for i, jpeg in enumerate(halves) if jpeg]
    faced = [i for i in there if any(boxes[i])]
    return min(faced or there, key=lambda i: (abs(2 * i - len(halves)), i), default=None)


def _inside(box: Sequence[float], area: Sequence[int]) -> tuple[float, float, float, float] | None:
    """Return left, top, width, height of a box in percent of the half picture; None without a face."""
    left, top, right, bottom = area
    if not any(box) or right <= left or bottom <= top:
        return None
    across, down = 100 / (right - left), 100 / (bottom - top)
    return (
        round((box[0] - left) * across, 1),
        round((box[1] - top) * down, 1),
        round((box[2] - box[0]) * across, 1),
        round((box[3] - box[1]) * down, 1),
    )


def _moments(times_s: Sequence[float]) -> list[int]:
    """Return the first frame of every THUMB_EVERY_S; at least one."""
    chosen, following_s = [], float("-inf")
    for index, time_s in enumerate(times_s):
        if time_s >= following_s:
            chosen.append(index)
            following_s = time_s + THUMB_EVERY_S - 1e-6
    return chosen


def _runs(sources: Sequence[str], says: Sequence[str]) -> tuple[Run, ...]:
    runs, place = [], 0
    for (source, text), members in itertools.groupby(zip(sources, says, strict=True)):
        length = len(list(members))
        share = 100 / len(sources)
        runs.append(
            Run(source=source, start=round(place * share, 2), length=round(length * share, 2), says=f"{text}: {length}")
        )
        place += length
    return tuple(runs)


def _address(jpeg: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()


@dataclass(frozen=True, kw_only=True, slots=True)
class Sides:
    """Who was staged in which half, what decided it, and the audit's result."""

    left: str
    right: str
    by: str
    says: str
    tone: str
    confidence: float | None


def sides_of(row: Mapping[str, Any] | None) -> Sides:
    """Return a dialogue's sides from staging's account; `row` None: the account does not have the dialogue."""
    if row is None:
        text = "the account of staging (staging.json) is not here, or has nothing of this dialogue"
        return Sides(left="?", right="?", by="?", says=text, tone="none", confidence=None)
    names = {"left": row["left"] or "no one", "right": row["right"] or "no one", "by": row["by"]}
    audit = row["audit"]
    if audit is None:
        why = NOT_AUDITED.get(row["why"], row["why"])
        return Sides(**names, says=f"not audited: {why}", tone="none", confidence=None)
    voices = audit["utterances"]
    said = f"{voices - len(audit['against'])} of {voices} utterances speak for it by themselves"
    if audit["agrees"]:
        tone, verdict = ("good" if audit["sure"] else "unsure"), "sound and motion agree"
    else:
        tone, verdict = ("bad" if audit["sure"] else "unsure"), "sound and motion DISAGREE"
    sure = "" if audit["sure"] else ", but are not sure"
    return Sides(**names, says=f"{verdict}{sure}; {said}", tone=tone, confidence=audit["confidence"])
