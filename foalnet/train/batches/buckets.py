"""Groups keys into batches of similar lengths for less padding; the order depends only on seed and epoch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from foalnet.train.batches.collate import derived_seed


def bucketed(order: Sequence[str], length: Callable[[str], int], size: int, buckets: int, *seeds: object) -> list[str]:
    """Return `order` rearranged so that each batch of `size` keys holds similar lengths.

    Within each window of `buckets` batches the function sorts the keys by length, cuts them into batches and shuffles
    these; an incomplete batch stays the last one. The padding never exceeds that of `order`. With one bucket the order
    is unchanged.

    >>> samples = {"a": 1, "b": 9, "c": 2, "d": 8}
    >>> order = bucketed("abcd", samples.__getitem__, 2, 2, "seed")
    >>> sorted([sorted(order[:2]), sorted(order[2:])])
    [['a', 'c'], ['b', 'd']]
    """
    if buckets == 1:
        return list(order)
    generator = np.random.Generator(np.random.PCG64(derived_seed("buckets", *seeds)))
    batched: list[str] = []
    for first in range(0, len(order), size * buckets):
        window = sorted(order[first : first + size * buckets], key=lambda key: (length(key), key))
        rest = len(window) % size
        cut = min(
            range(0, len(window) - rest + 1, size), key=lambda place: _padded_samples(window, length, size, place)
        )
        last, whole = window[cut : cut + rest], window[:cut] + window[cut + rest :]
        for place in generator.permutation(len(whole) // size):
            batched += whole[place * size : (place + 1) * size]
        batched += last
    return batched


def _padded_samples(window: Sequence[str], length: Callable[[str], int], size: int, cut: int) -> int:
    """Return the padded samples of a sorted window with its incomplete batch at `cut`."""
    rest = len(window) % size
    whole = [*window[:cut], *window[cut + rest :]]
    longest = [length(key) for key in whole[size - 1 :: size]]
    return size * sum(longest) + (rest * length(window[cut + rest - 1]) if rest else 0)


def padding(order: Sequence[str], length: Callable[[str], int], size: int, *, least: int = 0) -> float:
    """Return the share of padding in an epoch's samples; a batch is as long as its longest clip, at least `least`.

    >>> samples = {"a": 1, "b": 9, "c": 2, "d": 8}
    >>> padding("abcd", samples.__getitem__, 2), padding("acdb", samples.__getitem__, 2)  # 34 and 22 padded, 20 real
    (0.4117647058823529, 0.09090909090909094)
    """
    real = padded = 0
    for first in range(0, len(order), size):
        lengths = [length(key) for key in order[first : first + size]]
        real += sum(lengths)
        padded += max(least, *lengths) * len(lengths)
    return 1.0 - real / padded
