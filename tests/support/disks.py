"""A disk under one folder that fills up, or that remembers what a power cut would leave of it.

Mounting needs rights that a test may not have, so these stand between Python's files and the real disk. Every file that
Python opens for writing below the folder goes through them: `open`, `Path.open`, `shutil.copyfile`, `tempfile`. What
a C library writes itself does not, and no stage has one write its outputs.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest


class _Raw(io.FileIO):
    """A file that asks the disk before each write."""

    disk: Any

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        taken = self.disk.take(self, self.tell(), view)
        if len(view) and not taken:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(view[:taken])

    def truncate(self, size: int | None = None) -> int:
        self.disk.cut(self, self.tell() if size is None else size)
        return super().truncate(size)


def _opener(disk: Any, real: Callable[..., Any]) -> Callable[..., Any]:
    def opened(
        file: Any,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        closefd: bool = True,
        opener: Any = None,
    ) -> Any:
        if not set(mode) & set("wax+") or isinstance(file, int) or not disk.holds(file):
            return real(file, mode, buffering, encoding, errors, newline, closefd, opener)
        raw = _Raw(file, mode.replace("b", "").replace("t", ""), closefd, opener)
        raw.disk = disk
        disk.opened(raw, Path(os.fsdecode(file)), mode)
        if buffering == 0:
            return raw
        buffer = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        return buffer if "b" in mode else io.TextIOWrapper(buffer, encoding or "utf-8", errors, newline)

    return opened


class Layer:
    """What both disks share: they see what is below `home` and nothing else."""

    def __init__(self, home: Path) -> None:
        self.home = home.absolute()

    def holds(self, path: Any) -> bool:
        """Tell whether a path is on this disk."""
        return Path(os.fsdecode(path)).absolute().is_relative_to(self.home)

    def take(self, raw: io.FileIO, offset: int, data: memoryview) -> int:
        """Return how many of the bytes fit."""
        return len(data)

    def cut(self, raw: io.FileIO, size: int) -> None:
        """Hear that a file is cut to a size."""

    def opened(self, raw: io.FileIO, path: Path, mode: str) -> None:
        """Hear that a file is opened for writing."""

    @contextmanager
    def mounted(self) -> Iterator[None]:
        """Stand between Python and the disk."""
        with pytest.MonkeyPatch.context() as patch:
            layer = _opener(self, io.open)
            patch.setattr(io, "open", layer)
            patch.setattr(builtins, "open", layer)
            patch.setattr(shutil, "_USE_CP_SENDFILE", False)
            self.patch(patch)
            yield

    def patch(self, patch: pytest.MonkeyPatch) -> None:
        """Take the place of more of the system's calls."""


class FullDisk(Layer):
    """Takes `budget` bytes and then says ENOSPC; None: takes all and counts.

    `honest`: asked for its free space it tells the budget's rest; else another program filled it meanwhile, and it
    told plenty until then.
    """

    def __init__(self, home: Path, budget: int | None = None, *, honest: bool = False) -> None:
        super().__init__(home)
        self.budget, self.honest, self.written, self.full = budget, honest, 0, False

    def take(self, raw: io.FileIO, offset: int, data: memoryview) -> int:
        """Return how many of the bytes fit."""
        taken = len(data) if self.budget is None else min(len(data), self.budget - self.written)
        self.written += taken
        self.full |= taken < len(data)
        return taken

    def patch(self, patch: pytest.MonkeyPatch) -> None:
        """Tell the free space too."""
        real = shutil.disk_usage

        def usage(path: Any) -> Any:
            if self.budget is None or not self.holds(path):
                return real(path)
            rest = self.budget - self.written
            return SimpleNamespace(free=rest if self.honest or self.full else 10**15)

        patch.setattr(shutil, "disk_usage", usage)


@dataclass
class Node:
    """A file's bytes: as the programs see them, and as they are on the platters."""

    now: bytearray = field(default_factory=bytearray)
    durable: bytes = b""


