"""Shows an audit: as plain text, and as one offline HTML page; both from the same sections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from foalnet.audit.base import first_few
from foalnet.core.errors import printable
from foalnet.core.markdown import escape, table
from foalnet.evidence.metrics import METRICS
from foalnet.evidence.report.markdown import to_html
from foalnet.evidence.report.page import TEMPLATES, engine, headed
from foalnet.evidence.report.phrases import DASH, level, number, percent, plural, points
from foalnet.evidence.report.terminal import aligned

MOST_CLASSES = 12
RECORDINGS = "other recordings of these people"
PEOPLE = "other people, and other seeds"
Cells = list[list[str]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """A heading and its blocks: sentences, and tables of a head and rows."""

    title: str
    blocks: Sequence[str | Cells]


def sections(facts: Mapping[str, Any]) -> list[Section]:
    """Return the sections of an audit: for each file what was read, checks, scores, intervals, calibration; paired."""
    made = []
    for each in facts["files"]:
        of = f" of {printable(each['file'])}" if len(facts["files"]) > 1 else ""
        made += [
            Section(title=f"What was read{of}", blocks=_read(each)),
            Section(title=f"Checks{of}", blocks=[_checks(each)]),
            Section(title=f"Scores{of}", blocks=_scores(each)),
            Section(title=f"Intervals{of}", blocks=_intervals(each["intervals"], facts["level"])),
            Section(title=f"Calibration{of}", blocks=_calibration(each["calibration"])),
        ]
    if facts["paired"] is not None:
        made.append(Section(title="Paired", blocks=_paired(facts)))
    return made


def text(facts: Mapping[str, Any]) -> str:
    """Return an audit as plain text."""
    lines: list[str] = []
    for section in sections(facts):
        lines += ["", section.title, "-" * len(section.title)]
        for block in section.blocks:
            lines += [""] if lines[-1] and not lines[-1].startswith("-") and not isinstance(block, str) else []
            lines += [block] if isinstance(block, str) else _plain(block)
    return printable_lines(lines[1:])


def _plain(block: Cells) -> list[str]:
    """Return the lines of a table; checks are sentences, with their verdict in front."""
    if block[0][0] == "check":
        return [f"{verdict:<8} {name}: {what}" for name, verdict, what in block[1:]]
    return [line.rstrip() for line in aligned(block)]


def printable_lines(lines: Sequence[str]) -> str:
    """Return lines with control characters of names escaped."""
    return "\n".join(map(printable, lines))


def page(facts: Mapping[str, Any]) -> str:
    """Return an audit as one HTML file with inline style; it has no script and fetches nothing."""
    files = [each["file"] for each in facts["files"]]
    title = f"Audit of {' and '.join(map(printable, files))}"
    shown = [(f"s{at}", section.title, headed(_markdown(section))) for at, section in enumerate(sections(facts))]
    head = Markup(to_html("\n".join([f"# {escape(title)}", "", escape(_verdict(facts))])))  # noqa: S704
    shell = engine(TEMPLATES).get_template("report.html.jinja")
    return shell.render(over="foalnet audit", title=title, head=head, sections=shown, detail=()) + "\n"


def _verdict(facts: Mapping[str, Any]) -> str:
    rows = [row for each in facts["files"] for row in each["checks"]]
    count = {verdict: sum(row["verdict"] == verdict for row in rows) for verdict in ("fault", "warning", "ok")}
    return f"{plural(count['fault'], 'fault')}, {plural(count['warning'], 'warning')}, {count['ok']} checks passed."


def _markdown(section: Section) -> str:
    lines = [f"## {escape(section.title)}"]
    for block in section.blocks:
        if isinstance(block, str):
            lines += ["", escape(printable(block))]
        else:
            head, *rows = [[printable(cell) for cell in row] for row in block]
            lines += ["", *table(head, rows, labels=len(head) if head[0] == "check" else 1)]
    return "\n".join(lines)


def _read(each: Mapping[str, Any]) -> list[str | Cells]:
    columns = {role: name for role, name in each["columns"].items() if name != []}
    listed = []
    for role, name in columns.items():
        names = first_few(name, 12) if isinstance(name, list) else name
        listed.append(role if names == role else f"{role} from {names}")
    lines: list[str | Cells] = [
        f"{each['file']}: {each['format']}, {plural(each['rows'], 'row')}, SHA-256 {each['sha256']}",
        f"Columns: {'; '.join(listed)}." + (f" Not used: {first_few(each['ignored'], 8)}." if each["ignored"] else ""),
        f"Classes: {first_few(each['classes'], 20)}; their order: {each['order_by']}"
        + ("; class numbers start at 1." if each["first_number"] else "."),
        f"Against: {each['reference'] or 'no manifest; labels are those of the file'}.",
        f"Scored: {each['scored']}; folds: {first_few(each['folds'], 10) or 'none'}; "
        f"seeds: {first_few([seed for seed in each['scores']['seeds'] if seed], 10) or 'none named'}.",
    ]
    return lines


def _checks(each: Mapping[str, Any]) -> Cells:
    rows = [["check", "verdict", "what"]]
    for row in each["checks"]:
        what = row["text"]
        if row["keys"]:
            more = f" and {row['count'] - len(row['keys']):,} more" if row["count"] > len(row["keys"]) else ""
            what += f" [{', '.join(row['keys'])}{more}]"
        rows.append([row["name"], row["verdict"], what])
    return rows


def _scores(each: Mapping[str, Any]) -> list[str | Cells]:
    scored = each["scores"]
    blocks: list[str | Cells] = [
        f"{plural(scored['utterances'], 'utterance')}, in percent"
        + (f"; means of {len(scored['seeds'])} seeds, UA with a standard deviation of {percent(scored['seed_sd'])}"
           if scored["seed_sd"] is not None else "")
        + ".",
        [["metric", *(metric.name for metric in METRICS)], ["%", *(percent(scored[metric.key]) for metric in METRICS)]],
        [
            ["class", "labels", "predicted", "recall %", "F1 %"],
            *(
                [name, number(row["labels"]), number(row["predicted"]), percent(row["recall"]), percent(row["f1"])]
                for name, row in scored["classes"].items()
            ),
        ],
    ]  # fmt: skip
    classes = list(scored["classes"])
    if len(classes) <= MOST_CLASSES:
        blocks.append([["true \\ predicted", *classes], *([name, *map(str, row)] for name, row in zip(
            classes, scored["confusion"], strict=True))])  # fmt: skip
    return blocks


def _intervals(intervals: Mapping[str, Any], share: float, *, signed: bool = False) -> list[str | Cells]:
    """Return the table of both intervals, each with the question that it answers."""
    show = points if signed else percent
    bounds_of = f"{level(share)} interval"
    rows = [["for", "over", "UA", bounds_of, "WA", bounds_of]]
    if signed:
        rows[0] += ["p of UA"]
    for kind, what in (("recordings", RECORDINGS), ("people", PEOPLE)):
        row = intervals[kind]
        if row is None:
            continue
        one = kind == "people" and row["seeds"] == 1
        count = row["groups"] if kind == "recordings" else row["units"]
        cells = [what.replace(", and other seeds", "") if one else what, f"{plural(count, row['over'])}"]
        if kind == "people" and not one:
            cells[1] += f" x {row['seeds']} seeds"
        for metric in ("ua", "wa"):
            bounds = row[metric]
            known = bounds["low"] is not None
            cells += [show(bounds["estimate"]), f"{show(bounds['low'])} to {show(bounds['high'])}" if known else DASH]
        if signed:
            cells.append(DASH if row["ua"]["p"] is None else f"{row['ua']['p']:.4f}")
        rows.append(cells)
    blocks: list[str | Cells] = [rows] if len(rows) > 1 else []
    if intervals["why"]:
        blocks.append(f"No interval for other people: {intervals['why']}.")
    if intervals["recordings"] and intervals["recordings"]["warning"]:
        blocks.append(f"Recordings: {intervals['recordings']['warning']}.")
    if intervals["recordings"] and intervals["recordings"]["over"] == "utterance":
        blocks.append("Dialogues and speakers are unknown: utterances are treated as independent, so that the interval "
                      "is too narrow.")  # fmt: skip
    if intervals["recordings"] and intervals["recordings"]["over"] == "speaker":
        blocks.append("No dialogues are known: the first interval is over speakers, too.")
    if intervals["people"] and intervals["people"]["seeds"] == 1:
        blocks.append("One seed: no interval here contains what another seed would change.")
    return blocks


def _calibration(facts: Mapping[str, Any] | None) -> list[str | Cells]:
    if facts is None:
        return ["The file has no probabilities."]
    area = DASH if facts["macro_auc"] is None else f"{facts['macro_auc']:.4f}"
    return [
        [
            ["rows", "ECE %", "NLL, nats", "Brier", "macro AUC"],
            [number(facts["rows"]), percent(facts["ece"]), f"{facts['nll']:.4f}", f"{facts['brier']:.4f}", area],
        ],
        [
            ["confidence %", "rows", "mean confidence %", "accuracy %"],
            *(
                [f"{percent(row['low'], 0)} to {percent(row['high'], 0)}", number(row["n"]),
                 percent(row["confidence"]), percent(row["accuracy"])]
                for row in facts["bins"]
                if row["n"]
            ),
        ],
    ]  # fmt: skip


def _paired(facts: Mapping[str, Any]) -> list[str | Cells]:
    row, (a, b) = facts["paired"], [each["file"] for each in facts["files"]]
    blocks: list[str | Cells] = [
        f"a is {a}, b is {b}: {plural(row['utterances'], 'utterance')} in both with one class; "
        f"{number(row['only_a'])} only in a, {number(row['only_b'])} only in b, "
        f"{number(row['labels_differ'])} with another class in b."
    ]
    if not row["utterances"]:
        return blocks
    if row["identical"]:
        blocks.append("Both files have the same predicted class in every row.")
    blocks.append("a minus b, in points.")
    if not row["seeds_paired"]:
        blocks.append("The seeds differ: correctness is averaged over them before the difference.")
    blocks += _intervals(row, facts["level"], signed=True)
    head = ["seed of a, of b", "both right", "only a", "only b", "neither"]
    blocks.append([
        head,
        *(
            [f"{each['a'] or DASH}, {each['b'] or DASH}", *(number(each[k]) for k in ("both", "only_a", "only_b",
                                                                                       "neither"))]
            for each in row["mcnemar"]
        ),
    ])  # fmt: skip
    return blocks
