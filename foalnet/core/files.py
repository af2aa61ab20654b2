"""The bytes of files: sorted listing, digests, canonical JSON, atomic publish, free space.

Publish = write under a temporary name in the same folder, flush, fsync, rename, fsync the folder. A name is thus
either absent, old or whole, whatever kills the process or cuts the power.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any

from foalnet.core.errors import DataError, MachineError, UsageError, reason
from foalnet.core.faults import FULL, fault_of, why
from foalnet.core.temporaries import TEMP_SUFFIX, claimed, drop, in_use, temporary_of

# What a file is published from: its bytes, or what writes them to the path it is given.
Content = bytes | Callable[[Path], object]


def sha256_bytes(data: bytes) -> str:
    """Return the hex SHA-256 of `data`."""
    return hashlib.sha256(data).hexdigest()


class NotPlain(OSError):
    """A pipe, a socket, a device, or a file too large for its reader: reading it might wait or grow without end."""


def open_plain(path: Path, most_bytes: int | None = None) -> BufferedReader:
    """Open a plain file of at most `most_bytes` for reading; NotPlain at once where it is another, else as `open`.

    UsageError (exit 2) for a name that is longer than the disk takes: no file can be missing there.
    """
    try:
        facts = path.stat()
    except OSError as error:
        if isinstance(fault := fault_of(error), UsageError):
            raise fault from error
        raise
    if not stat.S_ISREG(facts.st_mode) and not stat.S_ISDIR(facts.st_mode):
        raise NotPlain("it is no plain file")
    if most_bytes is not None and facts.st_size > most_bytes:
        raise NotPlain(f"it has {facts.st_size:,} bytes; the limit is {most_bytes:,}")
    return path.open("rb")


def read_plain(path: Path, most_bytes: int) -> bytes:
    """Return a plain file's bytes; NotPlain where there are more than `most_bytes`, OSError as `open` does."""
    with open_plain(path, most_bytes) as handle:
        return handle.read(most_bytes)


