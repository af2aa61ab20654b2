"""Lists the utterances in a cell of the confusion matrix: where each is, how sure the answers were, what others say."""

from __future__ import annotations

import csv
import io
import re
import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from foalnet.config.variants import HALF
from foalnet.core.errors import UsageError
from foalnet.core.records import Utterance
from foalnet.core.spreadsheets import safe
from foalnet.evidence.metrics import rounded
from foalnet.evidence.report.aggregate import SEES
from foalnet.evidence.report.results import Results

# Cells that the page has, and the utterances of a cell that it lists.
CELLS, LISTED = 12, 10


@dataclass(frozen=True, kw_only=True)
class Member:
    """An utterance in a cell.

    `sure`: the mean probability of the predicted class, from 0 to 1, over the `seeds` that predicted it. `file` is
    relative to the corpus' root, with times in it in seconds; None without a manifest. `others`: single-modality
    variant -> its answer, or its answers with their number of seeds.
    """

    key: str
    dialogue: str
    file: str | None
    start_s: float | None
    end_s: float | None
    sure: float
    seeds: int
    others: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A cell of a variant's confusion matrix; `members` are the surest first."""

    variant: str
    true: str
    predicted: str
    members: tuple[Member, ...]

    @property
    def answers(self) -> int:
        """The number of answers in it, over all seeds: the figure of the matrix."""
        return sum(member.seeds for member in self.members)

    @property
    def argument(self) -> str:
        """The cell as an argument of `foalnet show`, quoted for a shell; names with other signs are left to the reader.

        >>> Cell(variant="foal", true="sad", predicted="very happy", members=()).argument
        "'sad,very happy'"
        """
        plain = all(re.fullmatch(r"[\w .-]+", name) for name in (self.true, self.predicted))
        return shlex.quote(f"{self.true},{self.predicted}") if plain else "TRUE,PREDICTED"


def headline_variant(variants: Sequence[str]) -> str:
    """Return the variant that the report is about: foal, or else the last one.

    >>> headline_variant(["baseline", "foal", "gmu"]), headline_variant(["audio_only", "gmu"])
    ('foal', 'gmu')
    """
    return "foal" if "foal" in variants else variants[-1]


def errors(results: Results, variant: str) -> list[Cell]:
    """Return the cells off the diagonal that are not empty, the largest first."""
    classes = results.facts.classes
    every = (cell(results, variant, true, predicted) for true in classes for predicted in classes if true != predicted)
    return sorted((one for one in every if one.members), key=lambda one: -one.answers)


def cell(results: Results, variant: str, true: str, predicted: str) -> Cell:
    """Return one cell; UsageError (exit 2) for a variant that was not evaluated, or a class that does not exist."""
    known = {"variant": list(results.runs), "class": list(results.facts.classes)}
    for what, name in (("variant", variant), ("class", true), ("class", predicted)):
        if name not in known[what]:
            raise UsageError(f"{name} is no {what} of this report", action=f"it has {', '.join(known[what])}")
    place = results.facts.classes.index(predicted)
    sure: dict[str, list[float]] = {}
    for run in results.runs[variant]:
        for key, row in run.rows.items():
            if (row.label, row.predicted) == (true, predicted):
                sure.setdefault(key, []).append(row.probabilities[place])
    places = {u.key: u for u in results.manifest if u.key in sure}
    members = (_member(results, variant, key, each, places.get(key)) for key, each in sure.items())
    ordered = sorted(members, key=lambda one: (-one.sure, -one.seeds, one.key))
    return Cell(variant=variant, true=true, predicted=predicted, members=tuple(ordered))


def _member(results: Results, variant: str, key: str, sure: Sequence[float], place: Utterance | None) -> Member:
    return Member(
        key=key,
        dialogue=next(run.rows[key].dialogue for run in results.runs[variant] if key in run.rows),
        file=None if place is None else place.video or place.dialogue_audio or place.audio or place.features,
        start_s=None if place is None else place.start_s,
        end_s=None if place is None else place.end_s,
        sure=rounded(sum(sure) / len(sure)),
        seeds=len(sure),
        others={name: _answers(results, name, key) for name in singles(results) if name != variant},
    )


def singles(results: Results) -> list[str]:
    """Return the variants of one modality."""
    return [name for name in results.runs if name.removesuffix(HALF) in SEES]


def _answers(results: Results, variant: str, key: str) -> str:
    """Return what a variant says of an utterance: "sad", or "sad 2, happy 1" where its seeds differ."""
    counts = Counter(run.rows[key].predicted for run in results.runs[variant] if key in run.rows)
    if len(counts) < 2:
        return next(iter(counts), "")
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items(), key=lambda one: (-one[1], one[0])))


def cell_csv(one: Cell) -> str:
    """Return a cell as CSV with a row for each utterance, safe to open in a spreadsheet."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerows(rows(one))
    return file.getvalue()


def rows(one: Cell) -> Iterator[list[str]]:
    """Yield the names of the columns, and a row for each utterance."""
    others = list(one.members[0].others) if one.members else []
    yield ["utterance", "dialogue", "file", "start_s", "end_s", "probability", "seeds", *others]
    for member in one.members:
        where = [member.file, member.start_s, member.end_s, member.sure, member.seeds]
        cells = [member.key, member.dialogue, *where, *member.others.values()]
        yield ["" if each is None else safe(str(each)) for each in cells]
