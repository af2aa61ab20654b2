"""Creates a git worktree for one run: the operator's commit with DVC's cache and work folder.

It is in the work folder, one per corpus and always at the same path (DVC keeps data per path), is protected by a lock,
and is removed at the end; the next run removes what a killed run left.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from flows.process import Stopped
from flows.tasks import RETRY_DELAYS_S, run_logger, stop_event
from foalnet.artifact.dvcrepo import dvc_config
from foalnet.artifact.gitrepo import (
    LOCK,
    changed_files,
    git,
    is_result,
    refuse_conflict,
    refuse_dirty,
    text_at,
    untracked,
)
from foalnet.artifact.results import METRICS, PREDICTIONS
from foalnet.config import Settings
from foalnet.core.errors import MachineError
from foalnet.core.locks import lock
from foalnet.core.paths import Paths
from foalnet.evidence.champion import adopt, champion_of

STAGE = "retrain"


@dataclass(frozen=True, kw_only=True, slots=True)
class Tree:
    """Folders of a run: `home` is the operator's checkout, `folder` the run's worktree.

    `champion` is the commit of the corpus' champion in force. `env` are the stages' environment variables: this
    folder's code first on the path, and the machine's settings, which git does not have.
    """

    home: Path
    folder: Path
    head: str
    champion: str | None
    env: dict[str, str]


@contextlib.contextmanager
def worktree(home: Path, corpus: str, settings: Settings) -> Iterator[Tree]:
    """Yield a worktree of the operator's commit with the champion's dvc.lock and figures; remove it at the end.

    Without a champion it has dvc.lock and figures of the operator's last `dvc repro`, committed or not.

    UsageError (exit 2) for a checkout with uncommitted changes or a dvc.lock with conflict markers; MachineError
    (exit 4), naming the process, where another one holds the corpus.
    """
    work = (home / settings.work).resolve()
    with lock_in_time(work / "locks" / f"{STAGE}-{corpus}"):
        refuse_conflict(home / LOCK)
        refuse_dirty(home)
        folder = work / "worktrees" / corpus
        _remove(home, folder)
        head = git(home, "rev-parse", "HEAD").stdout.strip()
        for line in adopt(home):
            run_logger().info("%s", line)
        champion = champion_of(home, corpus)
        try:
            git(home, "worktree", "add", "--detach", "--quiet", str(folder), head)
            if champion is None:
                _take_results(home, folder)
            else:
                _take_record(home, champion, Paths(corpus, folder))
            env = environment(folder, home, settings)
            _share_cache(home, folder)
            yield Tree(home=home, folder=folder, head=head, champion=champion, env=env)
        finally:
            _remove(home, folder)


def _take_results(home: Path, folder: Path) -> None:
    """Copy results that the operator's `dvc repro` changed or created, so that the run continues from them."""
    for name in {*filter(is_result, changed_files(home)), *untracked(home, [LOCK, "reports"])}:
        if (home / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(home / name, folder / name)


def _take_record(home: Path, champion: str, paths: Paths) -> None:
    """Write the champion's outputs that git has: its dvc.lock, and the figures that DVC's cache does not hold."""
    for path in (paths.home / LOCK, paths.metrics, paths.headline):
        text = text_at(home, champion, path.relative_to(paths.home).as_posix())
        if text is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")


@contextlib.contextmanager
def lock_in_time(path: Path) -> Iterator[None]:
    """Hold a lock; retry with the delays of a stage where another run holds it (then MachineError, exit 4)."""
    with contextlib.ExitStack() as stack:
        for delay_s in RETRY_DELAYS_S:
            try:
                stack.enter_context(lock(path))
                break
            except MachineError as error:
                run_logger().warning("%s; next try in %g s", error, delay_s)
            if (stop_event() or threading.Event()).wait(delay_s):
                raise Stopped("cancelled while it waited for another run")
        else:
            stack.enter_context(lock(path))
        yield


def _remove(home: Path, folder: Path) -> None:
    """Remove a worktree of this run or of a killed one, and git's record of it."""
    if folder.exists():
        shutil.rmtree(folder)
    git(home, "worktree", "prune")


def environment(folder: Path, home: Path, settings: Settings) -> dict[str, str]:
    """Return the environment variables of a worktree's stages: the machine's paths, absolute, and the code to run."""
    given = settings.model_dump(mode="json", include=settings.model_fields_set)
    given |= {"work": str((home / settings.work).resolve()), "home": str(folder)}
    given["roots"] = {name: str(home / Path(root).expanduser()) for name, root in settings.roots.items()}
    if settings.weights is not None:
        given["weights"] = str(home / settings.weights.expanduser())
    texts = {
        f"FOALNET_{name.upper()}": json.dumps(value) if isinstance(value, dict | list) else str(value)
        for name, value in given.items()
        if value is not None
    }
    # `foalnet` is installed from the operator's folder; the worktree's code must come first.
    path = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    return texts | {"PYTHONPATH": os.pathsep.join(path)}


def _share_cache(home: Path, folder: Path) -> None:
    """Make the worktree use the operator's DVC cache and remotes, with links where configured or possible."""
    from configobj import ConfigObj
    from dvc.repo import Repo

    local, ours = (each / ".dvc" / "config.local" for each in (home, folder))
    if local.is_file():
        shutil.copyfile(local, ours)
    # Not with DVC, which reads these files as UTF-8 but writes ASCII: a path may have any letter.
    config = ConfigObj(str(ours), encoding="utf-8", interpolation=False)
    with Repo(str(home)) as repo:
        cache = {"dir": repo.cache.local_cache_dir}
        if not repo.config["cache"].get("type"):
            cache["type"] = "reflink,hardlink,copy"
        config["cache"] = {**config.get("cache", {}), **cache}
        for name, remote in repo.config["remote"].items():
            if "://" not in remote["url"]:
                # DVC resolves a relative path from the config file's folder, which differs here.
                section = f'remote "{name}"'
                config[section] = {**config.get(section, {}), "url": str(remote["url"])}
    config.write()


@contextlib.contextmanager
def other_checkout(tree: Tree, commit: str) -> Iterator[Path]:
    """Yield a worktree of another commit inside the run's own, with DVC's cache and remotes."""
    folder = tree.folder / ".dvc" / "tmp" / "other"
    _remove(tree.home, folder)
    git(tree.home, "worktree", "add", "--detach", "--quiet", str(folder), commit)
    try:
        _share_cache(tree.home, folder)
        yield folder
    finally:
        _remove(tree.home, folder)


def fetch(tree: Tree, outs: list[str]) -> None:
    """Check recorded outputs out of DVC's cache into the worktree; those that the cache lacks stay absent."""
    # One output that the current dvc.yaml does not know fails the whole command; then try one by one.
    if not _dvc(tree, "checkout", "--allow-missing", *outs) and len(outs) > 1:
        for out in outs:
            _dvc(tree, "checkout", "--allow-missing", out)


def _dvc(tree: Tree, *arguments: str) -> bool:
    command = [sys.executable, "-m", "dvc", arguments[0], "--quiet", *arguments[1:]]
    env = os.environ | tree.env | {"DVC_NO_ANALYTICS": "1"}
    done = subprocess.run(command, cwd=tree.folder, env=env, stdin=subprocess.DEVNULL, capture_output=True)
    return done.returncode == 0


def set_aside(tree: Tree, corpus: str, runs: list[str]) -> tuple[Paths, list[str]]:
    """Fetch the champion's predictions and accounts and move them to a separate folder.

    Returns that folder's paths, and the runs with predictions that neither DVC's cache nor its default remote has.
    """
    here, aside = Paths(corpus, tree.folder), Paths(corpus, tree.folder / ".dvc" / "tmp" / "champion")
    results = {name: here.reports / "runs" / name for name in runs}
    wanted = [*results.values(), here.counts, here.staging]
    fetch(tree, [path.relative_to(tree.folder).as_posix() for path in wanted])
    away = [path for path in wanted if not _is_whole(path)]
    if away and dvc_config(tree.folder)["core"].get("remote"):
        for path in away:
            _dvc(tree, "pull", "--allow-missing", path.relative_to(tree.folder).as_posix())
    lost = [name for name, path in results.items() if not _is_whole(path)]
    for name in lost:
        shutil.rmtree(results[name], ignore_errors=True)
    for path in wanted:
        if path.exists():
            target = aside.home / path.relative_to(tree.folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            path.rename(target)
    return aside, lost


def _is_whole(path: Path) -> bool:
    """Return whether an output exists; a run's results need both of its files under one of its protocols."""
    folders = [path, *path.iterdir()] if path.is_dir() else []
    return path.is_file() or any(all((each / name).is_file() for name in (METRICS, PREDICTIONS)) for each in folders)
