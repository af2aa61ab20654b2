"""Answers a method's own tasks on the test part of a fold, without any label.

`retrieval`: unit vectors of the sound and the picture of every utterance, in which a sound's nearest picture should
have its emotion. `matching`: how surely a sound and a picture show one emotion, for the own pair of every utterance and
for its sound with the pictures of PARTNERS others, drawn at random. The stage `evaluate` scores them.
Shape letters: R utterances with a picture, P projection, K partners of each, V views of a pair, B pairs of a batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from foalnet.config.blocks import Train
from foalnet.methods import Method
from foalnet.nets import Encoded
from foalnet.train.batches import Store, derived_seed, score_batches, stored_batch
from foalnet.train.precision import Precision

# Foreign pictures of each sound.
PARTNERS = 8
# Pairs that pass through the fusion at a time.
PAIRS_AT_ONCE = 256


def partners(count: int, *seeds: object) -> np.ndarray:
    """Return for each of `count` rows up to PARTNERS different other rows, [R, K] int32, drawn uniformly.

    >>> sorted(partners(3, "seed")[1].tolist())
    [0, 2]
    """
    generator = np.random.Generator(np.random.PCG64(derived_seed("partners", *seeds)))
    size = max(0, min(PARTNERS, count - 1))
    rows = [generator.permutation(count - 1)[:size] for _ in range(count)]
    others_RK = np.array(rows, np.int32).reshape(count, size)
    # The numbers 0 to count - 2 without a gap at the own row.
    return (others_RK + (others_RK >= np.arange(count)[:, None])).astype(np.int32)


@torch.no_grad()
def own_tasks(
    net: Method,
    store: Store,
    keys: Sequence[str],
    device: torch.device,
    params: Train,
    *seeds: object,
    pad_s: float | None = None,
) -> dict[str, Tensor]:
    """Return the answers of a trained network by name; {} for a method without own tasks, or without two utterances.

    `row`: places in `keys` of the R utterances with a picture; `audio`, `video`: unit vectors [R, P]; `partner`:
    places among the R, [R, K]; `own`: scores of the own pairs [R, V], `foreign`: of each sound with its partners'
    pictures [R, K, V]; above 0 means one emotion.
    `seeds`: those of the run and fold, which with R decide the partners. The network stays in evaluation mode.
    """
    if not net.own_tasks:
        return {}
    net.eval()
    precision = Precision.of(params.precision, device)
    encoded, vectors = dict[str, Encoded](), dict[str, tuple[Tensor, Tensor]]()
    for batch in score_batches(store, keys, pad_s=pad_s):
        with precision.autocast():
            outputs = net(batch.to(device))
        there = outputs.encoded["video"].present_B.tolist()
        if "retrieval" in net.own_tasks:
            each = zip(batch.keys, *(v_BP.float().cpu() for v_BP in net.aligned(outputs)), strict=True)
            vectors |= {key: (audio_P, video_P) for key, audio_P, video_P in each}
        for place, key in enumerate(batch.keys):
            if there[place]:
                encoded[key] = {
                    name: steps.row(place).to(torch.device("cpu")) for name, steps in outputs.encoded.items()
                }
    rows = [key for key in keys if key in encoded]
    if len(rows) < 2:
        return {}
    answers = {"row": torch.tensor([place for place, key in enumerate(keys) if key in encoded], dtype=torch.int32)}
    if "retrieval" in net.own_tasks:
        for place, name in enumerate(("audio", "video")):
            answers[name] = torch.stack([vectors[key][place] for key in rows])
    if "matching" in net.own_tasks:
        partner_RK = partners(len(rows), *seeds)
        answers["partner"] = torch.from_numpy(partner_RK)
        with precision.autocast():
            answers |= _matched(net, encoded, rows, partner_RK, device)
    return answers


def _matched(
    net: Method, encoded: Mapping[str, Encoded], rows: Sequence[str], partner_RK: np.ndarray, device: torch.device
) -> dict[str, Tensor]:
    """Return the scores of own and foreign pairs."""

    def scores(sounds: Sequence[int], pictures: Sequence[int]) -> Tensor:
        parts = []
        for first in range(0, len(sounds), PAIRS_AT_ONCE):
            here = slice(first, first + PAIRS_AT_ONCE)
            audio = stored_batch(encoded, [rows[i] for i in sounds[here]])["audio"]
            video = stored_batch(encoded, [rows[i] for i in pictures[here]])["video"]
            parts.append(net.matched(audio.to(device), video.to(device)).float().cpu())
        return torch.cat(parts)

    own, size = list(range(len(rows))), partner_RK.shape[1]
    foreign_BV = scores([i for i in own for _ in range(size)], partner_RK.reshape(-1).tolist())
    return {"own": scores(own, own), "foreign": foreign_BV.reshape(len(rows), size, -1)}
