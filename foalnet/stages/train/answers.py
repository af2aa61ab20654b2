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
    from foalnet.methods import build_net, method_of
    from foalnet.nets import InputShape
    from foalnet.train.batches import dialogues_of, load_store
    from foalnet.train.environment import determined
    from foalnet.train.fold import logits_of

    params = Train.model_validate(facts["train"])
    shape = InputShape(rate_hz=facts["rate_hz"], frame=tuple(facts["frame"]), text=facts.get("text"))
    pretrained = Pretrained.from_facts(facts["pretrained"])
    net = build_net(facts["variant"], params, classes=facts["classes"], shape=shape, pretrained=pretrained)
    put_net(net, weights, file=file)
    dialogues = {}
    if method_of(facts["variant"], params).over_turns:
        dialogues = dialogues_of(chain.manifest(), dict.fromkeys(keys, ""))
    with determined(params.determinism, 1):
        shards, features, texts = _inputs(chain, keys, params, facts)
        store = load_store(shards, keys, params, features, texts, dialogues)
        return logits_of(net, store, keys, torch.device("cpu"), params)


def unlike_logits(made_NC: Tensor, stored_NC: Tensor, *, device: str) -> str:
    """Return by how much logits differ; "" if another processor explains it."""
    off, largest = float((made_NC - stored_NC).abs().max()), max(float(stored_NC.abs().max()), 1.0)
    # In this form NaN counts as a difference.
    return "" if off <= TOLERANCE[device] * largest else f"they differ by up to {off:.3g}, the largest is {largest:.3g}"


def depends_on_batch(facts: Mapping[str, Any]) -> bool:
    """Return whether an utterance's logits depend on its batch: then a sample cannot reproduce them."""
    return facts["pretrained"] is not None and facts["train"]["audio"]["front"] == "batch"


def _inputs(chain: Chain, keys: Sequence[str], params: Any, facts: Mapping[str, Any]) -> tuple[Any, Any, Any]:
    """Return the shards that hold these utterances, and the vectors of their pictures and words where it has such."""
    from foalnet.shards import ShardSet
    from foalnet.shards.check import fault_of
    from foalnet.shards.features import file_of, open_features, text_folder
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
    block = chain.params.features
    places["texts"] = chain.at(text_folder(chain.paths.features))
    vectors = {"features": params.picture == "features" and block.encoder, "texts": facts.get("texts")}
    for what in (what for what, there in vectors.items() if there):
        for name in (INDEX, *map(file_of, names)):
            chain.outputs.copy(f"{places[what]}/{name}", folder)
    features = open_features(folder / places["features"], block, shards) if vectors["features"] else None
    texts = open_features(folder / places["texts"], block.text, shards) if vectors["texts"] else None
    return shards, features, texts
