"""Models, weights and checkpoints are plain files of a limited size: a pipe or a device neither hangs nor grows."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from foalnet.artifact.checkpoint import load_checkpoint
from foalnet.artifact.model import read_model
from foalnet.authors.imported import import_checkpoint
from foalnet.config import Settings
from foalnet.core.errors import DataError, FoalnetError, MachineError
from foalnet.core.files import NotPlain, sha256_file
from foalnet.encoders import convert, read_state
from foalnet.encoders.catalogue import published
from foalnet.encoders.store import LOCK, read_lock
from foalnet.predict import load


@dataclass(frozen=True)
class Odd:
    """Paths that lead to no plain file; opening the pipe waits for ever, reading the device never ends."""

    pipe: Path
    device: Path


@pytest.fixture
def odd(tmp_path: Path) -> Odd:
    os.mkfifo(tmp_path / "pipe.safetensors")
    (tmp_path / "device.safetensors").symlink_to("/dev/zero")
    return Odd(tmp_path / "pipe.safetensors", tmp_path / "device.safetensors")


READERS: dict[str, Callable[[Path], object]] = {
    "a sealed model": read_model,
    "a sealed model, by the public name": lambda path: load(path, settings=Settings(device="cpu")),
    "a checkpoint": load_checkpoint,
    "an authors' checkpoint": read_state,
    "an authors' pickle": convert.read_pickle,
    "a config of WavLM": lambda path: import_checkpoint(
        path, path, path.parent / "out", Settings(device="cpu"), classes=("a", "b")
    ),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_no_plain_file_is_refused_at_once(odd: Odd, reader: str, kind: str) -> None:
    with pytest.raises(DataError, match="no plain file") as caught:
        READERS[reader](getattr(odd, kind))
    assert caught.value.action


def test_weights_and_their_lock_are_plain_files(odd: Odd) -> None:
    with pytest.raises(NotPlain):
        sha256_file(odd.device)
    odd.pipe.rename(odd.pipe.with_name(LOCK))
    with pytest.raises(MachineError, match="no plain file"):
        read_lock(published("wavlm_large"), odd.pipe.parent)


@pytest.mark.parametrize("reader", ["a sealed model", "a checkpoint", "an authors' checkpoint", "an authors' pickle"])
def test_a_file_beyond_the_limit_is_refused_before_it_is_read(tmp_path: Path, reader: str) -> None:
    large = tmp_path / "large.safetensors"
    with large.open("wb") as handle:
        handle.truncate(1 << 40)
    with pytest.raises(FoalnetError, match=r"1,099,511,627,776 bytes; the limit is") as caught:
        READERS[reader](large)
    assert caught.value.exit_code == 3
