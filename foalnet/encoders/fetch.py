"""Fetches the missing files of a pinned revision, checks, converts and records them; the only use of the network."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from foalnet.config import Settings
from foalnet.core.errors import MachineError, named
from foalnet.core.files import need_free, publish_file, sha256_file
from foalnet.core.locks import lock as locked
from foalnet.encoders.catalogue import CONFIG, PICKLE, SAFE, WeightSet, published
from foalnet.encoders.convert import to_safetensors
from foalnet.encoders.hf import no_transformers
from foalnet.encoders.store import LOCK, missing, open_weights, same_digest, write_lock


def fetch_weights(name: str, settings: Settings) -> Iterator[str]:
    """Make a published encoder ready and yield a line per step; fetch no file that is already in the folder.

    MachineError (exit 4) if the network fails or a file's digest differs from the published one (the message shows
    both, and the download is deleted); DataError (exit 3) for a pickle that holds more than tensors.
    """
    entry = published(name)
    folder = settings.weights_folder / name
    folder.mkdir(parents=True, exist_ok=True)
    # Kept after a failure, so that a download of a gigabyte resumes where it stopped.
    temp = folder / ".fetch"
    with locked(folder / ".lock"):
        if (folder / LOCK).exists():
            open_weights(name, settings)
            yield f"{name}: ready, nothing to fetch"
            return
        files: dict[str, Path] = {}
        for file in (CONFIG, entry.prepares, entry.model):
            files[file] = folder / file
            if not files[file].is_file() and (packaged := _packaged(entry, file)) is not None:
                yield f"{name}: taking {file} from the package {entry.package}"
                files[file] = packaged
            elif not files[file].is_file():
                yield f"{name}: fetching {file} of {entry.repository} at revision {entry.revision}"
                files[file] = _fetched(entry, file, temp)
            _check_pinned(entry, files[file], temp)
        for file in (CONFIG, entry.prepares):
            if files[file].parent != folder:
                publish_file(files[file], folder / file)
        yield from _as_safetensors(entry, files[entry.model], folder)
        write_lock(entry, folder, source=sha256_file(files[entry.model]), revision=entry.revision)
        shutil.rmtree(temp, ignore_errors=True)
    yield f"{name}: ready; its digests are in {LOCK}, and stages use it without the network"


def record_weights(name: str, settings: Settings) -> Iterator[str]:
    """Record a user's own weights of this architecture that are in the folder, without using the network."""
    entry = published(name)
    folder = settings.weights_folder / name
    model = next((folder / file for file in (SAFE, PICKLE) if (folder / file).is_file()), None)
    absent = [file for file in (CONFIG, entry.prepares) if not (folder / file).is_file()] + ([] if model else [SAFE])
    if model is None or absent:
        raise missing(entry, folder, absent)
    with locked(folder / ".lock"):
        yield from _as_safetensors(entry, model, folder)
        lock = write_lock(entry, folder, source=sha256_file(model), revision=None)
    yield f"{name}: recorded as your own; name them in params: `weights: {lock.source}`"


def _as_safetensors(entry: WeightSet, model: Path, folder: Path) -> Iterator[str]:
    if model.name == PICKLE:
        yield f"{entry.name}: converting {PICKLE} to {SAFE}"
        to_safetensors(model, folder / SAFE)
    elif model.parent != folder:
        publish_file(model, folder / SAFE)


def _check_pinned(entry: WeightSet, path: Path, temp: Path) -> None:
    """Check a file against the catalogue's digest, if there is one; delete the download if it differs."""
    expected = entry.files[path.name]
    try:
        if expected is not None:
            same_digest(path, expected, "published", entry)
    except MachineError:
        shutil.rmtree(temp, ignore_errors=True)
        raise


def _packaged(entry: WeightSet, file: str) -> Path | None:
    """Return a file's path in the installed package that holds it; None without one."""
    spec = importlib.util.find_spec(entry.package) if entry.package else None
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / "model" / file
    return path if path.is_file() else None


def _fetched(entry: WeightSet, file: str, temp: Path) -> Path:
    """Download a file of the pinned revision to `temp` and return its path; MachineError (exit 4) on failure."""
    try:
        from huggingface_hub import hf_hub_download
    except ImportError as error:
        raise no_transformers(error) from error
    download: Callable[..., str] = hf_hub_download
    try:
        path = Path(
            download(
                entry.repository,
                file,
                revision=entry.revision,
                local_dir=temp,
                endpoint=os.environ.get("HF_ENDPOINT") or None,
            )
        )
    except Exception as error:  # the client raises many exception types; all mean a failed download
        raise MachineError(
            f"{file} of {entry.repository} at revision {entry.revision} cannot be fetched: "
            f"{named(error).splitlines()[0]}",
            action=f"check the network (is HF_HUB_OFFLINE unset?) and run `foalnet weights fetch {entry.name}` again, "
            "or copy the files by hand into the folder that `foalnet weights` names and run it there",
        ) from error
    need_free(temp, 2 * path.stat().st_size)
    return path
