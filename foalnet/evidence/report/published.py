"""Holds the paper's tables (Li et al., Interspeech 2024, tables 1 and 2) next to results on IEMOCAP."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from foalnet.config.variants import HALF
from foalnet.evidence.report.aggregate import Result
from foalnet.evidence.report.phrases import DASH
from foalnet.evidence.report.results import Results
from foalnet.evidence.report.standing import OPTIMISTIC, Standing
from foalnet.evidence.stats import Interval

# The raw labels of the paper's classes.
CLASSES = frozenset(map(frozenset, (("hap", "exc"), ("neu",), ("sad",), ("ang",))))
# In percent as printed: method, inputs, year, UA, WA.
TABLE_1 = (
    ("FTSLLM", "A+T", "2023", "78.50", "77.70"),
    ("MSMSER", "A+T", "2023", "76.40", "75.20"),
    ("ATMF", "A+T", "2023", "79.71", "78.42"),
    ("RMER", "A+T", "2023", "77.00", "76.00"),
    ("MTTX", "A+T", "2023", "75.00", "74.50"),
    ("CRNN-SAN", "A+T", "2023", "79.95", "78.82"),
    ("BAM", "A+T", "2023", "77.00", "75.50"),
    ("MSER", "A+T", "2024", "76.56", "77.20"),
    ("MMAN", "A+V", "2020", "–", "73.94"),
    ("AM-FBP", "A+V", "2021", "75.49", "–"),
    ("MCWSA-CMHA", "A+V", "2022", "78.90", "–"),
    ("GCNet", "A+V", "2023", "78.36", "–"),
    ("Foal-Net", "A+V", "2024", "80.10", "79.45"),
)
# Inputs, method, the corresponding network of this project and its picture, UA, WA.
TABLE_2 = (
    ("V, face only", "EmoNet", None, "37.22", "36.50"),
    ("V, face only", "SENet-FER2013", None, "36.18", "35.53"),
    ("V, face only", "ResNet-FER2013", None, "40.74", "40.16"),
    ("V, whole half-picture", "CLIP", ("video_only", "half"), "47.90", "46.61"),
    ("A", "WavLM", ("audio_only", None), "77.68", "77.25"),
    ("A+V", "baseline (fusion and classifier alone)", ("baseline", "half"), "77.85", "77.31"),
    ("A+V", "baseline + AVEL", ("avel", "half"), "79.31", "78.20"),
    ("A+V", "baseline + MEM", ("mem", "half"), "78.10", "76.94"),
    ("A+V", "baseline + AVEL + MEM", ("foal", "half"), "80.10", "79.45"),
)
# Variants on the face crop have no published counterpart.
OURS = (
    ("V, face only", "this project's video encoder", ("video_only", "face"), DASH, DASH),
    ("A+V, face only", "baseline (fusion and classifier alone)", ("baseline", "face"), DASH, DASH),
    ("A+V, face only", "baseline + AVEL", ("avel", "face"), DASH, DASH),
    ("A+V, face only", "baseline + MEM", ("mem", "face"), DASH, DASH),
    ("A+V, face only", "baseline + AVEL + MEM", ("foal", "face"), DASH, DASH),
)
Row = tuple[str, str, tuple[str, str | None] | None, str, str]
# The printed cells of a row, and this project's scores.
Printed = tuple[tuple[str, ...], tuple[Interval | None, ...]]


@dataclass(frozen=True, kw_only=True)
class Ours:
    """This project's (UA, WA) by variant: under the headline's protocol, and under the published one if it was run."""

    picture: str
    headline: Mapping[str, tuple[Interval, Interval]]
    published: Mapping[str, tuple[Interval, Interval]]

    def variant(self, network: str, picture: str | None) -> str | None:
        """Return the trained variant with this network and picture, the plain name first; None: not trained."""
        names = [network] if picture in (None, self.picture) else []
        names += [network + HALF] if picture == "half" else []
        return next((name for name in names if name in self.headline), None)

    def scores(self, variant: str | None) -> tuple[Interval | None, ...]:
        """Return UA and WA under each protocol shown, in the order of `columns`."""
        tables = [self.headline, *([self.published] if self.published else [])]
        return tuple(each for table in tables for each in table.get(variant or "", (None, None)))

    def columns(self) -> tuple[str, ...]:
        """Return the names of the columns of `scores`."""
        first = ("Ours UA", "Ours WA")
        stamped = f"{OPTIMISTIC} (optimistic)"
        return (*first, f"Ours UA, {stamped}", f"Ours WA, {stamped}") if self.published else first

    def table_1(self) -> Iterator[Printed]:
        """Yield the published rows (inputs are the second column); Foal-Net's row also has this project's foal."""
        mine = self.variant("foal", "half") or self.variant("foal", self.picture)
        for method, inputs, *figures in TABLE_1:
            variant = mine if method == "Foal-Net" else None
            yield (method, inputs, variant or DASH, *figures), self.scores(variant)

    def table_2(self) -> Iterator[Printed]:
        """Yield the published rows with ours, then our rows without a published counterpart."""
        rows: tuple[Row, ...] = (*TABLE_2, *OURS)
        for row in rows:
            inputs, method, counterpart, *figures = row
            variant = self.variant(*counterpart) if counterpart else None
            if row not in OURS or variant is not None:
                yield (inputs, method, variant or DASH, *figures), self.scores(variant)


def quoted(results: Results) -> bool:
    """Tell whether the paper's tables belong on the page: a real IEMOCAP with the paper's classes."""
    classes = frozenset(map(frozenset, results.params.manifest.classes.values()))
    return results.params.reader == "iemocap" and not results.drawn and classes == CLASSES


def ours(results: Results, table: Sequence[Result], standings: Sequence[Standing]) -> Ours:
    """Return this project's scores for the published tables."""
    return Ours(
        picture=results.params.train.picture,
        headline={row.variant: (row.ua, row.wa) for row in table},
        published={row.variant: (row.ua[OPTIMISTIC], row.wa[OPTIMISTIC]) for row in standings if OPTIMISTIC in row.ua},
    )
