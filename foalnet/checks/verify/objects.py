"""Checks the objects of a push: each must be undamaged in DVC's cache, or already be in the remote.

`dvc push` checks neither: for an object that is in neither place it warns and exits with 0, and it sends an altered one
under its old name. So each object is read beforehand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from foalnet.artifact.digests import Reader
from foalnet.checks.verify.lock import LOCK, Recorded
from foalnet.checks.verify.places import Place, Remote
from foalnet.checks.verify.store import Store
from foalnet.stages.link import mismatch


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """An object that must not or cannot be pushed: its output's file, its stage, and the fault.

    `remove` are objects, by path or address, that must go before whole ones can take their places.
    """

    path: str
    stage: str
    result: str
    remove: tuple[str, ...] = ()


def faults(repo: Any, stages: Iterable[Recorded], *, reader: Reader, remote: Callable[[], Remote]) -> tuple[Fault, ...]:
    """Return the faults of the objects of the stages' outputs, by dvc.lock; () where all can be pushed.

    Of a folder its list comes first, then each of its files; outputs that git keeps have no objects. `remote` is opened
    where the cache lacks an object, which must then be whole there (MachineError, exit 4, where it cannot be read).
    """
    every = list(stages)
    store = Store(Path(repo.root_dir), repo, every, reader=reader)
    wrong: list[Fault] = []
    for stage in every:
        if stage.ran is None:
            wrong.append(Fault(path=LOCK, stage=stage.name, result="it has no record of the stage"))
        for path, md5 in stage.outs.items():
            if path not in stage.recipe.in_git:
                wrong += _of_output(stage.name, path, md5, store, remote)
    return tuple(wrong)


def _of_output(stage: str, path: str, md5: str | None, store: Store, remote: Callable[[], Remote]) -> list[Fault]:
    if not md5:
        return [Fault(path=path, stage=stage, result=f"{LOCK} names no md5 of it")]
    wrong = _read(stage, {md5: path}, store, remote)
    if wrong or not md5.endswith(".dir"):
        return wrong
    files = store.listing(md5)
    if files is None:
        return [Fault(path=path, stage=stage, result="its object is no list of a folder")]
    wrong = _read(stage, {each: f"{path}/{name}" for name, each in files.items()}, store, remote)
    if wrong and store.remote is not None and store.remote.digests([md5])[md5] is not None:
        # While its list is there, DVC takes every file of a folder to be there and pushes none.
        return [replace(fault, remove=(*fault.remove, store.remote.shown(md5))) for fault in wrong]
    return wrong


def _read(stage: str, needed: Mapping[str, str], store: Store, remote: Callable[[], Remote]) -> list[Fault]:
    """Read objects (digest -> name) where they are stored; return those that are altered or missing."""
    here = store.cache.digests(needed)
    away = [md5 for md5, digest in here.items() if digest is None]
    if away and store.remote is None:
        store.remote = remote()
    there = store.remote.digests(away) if away and store.remote is not None else {}
    wrong = []
    for md5, path in needed.items():
        kept, whole = "the folder's list" if md5.endswith(".dir") else "its object", md5.removesuffix(".dir")
        place: Place = store.remote if md5 in there and store.remote is not None else store.cache
        digest = there.get(md5) or here[md5]
        if digest is None:
            seen = f"{kept} is neither in DVC's cache nor in the remote"
            wrong.append(Fault(path=path, stage=stage, result=seen))
        elif digest.md5 != whole:
            where = "DVC's cache" if place is store.cache else "the remote"
            seen = f"{kept} in {where} is altered: {mismatch(whole, digest.md5, by='its name', at='its bytes')}"
            wrong.append(Fault(path=path, stage=stage, result=seen, remove=(place.shown(md5),)))
    return wrong
