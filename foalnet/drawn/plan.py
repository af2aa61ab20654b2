"""Plans the whole corpus as a table: who speaks when, and which case of the rule each utterance gets.

Turns, lengths, pauses and looks away come from random streams of their own, independent of the cases.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from foalnet.config.draw import Draw
from foalnet.core.records import Side
from foalnet.drawn.deal import assign, raw_labels, session_cells
from foalnet.drawn.rule import FACE_CUES, SOUND_CUES, UNUSED_LABELS, Cell

SESSIONS = (1, 2, 3, 4, 5)
ACTORS = ("F", "M")
RATE_HZ = 16000
# The clock of plan and motion. A video with half this frame rate shows every second tick.
FPS_NUM, FPS_DEN = 30000, 1001
LEAD_S = 0.8
PAUSE_S = (0.15, 0.45)
# The expression fades in within this pause, so that every frame of an utterance shows it fully.
OWN_PAUSE_S = 0.45
OVERLAP_S = (0.2, 0.4)
OVERLAP_SHARE = 0.08
AWAY_SHORT_SHARE, AWAY_LONG_SHARE, AWAY_LISTENING_SHARE = 0.05, 0.02, 0.15
AWAY_MARGIN = 4
Interval = tuple[int, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """One planned utterance; `cell` is its case of the rule, None if its label is not one of the classes."""

    key: str
    speaker: str
    side: Side
    start_s: float
    end_s: float
    used: bool
    raw_label: str = ""
    cell: Cell | None = None
    sound: str = ""
    face: str = ""

    @property
    def frames(self) -> Interval:
        """First and last tick of the utterance."""
        return math.floor(self.start_s * FPS_NUM / FPS_DEN), math.ceil(self.end_s * FPS_NUM / FPS_DEN)


@dataclass(frozen=True, kw_only=True, slots=True)
class Dialogue:
    """One planned dialogue.

    `marker`: the actor who wears the markers and sits left. `away`: actor -> (first, last) ticks with the head turned.
    `frames`: length in ticks of the clock; the video shows every `ticks_per_frame`-th tick.
    """

    name: str
    session: int
    number: int
    marker: str
    turns: tuple[Turn, ...]
    away: dict[str, tuple[Interval, ...]]
    frames: int
    ticks_per_frame: int = 1

    @property
    def seconds(self) -> float:
        """Length of the picture in seconds."""
        return self.frames * FPS_DEN / FPS_NUM

    @property
    def samples(self) -> int:
        """Length of the sound in samples: as long as the picture."""
        return round(self.frames * FPS_DEN / FPS_NUM * RATE_HZ)


def stream(seed: int, *purpose: int) -> np.random.Generator:
    """Return the random generator for one purpose; it depends only on seed and purpose."""
    return np.random.default_rng([seed, *purpose])


def plan(params: Draw) -> list[Dialogue]:
    """Return all dialogues of the corpus by session and number."""
    return [dialogue for session in SESSIONS for dialogue in _session(params, session)]


def kinds_of(params: Draw) -> dict[str, str]:
    """Return utterance key -> kind (rule.KINDS) for every utterance of the four classes."""
    turns = (turn for dialogue in plan(params) for turn in dialogue.turns)
    return {turn.key: turn.cell.kind for turn in turns if turn.cell is not None}


def _session(params: Draw, session: int) -> list[Dialogue]:
    dialogues = [_layout(params, session, number) for number in range(params.dialogues_per_session)]
    rng = stream(params.seed, session, 1)
    strata = {turn.key: (turn.speaker, turn.side) for dialogue in dialogues for turn in dialogue.turns if turn.used}
    cases = assign(session_cells(params, len(strata), session), strata, rng)
    raws = raw_labels(cases, session, rng)
    return [
        replace(dialogue, turns=tuple(_cast(turn, cases, raws, rng) for turn in dialogue.turns))
        for dialogue in dialogues
    ]


def _cast(turn: Turn, cases: dict[str, Cell], raws: dict[str, str], rng: np.random.Generator) -> Turn:
    """Return a used turn with its case, or an unused turn with random cues."""
    if turn.used:
        cell = cases[turn.key]
        return replace(turn, cell=cell, raw_label=raws[turn.key], sound=cell.sound, face=cell.face)
    return replace(
        turn,
        raw_label=UNUSED_LABELS[int(rng.integers(len(UNUSED_LABELS)))],
        sound=SOUND_CUES[int(rng.integers(len(SOUND_CUES)))],
        face=FACE_CUES[int(rng.integers(len(FACE_CUES)))],
    )


def dialogue_name(session: int, number: int) -> tuple[str, str]:
    """Return (name, actor with the markers): the actors alternate, as do pairs of improvised and scripted dialogues.

    >>> dialogue_name(session=1, number=0)
    ('Ses01F_impro01', 'F')
    """
    marker = ACTORS[(session + number + 1) % 2]
    block, scripted = number // 2, (number // 2 + (session - 1) // 2) % 2
    count = sum((b + (session - 1) // 2) % 2 == scripted for b in range(block + 1))
    kind = f"script{count:02d}_1" if scripted else f"impro{count:02d}"
    return f"Ses{session:02d}{marker}_{kind}", marker


def _layout(params: Draw, session: int, number: int) -> Dialogue:
    """Return one dialogue with the times of its turns, without cases."""
    rng = stream(params.seed, session, 2, number)
    name, marker = dialogue_name(session, number)
    odd = (session + number) % 2
    slots = [(ACTORS[(i + odd) % 2], True) for i in range(params.used_per_dialogue)]
    slots += [(ACTORS[(i + odd + len(slots)) % 2], False) for i in range(params.unused_per_dialogue)]
    turns: list[Turn] = []
    spoken = dict.fromkeys(ACTORS, 0)
    last_end = dict.fromkeys(ACTORS, LEAD_S - OWN_PAUSE_S)
    cursor_s = LEAD_S
    for index in rng.permutation(len(slots)):
        speaker, used = slots[index]
        length_s = rng.uniform(params.length_min_s, params.length_max_s)
        overlap_s = rng.uniform(*OVERLAP_S) if rng.random() < OVERLAP_SHARE else 0.0
        start_s = cursor_s + (-overlap_s if overlap_s and turns else rng.uniform(*PAUSE_S))
        start_s = round(max(start_s, last_end[speaker] + OWN_PAUSE_S), 4)
        end_s = round(start_s + length_s, 4)
        key = f"{name}_{speaker}{spoken[speaker]:03d}"
        side: Side = "left" if speaker == marker else "right"
        turns.append(Turn(key=key, speaker=speaker, side=side, start_s=start_s, end_s=end_s, used=used))
        spoken[speaker] += 1
        last_end[speaker], cursor_s = end_s, max(cursor_s, end_s)
    return timed_dialogue(params, name, session, number, turns)


def timed_dialogue(params: Draw, name: str, session: int, number: int, turns: Sequence[Turn]) -> Dialogue:
    """Return the dialogue of these turns with its looks away; it ends LEAD_S after the last turn."""
    ticks_per_frame = int(Fraction(FPS_NUM, FPS_DEN) / Fraction(params.rate_fps))
    end_s = max(turn.end_s for turn in turns) + LEAD_S
    return Dialogue(
        name=name,
        session=session,
        number=number,
        marker=name[5],
        turns=tuple(turns),
        away={actor: looks_away(params, turns, actor, session, number) for actor in ACTORS},
        frames=math.ceil(end_s * FPS_NUM / FPS_DEN / ticks_per_frame) * ticks_per_frame,
        ticks_per_frame=ticks_per_frame,
    )


def looks_away(params: Draw, turns: Sequence[Turn], actor: str, session: int, number: int) -> tuple[Interval, ...]:
    """Return the ticks in which an actor looks away: seldom while speaking, more often while listening.

    In each session one unused utterance has the head turned throughout: the only one without any visible face.
    """
    rng = stream(params.seed, session, 3, number, ACTORS.index(actor))
    own = [turn.frames for turn in turns if turn.speaker == actor]
    hidden = (
        next((turn.key for turn in turns if not turn.used and turn.speaker == ACTORS[session % 2]), None)
        if number == 0
        else None
    )
    intervals: list[Interval] = []
    for turn in turns:
        first, last = turn.frames
        luck, where, length = rng.random(), rng.random(), int(rng.integers(6, 15))
        start = first + int(where * max(1, last - first - length))
        if turn.key == hidden and turn.speaker == actor:
            intervals.append((first - AWAY_MARGIN, last + AWAY_MARGIN))
        elif turn.speaker == actor and luck < AWAY_SHORT_SHARE:
            intervals.append((start, start + length))
        elif turn.speaker == actor and luck < AWAY_SHORT_SHARE + AWAY_LONG_SHARE:
            intervals.append((first - AWAY_MARGIN, first + int((0.3 + 0.15 * where) * (last - first))))
        elif turn.speaker != actor and luck < AWAY_LISTENING_SHARE:
            clear = (start - AWAY_MARGIN, start + length + AWAY_MARGIN)
            if not any(a <= clear[1] and clear[0] <= b for a, b in own):
                intervals.append((start, start + length))
    return tuple(intervals)
