"""The same variants under every protocol that was asked for, each stamped, and the gap between them in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from foalnet.core.paths import HEADLINE
from foalnet.evidence.report import figures
from foalnet.evidence.report.gather import Facts
from foalnet.evidence.report.standing import OPTIMISTIC, Standing
from foalnet.evidence.report.view import Block, Bullets, Cell, Note, Paragraph, Section, Table, Tables
from foalnet.evidence.report.words import DASH, STAMPS, level, percent, points, span, span_short
from foalnet.evidence.stats import Interval


def protocols(facts: Facts, table: Sequence[Standing]) -> Section | None:
    """Return scores by protocol and what parts them; None where the headline's protocol stands alone."""
    if not table:
        return None
    names = [HEADLINE, *facts.beside]
    blocks: list[Block] = [Bullets(items=tuple(_meaning(facts, name) for name in names))]
    if OPTIMISTIC in names:
        blocks.append(
            Note(
                text=(
                    f"{OPTIMISTIC} is optimistic: labels of the very utterances that are scored chose the epoch, so "
                    "no one can expect this score from new recordings. Its intervals do not cover that. It stands "
                    "here because the published figures came about in this way; it must not be ranked against "
                    "scores under an honest protocol."
                )
            )
        )
    blocks += [
        Tables(tables=(_scores("UA", table, names), _scores("WA", table, names))),
        figures.protocols(table, 1 / len(facts.classes)),
        *_gap(facts, table, names),
    ]
    return Section(name="protocols", title="Under other protocols", blocks=tuple(blocks))


def _unit(facts: Facts) -> str:
    return "group of speakers" if facts.first.metrics["cluster"] == "speaker" else "session"


def _meaning(facts: Facts, protocol: str) -> str:
    """Say in one sentence how a protocol trains and chooses."""
    unit, count = _unit(facts), len(facts.folds)
    units = "groups of speakers" if unit == "group of speakers" else "sessions"
    ran = sorted(
        {
            fold["epochs_run"]
            for group in facts.beside.get(protocol, {}).values()
            for run in group
            for fold in run.metrics["folds"].values()
        }
    )
    epochs = "-".join(str(number) for number in dict.fromkeys([ran[0], ran[-1]])) if ran else ""
    how = {
        "loso_dev_session": f"{count - 2} of {count} {units} train, the next one chooses the epoch, one is tested",
        "loso_fixed_epochs": (
            f"{count - 1} of {count} {units} train, one is tested, and the last of {epochs} epochs stands, a number "
            "that was fixed before"
        ),
        OPTIMISTIC: (
            f"the same training run as loso_fixed_epochs, but the epoch is the best one of {epochs} on the {unit} "
            "that is tested"
        ),
    }
    return f"{protocol} ({STAMPS[protocol]}): {how[protocol]}."


def _scores(metric: str, table: Sequence[Standing], names: Sequence[str]) -> Table:
    rows = []
    for row in table:
        found: Mapping[str, Interval] = getattr(row, metric.lower())
        cells = [
            Cell(text=percent(found[name].estimate), small=span_short(found[name]), strong=name == HEADLINE)
            if name in found
            else Cell(text=DASH)
            for name in names
        ]
        rows.append((Cell(text=row.variant), *cells))
    bounds = level(next(iter(table[0].ua.values())).level)
    return Table(
        title=f"{metric} by protocol",
        caption=f"{metric} in percent with {bounds} intervals, on the same utterances.",
        head=("Variant", *(f"{name} ({STAMPS[name]})" for name in names)),
        rows=tuple(rows),
    )


def _gap(facts: Facts, table: Sequence[Standing], names: Sequence[str]) -> list[Block]:
    """Return the table of effects, what each one holds, and the main variant's gap in a sentence."""
    effects = [name for name in _titles(facts) if any(name in row.effects for row in table)]
    if not effects:
        return []
    rows = tuple(
        (
            Cell(text=row.variant),
            *(
                Cell(text=points(row.effects[name].estimate), small=span(row.effects[name], signed=True))
                if name in row.effects
                else Cell(text=DASH)
                for name in effects
            ),
        )
        for row in table
    )
    found = Table(
        title="What the gap is made of",
        caption="Differences of UA in percentage points on the same utterances, with intervals.",
        head=("Variant", *(_titles(facts)[name] for name in effects)),
        rows=rows,
    )
    main = next((row for row in table if row.variant == "foal"), table[-1])
    sentence = [Paragraph(text=gap_sentence(main, _unit(facts)))] if len(effects) == 3 else []
    return [*sentence, found, Paragraph(text=_caution(facts, effects, names))]


def _titles(facts: Facts) -> dict[str, str]:
    return {
        "selection": "Choosing on the test part",
        "fourth_session": f"One more {_unit(facts)} trains",
        "together": "Both together",
    }


def gap_sentence(row: Standing, unit: str) -> str:
    """Say where the distance between the published protocol and the headline comes from, for one variant."""
    effects = {name: f"{points(e.estimate)} ({span(e, signed=True)})" for name, e in row.effects.items()}
    return (
        f"Under {OPTIMISTIC} {row.variant} stands {points(row.effects['together'].estimate)} points of UA from the "
        f"headline. {effects['selection']} of them come from choosing the epoch on the {unit} that is tested, with "
        f"nothing else changed; {effects['fourth_session']} come with one more {unit} to train on."
    )


def _caution(facts: Facts, effects: Sequence[str], names: Sequence[str]) -> str:
    """Say what each effect holds, and what it does not."""
    unit = _unit(facts)
    text = []
    if "selection" in effects:
        text.append(
            f"Choosing on the test part compares two epochs of one training run ({OPTIMISTIC} minus "
            "loso_fixed_epochs). In no fold can it be below zero, so an interval above zero is no discovery; its size "
            "is what matters."
        )
    if "fourth_session" in effects:
        text.append(
            f"One more {unit} trains where none is kept for choosing (loso_fixed_epochs minus loso_dev_session): the "
            f"figure holds what the {unit} teaches, and also that the last epoch stands instead of a chosen one. The "
            "two cannot be told apart here, and the spread between trainings is in it."
        )
    if len(effects) < 3 and OPTIMISTIC in names:
        text.append(
            "With loso_fixed_epochs among the protocols of params.yaml the gap would be split in two, at no further "
            "training."
        )
    return " ".join(text)
