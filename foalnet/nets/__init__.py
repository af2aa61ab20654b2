"""Networks' parts: encoders, attention, losses; they get tensors, never labels or files."""

from foalnet.nets.encoder import Encoder, InputShape, PretrainedEncoder
from foalnet.nets.frozen import Frozen
from foalnet.nets.gather import gather_rows, gather_steps, rank, ranks
from foalnet.nets.registry import ENCODERS, PRETRAINED
from foalnet.nets.tensors import UNSCORED, Batch, Encoded, Inputs, MatchLogits, Outputs, Steps, Turns, on_device

__all__ = [
    "ENCODERS",
    "PRETRAINED",
    "UNSCORED",
    "Batch",
    "Encoded",
    "Encoder",
    "Frozen",
    "InputShape",
    "Inputs",
    "MatchLogits",
    "Outputs",
    "PretrainedEncoder",
    "Steps",
    "Turns",
    "gather_rows",
    "gather_steps",
    "on_device",
    "rank",
    "ranks",
]
