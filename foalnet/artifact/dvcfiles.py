"""Detects and repairs the files that a killed DVC truncates: dvc.lock and DVC's lock table.

DVC writes both files in place. Every verb that DVC starts keeps a copy of the last whole dvc.lock in `.dvc/tmp`; the
copy (else git's version) replaces a truncated one. Its records may be older than the outputs. DVC compares each record
with the files on disk, so at most the stage of the unfinished record runs again or is restored from the run
cache.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from foalnet.artifact.dvcrepo import dvc_config
from foalnet.artifact.gitrepo import CONFLICT, has_git, text_at
from foalnet.core.errors import MachineError
from foalnet.core.files import not_read, not_written, publish_bytes
from foalnet.core.temporaries import alive

LOCK = "dvc.lock"
TMP = Path(".dvc", "tmp")
# Files in TMP: copy of the last whole dvc.lock, copy of a truncated one, DVC's table of the processes at each path.
KEPT, CUT, TABLE = "dvc.lock.whole", "dvc.lock.cut", "rwlock"
RECORD = re.compile(r"(?m)^  (\S.*):\n")
EMPTY = "schema: '2.0'\nstages: {}\n"
PID = re.compile(r'"pid": (\d+)')


def lock_file_faults(home: Path) -> list[str]:
    """Return one sentence per fault of the two files; changes nothing."""
    problems = []
    if _table_is_cut(home):
        problems.append(
            f"{TMP / TABLE} is truncated: DVC was killed while it wrote it, and every DVC command fails on it"
        )
    text = _text(home / LOCK)
    if text is not None and _is_cut(text, last_whole_lock(home)):
        problems.append(f"{LOCK} is truncated: DVC was killed while it wrote it, and records of stages are missing")
    elif text is not None and (gone := _missing_records(home, text)):
        problems.append(f"{LOCK} has lost the records of {', '.join(gone)}: these stages will run again")
    return problems


def mend(home: Path, *, keep: bool = False) -> list[str]:
    """Repair the two files unless a running DVC is writing them; return one sentence per repair.

    `keep`: copy the present dvc.lock, if it is whole, for a later repair. Records that are missing from a whole
    dvc.lock are reported but not restored, because someone may have removed them. Raises MachineError (exit 4) if a
    living DVC holds a truncated lock table, or if a file cannot be written.
    """
    if not (home / ".dvc").is_dir():
        return []
    try:
        notes = [*_mend_table(home), *_mend_lock(home)]
        text = _text(home / LOCK)
        if text is not None and not notes and (gone := _missing_records(home, text)):
            notes.append(f"{LOCK} has lost the records of {', '.join(gone)}: these stages run again")
        kept = home / TMP / KEPT
        if keep and text is not None and not _is_cut(text, None) and text != _text(kept):
            publish_bytes(kept, text.encode())
    except OSError as error:
        raise not_written(error, home / TMP) from error
    return notes


def _mend_table(home: Path) -> Iterator[str]:
    path = home / TMP / TABLE
    if not _table_is_cut(home):
        return
    with _dvc_lock(home, f"{TABLE}.lock") as mine:
        # No DVC can write while the guard is held: a table that is still truncated has lost its writer.
        if not mine or not _table_is_cut(home):
            return
        living = [pid for pid in PID.findall(path.read_text("utf-8", "replace")) if alive(int(pid))]
        if living:
            raise MachineError(
                f"DVC's lock table is truncated, and pid {', '.join(living)} in it is alive",
                file=path,
                action=f"wait for that DVC to end, then `rm {path}`",
            )
        path.unlink()
    yield f"{path} was truncated (DVC was killed while it wrote it): no living process was in it, so it was removed"


def _mend_lock(home: Path) -> Iterator[str]:
    path = home / LOCK
    text, before = _text(path), last_whole_lock(home)
    if text is None or not _is_cut(text, before):
        return
    with _dvc_lock(home, "lock") as mine:
        text = _text(path)
        if not mine or text is None or not _is_cut(text, before):
            return
        publish_bytes(home / TMP / CUT, text.encode())
        if before is None:
            path.unlink()
        else:
            publish_bytes(path, before.encode())
    done = (
        "there was no earlier version, so it was removed" if before is None else "the last whole version was restored"
    )
    yield f"{path} was truncated (DVC was killed while it wrote it): {done}; the truncated file is {home / TMP / CUT}"


def last_whole_lock(home: Path) -> str | None:
    """Return the last whole dvc.lock: the copy that a verb kept, else that of git's HEAD; None if there is none."""
    kept = _text(home / TMP / KEPT)
    if kept is None and has_git(home):
        kept = text_at(home, "HEAD", LOCK)
    return None if kept is None or _is_cut(kept, None) else kept


def _is_cut(text: str, before: str | None) -> bool:
    """Return whether a dvc.lock ends within a record; DVC writes the outs of a record last."""
    if any(line.startswith(CONFLICT) for line in text.splitlines()) or text == EMPTY:
        return False
    records = _records(text)
    if not text.endswith("\n") or not records:
        return True
    name, last = list(records.items())[-1]
    _, has_outs, outs = last.partition("    outs:\n")
    if not has_outs:
        # A user's own stage may have no outs; then it had none in the earlier version either.
        return "    cmd: " not in last or "    outs:\n" in _records(before or "").get(name, "")
    entry = outs.rpartition("    - path:")[2]
    needed = ["md5:", "size:"] + (["nfiles:"] if ".dir\n" in entry else [])
    return not all(f"      {key}" in entry for key in needed)


def _records(text: str) -> dict[str, str]:
    """Return stage -> the lines of its record, in the order of the file."""
    parts = RECORD.split(text)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def _missing_records(home: Path, text: str) -> list[str]:
    """Return the stages that only the kept dvc.lock has a record of; [] if `text` is git's version."""
    kept = _text(home / TMP / KEPT)
    gone = [] if kept is None else [name for name in _records(kept) if name not in _records(text)]
    return [] if not gone or (has_git(home) and text_at(home, "HEAD", LOCK) == text) else gone


def _table_is_cut(home: Path) -> bool:
    text = _text(home / TMP / TABLE)
    try:
        return text is not None and not isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return True


def _text(path: Path) -> str | None:
    try:
        return path.read_text("utf-8", "replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise not_read(error, path) from error


@contextmanager
def _dvc_lock(home: Path, name: str) -> Iterator[bool]:
    """Hold one of DVC's own locks; yields False if a DVC holds it for longer than it takes to write a file."""
    from dvc.lock import LockError, make_lock

    folder = os.fspath((home / TMP).resolve())
    os.makedirs(folder, exist_ok=True)  # noqa: PTH103
    hard = bool(dvc_config(home)["core"].get("hardlink_lock", False))
    guard = make_lock(os.path.join(folder, name), tmp_dir=folder, hardlink_lock=hard)  # noqa: PTH118
    try:
        guard.lock()
    except LockError:
        yield False
        return
    try:
        yield True
    finally:
        guard.unlock()
