"""Parses IEMOCAP's text files: label files with the raters' votes, and transcriptions.

Real copies have stray bytes, byte-order marks and three kinds of line ends; all are read. A line that does not follow
the grammar is recorded in the ledger with its file and line number.
"""

from __future__ import annotations

import codecs
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from foalnet.core.ledger import Ledger
from foalnet.corpora.iemocap.names import UNLABELLED, UTTERANCE, name_of

_NUMBER = r"\s*(-?[0-9]+(?:\.[0-9]*)?)\s*"
_LABEL = re.compile(
    rf"\[{_NUMBER}-{_NUMBER}\]\s*({UTTERANCE})\s+([a-z]{{3}})\s*\[{_NUMBER},{_NUMBER},{_NUMBER}\]", re.ASCII
)
_VOTE = re.compile(r"C-([EFM][0-9]*):(.*)")
_SPOKEN = re.compile(rf"({UTTERANCE})\s*\[[^\]]*\]\s*:(.*)")
_UNLABELLED = re.compile(rf"{UNLABELLED}(?![A-Za-z0-9_])")
_NAMED = re.compile(rf"{UTTERANCE}(?![A-Za-z0-9_])")
# str.splitlines would also split at U+0085, the Latin-1 reading of a stray byte 0x85.
_LINE_END = re.compile(r"\r\n|\n|\r")
UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)

Vote = tuple[str, tuple[str, ...]]


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelLine:
    """One label line with the votes below it; lines are equal if all but votes and line number agree."""

    key: str
    start_s: float
    end_s: float
    raw_label: str
    valence: float
    activation: float
    dominance: float
    votes: tuple[Vote, ...] = field(default=(), compare=False)
    line: int = field(default=0, compare=False)


def decode(data: bytes, path: str, ledger: Ledger) -> str:
    """Return the text of a file in UTF-8 with or without byte-order mark.

    Files with the mark of UTF-16 are read as UTF-16, all others as Latin-1; the ledger counts both.
    """
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        where = f"byte {error.start} is not UTF-8"
    if data[:2] in UTF16_MARKS:
        try:
            text = data.decode("utf-16")
        except UnicodeDecodeError:
            pass
        else:
            ledger.repair(path, "encoding_repaired", "UTF-16, as its mark says")
            return text
    ledger.repair(path, "encoding_repaired", where)
    return data.removeprefix(codecs.BOM_UTF8).decode("latin-1")


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield (line number from 1, stripped line) for the lines that are not blank."""
    for number, line in enumerate(_LINE_END.split(text), 1):
        if stripped := line.strip():
            yield number, stripped


def parse_label_line(line: str) -> LabelLine | None:
    """Parse `[start - end] id label [valence, activation, dominance]`; None if it does not follow the grammar.

    >>> line = parse_label_line("[6.2901 - 8.2357] Ses01F_impro01_F000 neu [2.5000, 2.5000, 2.5000]")
    >>> line.key, line.start_s, line.raw_label
    ('Ses01F_impro01_F000', 6.2901, 'neu')
    """
    match = _LABEL.fullmatch(line.strip())
    if match is None:
        return None
    start_s, end_s, valence, activation, dominance = (float(match[i]) for i in (1, 2, 5, 6, 7))
    if not all(math.isfinite(number) for number in (start_s, end_s, valence, activation, dominance)):
        return None
    return LabelLine(
        key=match[3],
        start_s=start_s,
        end_s=end_s,
        raw_label=match[4],
        valence=valence,
        activation=activation,
        dominance=dominance,
    )


def parse_vote(line: str) -> Vote | None:
    """Parse a rater's line `C-E2: Anger; Frustration; (free text)` to (rater, votes); None if it is not one.

    >>> parse_vote("C-E2: Anger; Frustration; (annoyed)")
    ('E2', ('Anger', 'Frustration'))
    """
    match = _VOTE.fullmatch(line.strip())
    if match is None:
        return None
    named = match[2].split("(", 1)[0]
    return match[1], tuple(vote for part in named.split(";") if (vote := part.strip()))


def parse_labels(text: str, path: str, dialogue: str, ledger: Ledger) -> list[LabelLine]:
    """Return the label lines of one dialogue's file in order; the ledger receives the lines that do not parse.

    A line with an utterance of another dialogue is dropped too, because its times index another recording. The raters'
    attribute lines (`A-…`) are not used; the label line has their averages in brackets.
    """
    labelled: list[LabelLine] = []
    # None: no label line has been read yet.
    votes: list[Vote] | None = None
    votes_by_line: list[list[Vote]] = []
    for number, line in _lines(text):
        if line.startswith(("%", "A-")):
            continue
        if line.startswith("C-"):
            vote = parse_vote(line)
            if vote is None or votes is None:
                ledger.drop(f"{path}:{number}", "vote_unparsed", f"{path}, line {number}")
            else:
                votes.append(vote)
            continue
        # Reset below an invalid label line too: its raters must not count for the utterance above it.
        votes = []
        parsed = parse_label_line(line)
        if parsed is None:
            _drop(line, path, number, ledger, "not a label line")
        elif name_of(parsed.key).dialogue != dialogue:
            _drop(line, path, number, ledger, f"names an utterance of another dialogue than {dialogue}")
        else:
            labelled.append(replace(parsed, line=number))
            votes_by_line.append(votes)
    return [replace(line, votes=tuple(votes)) for line, votes in zip(labelled, votes_by_line, strict=True)]


def _drop(line: str, path: str, number: int, ledger: Ledger, why: str) -> None:
    named = _NAMED.search(line)
    ledger.drop(named[0] if named else f"{path}:{number}", "label_unparsed", f"{path}, line {number}: {why}")


def parse_transcript(text: str, path: str, ledger: Ledger) -> dict[str, str]:
    """Return utterance key -> spoken text of one transcription, without unlabelled turns (`…_FXX0`)."""
    spoken: dict[str, str] = {}
    for number, line in _lines(text):
        match = _SPOKEN.fullmatch(line)
        if match is not None:
            spoken.setdefault(match[1], match[2].strip())
        elif _UNLABELLED.match(line) is None:
            ledger.drop(f"{path}:{number}", "transcript_unparsed", f"{path}, line {number}")
    return spoken
