"""Collates clips into padded batches, in an order that depends only on seed and epoch.

Shape letters: B utterances, N samples, F frames.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from foalnet.config.variants import Modality
from foalnet.core.files import content_key
from foalnet.core.labels import AFFECT
from foalnet.nets import UNSCORED, Batch, Encoded, Steps
from foalnet.train.batches.store import Clip, Store
from foalnet.train.batches.turns import turns_of

# The size of evaluation batches; larger than training's, because they need no gradients.
EVAL_SIZE = 32


def collate(clips: Sequence[Clip], labels: Mapping[str, int] | None = None, *, samples: int = 0) -> Batch:
    """Return the clips as one batch, padded with zeros to the longest and sound to at least `samples`, with masks.

    ValueError for a clip without sound, or with a mask of another length than its values: length 0 must not become a
    mask that means "all valid".
    """
    for clip in clips:
        lengths = {modality: (len(part.values), len(part.mask_T)) for modality, part in clip.parts.items()}
        if not clip.samples or any(values != mask for values, mask in lengths.values()):
            raise ValueError(f"{clip.key}: values and mask of {lengths}")
    return _batch(clips, clips[0].parts, labels, samples)


def _batch(
    clips: Sequence[Clip], modalities: Iterable[Modality], labels: Mapping[str, int] | None, samples: int
) -> Batch:
    raw: dict[Modality, Steps] = {}
    for modality in modalities:
        parts = [clip.parts[modality] for clip in clips]
        least = samples if modality == "audio" else 0
        raw[modality] = Steps(
            values_BTD=_padded([part.values for part in parts], least),
            mask_BT=_padded([p.mask_T for p in parts], least),
        )
    return Batch(
        keys=tuple(clip.key for clip in clips),
        raw=raw,
        label_B=None if labels is None else torch.tensor([labels[clip.key] for clip in clips]),
    )


def dialogue_batch(
    store: Store, names: Sequence[str], labels: Mapping[str, int] | None = None, *, samples: int = 0
) -> Batch:
    """Return the batch of some dialogues, with their turns; a turn without a label is UNSCORED."""
    keys = store.keys(names)
    known = None if labels is None else {key: labels.get(key, UNSCORED) for key in keys}
    batch = batch_of(store, keys, known, samples=samples)
    return replace(batch, turns=turns_of([store.dialogues[name] for name in names]))


def _padded(arrays: Sequence[np.ndarray], least: int) -> Tensor:
    """Return arrays of different lengths as one tensor, padded with zeros (False); at least one step long."""
    longest = max(1, least, *(len(array) for array in arrays))
    out = np.zeros((len(arrays), longest, *arrays[0].shape[1:]), arrays[0].dtype)
    for row, array in enumerate(arrays):
        out[row, : len(array)] = array
    return torch.from_numpy(out)


def batch_of(store: Store, keys: Sequence[str], labels: Mapping[str, int] | None = None, *, samples: int = 0) -> Batch:
    """Return the batch of some keys: stored encoder outputs if the store has them, else sound and frames."""
    encoded = stored_batch(store.encoded, keys)
    prepared = {} if encoded else stored_batch(store.prepared, keys)
    clips = [store.clips[key] for key in keys]
    rest = [modality for modality in clips[0].parts if modality not in encoded and modality not in prepared]
    if rest == list(clips[0].parts):
        return collate(clips, labels, samples=samples)
    return replace(_batch(clips, rest, labels, samples), prepared=prepared, encoded=encoded)


def stored_batch(made: Mapping[str, Encoded], keys: Sequence[str]) -> Encoded:
    """Return the keys' stored outputs as one batch, padded with zeros."""
    if not made:
        return {}
    padded = partial(torch.nn.utils.rnn.pad_sequence, batch_first=True)
    batch: dict[Modality, Steps] = {}
    for modality in made[keys[0]]:
        rows = [made[key][modality] for key in keys]
        batch[modality] = Steps(
            values_BTD=padded([steps.values_BTD[0] for steps in rows]), mask_BT=padded([s.mask_BT[0] for s in rows])
        )
    return batch


def derived_seed(*parts: object) -> int:
    """Return a number below 2**63 from the parts, for independent streams per seed, fold, epoch and purpose."""
    return int(content_key([str(part) for part in parts])[:16], 16) >> 1


def score_batches(
    store: Store, keys: Sequence[str], size: int = EVAL_SIZE, *, pad_s: float | None = None
) -> Iterator[Batch]:
    """Yield unlabelled batches that hold all keys: those of `eval_batches`, or whole dialogues, sorted by length."""
    if not store.dialogues:
        yield from eval_batches(store, keys, size, pad_s=pad_s)
        return
    names = sorted(store.units(keys), key=lambda name: (store.length(name), name))
    for first in range(0, len(names), size):
        yield dialogue_batch(store, names[first : first + size], samples=store.samples_in(pad_s))


def dialogue_order(names: Sequence[str], *seeds: object) -> list[str]:
    """Return the dialogues of one epoch, each once, shuffled; no sampler balances the classes of whole dialogues."""
    ordered = sorted(names)
    generator = np.random.Generator(np.random.PCG64(derived_seed("order", *seeds)))
    return [ordered[i] for i in generator.permutation(len(ordered))]


def train_order(labels: Mapping[str, int], sampler: str, *seeds: object) -> list[str]:
    """Return the keys of one epoch, as many as there are labels; the result depends only on labels and seeds.

    `balanced`: drawn with replacement, weight 1 / class count (docs/method.md); else each once, shuffled.

    >>> sorted(train_order({"a": 0, "b": 1, "c": 1}, "plain", 7))
    ['a', 'b', 'c']
    """
    keys = sorted(labels)
    generator = np.random.Generator(np.random.PCG64(derived_seed("order", *seeds)))
    if sampler != "balanced":
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

    `order`: utterances, or dialogues where the store has such. `pad_s`: the seconds to which sound is padded, None for
    the batch's longest clip. `share` returns this process' part of a batch's keys.
    """
    samples, make = store.samples_in(pad_s), dialogue_batch if store.dialogues else batch_of
    for first in range(0, len(order), size):
        yield make(store, share(order[first : first + size]), labels, samples=samples)


def rated(batch: Batch, affect: Mapping[str, tuple[float, ...]]) -> Batch:
    """Return a batch with the ratings of its utterances, NaN where `affect` has none; unchanged if it is empty."""
    if not affect:
        return batch
    none = (float("nan"),) * len(AFFECT)
    return replace(batch, affect_BE=torch.tensor([affect.get(key, none) for key in batch.keys]))


def eval_batches(
    store: Store, keys: Sequence[str], size: int = EVAL_SIZE, *, pad_s: float | None = None
) -> Iterator[Batch]:
    """Yield unlabelled batches of all keys, sorted by length for little padding."""
    samples = store.samples_in(pad_s)
    by_length = sorted(keys, key=lambda key: (store.samples(key), key))
    for first in range(0, len(by_length), size):
        yield batch_of(store, by_length[first : first + size], samples=samples)
