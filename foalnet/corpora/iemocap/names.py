"""The grammar of IEMOCAP's names of dialogues, utterances and files; the speaker and side that a name implies."""

from __future__ import annotations

import re
from dataclasses import dataclass

from foalnet.core.ledger import MISFILED, SHADOW
from foalnet.core.records import Side
from foalnet.corpora.base import is_shadow, stem

DIALOGUE = r"Ses0[1-5][FM]_(?:impro|script)[0-9]{2}(?:_[0-9])?[a-z]?"
UTTERANCE = DIALOGUE + r"_[FM][0-9]{3}"
# A turn that is transcribed but not labelled.
UNLABELLED = DIALOGUE + r"_[FM]XX[0-9]*"

_NAME = re.compile(rf"(?P<dialogue>{DIALOGUE})_(?P<letter>[FM])(?P<number>[0-9]{{3}})")
# Paths are matched case-insensitively: a copy from Windows may have `session3` and `.WAV`.
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
# Misnamed files, such as a browser's second download "Ses01F_impro01 (1).avi"; not the motion capture files in MOCAP_*.
_LOOKALIKE = re.compile(
    rf"(?!.*/MOCAP_)(?:.*/)?(?:{UTTERANCE}(?!\w)[^/]*\.(?:wav|flac)|{DIALOGUE}(?!\w)[^/]*\.(?:txt|wav|flac|avi|mp4))",
    _ANY_CASE,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Name:
    """The parts of an utterance's name: its dialogue, the letter of its own suffix, its number."""

    dialogue: str
    letter: str
    number: int

    @property
    def key(self) -> str:
        """The whole name."""
        return f"{self.dialogue}_{self.letter}{self.number:03d}"

    @property
    def speaker(self) -> str:
        """Session and letter of the suffix: the speaker of Ses01F_impro01_M003 is Ses01M."""
        return self.dialogue[:5] + self.letter

    @property
    def side(self) -> Side:
        """The actor with the markers, named in the dialogue's name, sits left, the other right."""
        return "left" if self.letter == self.dialogue[5] else "right"


def parse_name(key: str) -> Name | None:
    """Return the parts of an utterance's name; None if it does not follow the grammar.

    >>> name = parse_name("Ses01F_impro01_M003")
    >>> name.dialogue, name.speaker, name.side  # the markers are on F, who sits left
    ('Ses01F_impro01', 'Ses01M', 'right')
    """
    match = _NAME.fullmatch(key)
    if match is None:
        return None
    return Name(dialogue=match["dialogue"], letter=match["letter"], number=int(match["number"]))


def name_of(key: str) -> Name:
    """Return the parts of a valid utterance's name (ValueError if it does not follow the grammar)."""
    name = parse_name(key)
    if name is None:
        raise ValueError(f"not an utterance of IEMOCAP: {key!r}")
    return name


def session_of(dialogue: str) -> str:
    """Return the session folder of a dialogue: Ses03M_impro05a is in Session3.

    >>> session_of("Ses03M_impro05a")
    'Session3'
    """
    return f"Session{dialogue[4]}"


def is_session(name: str) -> bool:
    """Return whether a folder's name is that of a session."""
    return _SESSION.fullmatch(name) is not None


def role_of(path: str) -> str | None:
    """Return the role of a path relative to the folder that contains Session1; see `Reader.wanted`.

    >>> role_of("Session1/dialog/EmoEvaluation/Ses01F_impro01.txt"), role_of("Session1/dialog/lab/notes.doc")
    ('labels', None)
    """
    if is_shadow(path):
        return SHADOW
    for pattern, role in _ROLES:
        match = pattern.fullmatch(path)
        if match is not None and match[1].casefold() == session_of(match[2]).casefold():
            return role
    return MISFILED if _LOOKALIKE.fullmatch(path) else None


def stem_of(path: str) -> str:
    """Return the dialogue or utterance of a path that has a role, in the case that the label files use.

    >>> stem_of("session1/dialog/wav/ses01f_impro01.wav")
    'Ses01F_impro01'
    """
    name = stem(path)
    assert _STEM.fullmatch(name), f"`role_of` let {path} pass"
    # Upper case in Ses01F_script01_1b_M003: the S, the actor with the markers, the actor who speaks.
    head, tail = name[:6], name[6:].lower()
    tail = re.sub(r"_[fm](?=[0-9]{3}$)", lambda letter: letter[0].upper(), tail)
    return f"S{head[1:5].lower()}{head[5].upper()}{tail}"
