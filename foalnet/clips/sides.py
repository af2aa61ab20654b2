"""Which half of the picture each speaker is cut out of: by the corpus' rule, by a table, or by the audit's word.

The audit itself is `foalnet.faces.sides`; here it gets a dialogue's sound, motion and faces, and its answer is weighed.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from foalnet import media
from foalnet.config.base import nearest
from foalnet.config.blocks import Shards
from foalnet.core.errors import DataError, UsageError, reason
from foalnet.core.ledger import Ledger
from foalnet.core.records import Box, FaceTrack, LedgerEntry, Side, Utterance
from foalnet.faces.motion import Motion
from foalnet.faces.sides import OTHER, Audit, Spoken, audit

STAGE = "shards"
COLUMNS = ("dialogue", "speaker", "side")
# Why a dialogue was not audited.
ONE_PERSON, NO_ANSWER = "one_person", "no_sound_with_motion"


@dataclass(frozen=True, kw_only=True, slots=True)
class Seated:
    """Utterances with the sides that they are staged with; `moved`: dialogues whose sides a table changed."""

    utterances: list[Utterance]
    moved: frozenset[str]


def seated(utterances: Sequence[Utterance], params: Shards, table: str) -> Seated:
    """Return the utterances with their sides: as the manifest has them, or as the table says (`sides: table`).

    `table`: path of the corpus' sides table. A dialogue that it does not name keeps the rule. UsageError (exit 2): no
    table is named. DataError (exit 3) names file, line and dialogue of what the table gets wrong.
    """
    if params.sides != "table":
        return Seated(utterances=list(utterances), moved=frozenset())
    if not table:
        raise UsageError(
            "shards.sides is table, and the corpus' entry names no sides_table",
            file="params.yaml",
            stage=STAGE,
            action="run `foalnet config --sync`, which names one, and write the dialogues into it",
        )
    lefts = read_sides(Path(table), utterances)
    placed = [_placed(u, lefts.get(u.dialogue)) for u in utterances]
    moved = {new.dialogue for old, new in zip(utterances, placed, strict=True) if new.side != old.side}
    return Seated(utterances=placed, moved=frozenset(moved))


def _placed(u: Utterance, told: tuple[str, Side] | None) -> Utterance:
    if told is None:
        return u
    speaker, side = told
    return replace(u, side=side if u.speaker == speaker else OTHER[side])


def read_sides(path: Path, utterances: Iterable[Utterance]) -> dict[str, tuple[str, Side]]:
    """Return dialogue -> (a speaker of it, the half that speaker sits in), the other speaker sits in the other half.

    A line holds dialogue, speaker, side with tabs or blanks between; lines that begin with # are remarks.
    """
    speakers: dict[str, set[str]] = {}
    whole: set[str] = set()
    for u in utterances:
        speakers.setdefault(u.dialogue, set()).add(u.speaker)
        if u.side == "whole":
            whole.add(u.dialogue)
    told: dict[str, tuple[str, Side]] = {}
    for number, line in enumerate(_lines(path), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if len(words) != len(COLUMNS):
            raise _fault(path, number, words[0], f"{len(words)} columns; they are {', '.join(COLUMNS)}")
        dialogue, speaker, side = words
        if dialogue not in speakers:
            raise _fault(path, number, dialogue, f"the corpus has no such dialogue; {nearest(dialogue, speakers)}")
        if dialogue in whole:
            raise _fault(path, number, dialogue, "one person fills its picture: there are no sides to tell")
        if speaker not in speakers[dialogue]:
            said = nearest(speaker, speakers[dialogue])
            raise _fault(path, number, dialogue, f"nobody called '{speaker}' speaks in it; {said}")
        if side not in OTHER:
            raise _fault(path, number, dialogue, f"the side '{side}' is neither left nor right")
        if dialogue in told:
            raise _fault(path, number, dialogue, "it stands twice")
        told[dialogue] = (speaker, "left" if side == "left" else "right")
    return told


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8").splitlines()
    except OSError as error:
        raise DataError(
            f"the table of sides cannot be read: {reason(error)}",
            file=path,
            stage=STAGE,
            action="write it (docs/sides.md), or correct the entry's sides_table in params.yaml",
        ) from error
    except UnicodeDecodeError as error:
        raise _fault(path, 1, "?", f"the file is not UTF-8 at byte {error.start}") from error


def _fault(path: Path, line: int, dialogue: str, what: str) -> DataError:
    return DataError(
        f"line {line}, dialogue {dialogue}: {what}", file=path, stage=STAGE, action="correct the line (docs/sides.md)"
    )


def swapped(utterances: Iterable[Utterance]) -> list[Utterance]:
    """Return the utterances with left and right exchanged."""
    return [replace(u, side=OTHER.get(u.side, u.side)) for u in utterances]


def audited(
    utterances: Sequence[Utterance],
    flacs: Mapping[str, bytes],
    tracks: Mapping[str, FaceTrack],
    motion: Motion,
    *,
    rate_hz: int,
) -> Audit | None:
    """Return what the audit says of one video's utterances; `flacs`, at `rate_hz`, and `tracks` by key."""
    spoken: list[Spoken] = []
    faces: dict[Side, list[tuple[float, Box]]] = {"left": [], "right": []}
    for u in utterances:
        listen = functools.partial(_wave, flacs, u.key)
        spoken.append(Spoken(key=u.key, side=u.side, start_s=u.start_s, end_s=u.end_s, listen=listen))
        boxes = [box for box in tracks[u.key].boxes if box is not None]
        if boxes:
            faces[u.side].append(((u.start_s + u.end_s) / 2, _middle(boxes)))
    return audit(spoken, motion, faces, rate_hz=rate_hz)


