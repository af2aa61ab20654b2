"""Opens the project as DVC sees it, for reading: its stages, its configuration and its cache."""

from __future__ import annotations

import copy
import os
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from foalnet.core.errors import MachineError, UsageError
from foalnet.core.files import not_written

# Subfolders of a cache or remote in which DVC 3 stores objects by the MD5 of their bytes.
OBJECTS = ("files", "md5")
# The stages at the end of a corpus' graph.
ENDS = ("report", "final")


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A stage of dvc.yaml and its command, None for one that is no single command run in the project's folder.

    `made`: an output of it is in the workspace or, as recorded, in DVC's cache; those that git tracks do not count, as
    every clone has them. `inputs`, `outputs`: the paths of what it reads and writes.
    """

    name: str
    command: str | None
    made: bool
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def dvc_config(home: Path) -> Any:
    """Return DVC's resolved configuration of a folder: section -> name -> value (UsageError if DVC rejects it)."""
    from dvc.config import Config, ConfigError

    try:
        return Config(dvc_dir=str((home / ".dvc").resolve()))
    except ConfigError as error:
        raise UsageError(
            f"DVC's configuration cannot be read: {error}", file=home / ".dvc", action="`dvc config -l`"
        ) from error


def dvc_cache(home: Path) -> Path:
    """Return the folder of DVC's cache that holds the objects."""
    given = dvc_config(home)["cache"].get("dir")
    return (Path(given) if given else home.resolve() / ".dvc" / "cache").joinpath(*OBJECTS)


@contextmanager
def scratch_folder(prefix: str) -> Iterator[Path]:
    """Yield a temporary folder outside the project; MachineError (exit 4) where it cannot be made."""
    try:
        temporary = TemporaryDirectory(prefix=prefix)
    except OSError as error:
        raise not_written(error, Path(os.environ.get("TMPDIR", "/tmp"))) from error  # noqa: S108
    with temporary as folder:
        yield Path(folder)


@contextmanager
def opened(home: Path) -> Iterator[Any]:
    """Yield DVC's `Repo` of a folder, for reading: no lock is taken and nothing is written in the project.

    What a `Repo` itself writes (its databases of known files, the file that marks its time) goes to a temporary folder:
    so it also remembers no digest of an earlier run. UsageError (exit 2) without a project, or where DVC rejects its
    configuration.
    """
    from dvc.config import ConfigError
    from dvc.repo import Repo

    if not (home / ".dvc").is_dir():
        # DVC would go on to the folders above.
        raise UsageError("no DVC project", file=home / ".dvc", action="run in the project's folder")
    with scratch_folder("foalnet-dvc-") as scratch:
        folders = {"tmp_dir": str(scratch), "site_cache_dir": str(scratch)}
        try:
            # Without git: a source archive has none, and DVC would write to .gitignore.
            repo = type("ReadOnly", (Repo,), folders)(str(home.resolve()), config={"core": {"no_scm": True}})
        except ConfigError as error:
            raise UsageError(
                f"DVC's configuration cannot be read: {error}", file=home / ".dvc", action="`dvc config -l`"
            ) from error
        with repo:
            yield repo


def planned(home: Path, corpora: Collection[str] = ()) -> list[Planned]:
    """Return the stages in the order of `dvc repro`: those that the report and final model of `corpora` need, or all.

    UsageError (exit 2) for an unknown corpus, and where DVC rejects the project.
    """
    import networkx
    from dvc.exceptions import DvcException
    from dvc.repo.reproduce import get_active_graph, plan_repro

    with opened(home) as repo:
        try:
            graph = get_active_graph(repo.index.graph)
            order = [stage for stage in plan_repro(graph) if stage.path_in_repo == "dvc.yaml"]
        except DvcException as error:
            raise UsageError(f"DVC cannot read the project: {error}", file=home, action="try `dvc status`") from error
        by_name = {stage.name: stage for stage in order}
        wanted = {f"{end}@{corpus}" for corpus in corpora for end in ENDS}
        if unknown := sorted(wanted - by_name.keys()):
            known = sorted(name.partition("@")[2] for name in by_name if name.startswith(f"{ENDS[0]}@"))
            raise UsageError(
                f"no corpus '{unknown[0].partition('@')[2]}' in dvc.yaml",
                file="params.yaml",
                action=f"name an entry of `corpora`: {', '.join(known)}",
            )
        needed = wanted | {s.name for name in wanted for s in networkx.descendants(graph, by_name[name])}
        return [_planned(stage) for stage in order if not corpora or stage.name in needed]


