"""Batches of similar lengths: less padding, the same keys, an order that seed and epoch alone decide."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from foalnet.train.batches.collate import derived_seed


def bucketed(order: Sequence[str], length: Callable[[str], int], size: int, buckets: int, *seeds: object) -> list[str]:
    """Return `order` rearranged so that each batch of `size` keys holds similar lengths.

    Within each window of `buckets` batches the keys are sorted by length and cut into batches, and these are shuffled;
    an incomplete batch stays the last of all. No draw has more padding than in its own order. With one bucket the order
    is left as it is.
    """
    if buckets == 1:
        return list(order)
    generator = np.random.Generator(np.random.PCG64(derived_seed("buckets", *seeds)))
    found: list[str] = []
    for first in range(0, len(order), size * buckets):
        window = sorted(order[first : first + size * buckets], key=lambda key: (length(key), key))
        rest = len(window) % size
        cut = min(range(0, len(window) - rest + 1, size), key=lambda place: _laid_out(window, length, size, place))
        last, whole = window[cut : cut + rest], window[:cut] + window[cut + rest :]
        for place in generator.permutation(len(whole) // size):
            found += whole[place * size : (place + 1) * size]
        found += last
    return found


def _laid_out(window: Sequence[str], length: Callable[[str], int], size: int, cut: int) -> int:
    """Return the samples that a sorted window takes, padded, where its incomplete batch begins at `cut`."""
    rest = len(window) % size
    whole = [*window[:cut], *window[cut + rest :]]
    longest = [length(key) for key in whole[size - 1 :: size]]
    return size * sum(longest) + (rest * length(window[cut + rest - 1]) if rest else 0)


def padding(order: Sequence[str], length: Callable[[str], int], size: int, *, least: int = 0) -> float:
    """Return the share of an epoch's samples that are padding, each batch as long as its longest, `least` at least."""
    real = laid_out = 0
    for first in range(0, len(order), size):
        lengths = [length(key) for key in order[first : first + size]]
        real += sum(lengths)
        laid_out += max(least, *lengths) * len(lengths)
    return 1.0 - real / laid_out
