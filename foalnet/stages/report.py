"""Stage `report`: the page, its Markdown twin and the aggregate metrics."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from foalnet.artifact.results import METRICS, PREDICTIONS
from foalnet.artifact.seal import SEAL
from foalnet.artifact.table import digest_file
from foalnet.config.blocks import PROTOCOLS
from foalnet.core.paths import HEADLINE, Paths
from foalnet.stages.base import Context, Stage
from foalnet.stages.chain import Chain, link, real_names
from foalnet.stages.link import Link, differences, differs, first_difference, ok, shown

PAGES = ("report_html", "report_md", "headline", "scores_svg", "curves_svg")


def run(context: Context) -> list[str]:
    """Write the offline page, its Markdown twin and the aggregate metrics, with intervals and what was dropped."""
    from foalnet.evidence.report import build

    build(context.params, context.paths)
    return []


def check(chain: Chain) -> Iterator[Link]:
    """Compare the figures and pages with those that the report's code makes of what is here."""
    stage = chain.stage("report")
    yield link("figures", stage, partial(_figures, chain))
    for page in PAGES:
        path = chain.at(getattr(chain.paths, page))
        yield link(f"page {path}", stage, partial(_page, chain, page, path))


def _built_again(chain: Chain) -> Paths:
    """Build the report from the runs, the manifest and the accounts; return where its files are (Absent, DataError)."""
    from foalnet.evidence.report import build

    folder = chain.scratch / "report"
    paths = Paths(chain.params.corpus, folder)
    if not paths.metrics.exists():
        chain.copy(folder, _inputs(chain))
        with real_names(folder):
            build(chain.params, paths, git=chain.paths.home)
    return paths


def _inputs(chain: Chain) -> Iterator[Path]:
    """Yield what the report reads of what there is: a file of no record that is not here is a gap on its page too."""
    params, paths = chain.params, chain.paths
    files = [paths.inventory, paths.counts, paths.staging, paths.manifest, digest_file(paths.manifest)]
    for protocol in (name for name in PROTOCOLS if name == HEADLINE or name in params.protocols):
        for variant in params.variants:
            folders = (paths.run(variant, seed, protocol) for seed in params.seeds)
            files += [folder / name for folder in folders for name in (METRICS, PREDICTIONS)]
    yield from (path for path in files if chain.outputs.has(chain.at(path)))


def _figures(chain: Chain) -> Link:
    """metrics.json is, byte for byte, what the report's code makes of the predictions."""
    path, action = chain.at(chain.paths.metrics), chain.again("report")
    stored, data = chain.outputs.json(path), chain.outputs.read(path)
    again = _built_again(chain).metrics.read_bytes()
    expected = {name: value for name, value in json.loads(again).items() if name != SEAL}
    if differing := list(differences(expected, stored)):
        return differs("figures", shown(differing, by="predictions", at="metrics.json"), action=action)
    if data != again:
        return differs("figures", f"{path} has the same values in other bytes", action=action)
    scores = ", ".join(f"{variant} {row['ua']}" for variant, row in stored["variants"].items())
    what = f"n, UA, WA, intervals and p values of {len(stored['variants'])} variants"
    return ok("figures", f"{what} follow from the predictions (UA: {scores})")


def _page(chain: Chain, page: str, path: str) -> Link:
    """A page is, byte for byte, what the report's code makes of runs, manifest and accounts."""
    stored = chain.outputs.read(path)
    again = getattr(_built_again(chain), page).read_bytes()
    if stored != again:
        what = first_difference(again.decode(), stored.decode(errors="replace"), at="page")
        return differs(f"page {path}", what, action=chain.again("report"))
    return ok(f"page {path}", f"{len(stored):,} bytes, those that follow from runs, manifest and accounts")


STAGE = Stage(
    name="report",
    short="write the page and the metrics",
    code=("foalnet.evidence.report",),
    folders=lambda context: [context.paths.reports],
    run=run,
    check=check,
)
