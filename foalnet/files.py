"""The bytes of files: sorted listing, digests, canonical JSON, atomic publish, locks, free space.

Publish = write under a temporary name in the same folder, flush, fsync, rename, fsync the folder. A name is thus
either absent, old or whole, whatever kills the process.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from foalnet.errors import DataError, MachineError

TEMP_SUFFIX = ".part"


def sha256_bytes(data: bytes) -> str:
    """Return the hex SHA-256 of `data`."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """Return the hex SHA-256 of a file's content."""
    with path.open("rb") as handle:
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
    """Read a JSON file (DataError, exit 3, where it is absent or not JSON)."""
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise DataError(
            "file not found", file=path, stage=stage, action="run the stage that writes it: `dvc repro`"
        ) from error
    except ValueError as error:
        raise DataError(
            f"not valid JSON: {error}", file=path, stage=stage, action="remove it and run `dvc repro`"
        ) from error


def read_jsonl(path: Path, *, stage: str | None = None) -> list[Any]:
    """Read a JSON-lines file (DataError, exit 3, naming the line that is not JSON)."""
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise DataError(
            "file not found", file=path, stage=stage, action="run the stage that writes it: `dvc repro`"
        ) from error
    return jsonl_rows(data, path, stage=stage)


def jsonl_rows(data: bytes, path: Path, *, stage: str | None = None) -> list[Any]:
    """Return the rows of a JSON-lines file's bytes, as `read_jsonl` does; `path` is for its errors."""
    rows = []
    for number, line in enumerate(data.splitlines(), 1):
        try:
            rows.append(json.loads(line))
        except (ValueError, RecursionError) as error:
            raise DataError(
                f"line {number} is not valid JSON: {error}",
                file=path,
                stage=stage,
                action="remove the file and run `dvc repro`",
            ) from error
    return rows


def sorted_files(root: Path) -> list[str]:
    """List every file below `root` as a sorted relative posix path; links that lead outside are refused.

    A link to a folder inside the root is not followed (its target is listed in its own place), so loops cannot hang.
    """
    base = root.resolve()
    found = []

    def unreadable(error: OSError) -> None:
        raise MachineError(
            f"a folder cannot be listed: {error.strerror}",
            file=error.filename,
            action="give read permission, then rerun",
        ) from error

    for folder, folders, names in os.walk(root, followlinks=False, onerror=unreadable):
        folders.sort()
        for name in (*folders, *names):
            path = Path(folder, name)
            if path.is_symlink() and not _target(path).is_relative_to(base):
                raise DataError(
                    "a link leads out of the corpus folder",
                    file=path,
                    action="replace the link by the file it stands for",
                )
        found += [Path(folder, name).relative_to(root).as_posix() for name in names if Path(folder, name).is_file()]
    return sorted(found)


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


@contextmanager
def publishing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; on success it is flushed and renamed to `path`, else removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temp = path.with_name(f".{path.name}.{os.getpid()}{TEMP_SUFFIX}")
    try:
        yield temp
        with temp.open("rb") as handle:
            os.fsync(handle.fileno())
        temp.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise MachineError(
            f"cannot write: {error.strerror or error}",
            file=path,
            action="free space or permissions, then run the same command again",
        ) from error
    finally:
        temp.unlink(missing_ok=True)


def publish_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path` atomically and durably."""
    with publishing(path) as temp:
        temp.write_bytes(data)


def publish_file(source: Path, path: Path) -> None:
    """Copy `source` to `path` atomically and durably."""
    with publishing(path) as temp:
        shutil.copyfile(source, temp)


def dead_temporaries(folder: Path) -> list[Path]:
    """Return what killed writers left below `folder`, sorted; a temporary whose process lives is not among them."""
    found = sorted(folder.rglob(f".*{TEMP_SUFFIX}")) if folder.is_dir() else []
    pids = {path: path.name.removesuffix(TEMP_SUFFIX).rsplit(".", 1)[-1] for path in found}
    return [path for path in found if not (pids[path].isdigit() and alive(int(pids[path])))]


def remove_temporaries(folder: Path) -> int:
    """Remove what killed writers left below `folder`; return how many."""
    left = dead_temporaries(folder)
    for path in left:
        path.unlink(missing_ok=True)
    return len(left)


def alive(pid: int) -> bool:
    """Tell whether a process of this machine lives."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@contextmanager
def lock(path: Path, *, stage: str) -> Iterator[None]:
    """Hold the one writer's lock; MachineError (exit 4) names the process that holds it.

    The kernel owns the lock, so a killed holder leaves nothing behind that a person must delete.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with path.open("a+") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                handle.seek(0)
                raise MachineError(
                    f"another run is at work here ({handle.read().strip() or 'holder unknown'})",
                    file=path,
                    stage=stage,
                    action="wait for it to end, then run the same command again",
                ) from error
            if not _same_file(handle.fileno(), path):
                # It was swept away between opening and locking: what we hold, nobody else would meet.
                continue
            handle.truncate(0)
            handle.write(f"pid {os.getpid()} on {socket.gethostname()}")
            handle.flush()
            yield
            return


def is_held(path: Path) -> bool:
    """Tell whether a process holds a lock file, by sharing it for a moment."""
    with path.open("rb") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def _same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def need_free(folder: Path, needed_bytes: int, *, stage: str) -> None:
    """Refuse (MachineError, exit 4) to start what the disk cannot hold, with needed and free bytes."""
    place = folder
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if free < needed_bytes:
        raise MachineError(
            f"the disk has {free:,} bytes free, {needed_bytes:,} are needed",
            file=folder,
            stage=stage,
            action="free space (the folder work/ is a cache and may be emptied), then run the same command again",
        )
