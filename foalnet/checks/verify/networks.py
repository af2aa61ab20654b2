"""Networks from their checkpoints: built, their weights loaded, and a sample of utterances answered again.

Shape letters: N utterances, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foalnet.checks.verify.content import Scene
from foalnet.checks.verify.staged import INDEX, entries, rel
from foalnet.core.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor

# Utterances of each fold's test part that its network answers again.
SAMPLE = 3
# Share of the largest logit by which the same weights may answer otherwise: on another CPU, or made on a GPU (bf16).
TOLERANCE = {"cpu": 1e-3, "cuda": 0.05}


def answers(
    scene: Scene, weights: Mapping[str, Tensor], facts: Mapping[str, Any], keys: Sequence[str], *, file: Path
) -> Tensor:
    """Return the logits [N, C] of staged utterances, on the CPU, by the network that `facts` describe.

    DataError (exit 3) where the weights are not those of this network; Absent where a shard is not at hand.
    """
    import torch

    from foalnet.artifact.checkpoint import put_net
    from foalnet.config.blocks import Train
    from foalnet.encoders import Pretrained
    from foalnet.nets import InputShape, build_net
    from foalnet.train.batches import load_store
    from foalnet.train.fold import logits_of
    from foalnet.train.machine import determined

    params = Train.model_validate(facts["train"])
    shape = InputShape(rate_hz=facts["rate_hz"], frame=tuple(facts["frame"]))
    pretrained = Pretrained.from_facts(facts["pretrained"])
    net = build_net(facts["variant"], params, classes=len(facts["classes"]), shape=shape, pretrained=pretrained)
    put_net(net, weights, file=file, stage="verify")
    with determined(params.determinism, 1):
        shards, features = _inputs(scene, keys, params)
        return logits_of(net, load_store(shards, keys, params, features), keys, torch.device("cpu"), params)


def unlike_logits(made_NC: Tensor, stored_NC: Tensor, *, device: str) -> str:
    """Say by how much logits differ; nothing where no more than another processor explains."""
    off, largest = float((made_NC - stored_NC).abs().max()), max(float(stored_NC.abs().max()), 1.0)
    # Written so that NaN is a difference.
    return "" if off <= TOLERANCE[device] * largest else f"they differ by up to {off:.3g}, the largest is {largest:.3g}"


def depends_on_batch(facts: Mapping[str, Any]) -> bool:
    """Tell whether an utterance's logits depend on the other ones of its batch: then no sample repeats them."""
    return facts["pretrained"] is not None and facts["train"]["audio"]["front"] == "batch"


def _inputs(scene: Scene, keys: Sequence[str], params: Any) -> tuple[Any, Any]:
    """Return the shards that hold these utterances, and the features of their pictures where params read such."""
    from foalnet.shards import ShardSet
    from foalnet.shards.check import fault_of
    from foalnet.shards.features import file_of, open_features
    from foalnet.shards.index import read_index

    wanted, folder = set(keys), scene.bench / "networks"
    names = [shard["path"] for shard in entries(scene) if wanted & set(shard["keys"])]
    at = {what: folder / rel(scene.paths, what) for what in ("shards", "features")}
    for name in (INDEX, *names):
        scene.store.lay(f"{rel(scene.paths, 'shards')}/{name}", folder)
    index = read_index(at["shards"], corpus=scene.params.corpus, stage="verify")
    held = tuple(entry for entry in index.shards if entry.path in names)
    for entry in held:
        if fault := fault_of(at["shards"] / entry.path, entry):
            file = scene.paths.shards / entry.path
            raise DataError(fault, file=file, stage="verify", action=scene.again(f"shards@{index.corpus}"))
    shards = ShardSet(folder=at["shards"], corpus=index.corpus, entries=held, stage="verify")
    if params.picture != "features" or scene.params.features.encoder is None:
        return shards, None
    for name in (INDEX, *map(file_of, names)):
        scene.store.lay(f"{rel(scene.paths, 'features')}/{name}", folder)
    return shards, open_features(at["features"], scene.params.features, shards, stage="verify")
