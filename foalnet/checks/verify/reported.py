"""The last links: figures and pages are those that the report's own code makes of what lies here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial

from foalnet.artifact.seal import SEAL
from foalnet.checks.verify.anew import first_unlike, report_anew, told, unlike
from foalnet.checks.verify.content import Scene, asked
from foalnet.checks.verify.link import Link, differs, ok
from foalnet.checks.verify.staged import rel


def reported_links(scene: Scene) -> Iterator[Link]:
    """Yield the links by content of the stage `report`."""
    stage = f"report@{scene.params.corpus}"
    yield asked("figures", stage, partial(figures, scene))
    for page in ("report_html", "report_md", "headline", "scores_svg", "curves_svg"):
        yield asked(f"page {rel(scene.paths, page)}", stage, partial(printed, scene, page))


def figures(scene: Scene) -> Link:
    """metrics.json is, byte for byte, what the report's code makes of the predictions."""
    path = rel(scene.paths, "metrics")
    action = scene.again(f"report@{scene.params.corpus}")
    found, data = scene.store.json(path), scene.store.read(path)
    anew = report_anew(scene).metrics.read_bytes()
    made = {name: value for name, value in json.loads(anew).items() if name != SEAL}
    if differing := list(unlike(made, found)):
        return differs("figures", told(differing, by="predictions", at="metrics.json"), action=action)
    if data != anew:
        return differs("figures", f"{path} has the same values in other bytes", action=action)
    shown = ", ".join(f"{variant} {row['ua']}" for variant, row in found["variants"].items())
    what = f"n, UA, WA, intervals and p values of {len(found['variants'])} variants"
    return ok("figures", f"{what} follow from the predictions (UA: {shown})")


def printed(scene: Scene, page: str) -> Link:
    """A page is, byte for byte, what the report's code makes of runs, manifest and accounts."""
    path = rel(scene.paths, page)
    name = f"page {path}"
    found = scene.store.read(path)
    anew = getattr(report_anew(scene), page).read_bytes()
    if found != anew:
        what = first_unlike(anew.decode(), found.decode(errors="replace"), at="page")
        return differs(name, what, action=scene.again(f"report@{scene.params.corpus}"))
    return ok(name, f"{len(found):,} bytes, those that follow from runs, manifest and accounts")
