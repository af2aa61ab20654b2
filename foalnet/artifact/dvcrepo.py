"""Opens the project as DVC sees it, for reading; reads DVC's configuration and locates its cache."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from foalnet.core.errors import UsageError
from foalnet.core.files import not_written

# Subfolders of a cache or remote in which DVC 3 stores objects by the MD5 of their bytes.
OBJECTS = ("files", "md5")


def dvc_config(home: Path) -> Any:
    """Return DVC's resolved configuration of a folder: section -> name -> value (UsageError if DVC rejects it)."""
    from dvc.config import Config, ConfigError

    try:
        return Config(dvc_dir=str((home / ".dvc").resolve()))
    except ConfigError as error:
        raise UsageError(
            f"DVC's configuration cannot be read: {error}", file=home / ".dvc", action="`dvc config -l`"
        ) from error


def dvc_cache(home: Path) -> Path:
    """Return the folder of DVC's cache that holds the objects."""
    given = dvc_config(home)["cache"].get("dir")
    return (Path(given) if given else home.resolve() / ".dvc" / "cache").joinpath(*OBJECTS)


@contextmanager
def scratch_folder(prefix: str) -> Iterator[Path]:
    """Yield a temporary folder outside the project; MachineError (exit 4) where it cannot be made."""
    try:
        temporary = TemporaryDirectory(prefix=prefix)
    except OSError as error:
        raise not_written(error, Path(os.environ.get("TMPDIR", "/tmp"))) from error  # noqa: S108
    with temporary as folder:
        yield Path(folder)


@contextmanager
def opened(home: Path) -> Iterator[Any]:
    """Yield DVC's `Repo` of a folder, for reading: no lock is taken and nothing is written in the project.

    What a `Repo` itself writes (its databases of known files, the file that marks its time) goes to a temporary folder:
    so it also remembers no digest of an earlier run. UsageError (exit 2) without a project, or where DVC rejects its
    configuration.
    """
    from dvc.config import ConfigError
    from dvc.repo import Repo

    if not (home / ".dvc").is_dir():
        # DVC would go on to the folders above.
        raise UsageError("no DVC project", file=home / ".dvc", action="run in the project's folder")
    with scratch_folder("foalnet-dvc-") as scratch:
        folders = {"tmp_dir": str(scratch), "site_cache_dir": str(scratch)}
        try:
            # Without git: a source archive has none, and DVC would write to .gitignore.
            repo = type("ReadOnly", (Repo,), folders)(str(home.resolve()), config={"core": {"no_scm": True}})
        except ConfigError as error:
            raise UsageError(
                f"DVC's configuration cannot be read: {error}", file=home / ".dvc", action="`dvc config -l`"
            ) from error
        with repo:
            yield repo


def cache_links(home: Path, root: Path) -> Callable[[Path], bool]:
    """Return a predicate that accepts the targets of DVC's own links below `root`: files in DVC's cache.

    With `cache.type symlink` every file of an output is such a link. The predicate rejects everything if `root` is
    outside the project.
    """
    inside = root.resolve().is_relative_to(home.resolve())

    @cache
    def objects() -> Path:
        return dvc_cache(home).resolve()

    return lambda target: inside and target.is_relative_to(objects())
