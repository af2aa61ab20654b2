"""The objective: cross-entropy, AVEL (alignment of the modalities) and MEM (matching of their emotions)."""

from foalnet.nets.losses.avel import avel, similarity
from foalnet.nets.losses.mem import hard_negatives, mem, released_negatives
from foalnet.nets.losses.objective import Loss, Matcher, Objective, share

__all__ = [
    "Loss",
    "Matcher",
    "Objective",
    "avel",
    "hard_negatives",
    "mem",
    "released_negatives",
    "share",
    "similarity",
]
