"""The encoders by name, one line each."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from foalnet.config.variants import Modality
from foalnet.nets.crops import CropCnn
from foalnet.nets.encoder import Encoder, PretrainedEncoder
from foalnet.nets.functionals import Functionals
from foalnet.nets.gban_audio import GbanAudio
from foalnet.nets.gban_text import GbanText
from foalnet.nets.hashed import Hashed
from foalnet.nets.identity import Identity
from foalnet.nets.linear import Linear
from foalnet.nets.logmel import LogmelCnn
from foalnet.nets.mlp import Mlp
from foalnet.nets.wavlm import WavLM

# Modality -> name of an encoder -> its class, built from the modality's block below `train` and the corpus' shape.
ENCODERS: dict[Modality, dict[str, Callable[..., Encoder]]] = {
    "audio": {
        "functionals": Functionals,
        "gban": GbanAudio,
        "logmel_cnn": LogmelCnn,
    },
    "video": {
        "crop_cnn": CropCnn,
        "identity": Identity,
        "linear": Linear,
        "mlp": Mlp,
    },
    "text": {
        "gban": GbanText,
        "hashed": Hashed,
        "identity": partial(Identity, modality="text"),
        "linear": partial(Linear, modality="text"),
        "mlp": partial(Mlp, modality="text"),
    },
}
# Encoders with published weights, which `foalnet weights` stores under the same names; they also get a `Pretrained`.
PRETRAINED: dict[Modality, dict[str, Callable[..., PretrainedEncoder]]] = {
    "audio": {
        "wavlm_base": WavLM,
        "wavlm_large": WavLM,
    },
    "video": {},
    "text": {},
}
