"""The grammar of IEMOCAP's names: dialogues, utterances, paths; who speaks and where that actor sits."""

from __future__ import annotations

import re
from dataclasses import dataclass

from foalnet.corpora.base import SHADOW, is_shadow
from foalnet.records import Side

DIALOGUE = r"Ses0[1-5][FM]_(?:impro|script)[0-9]{2}(?:_[0-9])?[a-z]?"
UTTERANCE = DIALOGUE + r"_[FM][0-9]{3}"
# a turn that was transcribed but never labelled
UNLABELLED = DIALOGUE + r"_[FM]XX[0-9]*"

_NAME = re.compile(rf"(?P<dialogue>{DIALOGUE})_(?P<letter>[FM])(?P<number>[0-9]{{3}})")
_SESSION = re.compile(r"Session[1-5]")
_ROLES = (
    (re.compile(rf"(Session[1-5])/dialog/EmoEvaluation/({DIALOGUE})\.txt"), "labels"),
    (re.compile(rf"(Session[1-5])/dialog/transcriptions/({DIALOGUE})\.txt"), "transcript"),
    (re.compile(rf"(Session[1-5])/dialog/wav/({DIALOGUE})\.wav"), "dialogue_audio"),
    (re.compile(rf"(Session[1-5])/dialog/avi/DivX/({DIALOGUE})\.avi"), "video"),
    (re.compile(rf"(Session[1-5])/sentences/wav/({DIALOGUE})/(?:\2)_[FM][0-9]{{3}}\.wav"), "audio"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Name:
    """An utterance's name taken apart: its dialogue, the letter of its own suffix, its number."""

    dialogue: str
    letter: str
    number: int

    @property
    def key(self) -> str:
        """The name put together again."""
        return f"{self.dialogue}_{self.letter}{self.number:03d}"

    @property
    def speaker(self) -> str:
        """Session and letter of the suffix: Ses01F_impro01_M003 is spoken by Ses01M."""
        return self.dialogue[:5] + self.letter

    @property
    def side(self) -> Side:
        """The actor whose letter is in the dialogue's name (with the markers) sits left, the other right."""
        return "left" if self.letter == self.dialogue[5] else "right"


def parse_name(key: str) -> Name | None:
    """Take an utterance's name apart; None where it does not follow the grammar."""
    found = _NAME.fullmatch(key)
    if found is None:
        return None
    return Name(dialogue=found["dialogue"], letter=found["letter"], number=int(found["number"]))


def name_of(key: str) -> Name:
    """Take the name of a known utterance apart (ValueError where it does not follow the grammar)."""
    name = parse_name(key)
    if name is None:
        raise ValueError(f"not an utterance of IEMOCAP: {key!r}")
    return name


def session_of(dialogue: str) -> str:
    """Return the session folder of a dialogue: Ses03M_impro05a is in Session3."""
    return f"Session{dialogue[4]}"


def is_session(name: str) -> bool:
    """Tell whether a folder's name is that of a session."""
    return _SESSION.fullmatch(name) is not None


def role_of(path: str) -> str | None:
    """Return the role of a path relative to the folder of Session1: see `Reader.wanted`."""
    if is_shadow(path):
        return SHADOW
    for pattern, role in _ROLES:
        found = pattern.fullmatch(path)
        if found is not None and found[1] == session_of(found[2]):
            return role
    return None
