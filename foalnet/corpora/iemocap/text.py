"""IEMOCAP's text files: label files with the raters' votes, and transcriptions.

Real copies hold stray bytes, byte-order marks and three kinds of line ends: all are read. A line that does not follow
the grammar is named in the ledger with its file and line number, never guessed at.
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
# str.splitlines would also split at U+0085, which Latin-1 makes of a stray byte 0x85
_LINE_END = re.compile(r"\r\n|\n|\r")
UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)

Vote = tuple[str, tuple[str, ...]]


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelLine:
    """One label line with the votes below it; two lines agree (==) where all but votes and place are equal."""

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
    """Return the text of a file: UTF-8, with or without its mark.

    UTF-16 is believed where its mark is, and any other bytes are read as Latin-1; both are counted.
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
    """Yield (line number from 1, stripped line) of the lines that are not blank."""
    for number, line in enumerate(_LINE_END.split(text), 1):
        if stripped := line.strip():
            yield number, stripped


def parse_label_line(line: str) -> LabelLine | None:
    """Parse `[start - end] id label [valence, activation, dominance]`; None where it does not follow the grammar."""
    found = _LABEL.fullmatch(line.strip())
    if found is None:
        return None
    start_s, end_s, valence, activation, dominance = (float(found[i]) for i in (1, 2, 5, 6, 7))
    if not all(math.isfinite(number) for number in (start_s, end_s, valence, activation, dominance)):
        return None
    return LabelLine(
        key=found[3],
        start_s=start_s,
        end_s=end_s,
        raw_label=found[4],
        valence=valence,
        activation=activation,
        dominance=dominance,
    )


def parse_vote(line: str) -> Vote | None:
    """Parse a rater's line `C-E2: Anger; Frustration; (free text)` to (rater, votes); None where it is not one."""
    found = _VOTE.fullmatch(line.strip())
    if found is None:
        return None
    named = found[2].split("(", 1)[0]
    return found[1], tuple(vote for part in named.split(";") if (vote := part.strip()))


def parse_labels(text: str, path: str, dialogue: str, ledger: Ledger) -> list[LabelLine]:
    """Return the label lines of one dialogue's file in their order; what does not parse is in the ledger.

    A line that names an utterance of another dialogue is not believed either: its times index another recording.
    Of the raters' attribute lines (`A-…`) only the majority in the label line's brackets is kept.
    """
    found: list[LabelLine] = []
    # None: no label line stands above
    votes: list[Vote] | None = None
    votes_of: list[list[Vote]] = []
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
        # also below a line that does not parse, whose raters must not be taken for those of the utterance above it
        votes = []
        parsed = parse_label_line(line)
        if parsed is None:
            _drop(line, path, number, ledger, "not a label line")
        elif name_of(parsed.key).dialogue != dialogue:
            _drop(line, path, number, ledger, f"names an utterance of another dialogue than {dialogue}")
        else:
            found.append(replace(parsed, line=number))
            votes_of.append(votes)
    return [replace(line, votes=tuple(votes)) for line, votes in zip(found, votes_of, strict=True)]


def _drop(line: str, path: str, number: int, ledger: Ledger, why: str) -> None:
    named = _NAMED.search(line)
    ledger.drop(named[0] if named else f"{path}:{number}", "label_unparsed", f"{path}, line {number}: {why}")


def parse_transcript(text: str, path: str, ledger: Ledger) -> dict[str, str]:
    """Return utterance key -> words of one transcription; turns that were never labelled (`…_FXX0`) are left out."""
    spoken: dict[str, str] = {}
    for number, line in _lines(text):
        found = _SPOKEN.fullmatch(line)
        if found is not None:
            spoken.setdefault(found[1], found[2].strip())
        elif _UNLABELLED.match(line) is None:
            ledger.drop(f"{path}:{number}", "transcript_unparsed", f"{path}, line {number}")
    return spoken
