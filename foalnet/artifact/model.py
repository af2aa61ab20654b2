"""Reads and writes the sealed model: one safetensors file with the weights and everything that a prediction needs.

The digest covers all of it: params of staging and training, digests of the inputs, the classes, the card. The files
card.md and card.json in the same folder are for people only; no code reads them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from torch import Tensor

from foalnet.artifact.checkpoint import load_checkpoint, to_bytes
from foalnet.artifact.seal import typed
from foalnet.config.blocks import Shards, Train
from foalnet.config.variants import VARIANTS
from foalnet.core.errors import DataError
from foalnet.core.files import publish_bytes
from foalnet.core.paths import MODEL as FILE

KIND = "foalnet-final"
SCHEMA = 1
# A model with WavLM-large takes 1.3 GB.
MOST_BYTES = 1 << 32


@dataclass(frozen=True, kw_only=True)
class Sealed:
    """The content of a sealed model besides its weights.

    `classes` are in the order of the logits. `rate_hz`, `frame` ((3, H, W) or (D,)) and `text` (D of its vectors, None
    for words) describe the network's inputs. `shards` and `train` are the params that staged the data and trained the
    model. `features`, `texts` and `pretrained` describe its frozen encoders, of pictures and of text, and the encoder
    that it fine-tuned, None without one. `tools` has the digests of staging's code,
    packages, decoder and detector; `digests` those of manifest, shards, code and params. `card` is the model card.
    """

    corpus: str
    variant: str
    seed: int
    classes: tuple[str, ...]
    rate_hz: int
    frame: tuple[int, ...]
    text: int | None = None
    shards: Shards
    train: Train
    features: Mapping[str, Any] | None = None
    texts: Mapping[str, Any] | None = None
    pretrained: Mapping[str, Any] | None = None
    tools: Mapping[str, Any]
    digests: Mapping[str, Any]
    card: Mapping[str, Any]


def seal(path: Path, weights: Mapping[str, Tensor], content: Sealed) -> None:
    """Write the sealed model atomically: the same content gives the same bytes."""
    publish_bytes(path, model_bytes(weights, content))


def model_bytes(weights: Mapping[str, Tensor], content: Sealed) -> bytes:
    """Return the bytes of a sealed model."""
    facts = {"kind": KIND, "schema": SCHEMA} | TypeAdapter(Sealed).dump_python(content, mode="json")
    return to_bytes(weights, facts)


def read_model(path: Path) -> tuple[dict[str, Tensor], Sealed]:
    """Return (weights, content) of a sealed model; `path` is its file or the folder that holds it.

    Raises DataError (exit 3) if it is absent, truncated, altered, another kind of checkpoint or of another version.
    """
    file = path / FILE if path.is_dir() else path
    try:
        weights, facts = load_checkpoint(file, most_bytes=MOST_BYTES)
    except DataError as error:
        raise _refused(file, error.what) from error
    if not isinstance(facts, dict) or facts.get("kind") != KIND:
        raise _refused(file, "this is a checkpoint, but not a sealed model (a fold's checkpoint is not one)")
    if facts.get("schema") != SCHEMA:
        raise _refused(file, f"the model has schema {facts.get('schema')!r}, this version reads {SCHEMA}")

    def refuse(fault: str) -> DataError:
        return _refused(file, f"the model was sealed by another version of foalnet: {fault}")

    return weights, typed(Sealed, _with_methods(facts), refuse)


def _with_methods(facts: dict[str, Any]) -> dict[str, Any]:
    """Return a model's facts as this version has them: earlier models had blocks `fusion` and `objective` in `train`.

    They are read for one release.
    """
    train, variant = facts.get("train"), VARIANTS.get(str(facts.get("variant")))
    if not isinstance(train, dict) or "fusion" not in train or "objective" not in train or variant is None:
        return facts
    rest = {name: value for name, value in train.items() if name not in ("fusion", "objective")}
    values = {name: value for name, value in train["fusion"].items() if name != "kind"} | train["objective"]
    if variant.method == "single":
        values = {name: values[name] for name in ("project", "project_dropout", "head_dropout")}
    definition = {facts["variant"]: variant.model_dump(mode="json")}
    return {**facts, "train": rest | {"methods": {variant.method: values}, "variants": definition}}


def _refused(file: Path, what: str) -> DataError:
    return DataError(
        what,
        file=file,
        action="copy the model again from its origin, or train it: `dvc repro final@CORPUS`",
    )
