"""Files: sorted listing, digests, canonical JSON, atomic publishing, free space.

To publish a file: write it under a temporary name in the same folder, flush, fsync, rename, fsync the folder. A kill or
a power cut at any moment thus leaves no file, the earlier file or the whole new file.
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

# Content of a file to publish: its bytes, or a function that writes them to the path that it receives.
Content = bytes | Callable[[Path], object]


def sha256_bytes(data: bytes) -> str:
    """Return the hex SHA-256 of `data`."""
    return hashlib.sha256(data).hexdigest()


class NotPlain(OSError):
    """A path is a pipe, a socket, a device or a too large file: reading it could block or exhaust the memory."""


def open_plain(path: Path, most_bytes: int | None = None) -> BufferedReader:
    """Open a regular file of at most `most_bytes` bytes for reading.

    Raises NotPlain for anything else, UsageError (exit 2) for a name that is too long for the disk, and the OSErrors of
    `open`.
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
    """Return the bytes of a regular file; raises NotPlain above `most_bytes`, and the OSErrors of `open`."""
    with open_plain(path, most_bytes) as handle:
        return handle.read(most_bytes)


def sha256_file(path: Path) -> str:
    """Return the hex SHA-256 of the content of a regular file."""
    with open_plain(path) as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def json_bytes(obj: Any) -> bytes:
    """Encode `obj` as canonical JSON: sorted keys, indent 1, UTF-8, a newline at the end, no NaN."""
    return (json.dumps(obj, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def jsonl_bytes(rows: Iterable[Any]) -> bytes:
    """Encode each row as one line of canonical JSON, in the given order.

    >>> print(jsonl_bytes([{"b": 1, "a": None}, {"c": "é"}]).decode(), end="")
    {"a": null, "b": 1}
    {"c": "é"}
    """
    return b"".join(
        (json.dumps(row, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n").encode() for row in rows
    )


def content_key(obj: Any) -> str:
    """Return the hex SHA-256 of the canonical JSON of `obj`: equal content gives equal keys.

    >>> content_key({"a": 1, "b": 2}) == content_key({"b": 2, "a": 1}) != content_key({"a": 1, "b": 3})
    True
    """
    return sha256_bytes(json_bytes(obj))


def read_json(path: Path) -> Any:
    """Read a JSON file; raises DataError (exit 3) if it is absent or invalid, MachineError (exit 4) if unreadable."""
    try:
        return _loads(_read(path))
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"not valid JSON: {reason(error)}", file=path, action="remove it and run `dvc repro`"
        ) from error


def read_jsonl(path: Path) -> list[Any]:
    """Read a JSON-lines file; errors as of `read_json`, with the number of the invalid line."""
    return jsonl_rows(_read(path), path)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise DataError("file not found", file=path, action="run the stage that writes it: `dvc repro`") from error
    except OSError as error:
        raise not_read(error, path) from error


def jsonl_rows(data: bytes, path: Path) -> list[Any]:
    """Parse the bytes of a JSON-lines file as `read_jsonl` does; `path` appears in its errors."""
    rows = []
    for number, line in enumerate(data.splitlines(), 1):
        try:
            rows.append(_loads(line))
        except (ValueError, RecursionError) as error:
            raise DataError(
                f"line {number} is not valid JSON: {reason(error)}",
                file=path,
                action="remove the file and run `dvc repro`",
            ) from error
    return rows


def _loads(data: bytes) -> Any:
    """Parse JSON that can be written back; raises ValueError if it is invalid or a string has a lone surrogate."""
    text = data.decode("utf-8")
    value = json.loads(text)
    if "\\u" in text:
        json.dumps(value, ensure_ascii=False).encode()
    return value


def sorted_files(
    root: Path, special: dict[str, str] | None = None, *, allowed: Callable[[Path], bool] | None = None
) -> list[str]:
    """Return the relative posix paths of all files below `root`, sorted.

    A link that leads out of `root` raises DataError (exit 3), unless `allowed` accepts its target. A link to a folder
    inside is not followed: the folder is listed at its own path, so a loop of links cannot hang the listing. Pipes,
    sockets and devices are not listed or opened; `special` receives their path -> fifo, socket or device.
    """
    base = root.resolve()
    files = []
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
                files.append(relative)
            elif path.exists() and not path.is_dir():
                special[relative] = "fifo" if path.is_fifo() else "socket" if path.is_socket() else "device"
    return sorted(files)


def others_below(folder: Path, belongs: Collection[str]) -> list[Path]:
    """Return every file and link below `folder` whose relative posix path is not in `belongs`, sorted."""
    paths = [path for path in folder.rglob("*") if path.is_file() or path.is_symlink()]
    return sorted(path for path in paths if path.relative_to(folder).as_posix() not in belongs)


def _target(link: Path) -> Path:
    try:
        return link.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise DataError(
            "a link leads nowhere or to itself", file=link, action="replace the link by the file it stands for"
        ) from error


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to the disk: renames in it then survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Create a folder and its parents and flush them to the disk (MachineError, exit 4, if that fails)."""
    try:
        missing = [each for each in (folder, *folder.parents) if not each.is_dir()]
        for each in reversed(missing):
            each.mkdir(exist_ok=True)
            sync_folder(each.parent)
    except OSError as error:
        raise not_written(error, folder) from error


def not_written(error: OSError, path: Path, *, needed_bytes: int | None = None) -> MachineError:
    """Return the error for a failed write (exit 4); for a full disk with its free bytes and, if known, the needed."""
    what = f"cannot write: {why(error, path)}"
    if error.errno in FULL and needed_bytes is not None:
        what += f", {needed_bytes:,} are needed"
    return MachineError(what, file=path, action="free space or permissions, then run the same command again")


def not_read(error: OSError, path: Path) -> MachineError:
    """Return the error for a failed read (exit 4)."""
    return MachineError(
        f"the file cannot be read: {reason(error)}",
        file=path,
        action="repair the disk or the permissions, then run the same command again",
    )


@contextmanager
def publishing(path: Path, *, needed_bytes: int | None = None) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`; flush it and rename it to `path` on success, else remove it.

    Raises MachineError (exit 4), with `needed_bytes` if given, when the write fails; an earlier file at `path` remains.
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
    stale: Iterable[Path] = (),
    needed_bytes: int | None = None,
) -> None:
    """Publish several files as one unit; `marker`, one of `files`, is removed first and renamed last.

    All files are on the disk before the first rename, so a full disk (MachineError, exit 4) leaves the earlier
    generation whole. A kill between the renames leaves no marker. `stale`: files of the earlier generation to delete.
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
            raise not_written(error, at, needed_bytes=needed_bytes) from error
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


def need_free(folder: Path, needed_bytes: int) -> None:
    """Raise MachineError (exit 4), with needed and free bytes, if the disk of `folder` has too little space."""
    free = _free_bytes(folder)
    if free < needed_bytes:
        raise MachineError(
            f"the disk has {free:,} bytes free, {needed_bytes:,} are needed",
            file=folder,
            action="free space (the folder work/ is a cache and may be emptied), then run the same command again",
        )


def need_writable(folders: Iterable[Path]) -> None:
    """Raise MachineError (exit 4) if one of the folders cannot be written, before any work begins.

    For a folder that does not exist yet, its nearest existing parent is tried. The function writes a file and removes
    it, because permission bits say nothing for root and on read-only disks.
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
                f"the folder cannot be written, so nothing was started: {why(error, place)}",
                file=place,
                action="repair its permissions or its mount, or free space, then run the same command again",
            ) from error


def _existing(folder: Path) -> Path:
    return next(each for each in (folder, *folder.parents) if each.exists())


def _free_bytes(folder: Path) -> int:
    return shutil.disk_usage(_existing(folder)).free
