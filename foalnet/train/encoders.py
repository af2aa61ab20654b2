"""Loads encoders that another run has trained (`train.encoders: single`), and computes their steps once.

The encoders of a fold are those that the same seed's audio_only and video_only runs trained on the same fold: of the
epoch that its dev part chose, or of the last epoch in the split without a dev part. No label of the test part is used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from foalnet.artifact.checkpoint import load_checkpoint
from foalnet.artifact.results import TRAIN, read_train, train_stage
from foalnet.config import Params
from foalnet.config.blocks import Split, Train, encoders_from
from foalnet.config.variants import Modality
from foalnet.core.errors import DataError, MachineError
from foalnet.core.files import content_key, sha256_file
from foalnet.core.paths import Paths, run_name
from foalnet.methods import Method
from foalnet.nets import Encoded, Frozen, Inputs, on_device
from foalnet.shards import INDEX
from foalnet.train.batches import Store, eval_batches
from foalnet.train.hooks import named_memory
from foalnet.train.precision import Precision

ENCODER = "encoder."


@dataclass(frozen=True, kw_only=True)
class Encoders:
    """The source of a run's frozen encoders.

    `load`: modality -> function from a fold's name to the tensors of the single-modality network. `facts`: JSON, name
    of each single-modality run -> its identity (`known_by`), on which the fused run's bytes depend.
    """

    load: Mapping[Modality, Callable[[str], Mapping[str, Tensor]]]
    facts: Mapping[str, Any]

    def of(self, fold: str) -> dict[str, Tensor]:
        """Return the tensors of both encoders of a fold, by their names in the fused network."""
        return {
            f"{modality}.{ENCODER}{name.removeprefix(ENCODER)}": tensor
            for modality, load in self.load.items()
            for name, tensor in load(fold).items()
            if name.startswith(ENCODER)
        }


def published_encoders(params: Params, paths: Paths, *, variant: str, seed: int, split: Split) -> Encoders | None:
    """Return the encoders of the published single-modality runs; None if the variant trains its own.

    `facts` holds the digest of each run's checkpoints and the chosen epochs of its folds. MachineError (exit 4) if a
    run is absent, DataError (exit 3) if it is of other params, classes, manifest or shards, or is damaged.
    """
    singles = encoders_from(variant, params.train)
    if not singles:
        return None
    load: dict[Modality, Callable[[str], Mapping[str, Tensor]]] = {}
    facts: dict[str, Any] = {}
    for modality, single in singles.items():
        folder = paths.model(single, seed, split)
        again = f"`dvc repro {train_stage(params.corpus, single, seed, split)}`"
        if not (folder / TRAIN).exists():
            raise MachineError(
                f"variant {variant} takes its encoder of {modality} from run {run_name(single, seed, split)}, which is "
                "not here (train.encoders: single)",
                file=folder / TRAIN,
                action=f"train it first: {again}",
            )
        train = read_train(paths, variant=single, seed=seed, split=split)
        here = {
            "params": content_key(params.train.of(single).model_dump()),
            "classes": list(params.manifest.classes),
            "inputs": inputs_of(paths),
        }
        if other := [name for name, value in here.items() if train.get(name) != value]:
            raise DataError(
                f"variant {variant} takes its encoder of {modality} from this run, whose {' and '.join(other)} are not "
                "those of today",
                file=folder / TRAIN,
                action=f"train it again: {again}",
            )
        digests = {fold: train["files"][_checkpoint(fold)] for fold in train["folds"]}
        load[modality] = _loader(folder, digests, again)
        facts[run_name(single, seed, split)] = known_by(train)
    return Encoders(load=load, facts=facts)


def inputs_of(paths: Paths) -> dict[str, str]:
    """Return the SHA-256 of the manifest and of the index of the shards, as in train.json."""
    return {"manifest": sha256_file(paths.manifest), "shards": sha256_file(paths.shards / INDEX)}


def known_by(train: Mapping[str, Any]) -> dict[str, Any]:
    """Return the identity of a run's encoders from its train.json: the digest of its checkpoints, and chosen epochs."""
    folds = train["folds"]
    return {
        "checkpoints": content_key({fold: train["files"][_checkpoint(fold)] for fold in folds}),
        "epochs": {fold: int(row["chosen_epoch"]) for fold, row in folds.items()},
    }


