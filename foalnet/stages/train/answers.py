"""Rebuilds networks from their checkpoints and computes the logits of a sample of utterances again.

Shape letters: N utterances, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foalnet.artifact.seal import command
from foalnet.core.errors import DataError
from foalnet.shards import INDEX
from foalnet.stages.chain import Chain

if TYPE_CHECKING:
    from torch import Tensor

# Utterances per fold for which logits are computed again.
SAMPLE = 3
# Tolerance as a share of the largest logit: on another CPU, or with logits of a GPU (bf16).
TOLERANCE = {"cpu": 1e-3, "cuda": 0.05}


def answers(
    chain: Chain, weights: Mapping[str, Tensor], facts: Mapping[str, Any], keys: Sequence[str], *, file: Path
) -> Tensor:
    """Return the logits [N, C] of staged utterances, on the CPU, by the network that `facts` describe.

    DataError (exit 3) where the weights are not those of this network; Absent where a shard is not at hand.
    """
    import torch

    from foalnet.artifact.checkpoint import put_net
    from foalnet.config.blocks import Train
    from foalnet.encoders import Pretrained
    from foalnet.methods import build_net
    from foalnet.nets import InputShape
    from foalnet.train.batches import load_store
    from foalnet.train.environment import determined
    from foalnet.train.fold import logits_of

    params = Train.model_validate(facts["train"])
    shape = InputShape(rate_hz=facts["rate_hz"], frame=tuple(facts["frame"]))
    pretrained = Pretrained.from_facts(facts["pretrained"])
    net = build_net(facts["variant"], params, classes=len(facts["classes"]), shape=shape, pretrained=pretrained)
    put_net(net, weights, file=file)
    with determined(params.determinism, 1):
        shards, features = _inputs(chain, keys, params)
        return logits_of(net, load_store(shards, keys, params, features), keys, torch.device("cpu"), params)


def unlike_logits(made_NC: Tensor, stored_NC: Tensor, *, device: str) -> str:
    """Return by how much logits differ; "" if another processor explains it."""
    off, largest = float((made_NC - stored_NC).abs().max()), max(float(stored_NC.abs().max()), 1.0)
    # In this form NaN counts as a difference.
    return "" if off <= TOLERANCE[device] * largest else f"they differ by up to {off:.3g}, the largest is {largest:.3g}"


def depends_on_batch(facts: Mapping[str, Any]) -> bool:
    """Return whether an utterance's logits depend on its batch: then a sample cannot reproduce them."""
    return facts["pretrained"] is not None and facts["train"]["audio"]["front"] == "batch"


def _inputs(chain: Chain, keys: Sequence[str], params: Any) -> tuple[Any, Any]:
    """Return the shards that hold these utterances, and the features of their pictures where params read such."""
    from foalnet.shards import ShardSet
    from foalnet.shards.check import fault_of
    from foalnet.shards.features import file_of, open_features
    from foalnet.shards.index import read_index

    wanted, folder = set(keys), chain.scratch / "networks"
    names = [shard["path"] for shard in chain.shards() if wanted & set(shard["keys"])]
    places = {what: chain.at(getattr(chain.paths, what)) for what in ("shards", "features")}
    for name in (INDEX, *names):
        chain.outputs.copy(f"{places['shards']}/{name}", folder)
    index = read_index(folder / places["shards"], corpus=chain.params.corpus)
    held = tuple(entry for entry in index.shards if entry.path in names)
    for entry in held:
        if fault := fault_of(folder / places["shards"] / entry.path, entry):
            file = chain.paths.shards / entry.path
            raise DataError(fault, file=file, action=command(f"shards@{index.corpus}"))
    shards = ShardSet(folder=folder / places["shards"], corpus=index.corpus, entries=held)
    if params.picture != "features" or chain.params.features.encoder is None:
        return shards, None
    for name in (INDEX, *map(file_of, names)):
        chain.outputs.copy(f"{places['features']}/{name}", folder)
    return shards, open_features(folder / places["features"], chain.params.features, shards)
