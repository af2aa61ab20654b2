"""Section on the same variants under every protocol of params.yaml, and what the gap between them consists of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from foalnet.core.paths import HEADLINE
from foalnet.evidence.report import figures, tables
from foalnet.evidence.report.gather import Facts
from foalnet.evidence.report.phrases import STAMPS, fold_unit, level, points, span
from foalnet.evidence.report.standing import EFFECTS, OPTIMISTIC, Standing
from foalnet.evidence.report.view import Block, Bullets, Note, Paragraph, Section, Tables


def protocols(facts: Facts, table: Sequence[Standing], metrics: Mapping[str, Any]) -> Section | None:
    """Return scores by protocol and their differences; None where only the headline's protocol was run."""
    if not table:
        return None
    names, bounds = [HEADLINE, *facts.other_protocols], level(facts.params.report.level)
    blocks: list[Block] = [Bullets(items=tuple(_meaning(facts, name) for name in names))]
    if OPTIMISTIC in names:
        blocks.append(
            Note(
                text=(
                    f"{OPTIMISTIC} is optimistic: it chooses the epoch by the labels of the utterances that it scores, "
                    "so no one can expect this score from new recordings. Its intervals do not cover that. It is shown "
                    "because the published figures were obtained in this way; do not rank it against scores under an "
                    "honest protocol."
                )
            )
        )
    blocks += [
        Tables(
            tables=tuple(
                tables.compact(
                    tables.protocols(metrics, metric.lower()),
                    title=f"{metric} by protocol",
                    caption=f"{metric} in percent with {bounds} intervals, on the same utterances.",
                )
                for metric in ("UA", "WA")
            )
        ),
        figures.protocols(table, 1 / len(facts.classes)),
        *_gap(facts, table, metrics, names),
    ]
    return Section(name="protocols", title="Under other protocols", blocks=tuple(blocks))


def _meaning(facts: Facts, protocol: str) -> str:
    """Return one sentence on how a protocol trains and chooses."""
    unit, count = fold_unit(facts.first.metrics["cluster"]), len(facts.folds)
    units = "groups of speakers" if unit == "group of speakers" else "sessions"
    ran = sorted(
        {
            fold["epochs_run"]
            for group in facts.other_protocols.get(protocol, {}).values()
            for run in group
            for fold in run.metrics["folds"].values()
        }
    )
    epochs = "-".join(str(number) for number in dict.fromkeys([ran[0], ran[-1]])) if ran else ""
    how = {
        "loso_dev_session": f"{count - 2} of {count} {units} train, the next one chooses the epoch, one is tested",
        "loso_fixed_epochs": (
            f"{count - 1} of {count} {units} train, one is tested, and the last of {epochs} epochs is used, a number "
            "fixed in advance"
        ),
        OPTIMISTIC: (
            f"the same training run as loso_fixed_epochs, but the epoch is the best one of {epochs} on the {unit} "
            "that is tested"
        ),
    }
    return f"{protocol} ({STAMPS[protocol]}): {how[protocol]}."


def _gap(facts: Facts, table: Sequence[Standing], metrics: Mapping[str, Any], names: Sequence[str]) -> list[Block]:
    """Return the table of effects, its explanation, and a sentence on the main variant's gap."""
    gaps = tables.effects(metrics)
    shown = [name for name in EFFECTS if any(name in row.effects for row in table)]
    if not shown:
        return []
    gaps_table = tables.compact(
        gaps,
        title="What the gap consists of",
        caption="Differences of UA in percentage points on the same utterances, with intervals.",
    )
    main = next((row for row in table if row.variant == "foal"), table[-1])
    unit = fold_unit(facts.first.metrics["cluster"])
    sentence = [Paragraph(text=gap_sentence(main, unit))] if len(shown) == 3 else []
    return [*sentence, gaps_table, Paragraph(text=_caution(facts, shown, names))]


def gap_sentence(row: Standing, unit: str) -> str:
    """Return sentences on where one variant's gap between published and headline protocol comes from."""
    effects = {name: f"{points(e.estimate)} ({span(e, signed=True)})" for name, e in row.effects.items()}
    return (
        f"Under {OPTIMISTIC} {row.variant} scores {points(row.effects['together'].estimate)} points of UA relative to "
        f"the headline. {effects['selection']} of them come from choosing the epoch on the {unit} that is tested, with "
        f"nothing else changed; {effects['fourth_session']} come from one more {unit} to train on."
    )


def _caution(facts: Facts, effects: Sequence[str], names: Sequence[str]) -> str:
    """Return sentences on what each effect includes and excludes."""
    unit = fold_unit(facts.first.metrics["cluster"])
    text = []
    if "selection" in effects:
        text.append(
            f"Choosing on the test part compares two epochs of one training run ({OPTIMISTIC} minus "
            "loso_fixed_epochs). It cannot be negative in any fold, so an interval above zero is no finding; only its "
            "size matters."
        )
    if "fourth_session" in effects:
        text.append(
            f"One more {unit} trains where none is kept for choosing (loso_fixed_epochs minus loso_dev_session): the "
            f"figure includes what training on that {unit} adds, and that the last epoch replaces a chosen one. The "
            "two cannot be separated here, and the figure includes the spread between training runs."
        )
    if len(effects) < 3 and OPTIMISTIC in names:
        text.append(
            "With loso_fixed_epochs among the protocols of params.yaml the gap would be split in two without further "
            "training."
        )
    return " ".join(text)
