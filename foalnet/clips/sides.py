"""Decides from which half of the picture each speaker is cut: by the corpus' rule, by a table, or by the audit.

`foalnet.faces.audit` is the audit; this module calls it with a dialogue's sound, motion and faces, and decides.
"""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from foalnet import media
from foalnet.config.base import nearest
from foalnet.config.blocks import Shards
from foalnet.core.errors import DataError, UsageError, reason
from foalnet.core.ledger import Ledger
from foalnet.core.records import Box, FaceTrack, LedgerEntry, Side, Utterance
from foalnet.faces.audit import OTHER, Audit, Spoken, audit_sides
from foalnet.faces.motion import Motion

COLUMNS = ("dialogue", "speaker", "side")
# The second cell of a line that gives a point in a speaker's face.
FACE = "face"
Point = tuple[float, float]
# Why a dialogue was not audited.
ONE_PERSON, NO_ANSWER = "one_person", "no_sound_with_motion"


@dataclass(frozen=True, kw_only=True, slots=True)
class AssignedSides:
    """The utterances with their assigned sides; `moved`: the dialogues with sides changed by a table.

    `points`: the table's point in the speaker's face, in pixels of the picture, by the utterance's key.
    """

    utterances: list[Utterance]
    moved: frozenset[str]
    points: Mapping[str, Point] = field(default_factory=dict)


def assign_sides(utterances: Sequence[Utterance], params: Shards, table: str) -> AssignedSides:
    """Return the utterances with their sides: the manifest's, or with `sides: table` those of the table.

    With `face: table` it also returns the table's points. `table`: path of the corpus' sides table; a dialogue that is
    not in it keeps the rule's sides. UsageError (exit 2) if no table is named, DataError (exit 3) with file, line and
    dialogue of a wrong line.
    """
    wanted = [name for name in ("sides", "face") if getattr(params, name) == "table"]
    if not wanted:
        return AssignedSides(utterances=list(utterances), moved=frozenset())
    if not table:
        raise UsageError(
            f"shards.{wanted[0]} is table, and the corpus' entry names no sides_table",
            file="params.yaml",
            action="run `foalnet config --sync`, which names one, and write the dialogues into it",
        )
    lines = read_sides(Path(table), utterances)
    sides = lines.sides if params.sides == "table" else {}
    assigned = [_with_side(u, sides.get(u.dialogue)) for u in utterances]
    moved = {new.dialogue for old, new in zip(utterances, assigned, strict=True) if new.side != old.side}
    points = lines.points if params.face == "table" else {}
    return AssignedSides(utterances=assigned, moved=frozenset(moved), points=points)


def _with_side(u: Utterance, line: tuple[str, Side] | None) -> Utterance:
    if line is None:
        return u
    speaker, side = line
    return replace(u, side=side if u.speaker == speaker else OTHER[side])


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """A table of sides: dialogue -> (one of its speakers, that speaker's half), and utterance -> point in its face."""

    sides: dict[str, tuple[str, Side]]
    points: dict[str, Point]


def read_sides(path: Path, utterances: Sequence[Utterance]) -> Table:
    """Return the lines of a table of sides; of a dialogue, the other speaker sits in the other half.

    A line holds dialogue, speaker and side, or an utterance, the word `face`, x and y; separated by tabs or blanks. A
    line that begins with # is a comment.
    """
    speakers: dict[str, set[str]] = {}
    for u in utterances:
        speakers.setdefault(u.dialogue, set()).add(u.speaker)
    whole = {u.dialogue for u in utterances if u.side == "whole"}
    keys = {u.key for u in utterances}
    table = Table(sides={}, points={})
    for number, line in enumerate(_lines(path), 1):
        cells = line.split()
        if not cells or cells[0].startswith("#"):
            continue
        if cells[1:2] == [FACE]:
            table.points[cells[0]] = _point(path, number, cells, keys, table.points)
            continue
        if len(cells) != len(COLUMNS):
            raise _fault(path, number, cells[0], f"{len(cells)} columns; expected {', '.join(COLUMNS)}")
        dialogue, speaker, side = cells
        if dialogue not in speakers:
            raise _fault(path, number, dialogue, f"the corpus has no such dialogue; {nearest(dialogue, speakers)}")
        if dialogue in whole:
            raise _fault(path, number, dialogue, "one person fills its picture, so it has no sides")
        if speaker not in speakers[dialogue]:
            hint = nearest(speaker, speakers[dialogue])
            raise _fault(path, number, dialogue, f"no speaker '{speaker}' in it; {hint}")
        if side not in OTHER:
            raise _fault(path, number, dialogue, f"the side '{side}' is neither left nor right")
        if dialogue in table.sides:
            raise _fault(path, number, dialogue, "an earlier line already names it")
        table.sides[dialogue] = (speaker, "left" if side == "left" else "right")
    return table


def _point(path: Path, number: int, cells: Sequence[str], keys: Collection[str], before: Collection[str]) -> Point:
    """Return the point of a line `utterance face x y`."""
    key, *rest = cells[0], *cells[2:]
    if key not in keys:
        raise _fault(path, number, key, f"the corpus has no such utterance; {nearest(key, keys)}", of="utterance")
    if key in before:
        raise _fault(path, number, key, "an earlier line already names it", of="utterance")
    try:
        x, y = (float(cell) for cell in rest)
    except ValueError:
        x = y = math.nan
    if not (math.isfinite(x) and math.isfinite(y) and x >= 0 and y >= 0):
        what = f"'{' '.join(rest)}' is no point: write x and y in pixels of the picture"
        raise _fault(path, number, key, what, of="utterance")
    return x, y


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8").splitlines()
    except OSError as error:
        raise DataError(
            f"the table of sides cannot be read: {reason(error)}",
            file=path,
            action="write it (docs/staging.md), or correct the entry's sides_table in params.yaml",
        ) from error
    except UnicodeDecodeError as error:
        raise _fault(path, 1, "?", f"the file is not UTF-8 at byte {error.start}") from error


