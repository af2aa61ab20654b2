"""Assigns a case of the rule to each used utterance of a session: exact counts, even strata, otherwise shuffled."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping

import numpy as np

from foalnet.config.draw import Draw
from foalnet.drawn.rule import CLASSES, KINDS, RAW_LABELS, Cell, cells, shares


def session_cells(params: Draw, count: int, session: int) -> list[Cell]:
    """Return the cases for one session's `count` utterances: kinds by largest remainder, classes and cues in turn.

    The number of the session determines the first class, so that uneven counts balance over the corpus.
    """
    quota = {kind: share * count for kind, share in shares(params).items()}
    counts = {kind: math.floor(quota[kind] + 1e-9) for kind in KINDS}
    by_rest = sorted(KINDS, key=lambda kind: (counts[kind] - quota[kind], KINDS.index(kind)))
    for kind in by_rest[: count - sum(counts.values())]:
        counts[kind] += 1
    dealt: list[Cell] = []
    mixed = {label: session + CLASSES.index(label) for label in CLASSES}
    for kind in KINDS:
        for _ in range(counts[kind]):
            label = CLASSES[(session + len(dealt)) % len(CLASSES)]
            choices = [cell for cell in cells(kind) if cell.label == label]
            dealt.append(choices[mixed[label] % len(choices)])
            mixed[label] += len(choices) > 1
    return dealt


def assign(dealt: list[Cell], strata: Mapping[str, Hashable], rng: np.random.Generator) -> dict[str, Cell]:
    """Return key -> case; every stratum gets the same mix of classes and kinds, except for rounding.

    The keys of a stratum are shuffled, so that a case depends on no other property of its key.
    """
    groups: dict[Hashable, list[str]] = {}
    for key, stratum in strata.items():
        groups.setdefault(stratum, []).append(key)
    open_groups = [[keys[i] for i in rng.permutation(len(keys))] for keys in groups.values()]
    open_groups = [open_groups[i] for i in rng.permutation(len(open_groups))]
    order = sorted(dealt, key=lambda cell: (cell.label, KINDS.index(cell.kind), cell.sound, cell.face))
    assigned: dict[str, Cell] = {}
    turn = 0
    for cell in order:
        while not open_groups[turn % len(open_groups)]:
            turn += 1
        assigned[open_groups[turn % len(open_groups)].pop()] = cell
        turn += 1
    return assigned


def raw_labels(assigned: Mapping[str, Cell], session: int, rng: np.random.Generator) -> dict[str, str]:
    """Return key -> raw label; a class with several (happy: hap, exc) uses them in equal parts, shuffled."""
    raw_by_key: dict[str, str] = {}
    for label in CLASSES:
        keys = sorted(key for key, cell in assigned.items() if cell.label == label)
        names = RAW_LABELS[label]
        for rank, index in enumerate(rng.permutation(len(keys))):
            raw_by_key[keys[index]] = names[(rank + session) % len(names)]
    return raw_by_key
