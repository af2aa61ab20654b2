"""The encoders by name, one line each."""

from __future__ import annotations

from collections.abc import Callable

from foalnet.config.blocks import AudioEncoder, VideoEncoder
from foalnet.encoders import Pretrained
from foalnet.nets.crops import CropCnn
from foalnet.nets.encoder import Encoder, InputShape, PretrainedEncoder
from foalnet.nets.functionals import Functionals
from foalnet.nets.identity import Identity
from foalnet.nets.linear import Linear
from foalnet.nets.logmel import LogmelCnn
from foalnet.nets.mlp import Mlp
from foalnet.nets.wavlm import WavLM

AUDIO_ENCODERS: dict[str, Callable[[AudioEncoder, InputShape], Encoder]] = {
    "functionals": Functionals,
    "logmel_cnn": LogmelCnn,
}
# Encoders with published weights, which `foalnet weights` stores under the same names.
PRETRAINED_AUDIO: dict[str, Callable[[AudioEncoder, InputShape, Pretrained], PretrainedEncoder]] = {
    "wavlm_base": WavLM,
    "wavlm_large": WavLM,
}
VIDEO_ENCODERS: dict[str, Callable[[VideoEncoder, InputShape], Encoder]] = {
    "crop_cnn": CropCnn,
    "identity": Identity,
    "linear": Linear,
    "mlp": Mlp,
}
