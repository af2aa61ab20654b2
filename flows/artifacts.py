"""Writes a finished run's artifacts for Prefect's UI: scores and confusion, drops with reasons, the report's path."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from prefect.artifacts import create_markdown_artifact

from flows.push import NO_REMOTE, Pushed
from foalnet.artifact.results import read_metrics
from foalnet.artifact.seal import read_sealed
from foalnet.core.errors import FoalnetError
from foalnet.core.files import read_json
from foalnet.core.ledger import REASONS
from foalnet.core.markdown import code, escape, table
from foalnet.core.paths import Paths
from foalnet.evidence.gate import markdown
from foalnet.evidence.report import tables
from foalnet.evidence.report.phrases import STAMPS, folds_text

MAX_ROWS = 60
"""The server stores every version of a table, so it is cut; the report has all rows."""


def publish(paths: Paths, page: Path, facts: Mapping[str, Any], pushed: Pushed = NO_REMOTE) -> None:
    """Send the artifacts of one corpus to the server, each under its own key, so that the UI shows their history.

    `page` is the path of the report, `facts` describes the run (`says`, `outcome`, `params`, `run`), `pushed` its push.
    The gate's decision is shown where there is one.
    """
    texts = {"metrics": metrics(paths), "drops": drops(paths), "report": report(paths.corpus, page)}
    for kind, text in (texts | {"gate": gate(paths, facts["says"], pushed)}).items():
        show(kind, paths.corpus, text, f"{facts['outcome'].lower()}, params {facts['params']}, run {facts['run']}")


def show(kind: str, corpus: str, text: str, what: str) -> None:
    """Send one Markdown artifact of a corpus to the server; `what` names its run."""
    name = re.sub(r"[^a-z0-9]+", "-", corpus.lower())
    create_markdown_artifact(text, key=f"{kind}-{name}", description=f"{kind} of corpus {corpus}: {what}")


def failure(paths: Paths, how: str, error: str, folder: Path, failed: Path | None) -> str:
    """Return how a run ended (failed, cancelled) and why, what it dropped, and the folder with its accounts.

    `failed` is the file that lists dialogues that could not be staged, where there is one.
    """
    parts = [f"# {escape(paths.corpus)}: {how}", *(f"    {line}" for line in error.splitlines())]
    text = "\n".join([parts[0], "", *parts[1:], "", f"Kept on the machine of the worker: {code(folder)}", "", ""])
    try:
        return text + drops(paths, failed).replace("# ", "## ", 1)
    except FoalnetError as unreadable:
        return text + escape(f"What was dropped cannot be shown: {unreadable}")


def gate(paths: Paths, says: str, pushed: Pushed = NO_REMOTE) -> str:
    """Return the gate's decision as Markdown, or why there is none; it names unpushed runs."""
    if not paths.gate.is_file():
        return f"# {escape(paths.corpus)}: no decision\n\n{escape(says)}"
    marks = {"unpushed": pushed.unpushed, "earlier runs wait unpushed": pushed.says_waiting}
    lines = [f"\n\n**{name}:** {escape(why)}\n" for name, why in marks.items() if why]
    return markdown(read_json(paths.gate)) + "".join(lines)


def metrics(paths: Paths) -> str:
    """Return scores, paired differences and one confusion table per run as Markdown."""
    aggregate = read_sealed(paths.metrics, again=f"report@{paths.corpus}")
    data = aggregate["data"]
    parts = [
        f"# {escape(paths.corpus)}: metrics",
        f"{data['utterances']} utterances of {data['speakers']} speakers, {aggregate['classes']} classes, protocol "
        f"{escape(aggregate['protocol'])}{escape(folds_text(aggregate))}.",
        _results(tables.scores(aggregate)),
    ]
    if aggregate["differences"]:
        pairs = tables.differences(aggregate["differences"], aggregate["level"])
        parts += ["## Differences of UA, in points", _results(pairs)]
    if "protocols" in aggregate:
        stamps = [f"{escape(name)} ({STAMPS[name]})" for name in STAMPS if name in aggregate["protocols"]]
        parts += ["## UA % under every protocol", _results(tables.protocols(aggregate, "ua")), ", ".join(stamps) + "."]
        parts += ["## Differences between the protocols, in points of UA"]
        parts += [_results(tables.tall(tables.effects(aggregate), "UA"))]
    for file in sorted((paths.reports / "runs").glob("*-s*/metrics.json")):
        folder, run = file.parent, read_metrics(paths, file.parent)
        rows = [(name, *map(str, line)) for name, line in zip(run["classes"], run["pooled"]["confusion"], strict=True)]
        parts += [f"## Confusion of {escape(folder.name)}", _table(("true / predicted", *run["classes"]), rows)]
    return "\n\n".join(parts)


def drops(paths: Paths, failed: Path | None = None) -> str:
    """Return what manifest and staging repaired and dropped, counted by reason, then item by item.

    A stage that the run did not reach has no account and is left out; `failed` lists dialogues that were not staged.
    """
    parts = [f"# {escape(paths.corpus)}: kept, repaired, dropped"]
    accounts: list[tuple[str, Mapping[str, int], Sequence[Mapping[str, str]]]] = []
    if paths.counts.is_file():
        counts = read_sealed(paths.counts, again=f"manifest@{paths.corpus}", corpus=paths.corpus)
        accounts.append(("manifest", counts["ledger"], counts["entries"]))
    if paths.staging.is_file():
        staging = read_sealed(paths.staging, again=f"shards@{paths.corpus}", corpus=paths.corpus)
        accounts.append(("shards", staging["ledger"]["counts"], staging["ledger"]["entries"]))
    if failed is not None:
        lost = read_json(failed)
        accounts.append(("shards: dialogues that failed", lost["counts"], lost["entries"]))
    for stage, tally, entries in accounts:
        rows = [(*_meaning(name), str(count)) for name, count in sorted(tally.items())]
        parts += [f"## {stage}", _table(("what", "why", "count"), rows)]
        items = [(e["item"], e["kind"], e["reason"], e["detail"]) for e in entries if e["kind"] != "kept"]
        if items:
            parts.append(_table(("item", "what", "reason", "detail"), items))
    return "\n\n".join(parts)


def report(corpus: str, page: Path) -> str:
    """Return the report's path on the worker's machine; the UI cannot open a file there."""
    return f"# {escape(corpus)}: report\n\nOn the machine of the worker: {code(page.resolve())}"


def _meaning(name: str) -> tuple[str, str]:
    """Return kind and explained reason of a ledger count's name, `kind/reason` or `kept`."""
    kind, _, reason = name.partition("/")
    return kind, f"{reason}: {REASONS.get(reason, 'not known')}" if reason else "as it is"


def _results(table: tables.Table) -> str:
    """Return a table of results as Markdown, intervals in columns of their own."""
    head, *rows = tables.wide(table)
    return _table(head, rows)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table of at most MAX_ROWS rows; a line below it states how many are left out."""
    rows = list(rows)
    text = "\n".join(table(head, rows[:MAX_ROWS]))
    left = len(rows) - MAX_ROWS
    return text + (f"\n\n{left} more: see the report." if left > 0 else "")
