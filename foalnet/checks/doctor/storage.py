"""Checks the work folder, free disk space against the corpora's needs, locks, and leftovers of killed processes."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

from foalnet.artifact.dvcfiles import lock_file_faults
from foalnet.checks.doctor.base import Context, Finding, fault, ok, warning
from foalnet.clips.plan import BYTES_PER_S
from foalnet.core.errors import reason
from foalnet.core.locks import elsewhere, unreleased
from foalnet.core.paths import Paths
from foalnet.core.temporaries import alive, dead_temporaries, is_held
from foalnet.stages.forecast import COPIES, free_bytes, size, speech_seconds


def work(context: Context) -> Iterator[Finding]:
    """Check that the work folder and the stages' output folders are writable."""
    folder = context.settings.work
    if wrong := _unwritable(folder):
        yield fault(wrong, mend="export FOALNET_WORK=A_WRITABLE_FOLDER")
    else:
        yield ok(f"{folder} can be written, {size(free_bytes(folder))} free")
    outputs = [folder for name in ("data", "models", "reports") for folder in _with_corpora(context.home / name)]
    wrong_by = {folder: wrong for folder in outputs if (wrong := _unwritable(folder))}
    for folder, wrong in wrong_by.items():
        yield fault(wrong, mend=f"chmod u+w {folder}, or mount its disk for writing")
    if not wrong_by:
        yield ok("data, models and reports can be written")


def _with_corpora(folder: Path) -> list[Path]:
    """Return a folder and its subfolders, one per corpus."""
    return [folder, *sorted(each for each in folder.glob("*") if each.is_dir() and not each.is_symlink())]


def _unwritable(folder: Path) -> str | None:
    """Return why a folder, or its nearest existing parent, is not writable; None where it is."""
    place = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    try:
        with tempfile.TemporaryFile(dir=place) as handle:
            handle.write(b"x")
    except OSError as error:
        return f"{place} cannot be written: {reason(error)}"
    return None


def disk(context: Context) -> Iterator[Finding]:
    """Check that the disk has room for each corpus that is not staged yet: work cache, data/ and DVC's cache."""
    free = free_bytes(context.settings.work)
    for params in context.corpora:
        paths = Paths(params.corpus, context.home)
        if (paths.shards / "index.json").is_file():
            yield ok(f"{params.corpus} is staged")
            continue
        seconds = speech_seconds(params, paths)
        if seconds is None:
            yield ok(f"{params.corpus}: the disk space it needs is known after `foalnet inventory {params.corpus}`")
            continue
        need = round(COPIES * BYTES_PER_S * seconds)
        line = f"{params.corpus}: at most {size(need)} for {seconds / 3600:.1f} h of utterances, {size(free)} free"
        remedy = "foalnet gc --dry-run (shows what can go), or free space, or FOALNET_WORK=ANOTHER_DISK"
        if free * COPIES < need * (COPIES - 1):
            # The stage refuses to start with room for less than two copies.
            yield fault(line, mend=remedy)
        elif free < need:
            yield warning(line, mend=remedy)
        else:
            yield ok(line)


def locks(context: Context) -> Iterator[Finding]:
    """List held locks and leftovers of dead processes (a lock ends with its process, but its file may remain)."""
    folder = context.settings.work / "locks"
    files = sorted(folder.glob("*")) if folder.is_dir() else []
    held = [f"{path.name} ({path.read_text('utf-8', 'replace').strip()})" for path in files if is_held(path)]
    for path in files:
        holder = None if is_held(path) else unreleased(path)
        if holder is not None and elsewhere(holder):
            yield warning(
                f"another machine has not released {path.name} ({holder}): its stage is refused here",
                mend=f"rm {path} (once that run has ended for good)",
            )
    yield ok(f"running now: {', '.join(held)}" if held else f"no stage is running here ({len(files)} free lock files)")
    left = dead_temporaries(context.settings.work)
    if left:
        total = sum(path.stat().st_size for path in left)
        yield warning(f"{len(left)} unfinished files of killed processes, {size(total)}", mend="foalnet gc")
    yield from (fault(what, mend="foalnet mend") for what in lock_file_faults(context.home))
    yield from _dvc_locks(context.home / ".dvc" / "tmp" / "rwlock")


def _dvc_locks(path: Path) -> Iterator[Finding]:
    """List DVC's own per-path locks of living and dead processes; DVC itself takes over those of dead ones."""
    try:
        table = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return
    holders = [one for entry in table.get("write", {}).values() for one in [entry]]
    holders += [one for entries in table.get("read", {}).values() for one in entries]
    pids = {int(holder["pid"]) for holder in holders}
    living = sorted(pid for pid in pids if alive(pid))
    if living:
        yield ok(f"DVC is running: pid {', '.join(map(str, living))}")
    if len(living) < len(pids):
        yield ok(f"DVC has locks of {len(pids) - len(living)} dead processes; its next run takes them over")
