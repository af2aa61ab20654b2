"""The stages of one corpus: their recipes in dvc.yaml, and the record of their last run in dvc.lock."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foalnet.config.yamls import read_yaml
from foalnet.core.errors import DataError, UsageError

GRAPH, LOCK, PARAMS = "dvc.yaml", "dvc.lock", "params.yaml"
FIELD = re.compile(r"\$\{(key|item(?:\.\w+)*)\}")


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


def stages_of(home: Path, corpus: str) -> list[Recorded]:
    """Return the stages that lead to a corpus' report and model, each behind those that it needs.

    UsageError (exit 2) without dvc.yaml or params.yaml; DataError (exit 3) where a file cannot be read. Without
    dvc.lock no stage has a record.
    """
    graph, given = load(home / GRAPH).get("stages", {}), load(home / PARAMS)
    lock = load(home / LOCK).get("stages", {}) if (home / LOCK).is_file() else {}
    recipes = dict(_recipes(graph, given, corpus))
    needed = {dep for recipe in recipes.values() for dep in recipe.deps}
    stages = []
    for name, body in graph.items():
        if "foreach" not in body:
            # A stage of no corpus belongs to those that read what it writes.
            recipe = _recipe(body)
            if needed & set(recipe.outs):
                stages.append(_stage(name, recipe, lock))
        else:
            stages += [_stage(each, recipes[each], lock) for each in recipes if each.partition("@")[0] == name]
    return stages


def _recipes(graph: Mapping[str, Any], given: Mapping[str, Any], corpus: str) -> Iterator[tuple[str, Recipe]]:
    """Yield the templated stages of a corpus, filled in."""
    for name, body in graph.items():
        if "foreach" not in body:
            continue
        items = given[body["foreach"].strip("${}")]
        for key, item in items.items():
            if item.get("corpus", key) == corpus:
                yield f"{name}@{key}", _recipe(_filled(body["do"], key, item))


def _filled(body: Any, key: str, item: Mapping[str, Any]) -> Any:
    """Return a stage's body with ${key} and ${item.…} replaced."""
    if isinstance(body, dict):
        return {_filled(name, key, item): _filled(value, key, item) for name, value in body.items()}
    if isinstance(body, list):
        return [_filled(value, key, item) for value in body]
    if not isinstance(body, str):
        return body

    def value(match: re.Match[str]) -> str:
        result: Any = {"key": key, "item": item}
        for part in match[1].split("."):
            result = result[part]
        return str(result)

    return FIELD.sub(value, body)


def _recipe(body: Mapping[str, Any]) -> Recipe:
    outs: dict[str, Mapping[str, Any]] = {}
    for out in (*body.get("outs", ()), *body.get("metrics", ()), *body.get("plots", ())):
        outs |= {name: how or {} for name, how in out.items()} if isinstance(out, dict) else {out: {}}
    return Recipe(
        cmd=body["cmd"],
        deps=tuple(sorted(body.get("deps", ()))),
        outs=tuple(sorted(outs)),
        params=tuple(sorted(map(str, body.get("params", ())))),
        in_git=tuple(sorted(name for name, how in outs.items() if how.get("cache") is False)),
    )


def _stage(name: str, recipe: Recipe, lock: Mapping[str, Any]) -> Recorded:
    record = lock.get(name)
    if record is None:
        return Recorded(name=name, recipe=recipe, ran=None, deps={}, outs={}, params={})
    deps, outs = ({one["path"]: one.get("md5") for one in record.get(key, ())} for key in ("deps", "outs"))
    params = (record.get("params") or {}).get(PARAMS, {})
    ran = Recipe(cmd=record["cmd"], deps=tuple(sorted(deps)), outs=tuple(sorted(outs)), params=tuple(sorted(params)))
    return Recorded(name=name, recipe=recipe, ran=ran, deps=deps, outs=outs, params=params)
