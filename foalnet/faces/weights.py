"""Weight files of detectors: found on this machine, never fetched, and never used unless they are the known bytes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from foalnet.config import Settings
from foalnet.core.errors import FoalnetError, MachineError, reason
from foalnet.core.files import sha256_file


@dataclass(frozen=True, kw_only=True, slots=True)
class WeightFile:
    """A published file that a detector needs: its name, its digest, where it comes from (in words), and its address.

    `address` None: no address is recorded, and `foalnet weights fetch` says so.
    """

    name: str
    detector: str
    sha256: str
    origin: str
    address: str | None = None


def find_weights(wanted: WeightFile, settings: Settings) -> Path:
    """Return the path of a weight file after checking its digest (MachineError, exit 4, where absent or different).

    The one way in which a detector and `foalnet weights` find it: in the weights folder, where
    `foalnet weights fetch` lays it, then in `$TORCH_HOME/hub/checkpoints`, where face-alignment itself would.
    """
    path = lies_at(wanted, settings)
    if path is not None:
        return _checked(path, wanted)
    fetch = f"run `foalnet weights fetch {wanted.detector}`, or " if wanted.address else ""
    raise MachineError(
        f"the weight file {wanted.name} of the detector {wanted.detector} is not on this machine (sha256 "
        f"{wanted.sha256}); looked in {' and '.join(str(folder) for folder in _folders(settings))}",
        file=wanted.name,
        action=f"{fetch}get it from {wanted.origin} and lay it into one of these folders (FOALNET_WEIGHTS names "
        "another); or choose the detector 'haar', which needs no file",
    )


def lies_at(wanted: WeightFile, settings: Settings) -> Path | None:
    """Return where a file of that name lies, unchecked; None where it is nowhere."""
    return next((folder / wanted.name for folder in _folders(settings) if (folder / wanted.name).is_file()), None)


def _folders(settings: Settings) -> tuple[Path, Path]:
    return settings.weights_folder, checkpoint_folder()


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
            f"the weight file cannot be loaded: {' '.join(reason(error).split())[:300]}",
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
        fetch = f"remove it and run `foalnet weights fetch {wanted.detector}`, or " if wanted.address else ""
        raise MachineError(
            f"the weight file of the detector {wanted.detector} is not the published one: expected sha256 "
            f"{wanted.sha256}, found {found}",
            file=path,
            action=f"{fetch}replace it by the file from {wanted.origin}",
        )
    return path
