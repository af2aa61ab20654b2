"""A finished project beside a DVC remote in a folder, and bytes to spoil in either."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from foalnet.artifact.digests import folder_md5
from foalnet.checks.verify import Link, verify
from foalnet.config import load_params, load_settings
from tests.support.projects import run

IDENTITY = ["-c", "user.name=t", "-c", "user.email=t@example.org"]


def commit_all(project: Path, text: str = "the road was run") -> None:
    """Commit whatever git does not ignore."""
    for command in (["add", "-A"], ["commit", "-qm", text]):
        subprocess.run(["git", *IDENTITY, *command], cwd=project, check=True)


def use_remote(project: Path, remote: Path) -> None:
    """Name a folder as the project's default remote, in the file that is this machine's alone."""
    text = f"[core]\n    remote = store\n['remote \"store\"']\n    url = {remote}\n"
    (project / ".dvc" / "config.local").write_text(text)


def flip(path: Path, at: int = -1) -> None:
    """Alter one byte in place, as a disk would: the file's mode stays (DVC trusts objects that are read-only)."""
    data, mode = bytearray(path.read_bytes()), path.stat().st_mode
    data[at] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)
    path.chmod(mode)


@dataclass(frozen=True, kw_only=True)
class Place:
    """A project that was taken down the road, committed and pushed."""

    project: Path
    remote: Path

    @property
    def cache(self) -> Path:
        return self.project / ".dvc" / "cache"

    def copy(self, folder: Path) -> Place:
        place = Place(project=folder / "project", remote=folder / "remote")
        shutil.copytree(self.project, place.project, symlinks=True)
        shutil.copytree(self.remote, place.remote)
        use_remote(place.project, place.remote)
        return place

    def clone(self, folder: Path) -> Path:
        """A fresh git clone that knows the remote: no data, no cache."""
        subprocess.run(["git", "clone", "-q", str(self.project), str(folder)], check=True)
        use_remote(folder, self.remote)
        return folder

    def md5(self, out: str, name: str = "") -> str:
        """The recorded digest of an output, or of a file in its folder."""
        lock = json.loads(run(self.project, "python", "-c", READ_LOCK).stdout)
        md5 = lock[out]
        if not name:
            return str(md5)
        rows = json.loads((self.cache / "files" / "md5" / md5[:2] / md5[2:]).read_bytes())
        return next(str(row["md5"]) for row in rows if row["relpath"] == name)

    def links(self, monkeypatch: pytest.MonkeyPatch, remote: str | None = None) -> list[Link]:
        return links(self.project, monkeypatch, remote)


READ_LOCK = (
    "import json, yaml; stages = yaml.safe_load(open('dvc.lock'))['stages'].values();"
    "print(json.dumps({out['path']: out['md5'] for stage in stages for out in stage['outs']}))"
)


def object_in(store: Path, md5: str) -> Path:
    """Where a cache or remote keeps an object."""
    return store / "files" / "md5" / md5[:2] / md5[2:]


def links(
    project: Path, monkeypatch: pytest.MonkeyPatch, remote: str | None = None, *, corpus: str = "drawn"
) -> list[Link]:
    """Return the links of a corpus in a project, in this process."""
    monkeypatch.chdir(project)
    return list(verify(load_params(corpus), load_settings(), remote=remote))


def broken(checked: list[Link]) -> list[Link]:
    """Return what does not hold."""
    return [link for link in checked if link.verdict in ("differs", "absent")]


Change = Callable[[bytes], bytes]


def forge(project: Path, changes: dict[str, Change]) -> None:
    """Change outputs and every record of them in dvc.lock, as `dvc commit` does; commit it."""
    text = (project / "dvc.lock").read_text()
    for path, change in changes.items():
        file = project / path
        data = file.read_bytes()
        file.chmod(0o644)
        file.write_bytes(change(data))
        assert file.read_bytes() != data, path
        text = text.replace(hashlib.md5(data).hexdigest(), hashlib.md5(file.read_bytes()).hexdigest())
    lock = yaml.safe_load(text)
    digests: dict[str, str] = {}
    for stage in lock["stages"].values():
        for one in (*stage["deps"], *stage["outs"]):
            if any(path.startswith(f"{one['path']}/") for path in changes):
                one["md5"] = digests.setdefault(one["path"], folder(project / one["path"]))
    (project / "dvc.lock").write_text(yaml.safe_dump(lock, sort_keys=False))
    commit_all(project)


def folder(path: Path) -> str:
    files = {
        file.relative_to(path).as_posix(): hashlib.md5(file.read_bytes()).hexdigest()
        for file in path.rglob("*")
        if file.is_file()
    }
    return folder_md5(files)
