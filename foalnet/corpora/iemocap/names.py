"""The grammar of IEMOCAP's names: dialogues, utterances, paths; who speaks and where that actor sits."""

from __future__ import annotations

import re
from dataclasses import dataclass

from foalnet.core.ledger import MISFILED, SHADOW
from foalnet.core.records import Side
from foalnet.corpora.base import is_shadow, stem

DIALOGUE = r"Ses0[1-5][FM]_(?:impro|script)[0-9]{2}(?:_[0-9])?[a-z]?"
UTTERANCE = DIALOGUE + r"_[FM][0-9]{3}"
# a turn that was transcribed but never labelled
UNLABELLED = DIALOGUE + r"_[FM]XX[0-9]*"

_NAME = re.compile(rf"(?P<dialogue>{DIALOGUE})_(?P<letter>[FM])(?P<number>[0-9]{{3}})")
# Paths are matched in any case: a copy that went through Windows may have `session3` and `.WAV`.
_ANY_CASE = re.IGNORECASE | re.ASCII
_SESSION = re.compile(r"Session[1-5]", _ANY_CASE)
_ROLES = tuple(
    (re.compile(rf"(Session[1-5])/{place}", _ANY_CASE), role)
    for place, role in (
        (rf"dialog/EmoEvaluation/({DIALOGUE})\.txt", "labels"),
        (rf"dialog/transcriptions/({DIALOGUE})\.txt", "transcript"),
        (rf"dialog/wav/({DIALOGUE})\.wav", "dialogue_audio"),
        (rf"dialog/avi/DivX/({DIALOGUE})\.avi", "video"),
        (rf"sentences/wav/({DIALOGUE})/\2_[FM][0-9]{{3}}\.wav", "audio"),
    )
)
_STEM = re.compile(rf"({UTTERANCE}|{DIALOGUE})", _ANY_CASE)
# "Ses01F_impro01 (1).avi" is a browser's second download. The recordings of markers bear the dialogues' names too.
_LOOKALIKE = re.compile(
    rf"(?!.*/MOCAP_)(?:.*/)?(?:{UTTERANCE}(?!\w)[^/]*\.(?:wav|flac)|{DIALOGUE}(?!\w)[^/]*\.(?:txt|wav|flac|avi|mp4))",
    _ANY_CASE,
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
        if found is not None and found[1].casefold() == session_of(found[2]).casefold():
            return role
    return MISFILED if _LOOKALIKE.fullmatch(path) else None


def stem_of(path: str) -> str:
    """Return the dialogue or utterance of a path with a role as the label files spell it, whatever the path's case."""
    name = stem(path)
    assert _STEM.fullmatch(name), f"`role_of` let {path} pass"
    # Ses01F_script01_1b_M003: capital are the S, the actor with the markers and the actor who speaks.
    head, tail = name[:6], name[6:].lower()
    tail = re.sub(r"_[fm](?=[0-9]{3}$)", lambda letter: letter[0].upper(), tail)
    return f"S{head[1:5].lower()}{head[5].upper()}{tail}"
