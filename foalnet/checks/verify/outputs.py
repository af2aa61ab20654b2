"""Compares an output with its record in the workspace, DVC's cache and a remote.

DVC trusts the objects of its cache by their names and reads them no more; here each one is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from foalnet.artifact.digests import folder_md5
from foalnet.artifact.seal import command
from foalnet.checks.verify.lock import LOCK, Recorded
from foalnet.checks.verify.places import Place
from foalnet.checks.verify.store import Store
from foalnet.stages.link import Link, absent, differs, first_few, mismatch, ok, short_digest

FAULTS_SHOWN = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """What there is of an output in one place: `wrong` says which files are others, `missing` are not there at all.

    `remedy` are objects to remove, so that whole ones can take their places. `listed` is the list of a folder where it
    is there: while a remote has it, DVC takes every file of the folder to be there and pushes none.
    """

    place: str
    wrong: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    remedy: tuple[str, ...] = ()
    listed: str = ""

    @property
    def whole(self) -> bool:
        """Everything is there, as recorded."""
        return not self.wrong and not self.missing


def output(stage: Recorded, path: str, md5: str, store: Store) -> Link:
    """Compare one output with its record."""
    name = f"{stage.name} output {path}"
    if md5 is None:
        return differs(name, f"{LOCK} names no md5 of it", action=f"dvc repro {stage.name}")
    in_git = path in stage.recipe.in_git
    seen = [_workspace(path, md5, store)]
    if not in_git:
        needed = store.objects(path, md5)
        seen += [_objects(place, needed) for place in store.places]
    wrong = [f"{one.place}: {fault}" for one in seen for fault in one.wrong]
    if wrong:
        more = f"; and {len(wrong) - FAULTS_SHOWN} more" if len(wrong) > FAULTS_SHOWN else ""
        return differs(
            name,
            "; ".join(wrong[:FAULTS_SHOWN]) + more,
            action=_mend(stage, path, seen, pulls=store.pulls, in_git=in_git),
        )
    lacking = [one for one in seen if one.place == "remote" and one.missing]
    whole = [one.place for one in seen if one.whole]
    if lacking:
        text = f"{store.remote.name if store.remote else ''} lacks {first_few(lacking[0].missing)}"
        again = f"{_listed(lacking[0])}dvc push {stage.name}"
        action = again if "cache" in whole else _make(stage, path, store, in_git=in_git)
        return absent(name, f"the remote {text}", action=action)
    if not whole:
        missing = min((one.missing for one in seen), key=len)
        return absent(
            name, f"not on this machine: {first_few(missing)}", action=_make(stage, path, store, in_git=in_git)
        )
    files = store.listing(md5) if md5.endswith(".dir") else None
    count = f" ({len(files)} files)" if files is not None else ""
    return ok(name, f"{short_digest(md5)}{count} in {', '.join(whole)}")


def _listed(remote: Seen) -> str:
    """Return what must be removed before DVC pushes a file of a folder again."""
    return f"remove {remote.listed}, then " if remote.listed else ""


def _make(stage: Recorded, path: str, store: Store, *, in_git: bool) -> str:
    return f"git checkout -- {path}" if in_git else store.bring(stage.name)


def _mend(stage: Recorded, path: str, seen: list[Seen], *, pulls: bool, in_git: bool) -> str:
    """Return the commands that repair the wrong places from the undamaged ones."""
    if in_git:
        return f"git checkout -- {path}, or {command(stage.name)}"
    whole = {one.place for one in seen if one.whole}
    steps = []
    for one in seen:
        remove = f"remove {' and '.join(one.remedy[:FAULTS_SHOWN])}, then " if one.remedy else ""
        if not one.wrong:
            continue
        if one.place == "workspace" and "cache" in whole:
            steps.append(f"dvc checkout --force {path}")
        elif one.place == "cache" and "workspace" in whole:
            steps.append(f"{remove}dvc commit --force {stage.name}")
        elif one.place == "remote" and whole & {"cache"}:
            objects = [*one.remedy[:FAULTS_SHOWN], *([one.listed] if one.listed not in (*one.remedy, "") else [])]
            steps.append(f"remove {' and '.join(objects)}, then dvc push {stage.name}")
        else:
            pull = f"dvc pull --force {stage.name}, or " if pulls else ""
            steps.append(f"{remove}{pull}{command(stage.name)}")
    return "; ".join(dict.fromkeys(steps))


def _workspace(path: str, md5: str, store: Store) -> Seen:
    place = store.home / path
    if not place.exists():
        return Seen(place="workspace", missing=(path,))
    if place.is_file():
        actual = store.reader.digest(place).md5
        fault = () if actual == md5 else (f"{path}: {mismatch(md5, actual, by=LOCK, at='file')}",)
        return Seen(place="workspace", wrong=fault)
    files = store.folder(path)
    digest = folder_md5(files)
    if digest == md5:
        store.know(md5, files)
        return Seen(place="workspace")
    recorded = store.listing(md5)
    if recorded is None:
        return Seen(place="workspace", wrong=(f"{path}: {mismatch(md5, digest, by=LOCK, at='folder')}",))
    return Seen(place="workspace", wrong=tuple(_unlike(path, recorded, files)))


def _unlike(path: str, recorded: Mapping[str, str], files: Mapping[str, str]) -> list[str]:
    """Return a sentence for each file of a folder that differs from its record."""
    return [
        f"{path}/{name}: "
        + (
            f"recorded as {short_digest(recorded[name])}, gone"
            if name not in files
            else f"{short_digest(files[name])}, in no record"
            if name not in recorded
            else mismatch(recorded[name], files[name], by=LOCK, at="file")
        )
        for name in sorted(recorded.keys() | files.keys())
        if recorded.get(name) != files.get(name)
    ]


def _objects(place: Place, needed: Mapping[str, str]) -> Seen:
    """Read the objects of an output (digest -> name, a folder's list first) in one place."""
    digests = {md5: digest for md5, digest in place.digests(needed).items() if digest is not None}
    altered = [md5 for md5, digest in digests.items() if digest.md5 != md5.removesuffix(".dir")]
    folder = next(iter(needed))
    return Seen(
        place=place.kind,
        wrong=tuple(
            f"{needed[md5]}, object {place.shown(md5)}: "
            + mismatch(md5, digests[md5].md5, by="its name", at="its bytes")
            for md5 in altered
        ),
        missing=tuple(name for md5, name in needed.items() if md5 not in digests),
        remedy=tuple(map(place.shown, altered)),
        listed=place.shown(folder) if folder.endswith(".dir") and folder in digests else "",
    )