def _checkpoint(fold: str) -> str:
    return f"fold-{fold}.safetensors"


def _loader(folder: Path, digests: Mapping[str, str], again: str) -> Callable[[str], Mapping[str, Tensor]]:
    def load(fold: str) -> Mapping[str, Tensor]:
        file = folder / _checkpoint(fold)
        tensors, _ = load_checkpoint(file)
        if sha256_file(file) != digests[fold]:
            raise DataError(
                f"digest mismatch: {folder / TRAIN} names another checkpoint",
                file=file,
                action=f"train the run again: {again}",
            )
        return tensors

    return load


def put_encoders(net: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Load the frozen encoders of a network; DataError (exit 3) unless `tensors` are exactly theirs."""
    own = {
        f"{name}.{ENCODER}{each}"
        for name, module in net.named_modules()
        if isinstance(module, Frozen)
        for each in module.encoder.state_dict()
    }
    if own != tensors.keys():
        raise DataError(
            f"the single-modality runs have other encoders than this network: {sorted(own ^ tensors.keys())}",
            action="train them again with today's params: `dvc repro`",
        )
    net.load_state_dict(dict(tensors), strict=False)


def prepared_store(
    net: Method,
    store: Store,
    keys: Sequence[str],
    *,
    pad_s: float | None,
    before_batch: Callable[[], None] = lambda: None,
) -> Store:
    """Return the store with the encoders' `prepare_steps` of each clip, which no weight and no epoch changes.

    The function calls `before_batch` before each batch.
    """

    def prepared(batch: Inputs) -> Encoded:
        each = {modality: encoder.prepare_steps(batch) for modality, encoder in net.encoders.items()}
        return {modality: steps for modality, steps in each.items() if steps is not None}

    if not prepared(next(eval_batches(store, keys[:1], pad_s=pad_s))):
        return store
    return replace(
        store, prepared=_encode_all(prepared, store, keys, torch.device("cpu"), pad_s=pad_s, before_batch=before_batch)
    )


def encoded_store(
    net: Method,
    store: Store,
    keys: Sequence[str],
    device: torch.device,
    params: Train,
    *,
    pad_s: float | None,
    before_batch: Callable[[], None] = lambda: None,
) -> Store:
    """Return the store with the steps of the network's frozen encoders in memory; unchanged if none is frozen.

    Training and evaluation then never compute an encoder again. The function calls `before_batch` before each batch.
    MachineError (exit 4) if memory runs out.
    """
    frozen = {modality: one for modality, one in net.encoders.items() if isinstance(one, Frozen)}
    if not frozen:
        return store
    net.eval()

    def encoded(batch: Inputs) -> Encoded:
        with Precision.of(params.precision, device).autocast():
            return {modality: encoder.encode(batch) for modality, encoder in frozen.items()}

    return replace(store, encoded=_encode_all(encoded, store, keys, device, pad_s=pad_s, before_batch=before_batch))


@torch.no_grad()
def _encode_all(
    make: Callable[[Inputs], Encoded],
    store: Store,
    keys: Sequence[str],
    device: torch.device,
    *,
    pad_s: float | None,
    before_batch: Callable[[], None],
) -> dict[str, Encoded]:
    """Return the result of `make` for each key, as a batch of one without padding, on the CPU."""
    by_key: dict[str, Encoded] = {}
    at_work: list[str] = []
    with named_memory(store, lambda: at_work, "the encoders"):
        for batch in eval_batches(store, keys, pad_s=pad_s):
            before_batch()
            at_work = list(batch.keys)
            made = on_device(make(batch.to(device)), torch.device("cpu"))
            for row, key in enumerate(batch.keys):
                by_key[key] = {modality: steps.row(row) for modality, steps in made.items()}
    return by_key
