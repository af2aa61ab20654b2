"""Reads the bytes of outputs from the workspace, DVC's cache or a remote."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from foalnet.artifact.digests import Digest, Reader, parse_listing
from foalnet.artifact.seal import unseal
from foalnet.checks.verify.lock import Recorded
from foalnet.checks.verify.places import Cache, Place, Remote
from foalnet.core.files import not_written
from foalnet.stages.chain import Absent

# Names of the sealed files (foalnet.artifact.seal says which and why).
SEALED = frozenset({"index.json", "inventory.json", "counts.json", "staging.json", "train.json", "metrics.json"})


class Store:
    """Reads outputs by their path in the project; the workspace comes first, because a user sees it.

    `repo` is DVC's; `remote` None: none is read.
    """

    def __init__(
        self, home: Path, repo: Any, stages: Iterable[Recorded], *, reader: Reader, remote: Remote | None = None
    ) -> None:
        self.home, self.reader, self.remote = home, reader, remote
        self.cache, self.pulls = Cache(repo, reader), bool(repo.config["remote"])
        self.outs: dict[str, str] = {}
        self.maker: dict[str, str] = {}
        for stage in stages:
            for path, md5 in ((path, md5) for path, md5 in stage.outs.items() if md5):
                self.outs[path], self.maker[path] = md5, stage.name
        self._listings: dict[str, dict[str, str] | None] = {}
        self._ignore = repo.dvcignore

    @property
    def places(self) -> list[Place]:
        """The places with objects that are read: the cache, and the remote where there is one."""
        return [self.cache] if self.remote is None else [self.cache, self.remote]

    def objects(self, path: str, md5: str) -> dict[str, str]:
        """Return digest -> name of every object that an output needs, a folder's list first."""
        if not md5.endswith(".dir"):
            return {md5: path}
        files = self.listing(md5) or {}
        return {md5: f"the list of {path}"} | {each: f"{path}/{name}" for name, each in files.items()}

    def bring(self, stage: str) -> str:
        """Return the command that brings a stage's outputs to this machine, or makes them where DVC has no remote."""
        return f"dvc pull {stage} (where no remote has it: dvc repro {stage})" if self.pulls else f"dvc repro {stage}"

    def listing(self, md5: str) -> dict[str, str] | None:
        """Return a folder's files (relative path -> MD5) by its digest; None where no undamaged list is available."""
        if md5 not in self._listings:
            self._listings[md5] = self._read_listing(md5)
        return self._listings[md5]

    def _read_listing(self, md5: str) -> dict[str, str] | None:
        for place in self.places:
            digest = place.digests([md5])[md5]
            data = place.read(md5) if digest is not None and digest.md5 == md5.removesuffix(".dir") else None
            if data is not None:
                with suppress(ValueError):
                    return parse_listing(data)
        return None

    def know(self, md5: str, files: Mapping[str, str]) -> None:
        """Remember the list of a folder with the digest `md5`."""
        self._listings[md5] = dict(files)

    def folder(self, path: str) -> dict[str, str]:
        """Return relative path -> MD5 of the files in a folder of the workspace, as DVC would record it."""
        names = self.names_here(path)
        digests = self.reader.digests(self.home / path / name for name in names)
        return {name: digests[self.home / path / name].md5 for name in names}

    def names_here(self, path: str) -> list[str]:
        """Return the files below a folder of the workspace that DVC sees (.dvcignore holds), relative and sorted."""
        from dvc.fs import localfs

        base = self.home.resolve() / path
        return sorted(Path(name).relative_to(base).as_posix() for name in self._ignore.find(localfs, str(base)))

    def recorded(self, path: str) -> dict[str, str] | None:
        """Return path -> MD5 of all recorded files at or below `path`; None where no list is available."""
        files_of: dict[str, str] = {}
        for out, md5 in self.outs.items():
            if not (out == path or out.startswith(f"{path}/") or path.startswith(f"{out}/")):
                continue
            files = {"": md5}
            if md5.endswith(".dir"):
                listed = self.listing(md5)
                if listed is None:
                    return None
                files = listed
            named = {f"{out}/{name}".rstrip("/"): each for name, each in files.items()}
            files_of |= {name: each for name, each in named.items() if name == path or name.startswith(f"{path}/")}
        return files_of

    def has(self, path: str) -> bool:
        """Return whether a path is in a recorded output, or in the workspace."""
        return (self.home / path).exists() or any(path == out or path.startswith(f"{out}/") for out in self.outs)

    def names(self, folder: str) -> list[str]:
        """Return the files of an output's folder, relative to it: the workspace's, else the recorded ones.

        The workspace's are all that lie there, whatever .dvcignore hides from DVC, but for hidden ones of the system.
        """
        if (self.home / folder).is_dir():
            every = (Path(at) / name for at, _, names in os.walk(self.home / folder) for name in names)
            kept = (path for path in every if not path.name.startswith("."))
            return sorted(path.relative_to(self.home / folder).as_posix() for path in kept)
        recorded = self.recorded(folder)
        if not recorded:
            raise self._absent(folder)
        return sorted(name.removeprefix(f"{folder}/") for name in recorded)

    def read(self, path: str) -> bytes:
        """Return the bytes of an output's file (Absent where it lies nowhere)."""
        place = self._place(path)
        if isinstance(place, Path):
            return place.read_bytes()
        data = self.remote.read(place) if self.remote else None
        if data is None:
            raise self._absent(path)
        return data

    def json(self, path: str) -> Any:
        """Return an output's JSON; a sealed file is opened by its seal (Absent; DataError; ValueError)."""
        data = self.read(path)
        if Path(path).name in SEALED:
            return unseal(data, Path(path), again=self.maker_of(path))
        return json.loads(data)

    def rows(self, path: str) -> list[Any]:
        """Return the rows of an output in JSON lines (Absent; ValueError where one is none)."""
        return [json.loads(line) for line in self.read(path).splitlines()]

    def digests(self, paths: Iterable[str]) -> dict[str, Digest]:
        """Return the digests of files of outputs (Absent where one lies nowhere)."""
        places = {path: self._place(path) for path in paths}
        here = self.reader.digests(place for place in places.values() if isinstance(place, Path))
        far = [place for place in places.values() if isinstance(place, str)]
        there = self.remote.digests(far) if self.remote and far else {}
        digests = {}
        for path, place in places.items():
            digest = here[place] if isinstance(place, Path) else there.get(place)
            if digest is None:
                raise self._absent(path)
            digests[path] = digest
        return digests

    def copy(self, path: str, folder: Path) -> Path:
        """Put an output's file at its path below `folder` and return it: a link to the file, else its bytes.

        MachineError (exit 4) where the folder's disk does not take it.
        """
        put, place = folder / path, self._place(path)
        if put.exists():
            return put
        data = b"" if isinstance(place, Path) else self.read(path)
        try:
            put.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(place, Path):
                put.symlink_to(place.resolve())
            else:
                put.write_bytes(data)
        except OSError as error:
            raise not_written(error, put, needed_bytes=len(data)) from error
        return put

    def _place(self, path: str) -> Path | str:
        """Return the file that holds an output's bytes, or its digest where only a remote can have them."""
        if (self.home / path).is_file():
            return self.home / path
        md5 = (self.recorded(path) or {}).get(path)
        if md5 is None:
            raise self._absent(path)
        if self.cache.has(md5):
            return self.cache.path(md5)
        if self.remote is None:
            raise self._absent(path)
        return md5

    def _absent(self, path: str) -> Absent:
        maker = self.maker_of(path)
        return Absent(path, self.bring(maker) if maker else "")

    def maker_of(self, path: str) -> str:
        """Return the stage that writes a path, or what lies in it; "" where none is recorded."""
        for out, stage in self.maker.items():
            if path == out or path.startswith(f"{out}/") or out.startswith(f"{path}/"):
                return stage
        return ""
