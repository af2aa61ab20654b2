"""Collates clips into padded batches, in an order that depends only on seed and epoch.

Shape letters: B utterances, N samples, F frames.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from foalnet.core.files import content_key
from foalnet.nets import Batch, Encoded, Steps
from foalnet.train.batches.store import Clip, Store

# Placeholders for a modality with stored encoder outputs: `collate` rejects a clip without sound.
NO_SOUND, NO_FRAMES = np.zeros(1, np.float32), np.zeros((1, 0), np.float32)
NOTHING = Encoded(audio=None, video=None)
# The size of evaluation batches; larger than training's, because they need no gradients.
EVAL_SIZE = 32


def collate(clips: Sequence[Clip], labels: Mapping[str, int] | None = None, *, samples: int = 0) -> Batch:
    """Return the clips as one batch, padded with zeros to the longest and sound to at least `samples`, with masks.

    ValueError for a clip without sound, or with mask and frames of different length: length 0 must not become a mask
    that means "all valid".
    """
    for clip in clips:
        if not len(clip.wave_N) or len(clip.frames) != len(clip.frame_mask_F):
            raise ValueError(
                f"{clip.key}: {len(clip.wave_N)} samples, {len(clip.frames)} frames, mask of {len(clip.frame_mask_F)}"
            )
    wave_BN, wave_mask_BN = _padded([clip.wave_N for clip in clips], least=samples)
    wave_mask_BN &= torch.tensor([[clip.heard] for clip in clips])
    frames, slots_BF = _padded([clip.frames for clip in clips])
    frame_mask_BF, _ = _padded([clip.frame_mask_F for clip in clips])
    return Batch(
        keys=tuple(clip.key for clip in clips),
        wave_BN=wave_BN,
        wave_mask_BN=wave_mask_BN,
        frames=frames,
        frame_mask_BF=frame_mask_BF & slots_BF,
        label_B=None if labels is None else torch.tensor([labels[clip.key] for clip in clips]),
    )


def _padded(arrays: Sequence[np.ndarray], *, least: int = 0) -> tuple[Tensor, Tensor]:
    """Return arrays of different lengths as one padded tensor and its mask; at least one step long."""
    longest = max(1, least, *(len(array) for array in arrays))
    out = np.zeros((len(arrays), longest, *arrays[0].shape[1:]), arrays[0].dtype)
    mask = np.zeros((len(arrays), longest), bool)
    for row, array in enumerate(arrays):
        out[row, : len(array)] = array
        mask[row, : len(array)] = True
    return torch.from_numpy(out), torch.from_numpy(mask)


def batch_of(store: Store, keys: Sequence[str], labels: Mapping[str, int] | None = None, *, samples: int = 0) -> Batch:
    """Return the batch of some keys: stored encoder outputs if the store has them, else sound and frames."""
    encoded = _stored_batch(store.encoded, keys)
    prepared = None if encoded else _stored_batch(store.prepared, keys)
    at_hand = encoded or prepared or NOTHING
    clips = [store.clips[key] for key in keys]
    bare: dict[str, Any] = {"wave_N": NO_SOUND} if at_hand.audio else {}
    if at_hand.video:
        bare |= {"frames": NO_FRAMES, "frame_mask_F": NO_SOUND.astype(bool)}
    clips = [replace(clip, **bare) for clip in clips] if bare else clips
    batch = collate(clips, labels, samples=0 if at_hand.audio else samples)
    return replace(batch, prepared=prepared, encoded=encoded)


def _stored_batch(made: Mapping[str, Encoded], keys: Sequence[str]) -> Encoded | None:
    """Return the keys' stored outputs as one batch, padded with zeros; None if none are stored."""
    if not made:
        return None
    rows = [made[key] for key in keys]
    return Encoded(audio=_padded_steps([row.audio for row in rows]), video=_padded_steps([row.video for row in rows]))


def _padded_steps(rows: Sequence[Steps | None]) -> Steps | None:
    known = [row for row in rows if row is not None]
    if not known:
        return None
    padded = partial(torch.nn.utils.rnn.pad_sequence, batch_first=True)
    return Steps(values_BTD=padded([s.values_BTD[0] for s in known]), mask_BT=padded([s.mask_BT[0] for s in known]))


def derived_seed(*parts: object) -> int:
    """Return a number below 2**63 from the parts, for independent streams per seed, fold, epoch and purpose."""
    return int(content_key([str(part) for part in parts])[:16], 16) >> 1


def train_order(labels: Mapping[str, int], sampler: str, *seeds: object) -> list[str]:
    """Return the keys of one epoch, as many as there are labels; the result depends only on labels and seeds.

    `balanced`: drawn with replacement, weight 1 / class count (METHOD, `sampler`); `plain`: each once, shuffled.

    >>> sorted(train_order({"a": 0, "b": 1, "c": 1}, "plain", 7))
    ['a', 'b', 'c']
    """
    keys = sorted(labels)
    generator = np.random.Generator(np.random.PCG64(derived_seed("order", *seeds)))
    if sampler == "plain":
        return [keys[i] for i in generator.permutation(len(keys))]
    counts = np.bincount([labels[key] for key in keys])
    weight_N = np.array([1.0 / counts[labels[key]] for key in keys])
    return [keys[i] for i in generator.choice(len(keys), size=len(keys), p=weight_N / weight_N.sum())]


def train_batches(
    store: Store,
    order: Sequence[str],
    labels: Mapping[str, int],
    size: int,
    *,
    pad_s: float | None = None,
    share: Callable[[Sequence[str]], Sequence[str]] = lambda keys: keys,
) -> Iterator[Batch]:
    """Yield the batches of one epoch in the order given; the last one may be smaller, none is dropped.

    `pad_s`: the seconds to which sound is padded, None for the batch's longest clip. `share` returns this process'
    part of a batch's keys.
    """
    samples = store.samples_in(pad_s)
    for first in range(0, len(order), size):
        yield batch_of(store, share(order[first : first + size]), labels, samples=samples)


def eval_batches(
    store: Store, keys: Sequence[str], size: int = EVAL_SIZE, *, pad_s: float | None = None
) -> Iterator[Batch]:
    """Yield unlabelled batches of all keys, sorted by length for little padding."""
    samples = store.samples_in(pad_s)
    by_length = sorted(keys, key=lambda key: (store.samples(key), key))
    for first in range(0, len(by_length), size):
        yield batch_of(store, by_length[first : first + size], samples=samples)
