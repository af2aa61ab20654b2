"""Losses on tensors: AVEL (alignment of the modalities) and MEM (matching of their emotions)."""

from foalnet.nets.losses.avel import avel, similarity
from foalnet.nets.losses.mem import hard_negatives, mem, released_negatives

__all__ = ["avel", "hard_negatives", "mem", "released_negatives", "similarity"]
