"""Weight files of detectors: found on this machine, never fetched, and never used unless they are the known bytes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from foalnet.config import Settings
from foalnet.errors import FoalnetError, MachineError
from foalnet.files import sha256_file


@dataclass(frozen=True, kw_only=True, slots=True)
class WeightFile:
    """A published file that a detector needs: its name, its digest, and where it comes from (in words)."""

    name: str
    sha256: str
    origin: str


def find_weights(wanted: WeightFile, settings: Settings) -> Path:
    """Return the path of a weight file after checking its digest (MachineError, exit 4, where absent or different).

    Looked for in the setting `weights`, then in `$TORCH_HOME/hub/checkpoints`.
    """
    folders = [*([settings.weights] if settings.weights else []), checkpoint_folder()]
    for folder in folders:
        path = folder / wanted.name
        if path.is_file():
            return _checked(path, wanted)
    raise MachineError(
        f"the weight file {wanted.name} is not on this machine (sha256 {wanted.sha256}); "
        f"looked in {' and '.join(str(folder) for folder in folders)}",
        file=wanted.name,
        action=f"get it from {wanted.origin}, lay it into one of these folders (or name another by FOALNET_WEIGHTS), "
        "or choose the detector 'haar', which needs no file",
    )


@contextmanager
def loading(path: Path) -> Iterator[None]:
    """Say MachineError (exit 4) where a library cannot read a weight file that is the published one.

    A detector is built at its first frame; left alone, the library's error would pass for a frame without an answer.
    """
    try:
        yield
    except FoalnetError:
        raise
    except Exception as error:
        raise MachineError(
            f"the weight file cannot be loaded: {' '.join(str(error).split())[:300]}",
            file=path,
            action="install the pinned packages (pip install -c constraints.txt -e .), or choose the detector 'haar'",
        ) from error


def checkpoint_folder() -> Path:
    """Return the folder where torch.hub keeps files, worked out without importing torch."""
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    return Path(os.environ.get("TORCH_HOME", f"{cache}/torch")).expanduser() / "hub" / "checkpoints"


def _checked(path: Path, wanted: WeightFile) -> Path:
    found = sha256_file(path)
    if found != wanted.sha256:
        raise MachineError(
            f"the weight file is not the published one: expected sha256 {wanted.sha256}, found {found}",
            file=path,
            action=f"replace it by the file from {wanted.origin}",
        )
    return path
