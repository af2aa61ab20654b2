"""One dialogue as its sheet shows it: pieces of its shard and of staging's account, ready for the page."""

from __future__ import annotations

import base64
import itertools
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from foalnet.core.records import Sample
from foalnet.evidence.report.phrases import MISSING, NOT_AUDITED
from foalnet.shards import split_frames

# A thumbnail every so many seconds; a syllable or two lie between.
THUMB_EVERY_S = 0.25


@dataclass(frozen=True, kw_only=True, slots=True)
class Thumb:
    """One moment: its crop as a data address, None where there is no face, and what is known of the frame."""

    time_s: float
    address: str | None
    source: str
    says: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """Neighbouring frames of one source: place and length as percent of the utterance."""

    source: str
    start: float
    length: float
    says: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Strip:
    """One utterance: who, where, when; a half picture with the face's place in percent; the mask; the crops."""

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


def strip(sample: Sample, doubted: frozenset[str]) -> Strip:
    """Return the strip of one sample with pictures; `doubted`: keys that the audit alone would put elsewhere."""
    meta = json.loads(sample.members["json"])
    video = meta["video"]
    faces = split_frames(sample.members["face.mjpg"], video["face_offsets"])
    halves = split_frames(sample.members["half.mjpg"], video["half_offsets"])
    says = [_says(source, reason) for source, reason in zip(video["sources"], video["reasons"], strict=True)]
    shown = _shown(halves, video["boxes"])
    return Strip(
        key=meta["key"],
        speaker=meta["speaker"],
        side=meta["side"],
        start_s=meta["start_s"],
        end_s=meta["end_s"],
        half=None if shown is None else _address(halves[shown]),
        box=None if shown is None else _inside(video["boxes"][shown], video["area"]),
        counts=tuple(sorted(Counter(says).items(), key=lambda item: (-item[1], item[0]))),
        frames=len(says),
        mask=_runs(video["sources"], says),
        thumbs=tuple(
            Thumb(
                time_s=video["times_s"][i],
                address=_address(faces[i]) if faces[i] else None,
                source=video["sources"][i],
                says=says[i],
            )
            for i in _moments(video["times_s"])
        ),
        doubted=meta["key"] in doubted,
    )


def _says(source: str, reason: str) -> str:
    return MISSING.get(reason, reason) if reason else source


def _shown(halves: Sequence[bytes], boxes: Sequence[Sequence[float]]) -> int | None:
    """Return which half picture stands for the utterance: the one nearest its middle, with a face if there is one."""
    there = [i for i, jpeg in enumerate(halves) if jpeg]
    faced = [i for i in there if any(boxes[i])]
    return min(faced or there, key=lambda i: (abs(2 * i - len(halves)), i), default=None)


def _inside(box: Sequence[float], area: Sequence[int]) -> tuple[float, float, float, float] | None:
    """Return left, top, width, height of a box in percent of the half picture; None where there is no face."""
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
    """Return the first frame of every THUMB_EVERY_S, and so at least one."""
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
    """Who was staged where, who decided it, and what the audit says of it."""

    left: str
    right: str
    by: str
    says: str
    tone: str
    confidence: float | None


def sides_of(row: Mapping[str, Any] | None) -> Sides:
    """Return what staging's account says of a dialogue's sides; `row` None: the account has nothing of it."""
    if row is None:
        text = "the account of staging (staging.json) is not here, or has nothing of this dialogue"
        return Sides(left="?", right="?", by="?", says=text, tone="none", confidence=None)
    names = {"left": row["left"] or "nobody", "right": row["right"] or "nobody", "by": row["by"]}
    found = row["audit"]
    if found is None:
        why = NOT_AUDITED.get(row["why"], row["why"])
        return Sides(**names, says=f"not audited: {why}", tone="none", confidence=None)
    voices = found["utterances"]
    said = f"{voices - len(found['against'])} of {voices} utterances speak for it by themselves"
    if found["agrees"]:
        tone, verdict = ("good" if found["sure"] else "unsure"), "sound and motion agree"
    else:
        tone, verdict = ("bad" if found["sure"] else "unsure"), "sound and motion DISAGREE"
    sure = "" if found["sure"] else ", but are not sure"
    return Sides(**names, says=f"{verdict}{sure}; {said}", tone=tone, confidence=found["confidence"])
