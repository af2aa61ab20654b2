"""The objective: cross-entropy, AVEL (alignment of the modalities) and MEM (matching of their emotions)."""

from foalnet.losses.avel import avel, similarity
from foalnet.losses.mem import hard_negatives, mem, released_negatives
from foalnet.losses.objective import Loss, Matcher, Objective, share

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
