"""Reads the votes of CREMA-D's raters: each rater's own, or where that table is absent the counts for each clip."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from foalnet.core.ledger import Ledger
from foalnet.corpora.csvs import read_csv, refuse

LETTERS = {"A": "angry", "D": "disgust", "F": "fearful", "H": "happy", "N": "neutral", "S": "sad"}
# What a rater was shown: the column queryType, and the first digit of a row's number in the table of counts.
SHOWN = ("voice", "face", "both")
EACH, COUNTED = "finishedResponses.csv", "processedResults/tabulatedVotes.csv"
TABLES = (EACH, COUNTED)
_COUNT = re.compile("[0-9]{1,3}")


# Clip -> rater -> emotion; a rater's name begins with what was shown, as in `voice-SSI_1132064474`.
Votes = dict[str, dict[str, str]]


def read_votes(root: Path, tables: Sequence[str], ledger: Ledger) -> Votes:
    """Return the votes of the first of TABLES that is among `tables`; none if there is no table.

    `ledger` receives votes that cannot be used. DataError (exit 3) names the row of a table of another form.
    """
    if EACH in tables:
        return _each(root / EACH, ledger)
    return _counted(root / COUNTED) if COUNTED in tables else {}


def _each(file: Path, ledger: Ledger) -> Votes:
    rows, _ = read_csv(file, ("localid", "queryType", "clipName", "respEmo"))
    raters: Votes = {}
    for number, row in rows:
        shown, vote = row["queryType"], LETTERS.get(row["respEmo"])
        if shown not in ("1", "2", "3") or vote is None:
            what = f"row {number}: queryType '{shown}', respEmo '{row['respEmo']}'"
            ledger.drop(row["clipName"], "vote_unparsed", what)
            continue
        rater = f"{SHOWN[int(shown) - 1]}-{row['localid']}"
        if rater in raters.setdefault(row["clipName"], {}):
            ledger.drop(row["clipName"], "vote_unparsed", f"row {number}: rater {rater} votes again")
        raters[row["clipName"]].setdefault(rater, vote)
    return raters


def _counted(file: Path) -> Votes:
    """Return as many raters without a name as the counts say, as in `face-07`."""
    rows, _ = read_csv(file, ("", "fileName", *LETTERS))
    raters: Votes = {}
    faults = []
    for number, row in rows:
        # The numbers of the rows are 100001 …, 200001 … and 300001 …: what was shown, and the clip.
        counts = [row[letter] for letter in LETTERS]
        if row[""][:1] not in ("1", "2", "3") or not all(_COUNT.fullmatch(count) for count in counts):
            faults.append(f"row {number}: '{row['']}' with the counts {', '.join(counts)}")
            continue
        shown = SHOWN[int(row[""][0]) - 1]
        votes = [vote for letter, vote in LETTERS.items() for _ in range(int(row[letter]))]
        named = {f"{shown}-{rater:02d}": vote for rater, vote in enumerate(votes, 1)}
        if named.keys() & raters.setdefault(row["fileName"], {}).keys():
            faults.append(f"row {number}: clip {row['fileName']} with {shown} stands twice")
        raters[row["fileName"]] |= named
    if faults:
        raise refuse(file, faults)
    return raters