def _fault(path: Path, line: int, name: str, what: str, *, of: str = "dialogue") -> DataError:
    action = f"correct the line (docs/{'staging' if of == 'dialogue' else 'faces'}.md)"
    return DataError(f"line {line}, {of} {name}: {what}", file=path, action=action)


def swapped(utterances: Iterable[Utterance]) -> list[Utterance]:
    """Return the utterances with left and right exchanged."""
    return [replace(u, side=OTHER.get(u.side, u.side)) for u in utterances]


def audit_dialogue(
    utterances: Sequence[Utterance],
    flacs: Mapping[str, bytes],
    tracks: Mapping[str, FaceTrack],
    motion: Motion,
    *,
    rate_hz: int,
) -> Audit | None:
    """Return the audit of one video's utterances, None if no utterance can be judged.

    `flacs` (at `rate_hz`) and `tracks` are by utterance key.
    """
    spoken: list[Spoken] = []
    faces: dict[Side, list[tuple[float, Box]]] = {"left": [], "right": []}
    for u in utterances:
        listen = functools.partial(_wave, flacs, u.key)
        spoken.append(Spoken(key=u.key, side=u.side, start_s=u.start_s, end_s=u.end_s, listen=listen))
        boxes = [box for box in tracks[u.key].boxes if box is not None]
        if boxes:
            faces[u.side].append(((u.start_s + u.end_s) / 2, _middle(boxes)))
    return audit_sides(spoken, motion, faces, rate_hz=rate_hz)


def _wave(flacs: Mapping[str, bytes], key: str) -> np.ndarray:
    return media.read_flac(flacs[key])[0]


def _middle(boxes: Sequence[Box]) -> Box:
    """Return the box of the medians of the boxes' edges."""
    rows = np.median([[b.left, b.top, b.right, b.bottom] for b in boxes], axis=0)
    return Box(left=float(rows[0]), top=float(rows[1]), right=float(rows[2]), bottom=float(rows[3]))


@dataclass(frozen=True, kw_only=True, slots=True)
class SideDecision:
    """The audit of a dialogue (None if it was not audited), and whether staging followed it against the given sides."""

    audit: Audit | None = None
    followed: bool = False


def overrules(audit: Audit | None, params: Shards) -> bool:
    """Tell whether the audit replaces the rule's sides: `sides: audit`, the audit disagrees, and it is sure."""
    return params.sides == "audit" and audit is not None and not audit.agrees and _sure(audit, params)


def _sure(audit: Audit, params: Shards) -> bool:
    return audit.confidence > params.side_confidence


@dataclass(frozen=True, kw_only=True, slots=True)
class StagedSides:
    """One staged dialogue: its utterances with the sides that the audit checked, and the decision about them."""

    dialogue: str
    utterances: Sequence[Utterance]
    decision: SideDecision


def sides_account(
    staged: Sequence[StagedSides], params: Shards, *, moved: Iterable[str]
) -> tuple[dict[str, Any], list[LedgerEntry]]:
    """Return the block `sides` of staging.json, and one ledger line for each dialogue that was moved or is doubted.

    If the audit was followed, `agrees` refers to the sides with which the dialogue was staged.
    """
    ledger, rows = Ledger(), []
    by_table = set(moved)
    for one in sorted(staged, key=lambda one: one.dialogue):
        audit, followed = one.decision.audit, one.decision.followed
        by = "audit" if followed else "table" if one.dialogue in by_table else "rule"
        row: dict[str, Any] = {"dialogue": one.dialogue, "by": by, **_speakers(one)}
        if audit is None:
            whole = all(u.side == "whole" for u in one.utterances)
            rows.append(row | {"audit": None, "why": ONE_PERSON if whole else NO_ANSWER})
            continue
        agrees, sure = audit.agrees != followed, _sure(audit, params)
        against = sorted(key for key, value in audit.evidence.items() if (value > 0) == followed)
        facts = {"agrees": agrees, "confidence": audit.confidence, "sure": sure}
        rows.append(row | {"audit": facts | {"utterances": len(audit.evidence), "against": against}, "why": None})
        detail = f"confidence {audit.confidence:.4f}"
        if followed:
            ledger.repair(one.dialogue, "side_by_audit", detail)
        elif not agrees and sure:
            ledger.keep(one.dialogue, "side_doubted", detail)
    for dialogue in sorted(by_table):
        ledger.repair(dialogue, "side_by_table", "")
    audited = [row for row in rows if row["audit"] is not None]
    account = {
        "mode": params.sides,
        "bound": params.side_confidence,
        "audited": len(audited),
        "agree": sum(row["audit"]["agrees"] for row in audited),
        "sure": sum(row["audit"]["sure"] for row in audited),
        "not_audited": dict(sorted(Counter(row["why"] for row in rows if row["audit"] is None).items())),
        "dialogues": rows,
    }
    return account, ledger.entries


def _speakers(one: StagedSides) -> dict[str, str | None]:
    """Return who was staged in the left half and who in the right, None for a half in which no one speaks."""
    staged = swapped(one.utterances) if one.decision.followed else one.utterances
    names = {side: sorted({u.speaker for u in staged if u.side == side}) for side in OTHER}
    return {side: " ".join(speakers) or None for side, speakers in names.items()}
