"""What was dropped and why, and how much of the picture staging could use."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from foalnet.core.ledger import IGNORED, REASONS
from foalnet.evidence.report.gather import Facts
from foalnet.evidence.report.view import Block, Note, Paragraph, Section, Table, cells
from foalnet.evidence.report.words import listed, number, percent, plural

# Items named in full per reason; the rest is counted, and stands in counts.json and staging.json.
NAMED = 8
FATES = {"dropped": "dropped", "repaired": "repaired and used", "kept": "noted"}
STAGES = (("counts", "manifest"), ("staging", "staging"))


def losses(facts: Facts) -> Section:
    """Return the way from label lines to scored utterances, and every reason with its count and its meaning."""
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
                caption="Files that look like the corpus' and are not used; counts.json names the first of each kind.",
                head=("Why", "Count", "Files"),
                rows=tuple(cells(row) for row in unused),
                labels=3,
            )
        )
    named = _named(facts)
    if named:
        blocks.append(
            Table(
                caption=f"Items behind these counts, at most {NAMED} a reason; counts.json and staging.json name all.",
                head=("Why", "Items"),
                rows=tuple(cells(row) for row in named),
                labels=2,
            )
        )
    return Section(name="losses", title="What was dropped, and why", blocks=tuple(blocks), part="answers")


def _funnel(facts: Facts) -> str:
    """Tell in sentences how many utterances were labelled, used and scored."""
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
        f"{number(scored)} were scored; {number(used - scored)} were lost on the way "
        f"({percent((used - scored) / used)} %), for the reasons below."
    )


def _meaning(reason: str) -> str:
    return REASONS.get(reason, reason)


def _contract(facts: Facts) -> list[Block]:
    """Say whether the counts were held against what the corpus should hold."""
    if facts.counts is None:
        return []
    if facts.counts.get("expected") is None:
        return [Paragraph(text="The counts were not held against a contract: params give none for this corpus.")]
    breaches = facts.counts.get("breaches", [])
    if not breaches:
        return [Paragraph(text="All counts agree with what this corpus should hold.")]
    rows = tuple(cells([f"{b['what']} {b['name']}", b["expected"], b["found"]]) for b in breaches)
    return [
        Note(text=f"{plural(len(breaches), 'count')} differ from what this corpus should hold."),
        Table(caption="Counts that differ.", head=("What", "Expected", "Found"), rows=rows),
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
    """Return meaning, count and first names of each kind of file that is named although it is not used."""
    account = facts.counts or {}
    return [
        (IGNORED.get(kind, kind), number(account["ignored_files"][kind]), ", ".join(names))
        for kind, names in sorted(account.get("ignored_named", {}).items())
    ]


def _named(facts: Facts) -> list[tuple[str, str]]:
    """Return the items of drops and repairs by reason."""
    found: dict[str, list[str]] = {}
    for source, _ in STAGES:
        for entry in _entries(getattr(facts, source)):
            if entry["kind"] != "kept":
                found.setdefault(str(entry["reason"]), []).append(str(entry["item"]))
    return [(_meaning(reason), _some(sorted(set(items)))) for reason, items in sorted(found.items())]


def _counts(account: Mapping[str, Any] | None) -> Mapping[str, int]:
    """Return an account's counts by `kind/reason`: staging keeps them beside the entries, the manifest apart."""
    ledger = (account or {}).get("ledger", {})
    return ledger.get("counts", ledger)


def _entries(account: Mapping[str, Any] | None) -> Sequence[Mapping[str, Any]]:
    """Return an account's single entries."""
    found = account or {}
    return found["entries"] if "entries" in found else found.get("ledger", {}).get("entries", [])


def _some(items: list[str]) -> str:
    more = len(items) - NAMED
    return ", ".join(items[:NAMED]) + (f" and {number(more)} more" if more > 0 else "")
