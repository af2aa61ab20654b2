"""The chain of digests behind a report, from the commit to the page, taken anew link by link; no output is written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from foalnet.config import Params, Settings
from foalnet.files import not_written
from foalnet.gitrepo import git, has_git
from foalnet.paths import Paths
from foalnet.verify.chain import stage_links
from foalnet.verify.content import Scene
from foalnet.verify.digests import Reader
from foalnet.verify.graph import GRAPH, LOCK, PARAMS, Stage, load, stages_of
from foalnet.verify.link import Link, code_of, differs, ok, skipped, some
from foalnet.verify.remote import DEFAULT, Remote, cache_of
from foalnet.verify.store import Store

__all__ = ["DEFAULT", "Link", "code_of", "verify"]


def verify(params: Params, settings: Settings, *, remote: str | None = None, home: Path = Path()) -> Iterator[Link]:
    """Yield every link of one corpus' chain, in its order, as it is checked; `home` is the current folder.

    `remote`: also hold each object of that DVC remote to its digest ("" for the default one, None: no remote is
    asked). UsageError (exit 2) without a project or such a remote, DataError (exit 3) where dvc.yaml or dvc.lock
    cannot be read, MachineError (exit 4) where the remote cannot, or the folder for temporary files takes nothing.
    """
    stages = stages_of(home, params.corpus)
    far = None if remote is None else Remote(home, remote)
    store = Store(home, stages, reader=Reader(settings.workers), cache=cache_of(home), remote=far)
    paths, given = Paths(params.corpus, home), load(home / PARAMS)
    yield commit(home, stages)
    try:
        apart = TemporaryDirectory(prefix="foalnet-verify-")
    except OSError as error:
        raise not_written(error, Path(os.environ.get("TMPDIR", "/tmp")), stage="verify") from error  # noqa: S108
    with apart as bench:
        scene = Scene(params=params, settings=settings, store=store, paths=paths, bench=Path(bench))
        for stage in stages:
            yield from stage_links(stage, store, given)
            if stage.ran is not None:
                yield from _by_content(stage, scene, given)


def _by_content(stage: Stage, scene: Scene, given: Any) -> Iterator[Link]:
    from foalnet.verify.reported import reported_links
    from foalnet.verify.scored import scored_links
    from foalnet.verify.staged import staged_links
    from foalnet.verify.trained import trained_links

    run = given["runs"].get(stage.name.partition("@")[2])
    yield from staged_links(scene, stage.verb)
    yield from trained_links(scene, stage.name, run)
    yield from scored_links(scene, stage.name, run)
    if stage.verb == "report":
        yield from reported_links(scene)


def commit(home: Path, stages: list[Stage]) -> Link:
    """Tell the commit, and whether what the chain rests on is in it as it is."""
    if not has_git(home):
        return skipped("commit", "no .git here: a source archive, whose files have no commit")
    head = git(home, "rev-parse", "HEAD").stdout.strip()
    lines = git(home, "--no-optional-locks", "status", "--porcelain", "--untracked-files=no").stdout.splitlines()
    changed = [line[3:].rpartition(" -> ")[2].strip('"') for line in lines]
    rests = {GRAPH, LOCK, PARAMS, *(path for stage in stages for path in (*stage.asked.deps, *stage.asked.outs))}
    bearing = [name for name in changed if any(name == path or name.startswith(f"{path}/") for path in rests)]
    if bearing:
        what = f"expected {head[:10]}, found {head[:10]} with changes that are in no commit: {some(bearing)}"
        return differs("commit", what, action=f"`git diff -- {bearing[0]}`; commit them, or `git checkout` them")
    other = f"; {len(changed)} changed files bear on no link" if changed else ""
    return ok("commit", f"{head[:10]}, nothing that the chain rests on differs from it{other}")