class ForgetfulDisk(Layer):
    """Remembers which writes and names a power cut may lose: whatever no fsync has made durable.

    `cuts()` gives every state that the disk can be found in: after each step, with the names since the last fsync of
    their folder kept or lost (all of a folder's up to some step: a journal keeps their order), and of each file the
    bytes of its last fsync. A file that was never synced is empty.
    """

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.nodes: dict[int, Node] = {}
        self.raws: list[io.FileIO] = []
        self.paths: dict[Path, Node] = {}
        self.pending: dict[Path, list[tuple[str, Node | None]]] = {}
        self.settled: dict[Path, dict[str, Node]] = {}
        self.steps: list[list[dict[Path, bytes]]] = []
        for path in sorted(self.home.rglob("*")):
            if path.is_file():
                data = path.read_bytes()
                node = Node(bytearray(data), data)
                self.paths[path] = node
                self.settled.setdefault(path.parent, {})[path.name] = node
            elif path.is_dir():
                self.settled.setdefault(path.parent, {})[path.name] = Node()

    def opened(self, raw: io.FileIO, path: Path, mode: str) -> None:
        """Make the file's name, or find it."""
        path = path.absolute()
        if path.is_dir():
            return  # a nameless file: nothing of it outlives its process
        node = self.paths.get(path)
        if node is None:
            node = self._named(path)
        self.raws.append(raw)
        self.nodes[id(raw)] = node
        if "w" in mode:
            node.now.clear()
        self._step()

    def _named(self, path: Path) -> Node:
        node = self.paths[path] = Node()
        self._entry(path, node)
        return node

    def _entry(self, path: Path, node: Node | None) -> None:
        self.pending.setdefault(path.parent, []).append((path.name, node))

    def take(self, raw: io.FileIO, offset: int, data: memoryview) -> int:
        """Write into memory only, as a disk does."""
        node = self.nodes.get(id(raw))
        if node is not None:
            node.now[offset : offset + len(data)] = data
            self._step()
        return len(data)

    def cut(self, raw: io.FileIO, size: int) -> None:
        """Cut in memory only."""
        if id(raw) in self.nodes:
            del self.nodes[id(raw)].now[size:]

    def patch(self, patch: pytest.MonkeyPatch) -> None:
        """Hear of what makes names and what makes things durable."""
        real = SimpleNamespace(
            fsync=os.fsync, replace=os.replace, rename=os.rename, unlink=os.unlink, mkdir=os.mkdir, open=os.open
        )

        def fsync(descriptor: int) -> None:
            real.fsync(descriptor)
            self._synced(Path(os.readlink(f"/proc/self/fd/{descriptor}")))

        def rename(source: Any, target: Any, **options: Any) -> None:
            real.rename(source, target, **options)
            if self.holds(target):
                one, other = Path(source).absolute(), Path(target).absolute()
                node = self.paths.pop(one)
                self.paths[other] = node
                self._entry(other, node)
                self._entry(one, None)
                self._step()

        def unlink(path: Any, **options: Any) -> None:
            real.unlink(path, **options)
            if self.holds(path) and self.paths.pop(Path(path).absolute(), None) is not None:
                self._entry(Path(path).absolute(), None)
                self._step()

        def mkdir(path: Any, *more: Any, **options: Any) -> None:
            real.mkdir(path, *more, **options)
            if self.holds(path):
                self._entry(Path(path).absolute(), Node())
                self._step()

        def opened(path: Any, flags: int, *more: Any, **options: Any) -> int:
            made = bool(flags & os.O_CREAT) and self.holds(path) and not os.path.exists(path)
            descriptor = real.open(path, flags, *more, **options)
            if made:
                self._named(Path(path).absolute())
                self._step()
            return descriptor

        patch.setattr(os, "fsync", fsync)
        patch.setattr(os, "replace", rename)
        patch.setattr(os, "rename", rename)
        patch.setattr(os, "unlink", unlink)
        patch.setattr(os, "mkdir", mkdir)
        patch.setattr(os, "open", opened)

    def _synced(self, path: Path) -> None:
        if path.is_dir():
            for name, node in self.pending.pop(path, []):
                if node is None:
                    self.settled.setdefault(path, {}).pop(name, None)
                else:
                    self.settled.setdefault(path, {})[name] = node
        elif path in self.paths:
            self.paths[path].durable = bytes(self.paths[path].now)
        self._step()

    def _step(self) -> None:
        """Note what a cut at this moment can leave."""
        folders = sorted(path for path in self.pending if self.pending[path])
        states = [self._left({})]
        states.append(self._left({path: len(self.pending[path]) for path in folders}))
        for path in folders:
            states += [self._left({path: kept}) for kept in range(1, len(self.pending[path]) + 1)]
        self.steps.append(states)

    def _left(self, kept: dict[Path, int]) -> dict[Path, bytes]:
        """Return the files that can be reached, `kept` of each folder's pending names included."""
        names = {path: dict(entries) for path, entries in self.settled.items()}
        for path, count in kept.items():
            for name, node in self.pending[path][:count]:
                if node is None:
                    names.setdefault(path, {}).pop(name, None)
                else:
                    names.setdefault(path, {})[name] = node
        files: dict[Path, bytes] = {}
        todo = [self.home]
        while todo:
            folder = todo.pop()
            for name, node in names.get(folder, {}).items():
                path = folder / name
                if path.is_dir() or path in names:
                    todo.append(path)
                else:
                    files[path.relative_to(self.home)] = node.durable
        return files

    def last(self) -> dict[Path, bytes]:
        """Return the least that a cut leaves now: what is durable for certain."""
        return self._left({})

    def cuts(self) -> Iterator[dict[Path, bytes]]:
        """Give every state that a power cut can leave, each once."""
        seen: set[int] = set()
        for step in self.steps:
            for state in step:
                key = hash(frozenset(state.items()))
                if key not in seen:
                    seen.add(key)
                    yield state
