"""Finds the weight files of detectors on this machine and checks their digests; downloads nothing."""

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
    """A published file that a detector needs; `origin` describes its source in words.

    `address` None: no address is recorded, and `foalnet weights fetch` reports that.
    """

    name: str
    detector: str
    sha256: str
    origin: str
    address: str | None = None


def find_weights(wanted: WeightFile, settings: Settings) -> Path:
    """Return the path of a weight file after checking its digest; MachineError (exit 4) if it is absent or differs.

    Detectors and `foalnet weights` both use this function. It searches the weights folder, to which
    `foalnet weights fetch` writes, then `$TORCH_HOME/hub/checkpoints`, which face-alignment uses.
    """
    path = stored_path(wanted, settings)
    if path is not None:
        return _checked(path, wanted)
    fetch = f"run `foalnet weights fetch {wanted.detector}`, or " if wanted.address else ""
    raise MachineError(
        f"the weight file {wanted.name} of the detector {wanted.detector} is not on this machine (sha256 "
        f"{wanted.sha256}); looked in {' and '.join(str(folder) for folder in _folders(settings))}",
        file=wanted.name,
        action=f"{fetch}get it from {wanted.origin} and put it into one of these folders (FOALNET_WEIGHTS names "
        "another); or choose the detector 'haar', which needs no file",
    )


def stored_path(wanted: WeightFile, settings: Settings) -> Path | None:
    """Return the path of a file of that name without checking its digest; None if there is no such file."""
    return next((folder / wanted.name for folder in _folders(settings) if (folder / wanted.name).is_file()), None)


def _folders(settings: Settings) -> tuple[Path, Path]:
    return settings.weights_folder, checkpoint_folder()


@contextmanager
def loading(path: Path) -> Iterator[None]:
    """Turn a library's error while it loads a verified weight file into MachineError (exit 4).

    A detector loads at its first frame; without this, the error would count as a failure on that frame.
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
    """Return the folder in which torch.hub stores files, without importing torch."""
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    return Path(os.environ.get("TORCH_HOME", f"{cache}/torch")).expanduser() / "hub" / "checkpoints"


def _checked(path: Path, wanted: WeightFile) -> Path:
    digest = sha256_file(path)
    if digest != wanted.sha256:
        fetch = f"remove it and run `foalnet weights fetch {wanted.detector}`, or " if wanted.address else ""
        raise MachineError(
            f"the weight file of the detector {wanted.detector} is not the published one: expected sha256 "
            f"{wanted.sha256}, actual {digest}",
            file=path,
            action=f"{fetch}replace it by the file from {wanted.origin}",
        )
    return path
