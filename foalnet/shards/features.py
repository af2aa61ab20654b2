"""Reads the features folder: an index that describes the vectors, and one file per dialogue, checked by digest.

Shape letters: F encoded frames, D numbers per vector.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from pydantic import ConfigDict

from foalnet.artifact.seal import command, open_sealed, sealed_bytes, verified_bytes
from foalnet.config.blocks import Features, TextFeatures
from foalnet.core.errors import DataError, UsageError
from foalnet.core.files import sha256_file
from foalnet.shards import Sample, ShardSet

INDEX = "index.json"
SCHEMA: Literal[1] = 1
MASK = "/mask"


@dataclass(frozen=True, kw_only=True, slots=True)
class FeatureFile:
    """The file of one dialogue's vectors.

    `shard`: the SHA-256 of the shard from which they were computed. `cut`: how many of its texts are longer than the
    encoder reads, and were cut.
    """

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    path: str
    sha256: str
    shard: str
    utterances: int
    cut: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class FeatureIndex:
    """The index of the features: what the vectors are, and their files; without an encoder there are none."""

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    schema: Literal[1]
    corpus: str
    encoder: str | None
    weights: str | None = None
    preprocessing: str | None = None
    picture: str | None = None
    frame_step: int | None = None
    steps: str | None = None
    context: int | None = None
    dims: int | None = None
    versions: dict[str, str] = field(default_factory=dict)
    files: list[FeatureFile] = field(default_factory=list)


def index_bytes(index: FeatureIndex) -> bytes:
    """Return the sealed bytes of the index; only with this file in place is the folder a data set."""
    return sealed_bytes(INDEX, asdict(index))


def file_of(shard: str) -> str:
    """Return the path of a dialogue's vectors for the path of its shard.

    >>> file_of("Session1/000000.tar")
    'Session1/000000.safetensors'
    """
    return str(Path(shard).with_suffix(".safetensors").as_posix())


class Vectors(Protocol):
    """Returns a sample's pictures or words as vectors, from the stage's files or from the encoder itself."""

    frame_step: int

    def rows(self, sample: Sample) -> tuple[np.ndarray, np.ndarray]:
        """Return (vectors [F, D] float32, mask_F) of every `frame_step`-th frame, or of the words."""


class FeatureSet:
    """The vectors of a corpus by utterance key, verified against the shards from which they were computed."""

    def __init__(self, folder: Path, index: FeatureIndex, shards: ShardSet) -> None:
        self.folder, self.index = folder, index
        self.frame_step = int(index.frame_step or 1)
        self._file = {key: file_of(entry.path) for entry in shards.entries for key in entry.keys}
        self._entry = {each.path: each for each in index.files}
        self._open: tuple[str, dict[str, np.ndarray]] = ("", {})
        for entry in shards.entries:
            listed = self._entry.get(file_of(entry.path))
            if listed is None or listed.shard != entry.sha256:
                raise self._error("the features were computed from other shards", file_of(entry.path))

    @property
    def digest(self) -> str:
        """The SHA-256 of the index, which covers all vectors by their digests."""
        return sha256_file(self.folder / INDEX)

    @property
    def facts(self) -> dict[str, Any]:
        """What a checkpoint must record so that a new picture gets its vectors in the same way."""
        index = self.index
        names = Features.made_by if index.steps is None else TextFeatures.made_by
        return {name: getattr(index, name) for name in ("weights", "preprocessing", *names)}

    def rows(self, sample: Sample) -> tuple[np.ndarray, np.ndarray]:
        """Return (vectors [F, D] float32, mask_F): of every `frame_step`-th frame, zeros without a picture; of text."""
        key = sample.key
        name = self._file[key]
        if self._open[0] != name:
            self._open = (name, self._read(name))
        tensors = self._open[1]
        if key not in tensors or key + MASK not in tensors:
            raise self._error(f"{key} has no features", name)
        return tensors[key], tensors[key + MASK].astype(bool)

    def _read(self, name: str) -> dict[str, np.ndarray]:
        from safetensors.numpy import load

        again = f"features@{self.index.corpus}"
        path, digest = self.folder / name, self._entry[name].sha256
        return load(verified_bytes(path, digest, by=self.folder / INDEX, again=again))

    def _error(self, what: str, name: str) -> DataError:
        return DataError(
            what,
            file=self.folder / name,
            action=f"run `{command(f'features@{self.index.corpus}')}`",
        )


def text_folder(features: Path) -> Path:
    """Return the folder of the vectors of text in a corpus' folder of features."""
    return features / "text"


def open_features(folder: Path, params: Features | TextFeatures, shards: ShardSet) -> FeatureSet | None:
    """Return the corpus' features, checked against params and shards; None if params name no encoder.

    `folder`: that of the features for pictures, its `text_folder` for text.

    DataError (exit 3) if they are absent, damaged, of other shards or of another encoder.
    """
    if params.encoder is None:
        return None
    path = folder / INDEX
    target = f"features@{shards.corpus}"
    index = open_sealed(path, FeatureIndex, again=target, corpus=shards.corpus)
    wanted: dict[str, Any] = {name: getattr(params, name) for name in params.made_by}
    differing = {name: getattr(index, name) for name, value in wanted.items() if getattr(index, name) != value}
    if differing:
        what = f"the features here have {differing}, params require {wanted}"
        raise DataError(what, file=path, action=f"run `dvc repro {target}`")
    return FeatureSet(folder, index, shards)


def steps_between(train_step: int, feature_step: int) -> int:
    """Return n such that training takes every n-th encoded frame; UsageError (exit 2) if there is no such n.

    >>> steps_between(train_step=12, feature_step=6)
    2
    """
    if train_step % feature_step:
        raise UsageError(
            f"train.frame_step is {train_step}, and only every {feature_step}-th frame has features",
            action="set train.frame_step to a multiple of features.frame_step",
        )
    return train_step // feature_step
