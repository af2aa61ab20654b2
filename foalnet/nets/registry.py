"""The encoders and fusions by name, one line each, and the network that params name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from foalnet.config import nearest
from foalnet.config.blocks import HALF, AudioEncoder, Train, VideoEncoder
from foalnet.config.blocks import Fusion as FusionParams
from foalnet.core.errors import UsageError
from foalnet.encoders import Pretrained
from foalnet.nets.crops import CropCnn
from foalnet.nets.encoder import Encoder, InputShape, PretrainedEncoder
from foalnet.nets.foal import FoalNet, SingleNet
from foalnet.nets.frozen import Frozen
from foalnet.nets.functionals import Functionals
from foalnet.nets.fusion import CrossAttentionFusion, Fusion
from foalnet.nets.identity import Identity
from foalnet.nets.init import normal_, with_dropouts
from foalnet.nets.linear import Linear
from foalnet.nets.logmel import LogmelCnn
from foalnet.nets.mlp import Mlp
from foalnet.nets.variants import VARIANTS, Tasks, variant_names
from foalnet.nets.wavlm import WavLM

Net = FoalNet | SingleNet
T = TypeVar("T")

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
FUSIONS: dict[str, Callable[[int, int, FusionParams], Fusion]] = {
    "cross_attention": CrossAttentionFusion,
}


def build_net(
    variant: str, params: Train, *, classes: int, shape: InputShape, pretrained: Pretrained | None = None
) -> Net:
    """Return the untrained network of a variant, initialised from torch's global generator.

    `pretrained`: the audio encoder, required if `needs_weights`; its weights are loaded if it has a folder. UsageError
    (exit 2) names an unknown encoder, fusion or variant, and parts that do not fit together.
    """
    tasks = tasks_of(variant)
    params = with_dropouts(params, pretrained)
    net = _net(tasks, params, classes=classes, shape=shape, pretrained=pretrained)
    if params.init == "normal":
        normal_(net)
    return net


def _net(tasks: Tasks, params: Train, *, classes: int, shape: InputShape, pretrained: Pretrained | None) -> Net:
    audio = video = None
    if tasks.audio:
        audio = _audio(params.audio, shape, pretrained)
    if tasks.video:
        video = _lookup(VIDEO_ENCODERS, params.video.encoder, "train.video.encoder")(params.video, shape)
    if audio is not None and video is not None:
        if params.encoders == "single":
            audio, video = Frozen(audio, "audio", params.audio.dropout), Frozen(video, "video", params.video.dropout)
        fusion = _lookup(FUSIONS, params.fusion.kind, "train.fusion.kind")(audio.width, video.width, params.fusion)
        return FoalNet(audio, video, fusion, tasks=tasks, classes=classes, params=params)
    only = audio if audio is not None else video
    assert only is not None, "a variant sees at least one modality"
    return SingleNet(only, tasks=tasks, classes=classes, params=params)


def _audio(params: AudioEncoder, shape: InputShape, pretrained: Pretrained | None) -> Any:
    known: dict[str, Any] = {**AUDIO_ENCODERS, **PRETRAINED_AUDIO}
    kind = _lookup(known, params.encoder, "train.audio.encoder")
    if params.encoder not in PRETRAINED_AUDIO:
        return kind(params, shape)
    if pretrained is None:
        raise UsageError(
            f"encoder {params.encoder} needs published weights, and none were given",
            action="pass build_net the result of foalnet.encoders.open_weights or Pretrained.from_facts",
        )
    return kind(params, shape, pretrained)


def needs_weights(variant: str, params: Train) -> bool:
    """Tell whether a variant's network uses published weights, or a dropout from their config."""
    encodes = tasks_of(variant).audio or None in (params.video.dropout, params.fusion.head_dropout)
    return encodes and params.audio.encoder in PRETRAINED_AUDIO


def tasks_of(variant: str) -> Tasks:
    """Return the tasks of a variant; UsageError (exit 2) if there is no such variant."""
    return _lookup({name: VARIANTS[name.removesuffix(HALF)] for name in variant_names()}, variant, "variant")


def encoders(net: Net) -> list[Encoder]:
    """Return the encoders of a network, sound first."""
    return [net.encoder] if isinstance(net, SingleNet) else [net.audio, net.video]


def _lookup(registry: dict[str, T], name: str, key: str) -> T:
    if name not in registry:
        raise UsageError(
            f"{key}: '{name}' is not known; {nearest(name, registry)}",
            action="correct it in params.yaml and run the same command again",
        )
    return registry[name]
