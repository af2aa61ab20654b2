"""Shows how a trained network decided, computed apart from its forward pass: no training and no logit depends on it.

A method that hands out gates or weights (`Outputs.explain`) is shown by these. Foal-Net is shown by its attention and
AVEL's similarities, and a network without weights of its own by gradients. docs/methods.md defines each.
Shape letters: B utterances, K entries, T query steps, S key steps, D and E widths, H heads, P projection, N utterances
of a test part, M modalities; of dialogues: W dialogues, T turns, U turns that are read.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from foalnet.config.variants import Modality
from foalnet.methods import FoalNet, Method
from foalnet.methods.fbp import in_parts
from foalnet.nets.attention import AttentionStack, CrossAttention
from foalnet.nets.masks import masked_mean, zero_masked
from foalnet.nets.tensors import Batch, Outputs, Steps
from foalnet.nets.turn_weights import SHARES, turn_shares

MODALITIES, TURNS, SIMILARITY = "gradient_modalities", "gradient_turns", "avel"
PAIRS = ("own picture", "same emotion", "another emotion", "margin")


def shown(net: Method, batch: Batch, outputs: Outputs) -> dict[str, Tensor]:
    """Return how a network in evaluation mode decided, by name, [B, K] each; {} for one modality without weights."""
    explain = dict(outputs.explain)
    if isinstance(net, FoalNet):
        audio, video, fusion = outputs.encoded["audio"], outputs.encoded["video"], net.fusion
        explain["video_by_audio"] = in_parts(attention(fusion.a2v, audio, video), video.mask_BT)
        explain["audio_by_video"] = in_parts(attention(fusion.v2a, video, audio), audio.mask_BT)
    return explain if outputs.explain else explain | gradients(net, batch)


def columns(net: Method, name: str, count: int) -> list[str]:
    """Return the names of the columns of an explanation."""
    own: Mapping[str, Sequence[str]] = {MODALITIES: net.inputs, TURNS: SHARES, SIMILARITY: PAIRS}
    return list(own[name]) if name in own else net.columns(name, count)


def attention(stack: AttentionStack, query: Steps, keys: Steps) -> Tensor:
    """Return the last layer's weight of each key step, [B, S]: the mean over heads and valid query steps.

    The weights of an utterance have the sum 1; all are 0 where it has no key.
    """
    *before, last = stack.layers
    assert isinstance(last, CrossAttention)
    x_BTD, keys_BSE = query.values_BTD, zero_masked(keys.values_BTD, keys.mask_BT)
    for layer in before:
        x_BTD = layer(x_BTD, keys_BSE, keys.mask_BT)
    q_BHTd, k_BHSd = (
        each.unflatten(-1, (last.heads, -1)).transpose(1, 2) for each in (last.query(x_BTD), last.key(keys_BSE))
    )
    scores_BHTS = q_BHTd @ k_BHSd.transpose(-1, -2) / math.sqrt(q_BHTd.shape[-1])
    valid_B11S = keys.mask_BT[:, None, None, :]
    weights_BHTS = scores_BHTS.masked_fill(~valid_B11S, torch.finfo(scores_BHTS.dtype).min).softmax(dim=-1)
    return masked_mean((weights_BHTS * valid_B11S).mean(dim=1), query.mask_BT)


def gradients(net: Method, batch: Batch) -> dict[str, Tensor]:
    """Return the shares of modalities, and of turns for a method over turns, by gradients; {} where one has all.

    A share is that of the sum of |value times gradient| of the answered class' logit over the steps of the encoders.
    """
    if len(net.inputs) == 1 and not net.over_turns:
        return {}
    with torch.enable_grad(), _leaves(net) as leaf, torch.backends.cudnn.flags(enabled=False):
        logit_B = net(batch).logits_BC.amax(dim=1)

        def weight(logits_X: Tensor) -> Tensor:
            values = [leaf[modality] for modality in net.inputs]
            parts = torch.autograd.grad(logits_X.sum(), values, retain_graph=True)
            return torch.stack([(x * g).abs().sum(dim=(1, 2)) for x, g in zip(values, parts, strict=True)]).detach()

        if not net.over_turns:
            return {MODALITIES: _shares(weight(logit_B).T)}
        return _over_turns(batch, logit_B, weight)


def _over_turns(batch: Batch, logit_B: Tensor, weight: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
    """Return the shares for a method over turns: a turn's answer depends on all turns of its dialogue."""
    turns = batch.turns
    assert turns is not None, "the batches of a method over turns hold dialogues"
    logit_WT = turns.by_dialogue(logit_B)
    # Turn by turn, of all dialogues at once: of each turn that is read [W, U, M].
    weight_WTUM = torch.stack([turns.by_dialogue(weight(column_W).T) for column_W in logit_WT.unbind(dim=1)], dim=1)
    by_turn_WTU = _shares(weight_WTUM.sum(dim=3))
    shares = {TURNS: turns.by_row(turn_shares(by_turn_WTU))}
    if weight_WTUM.shape[3] > 1:
        shares[MODALITIES] = _shares(turns.by_row(weight_WTUM.sum(dim=2)))
    return shares


