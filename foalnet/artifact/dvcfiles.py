"""What a DVC that was killed while it wrote leaves behind: half a dvc.lock, half a lock file. Both are mended here.

DVC writes both files in place. Of dvc.lock every verb that DVC starts keeps the last whole one in `.dvc/tmp`; a cut one
is replaced by it (else by git's). Its records may be older than the outputs: DVC holds each to the files that are
there, so that at most the stage whose record was being written runs again, or is restored from DVC's run cache.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from foalnet.artifact.dvcrepo import config_of
from foalnet.artifact.gitrepo import CONFLICT, has_git, text_at
from foalnet.core.errors import MachineError
from foalnet.core.files import not_read, not_written, publish_bytes
from foalnet.core.temporaries import alive

LOCK = "dvc.lock"
TMP = Path(".dvc", "tmp")
# Below TMP: the last whole dvc.lock, what a cut one held, DVC's table of who works on which path.
KEPT, CUT, TABLE = "dvc.lock.whole", "dvc.lock.cut", "rwlock"
RECORD = re.compile(r"(?m)^  (\S.*):\n")
EMPTY = "schema: '2.0'\nstages: {}\n"
PID = re.compile(r'"pid": (\d+)')


def broken(home: Path) -> list[str]:
    """Say what is broken of the two files, as a sentence each; [] where nothing is. Nothing is changed."""
    found = []
    if _half_a_table(home):
        found.append(f"{TMP / TABLE} is cut: a DVC was killed while it wrote it, and every DVC command fails on it")
    text = _text(home / LOCK)
    if text is not None and _is_cut(text, earlier(home)):
        found.append(f"{LOCK} is cut: a DVC was killed while it wrote it, and records of stages are gone")
    elif text is not None and (gone := _gone(home, text)):
        found.append(f"{LOCK} has no record any more of {', '.join(gone)}, whose stages will run again")
    return found


def mend(home: Path, *, keep: bool = False) -> list[str]:
    """Mend what is broken of the two files where no DVC is writing it; say what was done, a sentence each.

    `keep`: remember the dvc.lock that is there now, where it is whole, as the one to go back to. Records that are gone
    from a whole dvc.lock are named and left: someone may have removed them. MachineError (exit 4) where a living DVC
    stands in a cut lock file, or where a file cannot be written.
    """
    if not (home / ".dvc").is_dir():
        return []
    try:
        said = [*_mend_table(home), *_mend_lock(home)]
        text = _text(home / LOCK)
        if text is not None and not said and (gone := _gone(home, text)):
            said.append(f"{LOCK} has no record any more of {', '.join(gone)}: their stages run again")
        kept = home / TMP / KEPT
        if keep and text is not None and not _is_cut(text, None) and text != _text(kept):
            publish_bytes(kept, text.encode())
    except OSError as error:
        raise not_written(error, home / TMP) from error
    return said


def _mend_table(home: Path) -> Iterator[str]:
    path = home / TMP / TABLE
    if not _half_a_table(home):
        return
    with _held(home, f"{TABLE}.lock") as mine:
        # Under its guard no one writes: what is still half a file has lost its writer.
        if not mine or not _half_a_table(home):
            return
        living = [pid for pid in PID.findall(path.read_text("utf-8", "replace")) if alive(int(pid))]
        if living:
            raise MachineError(
                f"DVC's lock file is cut, and pid {', '.join(living)} in it is alive",
                file=path,
                action=f"wait for that DVC to end, then `rm {path}`",
            )
        path.unlink()
    yield f"{path} was cut (a DVC was killed while it wrote it): it held no lock of a living process and was removed"


def _mend_lock(home: Path) -> Iterator[str]:
    path = home / LOCK
    text, before = _text(path), earlier(home)
    if text is None or not _is_cut(text, before):
        return
    with _held(home, "lock") as mine:
        text = _text(path)
        if not mine or text is None or not _is_cut(text, before):
            return
        publish_bytes(home / TMP / CUT, text.encode())
        if before is None:
            path.unlink()
        else:
            publish_bytes(path, before.encode())
    done = "there was no earlier one: it was removed" if before is None else "the last whole one stands there again"
    yield f"{path} was cut (a DVC was killed while it wrote it): {done}; the cut one is {home / TMP / CUT}"


def earlier(home: Path) -> str | None:
    """Return the last whole dvc.lock: the one that a verb kept, else that of git's commit; None where there is none."""
    kept = _text(home / TMP / KEPT)
    if kept is None and has_git(home):
        kept = text_at(home, "HEAD", LOCK)
    return None if kept is None or _is_cut(kept, None) else kept


def _is_cut(text: str, before: str | None) -> bool:
    """Tell whether a dvc.lock ends within a record; DVC writes every record whole, its outs last."""
    if any(line.startswith(CONFLICT) for line in text.splitlines()) or text == EMPTY:
        return False
    records = _records(text)
    if not text.endswith("\n") or not records:
        return True
    name, last = list(records.items())[-1]
    _, has_outs, outs = last.partition("    outs:\n")
    if not has_outs:
        # A stage of one's own may have no outs: then it had none before.
        return "    cmd: " not in last or "    outs:\n" in _records(before or "").get(name, "")
    entry = outs.rpartition("    - path:")[2]
    needed = ["md5:", "size:"] + (["nfiles:"] if ".dir\n" in entry else [])
    return not all(f"      {key}" in entry for key in needed)


def _records(text: str) -> dict[str, str]:
    """Return stage -> the lines of its record, in their order."""
    parts = RECORD.split(text)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def _gone(home: Path, text: str) -> list[str]:
    """Return the stages that the kept dvc.lock has a record of and this one has not, where this is not git's own."""
    kept = _text(home / TMP / KEPT)
    gone = [] if kept is None else [name for name in _records(kept) if name not in _records(text)]
    return [] if not gone or (has_git(home) and text_at(home, "HEAD", LOCK) == text) else gone


def _half_a_table(home: Path) -> bool:
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
def _held(home: Path, name: str) -> Iterator[bool]:
    """Hold one of DVC's own locks; False where a DVC holds it for longer than it takes to write a file."""
    from dvc.lock import LockError, make_lock

    folder = os.fspath((home / TMP).resolve())
    os.makedirs(folder, exist_ok=True)  # noqa: PTH103
    hard = bool(config_of(home)["core"].get("hardlink_lock", False))
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
