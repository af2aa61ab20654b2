"""Selects the rows that the page's templates show: counts, reasons, drops, doubts, folds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from foalnet.config.variants import HALF
from foalnet.core.ledger import REASONS
from foalnet.evidence.report.accounts import Coverage, Entry, Seats, Sides
from foalnet.evidence.report.aggregate import Result
from foalnet.evidence.report.late import Late
from foalnet.evidence.report.phrases import NOT_AUDITED, hours, number, plural
from foalnet.evidence.report.results import Fold, Results, Run
from foalnet.evidence.report.standing import EFFECTS, Standing

# Items listed per reason; counts.json and staging.json list all of them.
NAMED = 8
FATES = {"dropped": "dropped", "repaired": "repaired and used", "kept": "noted"}
# Below this mean share of frames with a face, a session gets a note.
LOW_COVERAGE = 0.8
# At most so many doubtful dialogues are listed on the page; staging.json has all of them.
MOST_DOUBTS = 20


def size(results: Results) -> list[tuple[str, str]]:
    """Return figures on the amount of data, each with what it counts."""
    units = ["speaker", "session", "dialogue"] if results.facts.cluster == "dialogue" else ["speaker"]
    if results.named is not None and results.named.fixed:
        units.remove("session")
    tiles = [(number(len(results.first.rows)), "utterances tested")]
    tiles += [(number(results.count(unit)), f"{unit}s") for unit in units]
    if results.used:
        tiles.append((hours(sum(u.end_s - u.start_s for u in results.used)), "of labelled speech"))
    return [*tiles, (number(len(results.facts.classes)), "classes")]


def halves(results: Results) -> list[str]:
    """Return the variants that look at the speaker's half of the picture."""
    return [variant for variant in results.runs if variant.endswith(HALF)]


def meaning(reason: str) -> str:
    """Return a reason of the ledger for readers."""
    return REASONS.get(reason, reason)


def unused_reasons(results: Results) -> list[str]:
    """Return why labelled utterances have no class, with counts."""
    reasons = Counter(str(u.reason) for u in results.manifest if not u.used)
    return [f"{number(count)} for the reason “{meaning(reason)}”" for reason, count in sorted(reasons.items())]


def reasons(results: Results) -> list[tuple[str, str, str, int]]:
    """Return stage, fate, meaning and count of every reason, drops first."""
    ledgers: dict[str, Mapping[str, int]] = {
        "manifest": results.counts.ledger if results.counts else {},
        "staging": results.staging.ledger.counts if results.staging else {},
    }
    return [
        (stage, fate, meaning(reason), count)
        for kind, fate in FATES.items()
        for stage, ledger in ledgers.items()
        for name, count in sorted(ledger.items())
        for actual, _, reason in (name.partition("/"),)
        if actual == kind and reason and count
    ]


def items(results: Results) -> list[tuple[str, list[str]]]:
    """Return the items of drops and repairs by the meaning of their reason."""
    entries: list[Entry] = [*(results.counts.entries if results.counts else ())]
    entries += results.staging.ledger.entries if results.staging else ()
    by_reason: dict[str, set[str]] = {}
    for entry in entries:
        if entry.kind != "kept":
            by_reason.setdefault(entry.reason, set()).add(entry.item)
    return [(meaning(reason), sorted(named)) for reason, named in sorted(by_reason.items())]


def epochs(results: Results, protocol: str) -> str:
    """Return how many epochs the runs of another protocol trained: "20", or "18-20"."""
    runs = results.other_protocols.get(protocol, {})
    ran = {fold.epochs_run for group in runs.values() for run in group for fold in run.facts.folds.values()}
    return "-".join(map(str, sorted({min(ran), max(ran)}))) if ran else ""


def effects(standings: Sequence[Standing]) -> list[str]:
    """Return the effects that any variant has."""
    return [name for name in EFFECTS if any(name in row.effects for row in standings)]


def nearness(table: Sequence[Result], late: Late) -> list[tuple[str, float, float | None]]:
    """Return name, UA and best possible UA of each variant, the late average after the single ones."""
    rows = [(row.variant, row.ua.estimate, row.best) for row in table if row.variant in late.kinds[0].right]
    rows.insert(sum(name in late.of for name, _, _ in rows), (late.name, late.ua.estimate, late.best))
    return rows


def other_checkpoints(results: Results) -> Iterator[tuple[Run, str, Fold]]:
    """Yield each fold with stored weights that are not those of the scored epoch."""
    for run in runs(results):
        for name, fold in run.facts.folds.items():
            if fold.checkpoint_epoch not in (None, fold.epoch):
                yield run, name, fold


def shares(result: Result, classes: Sequence[str]) -> Iterator[tuple[str, list[tuple[int, float]]]]:
    """Yield each class with its row of the confusion: counts, and their shares of the row."""
    for name, counts in zip(classes, result.confusion, strict=True):
        yield name, [(count, count / max(1, sum(counts))) for count in counts]


def runs(results: Results) -> list[Run]:
    """Return the runs under the headline's protocol."""
    return [run for group in results.runs.values() for run in group]


def counted(trained: Sequence[Run]) -> list[str]:
    """Return the names of what any training counted."""
    return sorted({name for run in trained for name in run.facts.train.counts})


def low_coverage(coverage: Coverage) -> list[str]:
    """Return the sessions with few faces."""
    return [name for name, share in coverage.by_session.items() if share < LOW_COVERAGE]


def left_out(sides: Sides) -> list[str]:
    """Return how many dialogues were not audited, and why."""
    return [f"{plural(n, 'dialogue')} ({NOT_AUDITED.get(why, why)})" for why, n in sides.not_audited.items()]


def doubts(sides: Sides) -> list[Seats]:
    """Return the dialogues where the audit disagrees or the rule was not followed."""
    return [seats for seats in sides.dialogues if seats.by != "rule" or seats.doubted]


def surely_wrong(seats: Sequence[Seats]) -> int:
    """Return in how many dialogues a sure audit disagrees."""
    return sum(each.doubted and each.audit is not None and each.audit.sure for each in seats)