def _planned(stage: Any) -> Planned:
    own = isinstance(stage.cmd, str) and stage.wdir == os.path.dirname(stage.path)  # noqa: PTH120
    return Planned(
        name=stage.name,
        command=stage.cmd if own else None,
        made=any(_made(out) for out in stage.outs if out.use_cache),
        inputs=tuple(str(dep.fs_path) for dep in stage.deps if hasattr(dep, "fs_path")),
        outputs=tuple(str(out.fs_path) for out in stage.outs),
    )


@contextmanager
def output_lock(home: Path, stages: Collection[Planned]) -> Iterator[None]:
    """Hold DVC's lock of the stages' outputs: no other process' `dvc repro` then writes or removes them.

    `record` may run meanwhile in this process. MachineError (exit 4) with the holder's process where another holds it.
    """
    from dvc.exceptions import DvcException
    from dvc.lock import LockError
    from dvc.repo import Repo
    from dvc.rwlock import rwlock

    with Repo(str(home.resolve())) as repo:
        tmp_dir, fs, hardlink = repo.tmp_dir, repo.fs, repo.config["core"].get("hardlink_lock", False)
    outputs = [path for stage in stages for path in stage.outputs]
    with ExitStack() as held:
        try:
            # DVC takes it again in the same process with the same command line.
            held.enter_context(rwlock(tmp_dir, fs, " ".join(sys.argv), [], outputs, hardlink))
        except LockError as error:
            action = "wait for it to end, then run the same command again"
            raise MachineError(str(error), file=home, action=action) from error
        except DvcException as error:
            raise MachineError(str(error), file=home, action="run `foalnet mend`, then the same command") from error
        yield


def record(home: Path, names: Sequence[str]) -> None:
    """Have DVC record these stages, at least one, in this order.

    It does what `dvc commit --force` does, which plans the project again for each name. MachineError (exit 4) where DVC
    cannot.
    """
    import sqlite3

    from dvc.exceptions import DvcException
    from dvc.repo import Repo, lock_repo

    try:
        with Repo(str(home.resolve()), _wait_for_lock=True) as repo, lock_repo(repo), _yaml_parsed_once():
            by_name = {stage.name: stage for stage in repo.index.stages if stage.path_in_repo == "dvc.yaml"}
            stages = [by_name[name] for name in names]
            for stage in stages:
                stage.save()
                stage.commit()
            # Once for all: DVC parses its lock file again for each call.
            stages[0].dvcfile.dump_stages(stages, update_pipeline=False)
    # DVC's databases of known files raise SQLite's own errors, as on a full disk.
    except (DvcException, sqlite3.Error) as error:
        raise MachineError(f"DVC cannot record the stages: {error}", file=home, action="run `dvc repro`") from error


@contextmanager
def _yaml_parsed_once() -> Iterator[None]:
    """Have DVC parse params.yaml once: it parses it again for every stage and for every look into its run cache."""
    from dvc.utils.serialize import LOADERS, load_yaml

    once = cache(load_yaml)
    # A copy for each caller: DVC would write an object that two stages share as an alias.
    LOADERS[".yaml"] = lambda path, **of: copy.deepcopy(once(path, **of))
    try:
        yield
    finally:
        del LOADERS[".yaml"]


def _made(out: Any) -> bool:
    return os.path.lexists(out.fs_path) or (bool(out.hash_info) and not out.changed_cache())


def cache_links(home: Path, root: Path) -> Callable[[Path], bool]:
    """Return a predicate that accepts the targets of DVC's own links below `root`: files in DVC's cache.

    With `cache.type symlink` every file of an output is such a link. The predicate rejects everything if `root` is
    outside the project.
    """
    inside = root.resolve().is_relative_to(home.resolve())

    @cache
    def objects() -> Path:
        return dvc_cache(home).resolve()

    return lambda target: inside and target.is_relative_to(objects())