def sha256_file(path: Path) -> str:
    """Return the hex SHA-256 of a plain file's content."""
    with open_plain(path) as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def json_bytes(obj: Any) -> bytes:
    """Encode as the one canonical JSON: sorted keys, indent 1, UTF-8, a newline at the end, no NaN."""
    return (json.dumps(obj, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def jsonl_bytes(rows: Iterable[Any]) -> bytes:
    """Encode one canonical JSON object a line, in the order given."""
    return b"".join(
        (json.dumps(row, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n").encode() for row in rows
    )


def content_key(obj: Any) -> str:
    """Return the hex SHA-256 of an object's canonical JSON: equal content, equal key."""
    return sha256_bytes(json_bytes(obj))


def read_json(path: Path, *, stage: str | None = None) -> Any:
    """Read a JSON file (DataError, exit 3, where it is absent or not JSON; MachineError, exit 4, where unreadable)."""
    try:
        return _loads(_read(path, stage))
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"not valid JSON: {reason(error)}", file=path, stage=stage, action="remove it and run `dvc repro`"
        ) from error


def read_jsonl(path: Path, *, stage: str | None = None) -> list[Any]:
    """Read a JSON-lines file (DataError, exit 3, naming the line that is not JSON)."""
    return jsonl_rows(_read(path, stage), path, stage=stage)


def _read(path: Path, stage: str | None) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise DataError(
            "file not found", file=path, stage=stage, action="run the stage that writes it: `dvc repro`"
        ) from error
    except OSError as error:
        raise not_read(error, path, stage=stage) from error


def jsonl_rows(data: bytes, path: Path, *, stage: str | None = None) -> list[Any]:
    """Return the rows of a JSON-lines file's bytes, as `read_jsonl` does; `path` is for its errors."""
    rows = []
    for number, line in enumerate(data.splitlines(), 1):
        try:
            rows.append(_loads(line))
        except (ValueError, RecursionError) as error:
            raise DataError(
                f"line {number} is not valid JSON: {reason(error)}",
                file=path,
                stage=stage,
                action="remove the file and run `dvc repro`",
            ) from error
    return rows


def _loads(data: bytes) -> Any:
    """Read JSON that can be written again (ValueError where it is none): no half of a surrogate pair in a text."""
    text = data.decode("utf-8")
    value = json.loads(text)
    if "\\u" in text:
        json.dumps(value, ensure_ascii=False).encode()
    return value


def sorted_files(
    root: Path, special: dict[str, str] | None = None, *, allowed: Callable[[Path], bool] | None = None
) -> list[str]:
    """List every file below `root` as a sorted relative posix path; links that lead outside are refused.

    `allowed` tells of the target of such a link whether it may stand there all the same.
    A link to a folder inside the root is not followed (its target is listed in its own place), so loops cannot hang.
    Pipes, sockets and devices are no files: nothing opens them; `special` receives path -> fifo, socket or device.
    """
    base = root.resolve()
    found = []
    special = {} if special is None else special

    def unreadable(error: OSError) -> None:
        raise MachineError(
            f"a folder cannot be listed: {reason(error)}",
            file=error.filename,
            action="give read permission, then rerun",
        ) from error

    for folder, folders, names in os.walk(root, followlinks=False, onerror=unreadable):
        folders.sort()
        for name in sorted((*folders, *names)):
            path = Path(folder, name)
            if not path.is_symlink():
                continue
            target = _target(path)
            if not target.is_relative_to(base) and not (allowed and allowed(target)):
                raise DataError(
                    "a link leads out of the corpus folder",
                    file=path,
                    action="replace the link by the file it stands for",
                )
        for name in names:
            path = Path(folder, name)
            relative = path.relative_to(root).as_posix()
            if path.is_file():
                found.append(relative)
            elif path.exists() and not path.is_dir():
                special[relative] = "fifo" if path.is_fifo() else "socket" if path.is_socket() else "device"
    return sorted(found)


def others_below(folder: Path, belongs: Collection[str]) -> list[Path]:
    """List every file and link below `folder` whose relative posix path is not among what belongs there, sorted."""
    found = [path for path in folder.rglob("*") if path.is_file() or path.is_symlink()]
    return sorted(path for path in found if path.relative_to(folder).as_posix() not in belongs)


def _target(link: Path) -> Path:
    try:
        return link.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise DataError(
            "a link leads nowhere or to itself", file=link, action="replace the link by the file it stands for"
        ) from error


def sync_folder(folder: Path) -> None:
    """Make a folder's renames durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, durably (MachineError, exit 4): what is published there keeps its way."""
    try:
        missing = [each for each in (folder, *folder.parents) if not each.is_dir()]
        for each in reversed(missing):
            each.mkdir(exist_ok=True)
            sync_folder(each.parent)
    except OSError as error:
        raise not_written(error, folder) from error


def not_written(
    error: OSError, path: Path, *, stage: str | None = None, needed_bytes: int | None = None
) -> MachineError:
    """Return a refused write in words (exit 4): of a full disk with the bytes free and, where known, needed."""
    what = f"cannot write: {why(error, path)}"
    if error.errno in FULL and needed_bytes is not None:
        what += f", {needed_bytes:,} are needed"
    return MachineError(
        what, file=path, stage=stage, action="free space or permissions, then run the same command again"
    )


def not_read(error: OSError, path: Path, *, stage: str | None = None) -> MachineError:
    """Return a refused read in words (exit 4)."""
    return MachineError(
        f"the file cannot be read: {reason(error)}",
        file=path,
        stage=stage,
        action="mend the disk or the permissions, then run the same command again",
    )


@contextmanager
def publishing(path: Path, *, needed_bytes: int | None = None) -> Iterator[Path]:
    """Give a temporary path beside `path`; on success it is flushed and renamed to `path`, else removed.

    MachineError (exit 4) where that cannot be written; what `path` held before is then still there. `needed_bytes`,
    where it is known, is told with it.
    """
    temp = temporary_of(path)
    try:
        make_folder(path.parent)
        with in_use(temp):
            yield temp
            _sync_file(temp)
            temp.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise not_written(error, path, needed_bytes=needed_bytes) from error
    finally:
        drop(temp)


def publish_together(
    files: Mapping[Path, Content],
    *,
    marker: Path,
    stage: str,
    stale: Iterable[Path] = (),
    needed_bytes: int | None = None,
) -> None:
    """Publish files that are one thing: `files[path]` is its bytes or writes them where it is told; `marker` is last.

    All are on the disk before the first is renamed, so that a full one (MachineError, exit 4) leaves the earlier
    generation whole. Cut short between the renames there is no marker. `stale`: files of the earlier generation that
    go with its marker.
    """
    temps, at = {path: temporary_of(path) for path in files}, marker
    with ExitStack() as claims:
        try:
            for at in {path.parent: path for path in files}.values():
                make_folder(at.parent)
                claims.enter_context(claimed(at.parent))
            for at, write in files.items():
                if isinstance(write, bytes):
                    temps[at].write_bytes(write)
                else:
                    write(temps[at])
                _sync_file(temps[at])
            others, gone, at = [path for path in files if path != marker], list(stale), marker
            if others or gone:
                marker.unlink(missing_ok=True)
                sync_folder(marker.parent)
            for at in gone:
                at.unlink(missing_ok=True)
            for at in others:
                temps[at].replace(at)
            for folder in sorted({path.parent for path in (*others, *gone)}):
                sync_folder(folder)
            at = marker
            temps[marker].replace(marker)
            sync_folder(marker.parent)
        except OSError as error:
            raise not_written(error, at, stage=stage, needed_bytes=needed_bytes) from error
        finally:
            for temp in temps.values():
                drop(temp)


def publish_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path` atomically and durably."""
    with publishing(path, needed_bytes=len(data)) as temp:
        temp.write_bytes(data)


def publish_file(source: Path, path: Path) -> None:
    """Copy `source` to `path` atomically and durably."""
    with publishing(path, needed_bytes=source.stat().st_size if source.is_file() else None) as temp:
        shutil.copyfile(source, temp)


def _sync_file(path: Path) -> None:
    with path.open("rb") as handle:
        os.fsync(handle.fileno())


def need_free(folder: Path, needed_bytes: int, *, stage: str) -> None:
    """Refuse (MachineError, exit 4) to start what the disk cannot hold, with needed and free bytes."""
    free = _free_bytes(folder)
    if free < needed_bytes:
        raise MachineError(
            f"the disk has {free:,} bytes free, {needed_bytes:,} are needed",
            file=folder,
            stage=stage,
            action="free space (the folder work/ is a cache and may be emptied), then run the same command again",
        )


def need_writable(folders: Iterable[Path], *, stage: str) -> None:
    """Refuse (MachineError, exit 4) to begin what could not be written in the end; nothing is left behind.

    A folder that is not there yet is asked for where it would be made. Modes do not tell (root, read-only disks): a
    file is written.
    """
    for folder in folders:
        place = folder
        try:
            place = _existing(folder)
            probe = place / f".probe.{os.getpid()}{TEMP_SUFFIX}"
            try:
                probe.write_bytes(b"x")
            finally:
                drop(probe)
        except OSError as error:
            raise MachineError(
                f"nothing was begun: this folder cannot be written: {why(error, place)}",
                file=place,
                stage=stage,
                action="mend its permissions or its mount, or free space, then run the same command again",
            ) from error


def _existing(folder: Path) -> Path:
    return next(each for each in (folder, *folder.parents) if each.exists())


def _free_bytes(folder: Path) -> int:
    return shutil.disk_usage(_existing(folder)).free
