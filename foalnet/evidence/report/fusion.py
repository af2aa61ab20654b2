"""Section on what fusion adds: each fused variant against the late average of the single ones, also by kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from foalnet.config.blocks import HALF
from foalnet.evidence.report import tables
from foalnet.evidence.report.aggregate import Result
from foalnet.evidence.report.gather import Facts
from foalnet.evidence.report.late import LATE, Late
from foalnet.evidence.report.phrases import DASH, level, number, percent, points, span
from foalnet.evidence.report.view import Block, Cell, Paragraph, Section, Table


def fusion(
    facts: Facts, table: Sequence[Result], averages: Sequence[Late], metrics: Mapping[str, Any]
) -> Section | None:
    """Return the section; None where no late average can be computed."""
    if not averages:
        return None
    blocks: list[Block] = []
    for late in averages:
        row, share = metrics[LATE][late.name], late.ua.level
        caption = (
            f"Paired differences of UA from {late.name} in percentage points, on the same utterances, with "
            f"{level(share)} intervals and two-sided p values."
        )
        blocks += [
            Paragraph(text=_what(late)),
            tables.compact(tables.differences(row["differences"], share), caption=caption),
        ]
        if late.kinds:
            caption = (
                "Share of correct utterances by kind, in percent; below it the best that can be expected from a "
                "variant's inputs. The kinds follow from the rule by which the corpus is drawn."
            )
            by_kind = tables.compact(tables.kinds(row, late.name, share), caption=caption)
            blocks += [Paragraph(text=_interaction(late)), by_kind, _nearness(facts, table, late)]
    return Section(name="fusion", title="What fusion adds", blocks=tuple(blocks))


def _what(late: Late) -> str:
    sound, picture = late.of
    return (
        f"Fusion has to beat at least {late.name}: it multiplies the class probabilities of {sound} and {picture}, "
        "each trained by itself, and predicts the class with the largest product. It needs no training. It uses both "
        "modalities, but it cannot use information that only sound and picture together carry. It reaches "
        f"{percent(late.ua.estimate)} % UA ({level(late.ua.level)} interval {span(late.ua)})."
    )


def _interaction(late: Late) -> str:
    """Return a sentence on the kind of utterances that a late average cannot recognise."""
    on = next((each for each in late.kinds if each.kind == "interaction"), None)
    if on is None:
        return "By kind of utterance:"
    guess = on.best[late.name]
    said = [
        f"{variant} is correct on {percent(on.right[variant].estimate)} %, {points(gap.interval.estimate)} points from "
        f"{late.name} ({level(gap.interval.level)} interval {span(gap.interval, signed=True)})"
        for variant, gap in on.gains.items()
    ]
    return (
        f"For {number(on.n)} utterances only sound and picture together determine the class. There {late.name} can "
        f"expect {percent(guess)} % and any method {percent(max(on.best.values()))} % at most; {late.name} is correct "
        f"on {percent(on.right[late.name].estimate)} %. {'; '.join(said)}."
    )


def _nearness(facts: Facts, table: Sequence[Result], late: Late) -> Table:
    """Return how far each variant gets from guessing to the best possible score."""
    guess = 1 / len(facts.classes)
    half = late.name.endswith(HALF)
    rows = [(row.variant, row.ua.estimate, row.best) for row in table if row.variant in late.kinds[0].right]
    rows.insert(sum(name in late.of for name, _, _ in rows), (late.name, late.ua.estimate, late.best))
    return Table(
        caption=(
            "How close each variant comes to the best possible UA for its inputs: the part of the distance from "
            f"guessing ({percent(guess)} %) to that best{', half picture' if half else ''}, in percent. A score above "
            "the best is due to chance in this sample and counts as 100."
        ),
        head=("Variant", "UA", "Best possible UA", "Part reached"),
        rows=tuple(
            (
                Cell(text=name),
                Cell(text=percent(ua)),
                Cell(text=percent(best)),
                Cell(text=percent(min(1.0, (ua - guess) / (best - guess))) if best else DASH, strong=True),
            )
            for name, ua, best in rows
        ),
    )
