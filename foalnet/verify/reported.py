"""The last links: the report's figures from the predictions, and the digests that its pages print."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import numpy as np

from foalnet.config.blocks import PROTOCOLS
from foalnet.metrics import rounded
from foalnet.paths import HEADLINE
from foalnet.report.aggregate import METRICS
from foalnet.report.gather import Facts, Run
from foalnet.report.provenance import provenance
from foalnet.report.view import Cell, Table
from foalnet.stats import metric_of, sums
from foalnet.verify.content import Scene, asked
from foalnet.verify.link import Link, differs, ok, short
from foalnet.verify.staged import rel

TAG = re.compile(r"<[^>]*>")


def reported_links(scene: Scene) -> Iterator[Link]:
    """Yield the links by content of the stage `report`."""
    stage = f"report@{scene.params.corpus}"
    yield asked("figures", stage, partial(figures, scene))
    for page in ("report_html", "report_md"):
        yield asked(f"digests in {rel(scene.paths, page)}", stage, partial(printed, scene, page))


def runs_of(scene: Scene, protocol: str) -> dict[str, tuple[Run, ...]]:
    """Return the evaluated runs of a protocol by variant, in the order of params."""
    found: dict[str, tuple[Run, ...]] = {}
    for variant in scene.params.variants:
        runs = []
        for seed in scene.params.seeds:
            folder = scene.paths.run(variant, seed, protocol).relative_to(scene.paths.home).as_posix()
            if scene.store.has(folder):
                rows = {row["key"]: row for row in scene.store.rows(f"{folder}/predictions.jsonl")}
                told = scene.store.json(f"{folder}/metrics.json")
                runs.append(Run(variant=variant, seed=seed, metrics=told, rows=rows))
        if runs:
            found[variant] = tuple(runs)
    return found


def figures(scene: Scene) -> Link:
    """UA and WA of each variant in metrics.json are those of its predictions."""
    told = scene.store.json(rel(scene.paths, "metrics"))["variants"]
    runs = runs_of(scene, HEADLINE)
    action, wrong = scene.again(f"report@{scene.params.corpus}"), []
    if told.keys() != runs.keys():
        wrong.append(f"variants: predictions of {', '.join(runs)}, figures of {', '.join(told)}")
    for variant, group in runs.items():
        for metric, value in (derived(group) if variant in told else {}).items():
            if told[variant][metric] != value:
                what = f"expected {value} (predictions), found {told[variant][metric]} (metrics.json)"
                wrong.append(f"{variant} {metric}: {what}")
    if wrong:
        return differs("figures", "; ".join(wrong), action=action)
    shown = ", ".join(f"{variant} {row['ua']}" for variant, row in told.items())
    return ok("figures", f"n, UA and WA of {len(told)} variants follow from the predictions (UA: {shown})")


def derived(runs: Sequence[Run]) -> dict[str, float]:
    """Return n, UA and WA over the seeds of one variant, as metrics.json has them."""
    keys = sorted(set.intersection(*(set(run.rows) for run in runs)))
    labels = [runs[0].rows[key]["label"] for key in keys]
    right = [float(np.mean([run.rows[key]["label"] == run.rows[key]["predicted"] for run in runs])) for key in keys]
    table = sums(right, keys, labels)
    value_C, count_C = table.value_KC.sum(axis=0), table.count_KC.sum(axis=0)
    found: dict[str, float] = {"n": len(keys)}
    for name in METRICS:
        found[name] = rounded(float(metric_of(value_C, count_C, name)))
    return found


def printed(scene: Scene, page: str) -> Link:
    """Every row of "Where the figures come from", made anew, stands on the page as it is."""
    name, path = f"digests in {rel(scene.paths, page)}", rel(scene.paths, page)
    text = scene.store.read(path).decode()
    rows = list(_expected(scene))
    found = _rows_md(text) if path.endswith(".md") else _rows_html(text)
    wrong = [
        f"{what}: expected {value} (made anew), found {' or '.join(found.get(what, ['nothing']))} (page)"
        for what, value in rows
        if value not in found.get(what, [])
    ]
    if wrong:
        action = scene.again(f"report@{scene.params.corpus}")
        return differs(name, "; ".join(wrong[:3]), action=action)
    named = dict(rows)
    told = ", ".join(f"{what.removeprefix('Digest of the ')} {short(value)}" for what, value in named.items()
                     if what.startswith("Digest of the"))  # fmt: skip
    return ok(name, told)


def _expected(scene: Scene) -> Iterator[tuple[str, str]]:
    """Yield (title, value) of the rows that the report's own code makes of what lies here."""
    store, paths, params = scene.store, scene.paths, scene.params
    runs = runs_of(scene, HEADLINE)
    beside = {name: runs_of(scene, name) for name in PROTOCOLS if name in params.protocols and name != HEADLINE}
    facts = Facts(
        params=params,
        runs=runs,
        manifest=tuple(store.rows(rel(paths, "manifest"))),
        counts=None,
        staging=store.json(rel(paths, "staging")),
        inventory=store.json(rel(paths, "inventory")),
        best_possible=None,
        gaps=(),
        beside={name: found for name, found in beside.items() if found},
    )
    for block in provenance(facts).blocks:
        if isinstance(block, Table):
            yield from ((_text(row[0]), _text(row[1])) for row in block.rows)


def _text(cell: Cell) -> str:
    return " ".join(cell.text.split())


def _rows_md(text: str) -> Mapping[str, list[str]]:
    """Return first cell -> second cells of the page's tables; Markdown's escapes are taken back."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line.startswith("| "):
            cells = re.split(r"(?<!\\)\|", line)[1:-1]
            plain = [html.unescape(re.sub(r"\\([\\`*_\[\]#~|])", r"\1", cell)).strip() for cell in cells]
            if len(plain) == 2:
                found.setdefault(plain[0], []).append(plain[1])
    return found


def _rows_html(text: str) -> Mapping[str, list[str]]:
    """Return first cell -> second cells of the page's tables."""
    found: dict[str, list[str]] = {}
    for row in re.findall(r"<tr[^>]*>(.*?)</tr>", text, re.S):
        cells = re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row, re.S)
        plain = [" ".join(html.unescape(TAG.sub("", cell)).split()) for cell in cells]
        if len(plain) == 2:
            found.setdefault(plain[0], []).append(plain[1])
    return found
