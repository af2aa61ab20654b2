"""Networks: encoders, fusions and the variants built from them; they get tensors, never labels or files."""

from foalnet.nets.encoder import Encoder, InputShape, PretrainedEncoder
from foalnet.nets.foal import FoalNet, SingleNet
from foalnet.nets.frozen import Frozen
from foalnet.nets.fusion import Fusion
from foalnet.nets.gather import gather_rows, gather_steps, rank, ranks
from foalnet.nets.registry import (
    AUDIO_ENCODERS,
    FUSIONS,
    PRETRAINED_AUDIO,
    VIDEO_ENCODERS,
    Net,
    build_net,
    encoders,
    needs_weights,
    tasks_of,
)
from foalnet.nets.tensors import Batch, Encoded, Fused, Inputs, MatchLogits, Outputs, Steps
from foalnet.nets.variants import VARIANTS, Tasks, picture_of, variant_names

__all__ = [
    "AUDIO_ENCODERS",
    "FUSIONS",
    "PRETRAINED_AUDIO",
    "VARIANTS",
    "VIDEO_ENCODERS",
    "Batch",
    "Encoded",
    "Encoder",
    "FoalNet",
    "Frozen",
    "Fused",
    "Fusion",
    "InputShape",
    "Inputs",
    "MatchLogits",
    "Net",
    "Outputs",
    "PretrainedEncoder",
    "SingleNet",
    "Steps",
    "Tasks",
    "build_net",
    "encoders",
    "gather_rows",
    "gather_steps",
    "needs_weights",
    "picture_of",
    "rank",
    "ranks",
    "tasks_of",
    "variant_names",
]