def _wave(flacs: Mapping[str, bytes], key: str) -> np.ndarray:
    return media.read_flac(flacs[key])[0]


def _middle(boxes: Sequence[Box]) -> Box:
    """Return the median of boxes, side by side."""
    rows = np.median([[b.left, b.top, b.right, b.bottom] for b in boxes], axis=0)
    return Box(left=float(rows[0]), top=float(rows[1]), right=float(rows[2]), bottom=float(rows[3]))


@dataclass(frozen=True, kw_only=True, slots=True)
class Word:
    """The audit of a dialogue, None where there is none, and whether it was followed against the given sides."""

    audit: Audit | None = None
    followed: bool = False


def overrules(found: Audit | None, params: Shards) -> bool:
    """Tell whether an audit's answer takes the place of the rule's: `sides: audit`, against it, and sure enough."""
    return params.sides == "audit" and found is not None and not found.agrees and _sure(found, params)


def _sure(found: Audit, params: Shards) -> bool:
    return found.confidence > params.side_confidence


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """One dialogue for the account: its utterances with the sides given to the audit, and the audit's word on them."""

    dialogue: str
    utterances: Sequence[Utterance]
    word: Word


def sides_account(
    verdicts: Sequence[Verdict], params: Shards, *, moved: Iterable[str]
) -> tuple[dict[str, Any], list[LedgerEntry]]:
    """Return what staging.json tells of sides, and the ledger's lines: by_table, by_audit, doubted, a dialogue each.

    Of a dialogue where the audit was followed, agreement is told of the sides that it was staged with.
    """
    ledger, rows = Ledger(), []
    by_table = set(moved)
    for one in sorted(verdicts, key=lambda one: one.dialogue):
        found, followed = one.word.audit, one.word.followed
        by = "audit" if followed else "table" if one.dialogue in by_table else "rule"
        row: dict[str, Any] = {"dialogue": one.dialogue, "by": by, **_speakers(one)}
        if found is None:
            whole = all(u.side == "whole" for u in one.utterances)
            rows.append(row | {"audit": None, "why": ONE_PERSON if whole else NO_ANSWER})
            continue
        agrees = found.agrees != followed
        against = sorted(key for key, value in found.evidence.items() if (value > 0) == followed)
        told = {"agrees": agrees, "confidence": found.confidence, "sure": _sure(found, params)}
        rows.append(row | {"audit": told | {"utterances": len(found.evidence), "against": against}, "why": None})
        said = f"confidence {found.confidence:.4f}"
        if followed:
            ledger.repair(one.dialogue, "side_by_audit", said)
        elif not agrees and told["sure"]:
            ledger.keep(one.dialogue, "side_doubted", said)
    for dialogue in sorted(by_table):
        ledger.repair(dialogue, "side_by_table", "")
    heard = [row for row in rows if row["audit"] is not None]
    account = {
        "mode": params.sides,
        "bound": params.side_confidence,
        "audited": len(heard),
        "agree": sum(row["audit"]["agrees"] for row in heard),
        "sure": sum(row["audit"]["sure"] for row in heard),
        "not_audited": dict(sorted(Counter(row["why"] for row in rows if row["audit"] is None).items())),
        "dialogues": rows,
    }
    return account, ledger.entries


def _speakers(one: Verdict) -> dict[str, str | None]:
    """Return who was staged in the left half and who in the right, None where nobody speaks there."""
    staged = swapped(one.utterances) if one.word.followed else one.utterances
    names = {side: sorted({u.speaker for u in staged if u.side == side}) for side in OTHER}
    return {side: " ".join(found) or None for side, found in names.items()}
