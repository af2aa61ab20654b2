"""The stages of one corpus as DVC reads them: recipes in dvc.yaml, records of the last runs in dvc.lock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foalnet.config.yamls import read_yaml
from foalnet.core.errors import DataError, UsageError, reason

GRAPH, LOCK, PARAMS = "dvc.yaml", "dvc.lock", "params.yaml"


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """One stage: its command, the paths that it reads and writes, the names of its params.

    `in_git`: those of its outs that git keeps, not DVC.
    """

    cmd: str
    deps: tuple[str, ...]
    outs: tuple[str, ...]
    params: tuple[str, ...]
    in_git: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Recorded:
    """A stage of a corpus: its recipe in dvc.yaml, and dvc.lock's record of its last run (None: it has none).

    `deps` and `outs` are path -> digest of that record, `params` name -> value.
    """

    name: str
    recipe: Recipe
    ran: Recipe | None
    deps: Mapping[str, str]
    outs: Mapping[str, str]
    params: Mapping[str, Any]

    @property
    def verb(self) -> str:
        """The verb of the stage: train, evaluate, …"""
        return self.name.partition("@")[0]


def load(path: Path) -> Any:
    """Read a YAML file as DVC does (DataError, exit 3, where it cannot be read)."""
    try:
        return read_yaml(path) or {}
    except FileNotFoundError as error:
        raise UsageError("file not found", file=path, action="run in the project's folder") from error
    except UsageError as error:
        raise DataError(error.what, file=path, action=f"`git checkout -- {path.name}`") from error


def stages_of(repo: Any, corpus: str) -> list[Recorded]:
    """Return the stages of a corpus and those that they need, in the order of dvc.yaml; `repo` is DVC's.

    UsageError (exit 2) without dvc.yaml or params.yaml; DataError (exit 3) where a file cannot be read. Without
    dvc.lock no stage has a record.
    """
    from dvc.dvcfile import load_file
    from dvc.exceptions import DvcException
    from dvc.repo.index import Index
    from networkx import descendants

    home = Path(repo.root_dir)
    try:
        recipes = load_file(repo, str(home / GRAPH)).stages
        stages, records = list(recipes.values()), recipes.lockfile_data
        graph = Index(repo, stages=stages).graph
    except DvcException as error:
        # The project's own reader names the line.
        for path in (home / name for name in (GRAPH, PARAMS, LOCK) if name != LOCK or (home / LOCK).is_file()):
            load(path)
        what = f"DVC cannot read it: {reason(error)}"
        raise DataError(what, file=home / GRAPH, action=f"`git checkout -- {GRAPH} {PARAMS} {LOCK}`") from error
    own = {stage for stage in stages if stage.name.endswith(f"@{corpus}")}
    needed = own.union(*(descendants(graph, stage) for stage in own))
    return [_recorded(stage, records.get(stage.name)) for stage in stages if stage in needed]


def _recorded(stage: Any, record: Mapping[str, Any] | None) -> Recorded:
    from dvc.dependency import ParamsDependency

    params = (name for dep in stage.deps if isinstance(dep, ParamsDependency) for name in dep.params)
    recipe = Recipe(
        cmd=stage.cmd,
        deps=tuple(sorted(dep.def_path for dep in stage.deps if not isinstance(dep, ParamsDependency))),
        outs=tuple(sorted(out.def_path for out in stage.outs)),
        params=tuple(sorted(params)),
        in_git=tuple(sorted(out.def_path for out in stage.outs if not out.use_cache)),
    )
    if record is None:
        return Recorded(name=stage.name, recipe=recipe, ran=None, deps={}, outs={}, params={})
    # A record may have paths that dvc.yaml has no longer: DVC's stage has none of them.
    deps, outs = ({one["path"]: one.get("md5") for one in record.get(key, ())} for key in ("deps", "outs"))
    values = record.get("params", {}).get(PARAMS, {})
    ran = Recipe(cmd=record["cmd"], deps=tuple(sorted(deps)), outs=tuple(sorted(outs)), params=tuple(sorted(values)))
    return Recorded(name=stage.name, recipe=recipe, ran=ran, deps=deps, outs=outs, params=values)