@contextmanager
def _leaves(net: Method) -> Iterator[dict[Modality, Tensor]]:
    """Cut the graph after each encoder while the block runs; yield what each then gives, a leaf with a gradient."""
    leaf: dict[Modality, Tensor] = {}

    def cut(modality: Modality) -> Callable[..., Steps]:
        def hook(_module: Any, _inputs: Any, steps: Steps) -> Steps:
            leaf[modality] = steps.values_BTD.detach().requires_grad_()
            return Steps(values_BTD=leaf[modality], mask_BT=steps.mask_BT)

        return hook

    handles = [encoder.register_forward_hook(cut(modality)) for modality, encoder in net.encoders.items()]
    try:
        yield leaf
    finally:
        for handle in handles:
            handle.remove()


def _shares(weight_XK: Tensor) -> Tensor:
    """Return weights >= 0 divided by their sum, zeros where that is 0.

    >>> _shares(torch.tensor([[1.0, 3.0], [0.0, 0.0]])).tolist()
    [[0.25, 0.75], [0.0, 0.0]]
    """
    return weight_XK / weight_XK.sum(dim=-1, keepdim=True).clamp(min=torch.finfo(weight_XK.dtype).tiny)


def projected(net: Method, outputs: Outputs) -> Tensor | None:
    """Return the unit vectors of sound and picture, [B, 2, P], zeros where no picture is; None without AVEL."""
    if "retrieval" not in net.own_tasks:
        return None
    vectors_B2P = torch.stack(net.aligned(outputs), dim=1)
    return vectors_B2P * outputs.encoded["video"].present_B[:, None, None]


def similarities(vectors_N2P: Tensor, label_N: Tensor) -> Tensor:
    """Return of each sound its cosine with its own picture, and the mean with other pictures, [N, 4] as PAIRS names.

    `margin`: own picture less another emotion. All are 0 of an utterance without a picture, and a mean over none is 0.

    >>> vectors_N2P = torch.tensor([[[1.0, 0.0], [0.6, 0.8]], [[1.0, 0.0], [0.8, 0.6]], [[0.0, 1.0], [0.0, 1.0]]])
    >>> similarities(vectors_N2P, torch.tensor([0, 0, 1]))[0].tolist()
    [0.6000000238418579, 0.800000011920929, 0.0, 0.6000000238418579]
    """
    audio_NP, video_NP = vectors_N2P.unbind(dim=1)
    cosine_NN = audio_NP @ video_NP.T
    there_N = video_NP.abs().sum(dim=1) > 0
    own_N, alike_NN = cosine_NN.diagonal(), label_N[:, None] == label_N
    itself_NN = torch.eye(len(label_N), dtype=torch.bool, device=label_N.device)
    same_N, other_N = (
        (cosine_NN * among_NN).sum(dim=1) / among_NN.sum(dim=1).clamp(min=1)
        for among_NN in (alike_NN & ~itself_NN & there_N, ~alike_NN & there_N)
    )
    return torch.stack([own_N, same_N, other_N, own_N - other_N], dim=1)
