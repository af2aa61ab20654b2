"""The chain of digests behind a report, from the commit to the page, checked link by link; no output is written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from foalnet.artifact.digests import Reader
from foalnet.artifact.dvcrepo import opened, scratch_folder
from foalnet.artifact.gitrepo import blobs_at, blobs_here, git, has_git
from foalnet.artifact.seal import command
from foalnet.checks.verify.lock import GRAPH, LOCK, PARAMS, Recorded, load, stages_of
from foalnet.checks.verify.places import DEFAULT, Remote
from foalnet.checks.verify.record import stage_links
from foalnet.checks.verify.store import Store
from foalnet.config import Params, Settings
from foalnet.config.load import Run
from foalnet.core.paths import Paths
from foalnet.stages.chain import Chain
from foalnet.stages.link import Link, code_of, differs, first_few, mismatch, ok, skipped
from foalnet.stages.table import BY_NAME

# Code and configuration besides the dependencies of the stages.
SOURCES = (".dvcignore", GRAPH, PARAMS, "constraints.txt", "flows", "foalnet", "pyproject.toml")

__all__ = ["DEFAULT", "Link", "code_of", "verify"]


def verify(params: Params, settings: Settings, *, remote: str | None = None, home: Path = Path()) -> Iterator[Link]:
    """Yield every link of one corpus' chain, in its order, as it is checked; `home` is the current folder.

    `remote`: also compare each object of that DVC remote with its digest ("" for the default one, None: no remote is
    read). UsageError (exit 2) without a project or such a remote, DataError (exit 3) where dvc.yaml or dvc.lock
    cannot be read, MachineError (exit 4) where the remote cannot, or the folder for temporary files takes nothing.
    """
    given = load(home / PARAMS)
    with opened(home) as repo, scratch_folder("foalnet-verify-") as scratch:
        stages, paths = stages_of(repo, params.corpus), Paths(params.corpus, home)
        far = None if remote is None else Remote(repo, remote)
        store = Store(home, repo, stages, reader=Reader(settings.workers), remote=far)
        chain = Chain(params=params, settings=settings, outputs=store, paths=paths, scratch=scratch)
        yield from commit(home, stages)
        for stage in stages:
            yield from stage_links(stage, store, given)
            if stage.ran is not None and stage.verb in BY_NAME:
                item = given["runs"].get(stage.name.partition("@")[2])
                run = Run.model_validate(item) if item and BY_NAME[stage.verb].per_run else None
                yield from BY_NAME[stage.verb].check(replace(chain, run=run))


def commit(home: Path, stages: list[Recorded]) -> Iterator[Link]:
    """Compare the files that run and decide with those of the commit, by content; then what DVC keeps in git."""
    if not has_git(home):
        yield skipped("commit", "no .git here: a source archive, whose files have no commit")
        return
    head = git(home, "rev-parse", "HEAD").stdout.strip()
    made = sorted({path for stage in stages for path in stage.recipe.outs})
    read = (path for stage in stages for path in stage.recipe.deps)
    given = (path for path in read if not any(_at(path, out) or _at(out, path) for out in made))
    roots = sorted({*SOURCES, *(path for path in given if not any(_at(path, root) for root in SOURCES))})
    files, here = blobs_at(home, head, roots), blobs_here(home, list(_worktree(home, roots)))
    wrong = {
        "in no commit": here.keys() - files.keys(),
        "not here": files.keys() - here.keys(),
        "changed": {path for path in files.keys() & here.keys() if files[path] != here[path]},
    }
    if faults := [f"{first_few(names)} {what}" for what, names in wrong.items() if names]:
        what = f"the files here are not those of {head[:10]}: {'; '.join(faults)}"
        yield differs("commit", what, action="`git status`; `git add` and commit them, or `git checkout` them")
    else:
        yield ok("commit", f"{head[:10]}; its {len(files)} files of code, packages, params and graph are those here")
    results = sorted({LOCK, *(path for stage in stages for path in stage.recipe.in_git)})
    files, here = blobs_at(home, head, results), blobs_here(home, [path for path in results if (home / path).is_file()])
    newer = {path for path in here if here[path] != files.get(path)}
    if edited := list(_edited(home, stages, newer)):
        yield from edited
    elif newer:
        what = f"no commit records this run yet: {first_few(newer)} differ from {head[:10]}"
        yield skipped("commit of the results", what, action=f"git add {' '.join(sorted(newer))} && git commit")
    else:
        yield ok("commit of the results", f"{head[:10]} holds {first_few(here) or 'none'} as they are here")


def _edited(home: Path, stages: list[Recorded], newer: set[str]) -> Iterator[Link]:
    """Yield the results that differ from dvc.lock too: they were edited after the run."""
    for stage in stages:
        for path in sorted(newer & set(stage.recipe.in_git)):
            recorded, stored = stage.outs.get(path), Reader(workers=1).digest(home / path).md5
            if recorded and recorded != stored:
                # An older commit does not help: the results of this run were never committed.
                restore = "" if LOCK in newer else f"restore it by `git checkout -- {path}`, or run "
                yield differs(
                    "commit of the results",
                    f"{path} is not what the run wrote: {mismatch(recorded, stored, by=LOCK, at='file')}",
                    action=f"{restore}`{command(stage.name)}`",
                )


def _at(path: str, root: str) -> bool:
    """Return whether a path is `root` or below it."""
    return path == root or path.startswith(f"{root}/")


def _worktree(home: Path, roots: list[str]) -> Iterator[str]:
    """Yield the files at or below `roots`, without the interpreter's caches and hidden files of editors and systems."""
    for root in roots:
        if (home / root).is_file():
            yield root
            continue
        for folder, folders, names in os.walk(home / root):
            folders[:] = sorted(name for name in folders if name != "__pycache__")
            kept = (name for name in sorted(names) if not name.startswith("."))
            yield from ((Path(folder) / name).relative_to(home).as_posix() for name in kept)
