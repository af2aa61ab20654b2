"""The place of an utterance in its dialogue: its turn, and how long another speaker speaks at the same time."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import replace

from foalnet.core.errors import UsageError
from foalnet.core.labels import NOT_USED
from foalnet.core.records import Utterance

DIGITS = 4


def with_turns(rows: Iterable[Utterance], order: str, *, where: str, reader: str) -> list[Utterance]:
    """Return the utterances with their places in their dialogues, from 0; those without a class have one too.

    `order`: `start` sorts by start time, ties by key; `transcript` by the reader's own place, and after them those
    that the transcript lacks, by start time. UsageError (exit 2) for `transcript` where the reader gives no place.
    """
    rows = list(rows)
    if order == "transcript" and all(row.turn is None for row in rows):
        raise UsageError(
            f"{where}: reader {reader} does not know the transcript's order", action="write `turns: start`"
        )
    first = (lambda u: (u.turn is None, u.turn or 0)) if order == "transcript" else (lambda _: (False, 0))
    ordered = sorted(rows, key=lambda u: (u.session, u.dialogue, *first(u), u.start_s, u.key))
    turns: Counter[tuple[str, str]] = Counter()
    numbered = []
    for row in ordered:
        numbered.append(replace(row, turn=turns[row.session, row.dialogue]))
        turns[row.session, row.dialogue] += 1
    return numbered


def with_overlaps(utterances: Iterable[Utterance]) -> list[Utterance]:
    """Return the utterances with `overlap_s`, by the times of all that can be used or are of no class.

    A recording is a video, or else a dialogue's sound.
    """
    utterances = list(utterances)
    by_recording: dict[str, list[Utterance]] = defaultdict(list)
    for u in utterances:
        if u.reason in (None, NOT_USED) and (recording := u.video or u.dialogue_audio):
            by_recording[recording].append(u)
    overlap_s: dict[str, float] = {}
    for members in by_recording.values():
        if len(members) > 1:
            ordered = sorted(members, key=lambda u: (u.start_s, u.key))
            overlap_s |= {u.key: _covered_s(u, (o for o in ordered if o.speaker != u.speaker)) for u in ordered}
    return [replace(u, overlap_s=overlap_s.get(u.key)) for u in utterances]


def _covered_s(u: Utterance, others: Iterable[Utterance]) -> float:
    """Return the seconds of an utterance in which at least one of others, sorted by start, is spoken."""
    covered_s, until_s = 0.0, u.start_s
    for other in others:
        first_s, stop_s = max(other.start_s, until_s), min(other.end_s, u.end_s)
        if stop_s > first_s:
            covered_s, until_s = covered_s + stop_s - first_s, stop_s
    return round(covered_s, DIGITS)
