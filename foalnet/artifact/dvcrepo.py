"""Reads DVC's configuration and locates its cache."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from foalnet.core.errors import UsageError

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
