"""The turns of dialogues, for methods that read a dialogue as a whole."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch

from foalnet.core.errors import UsageError
from foalnet.core.records import Utterance
from foalnet.nets import Turns


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """One turn of a dialogue; `scored`: it has a class of the experiment, the others are context."""

    key: str
    speaker: str
    scored: bool


def dialogues_of(utterances: Iterable[Utterance], groups: Mapping[str, str]) -> dict[str, tuple[Turn, ...]]:
    """Return the turns of each dialogue by its name, in their order; a dialogue without a scored turn is left out.

    `groups`: the group of each scored utterance. UsageError (exit 2) if a dialogue is in two of them: its turns would
    be in training and in test.
    """
    by_name: dict[str, list[Utterance]] = defaultdict(list)
    for u in utterances:
        by_name[f"{u.session}/{u.dialogue}"].append(u)
    dialogues = {}
    for name, rows in sorted(by_name.items()):
        inside = {groups[u.key] for u in rows if u.key in groups}
        if len(inside) > 1:
            raise UsageError(
                f"dialogue {name} has turns in {' and '.join(sorted(inside))}: a method over turns would see the test "
                "part's in training",
                action="train a method of single utterances, or fold by a group that keeps dialogues whole (fold_by)",
            )
        if inside:
            ordered = sorted(rows, key=lambda u: (u.turn or 0, u.key))
            dialogues[name] = tuple(Turn(key=u.key, speaker=u.speaker, scored=u.key in groups) for u in ordered)
    return dialogues


def turns_of(dialogues: Sequence[Sequence[Turn]]) -> Turns:
    """Return the dialogues of a batch; its rows are their turns, one dialogue after the other.

    >>> first = [Turn(key="a", speaker="Ada", scored=True), Turn(key="b", speaker="Ben", scored=False)]
    >>> turns = turns_of([first, [Turn(key="c", speaker="Ben", scored=True)]])
    >>> turns.there_ST.tolist(), turns.scored_ST.tolist(), turns.speaker_ST.tolist()
    ([[True, True], [True, False]], [[True, False], [True, False]], [[0, 1], [0, 0]])
    """
    shape = (len(dialogues), max(len(turns) for turns in dialogues))
    there_ST, scored_ST = torch.zeros(shape, dtype=torch.bool), torch.zeros(shape, dtype=torch.bool)
    speaker_ST = torch.zeros(shape, dtype=torch.int64)
    for row, turns in enumerate(dialogues):
        number: dict[str, int] = {}
        for place, turn in enumerate(turns):
            there_ST[row, place], scored_ST[row, place] = True, turn.scored
            speaker_ST[row, place] = number.setdefault(turn.speaker, len(number))
    return Turns(there_ST=there_ST, scored_ST=scored_ST, speaker_ST=speaker_ST)
