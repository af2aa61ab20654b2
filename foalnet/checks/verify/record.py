"""Compares what dvc.lock recorded of a stage's last run with dvc.yaml, params.yaml and the files of this folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from foalnet.artifact.digests import folder_md5
from foalnet.checks.verify.lock import LOCK, PARAMS, Recipe, Recorded
from foalnet.checks.verify.outputs import output
from foalnet.checks.verify.store import Store
from foalnet.stages.link import Link, absent, differs, first_few, mismatch, ok, short_digest

# A dependency below this folder is code; any other is an input.
CODE = "foalnet/"


def stage_links(stage: Recorded, store: Store, params: Mapping[str, Any]) -> Iterator[Link]:
    """Yield the links of one stage: recipe, code, params, inputs, outputs; `params`: the content of params.yaml."""
    if stage.ran is None:
        yield absent(f"{stage.name} record", f"{LOCK} has none: it was not run", action=f"dvc repro {stage.name}")
        return
    yield _recipe(stage, stage.ran)
    yield _code(stage, store)
    yield _params(stage, params)
    for path in stage.deps:
        if not path.startswith(CODE):
            yield _input(stage, path, store)
    for path, md5 in stage.outs.items():
        yield output(stage, path, md5, store)


def _again(stage: Recorded) -> str:
    return f"dvc repro {stage.name}"


def _recipe(stage: Recorded, ran: Recipe) -> Link:
    """Compare the stage's recipe (command; names of deps, outs, params) in dvc.yaml with the one in dvc.lock."""
    name = f"{stage.name} recipe"
    if stage.recipe.cmd != ran.cmd:
        return differs(name, f"dvc.yaml says `{stage.recipe.cmd}`, {LOCK} `{ran.cmd}`", action=_again(stage))
    for what in ("deps", "outs", "params"):
        now, recorded = set(getattr(stage.recipe, what)), set(getattr(ran, what))
        if now != recorded:
            only = {"dvc.yaml": now - recorded, LOCK: recorded - now}
            text = [f"only {file} has {first_few(names)}" for file, names in only.items() if names]
            return differs(name, f"{what}: {', '.join(text)}", action=_again(stage))
    return ok(name, f"`{ran.cmd}`, {len(ran.deps)} deps, {len(ran.outs)} outs: those of dvc.yaml")


def _here(path: str, store: Store) -> str | None:
    """Return the digest of a file or folder of the workspace, None where there is none."""
    place = store.home / path
    if place.is_file():
        return store.reader.digest(place).md5
    return folder_md5(store.folder(path)) if place.is_dir() else None


def _code(stage: Recorded, store: Store) -> Link:
    """Compare the code that the stage ran with the code of this folder."""
    name, wrong = f"{stage.name} code", []
    paths = [path for path in stage.deps if path.startswith(CODE)]
    for path in paths:
        actual = _here(path, store)
        if actual != stage.deps[path]:
            wrong.append(f"{path}: " + mismatch(stage.deps[path], actual or "nothing", by=LOCK, at="workspace"))
    if wrong:
        return differs(name, "; ".join(wrong), action=f"git checkout the code that ran, or {_again(stage)}")
    return ok(name, f"{len(paths)} files and folders are those that ran")


def _params(stage: Recorded, params: Mapping[str, Any]) -> Link:
    """Compare the values that the stage ran with those of params.yaml."""
    name, wrong = f"{stage.name} params", []
    for path, value in stage.params.items():
        now = value_at(params, path)
        wrong += [f"{where}: {LOCK} has {was}, {PARAMS} {now}" for where, was, now in unlike(path, value, now)]
    if wrong:
        return differs(name, "; ".join(wrong), action=f"put the values back, or {_again(stage)}")
    return ok(name, f"{', '.join(stage.params) or 'none'}: those of {PARAMS}")


def value_at(params: Any, path: str) -> Any:
    """Return the value at a dotted path, None where there is none."""
    value = params
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def unlike(path: str, was: Any, now: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yield (dotted name, recorded value, value in params.yaml) of each single value that differs."""
    if isinstance(was, Mapping) and isinstance(now, Mapping):
        for name in [*was, *(name for name in now if name not in was)]:
            yield from unlike(f"{path}.{name}", was.get(name), now.get(name))
    elif was != now:
        yield path, was, now


def _input(stage: Recorded, path: str, store: Store) -> Link:
    """Compare an input that the stage read with the output of the stage that writes it.

    Both digests are those in dvc.lock. An input may be a folder with outputs of several stages; an input that no stage
    writes is compared with the file in this folder.
    """
    name, recorded = f"{stage.name} input {path}", stage.deps[path]
    files = store.recorded(path)
    if files is None:
        return absent(name, "the list of a folder's files is not here", action=store.bring(store.maker_of(path)))
    if not files:
        actual, at = _here(path, store), "workspace"
        if actual is None:
            return absent(name, "not here, and no stage writes it", action=f"git checkout -- {path}")
    elif path in files:
        actual, at = files[path], f"output of {store.maker_of(path)}"
    else:
        actual = folder_md5({one.removeprefix(f"{path}/"): md5 for one, md5 in files.items()})
        makers = {store.maker_of(name) for name in files}
        at = f"output of {makers.pop()}" if len(makers) == 1 else f"outputs of {len(makers)} stages"
    if actual != recorded:
        return differs(name, mismatch(recorded, actual, by=LOCK, at=at), action=_again(stage))
    return ok(name, f"{short_digest(recorded)}, the {at}")
