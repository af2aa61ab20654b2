"""Section with the paper's tables (Li et al., Interspeech 2024, tables 1 and 2) next to results on IEMOCAP."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from foalnet.config.blocks import HALF
from foalnet.core.paths import HEADLINE
from foalnet.evidence.report.aggregate import Result
from foalnet.evidence.report.gather import Facts
from foalnet.evidence.report.phrases import DASH, percent, span_short
from foalnet.evidence.report.standing import OPTIMISTIC, Standing
from foalnet.evidence.report.view import Cell, Note, Paragraph, Section, Table, cells
from foalnet.evidence.stats import Interval

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

    def cells(self, variant: str | None) -> tuple[Cell, ...]:
        """Return UA and WA with their intervals under each protocol shown."""
        tables = [self.headline, *([self.published] if self.published else [])]
        pairs = [table.get(variant or "") for table in tables]
        return tuple(
            Cell(text=percent(one.estimate, 2), small=span_short(one)) if one else Cell(text=DASH)
            for pair in pairs
            for one in (pair or (None, None))
        )

    def head(self) -> tuple[str, ...]:
        """Return the names of the columns that `cells` fills."""
        first = ("Ours UA", "Ours WA")
        stamped = f"{OPTIMISTIC} (optimistic)"
        return (*first, f"Ours UA, {stamped}", f"Ours WA, {stamped}") if self.published else first


def ours(facts: Facts, table: Sequence[Result], standings: Sequence[Standing]) -> Ours:
    """Return this project's scores for the published tables."""
    return Ours(
        picture=facts.params.train.picture,
        headline={row.variant: (row.ua, row.wa) for row in table},
        published={row.variant: (row.ua[OPTIMISTIC], row.wa[OPTIMISTIC]) for row in standings if OPTIMISTIC in row.ua},
    )


def published(facts: Facts, table: Sequence[Result], standings: Sequence[Standing]) -> Section | None:
    """Return the published tables next to ours for a real corpus of the reader iemocap, else None."""
    if facts.params.reader != "iemocap" or facts.drawn:
        return None
    reached = ours(facts, table, standings)
    under = f"Ours under {HEADLINE}" + (f" and, like theirs, under {OPTIMISTIC}" if reached.published else "")
    return Section(
        name="published",
        title="What was published",
        blocks=(
            Note(text=_caution(reached)),
            Table(
                title="Table 1 of the paper",
                caption=f"Published results on IEMOCAP, 4 classes, in percent. A sound, V picture, T text. {under}.",
                head=("Method", "Input", "Variant here", "Year", "Published UA", "Published WA", *reached.head()),
                rows=tuple(_table_1(reached)),
                labels=3,
            ),
            Table(
                title="Table 2 of the paper",
                caption=(
                    "Published ablation, in percent, with the variant of this project that corresponds (the paper's "
                    f"picture is the speaker's half); then ours on the face crop. {DASH}: not published, not rebuilt "
                    f"or not trained. {under}."
                ),
                head=("Input", "Method", "Variant here", "Published UA", "Published WA", *reached.head()),
                rows=tuple(_table_2(reached)),
                labels=3,
            ),
            Paragraph(
                text="Source: Li and others, Interspeech 2024, pages 4663-4667, doi 10.21437/Interspeech.2024-1462."
            ),
        ),
    )


def _caution(reached: Ours) -> str:
    """Return sentences on which figures may be compared."""
    text = (
        "The published figures are quoted, not reproduced, and must not be ranked against the result above: the "
        "released code chose its best epoch on the session that it was tested on, which is optimistic, and it used "
        "large pretrained encoders. Until 2024-10-01 that code swapped UA and WA in printing and selection, so the "
        "published 80.10 and 79.45 may be exchanged. The three face-only rows are quoted as published: their encoders "
        "are not rebuilt here."
    )
    if reached.published:
        text += f" Only the columns under {OPTIMISTIC} were chosen in the same way as the published figures."
    return text


def _table_1(reached: Ours) -> Iterator[tuple[Cell, ...]]:
    """Yield the published rows; Foal-Net's row also has this project's foal."""
    mine = reached.variant("foal", "half") or reached.variant("foal", reached.picture)
    for method, *rest in TABLE_1:
        variant = mine if method == "Foal-Net" else None
        inputs, *figures = rest
        yield (*cells((method, inputs, variant or DASH, *figures)), *reached.cells(variant))


def _table_2(reached: Ours) -> Iterator[tuple[Cell, ...]]:
    """Yield the published rows with ours, then our rows without a published counterpart."""
    rows: tuple[Row, ...] = (*TABLE_2, *OURS)
    for inputs, method, counterpart, ua, wa in rows:
        variant = reached.variant(*counterpart) if counterpart else None
        if (inputs, method, counterpart, ua, wa) in OURS and variant is None:
            continue
        yield (*cells((inputs, method, variant or DASH, ua, wa)), *reached.cells(variant))
