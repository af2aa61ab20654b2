"""Section on what was dropped, repaired or left unused, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from foalnet.core.ledger import IGNORED, REASONS
from foalnet.evidence.report.gather import Facts
from foalnet.evidence.report.phrases import listed, number, percent, plural
from foalnet.evidence.report.view import Block, Note, Paragraph, Section, Table, cells

# Items listed per reason; counts.json and staging.json list all of them.
NAMED = 8
FATES = {"dropped": "dropped", "repaired": "repaired and used", "kept": "noted"}
STAGES = (("counts", "manifest"), ("staging", "staging"))


def losses(facts: Facts) -> Section:
    """Return how many labelled utterances were scored, and every reason with its count and its meaning."""
    blocks: list[Block] = [Paragraph(text=_funnel(facts)), *_contract(facts)]
    rows = _reason_rows(facts)
    if rows:
        blocks.append(
            Table(
                caption="Everything that was dropped, repaired or noted, with its reason.",
                head=("Stage", "What happened", "Why", "Count"),
                rows=tuple(cells(row) for row in rows),
                labels=3,
            )
        )
    elif facts.counts is not None and facts.staging is not None:
        blocks.append(Paragraph(text="Nothing was dropped or repaired."))
    unused = _unused(facts)
    if unused:
        blocks.append(
            Table(
                caption="Files that look like the corpus' but are not used; counts.json names the first of each kind.",
                head=("Why", "Count", "Files"),
                rows=tuple(cells(row) for row in unused),
                labels=3,
            )
        )
    named = _named(facts)
    if named:
        blocks.append(
            Table(
                caption=f"Items behind these counts, at most {NAMED} per reason; counts.json, staging.json list all.",
                head=("Why", "Items"),
                rows=tuple(cells(row) for row in named),
                labels=2,
            )
        )
    return Section(name="losses", title="What was dropped, and why", blocks=tuple(blocks), part="answers")


def _funnel(facts: Facts) -> str:
    """Return sentences on how many utterances were labelled, used and scored."""
    scored = len(facts.first.rows)
    if not facts.manifest:
        return f"{plural(scored, 'utterance')} were scored."
    total, used = len(facts.manifest), len(facts.used)
    reasons = Counter(str(row["reason"]) for row in facts.manifest if row["label"] is None)
    text = (
        f"The corpus labels {plural(total, 'utterance')}; {number(used)} have one of the {len(facts.classes)} classes. "
    )
    if reasons:
        why = listed(
            [f"{number(count)} for the reason “{_meaning(reason)}”" for reason, count in sorted(reasons.items())]
        )
        text += f"{number(total - used)} are not used: {why}. "
    if scored == used:
        return text + f"All {number(used)} were scored."
    return text + (
        f"{number(scored)} were scored; {number(used - scored)} were lost "
        f"({percent((used - scored) / used)} %) for the reasons below."
    )


def _meaning(reason: str) -> str:
    return REASONS.get(reason, reason)


def _contract(facts: Facts) -> list[Block]:
    """Return whether the counts agree with the expected ones of the corpus."""
    if facts.counts is None:
        return []
    if facts.counts.get("expected") is None:
        return [Paragraph(text="The counts were not checked: params state no expected counts for this corpus.")]
    breaches = facts.counts.get("breaches", [])
    if not breaches:
        return [Paragraph(text="All counts agree with the expected counts of this corpus.")]
    rows = tuple(cells([f"{b['what']} {b['name']}", b["expected"], b["counted"]]) for b in breaches)
    return [
        Note(text=f"{plural(len(breaches), 'count')} differ from the expected counts of this corpus."),
        Table(caption="Counts that differ.", head=("What", "Expected", "Actual"), rows=rows),
    ]


def _reason_rows(facts: Facts) -> list[tuple[str, str, str, str]]:
    """Return stage, fate, meaning and count of every reason, drops first."""
    rows = []
    for order, fate in enumerate(FATES):
        for source, stage in STAGES:
            for name, count in sorted(_counts(getattr(facts, source)).items()):
                kind, _, reason = name.partition("/")
                if kind == fate and reason and count:
                    rows.append((order, stage, FATES[fate], _meaning(reason), number(count)))
    return [row[1:] for row in rows]


def _unused(facts: Facts) -> list[tuple[str, str, str]]:
    """Return meaning, count and first names of each kind of unused file."""
    account = facts.counts or {}
    return [
        (IGNORED.get(kind, kind), number(account["ignored_files"][kind]), ", ".join(names))
        for kind, names in sorted(account.get("ignored_named", {}).items())
    ]


def _named(facts: Facts) -> list[tuple[str, str]]:
    """Return the items of drops and repairs by reason."""
    by_reason: dict[str, list[str]] = {}
    for source, _ in STAGES:
        for entry in _entries(getattr(facts, source)):
            if entry["kind"] != "kept":
                by_reason.setdefault(str(entry["reason"]), []).append(str(entry["item"]))
    return [(_meaning(reason), _some(sorted(set(items)))) for reason, items in sorted(by_reason.items())]


def _counts(account: Mapping[str, Any] | None) -> Mapping[str, int]:
    """Return an account's counts by `kind/reason`; staging.json nests them one level deeper than counts.json."""
    ledger = (account or {}).get("ledger", {})
    return ledger.get("counts", ledger)


def _entries(account: Mapping[str, Any] | None) -> Sequence[Mapping[str, Any]]:
    """Return an account's entries, one per item."""
    account = account or {}
    return account["entries"] if "entries" in account else account.get("ledger", {}).get("entries", [])


def _some(items: list[str]) -> str:
    more = len(items) - NAMED
    return ", ".join(items[:NAMED]) + (f" and {number(more)} more" if more > 0 else "")
