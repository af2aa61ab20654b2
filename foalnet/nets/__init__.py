"""Networks: encoders, fusions and the variants built of them. They see tensors, never labels or files."""

from foalnet.nets.encoder import Encoder, InputShape
from foalnet.nets.foal import FoalNet, SingleNet
from foalnet.nets.fusion import Fusion
from foalnet.nets.registry import AUDIO_ENCODERS, FUSIONS, VIDEO_ENCODERS, Net, build_net, encoders, tasks_of
from foalnet.nets.tensors import Batch, Fused, Inputs, MatchLogits, Outputs, Steps
from foalnet.nets.variants import VARIANTS, Tasks, picture_of, variant_names

__all__ = [
    "AUDIO_ENCODERS",
    "FUSIONS",
    "VARIANTS",
    "VIDEO_ENCODERS",
    "Batch",
    "Encoder",
    "FoalNet",
    "Fused",
    "Fusion",
    "InputShape",
    "Inputs",
    "MatchLogits",
    "Net",
    "Outputs",
    "SingleNet",
    "Steps",
    "Tasks",
    "build_net",
    "encoders",
    "picture_of",
    "tasks_of",
    "variant_names",
]
