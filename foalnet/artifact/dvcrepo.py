"""DVC's own settings and files as the programs here need them: its configuration, and where its objects lie."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from foalnet.core.errors import UsageError

# Below a cache's or remote's folder: DVC 3 keeps objects by the MD5 of their bytes.
OBJECTS = ("files", "md5")


def config_of(home: Path) -> Any:
    """Return DVC's resolved configuration of a folder: sections -> name -> value (UsageError where DVC refuses it)."""
    from dvc.config import Config, ConfigError

    try:
        return Config(dvc_dir=str((home / ".dvc").resolve()))
    except ConfigError as error:
        raise UsageError(
            f"DVC's configuration cannot be read: {error}", file=home / ".dvc", action="`dvc config -l`"
        ) from error


def cache_of(home: Path) -> Path:
    """Return the folder of DVC's cache in which objects lie."""
    given = config_of(home)["cache"].get("dir")
    return (Path(given) if given else home.resolve() / ".dvc" / "cache").joinpath(*OBJECTS)


def cache_links(home: Path, root: Path) -> Callable[[Path], bool]:
    """Return what tells of a link's target whether it is DVC's own: below `root` in the project, into its cache.

    With `cache.type symlink` every file of an output is such a link. In a folder outside the project none is DVC's.
    """
    inside = root.resolve().is_relative_to(home.resolve())

    @cache
    def objects() -> Path:
        return cache_of(home).resolve()

    return lambda target: inside and target.is_relative_to(objects())
