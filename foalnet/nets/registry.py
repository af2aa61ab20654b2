"""Names to parts: one line per encoder and fusion, and the network that params ask for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from foalnet.config import nearest
from foalnet.config.blocks import HALF, AudioEncoder, Train, VideoEncoder
from foalnet.config.blocks import Fusion as FusionParams
from foalnet.errors import UsageError
from foalnet.nets.crops import CropCnn
from foalnet.nets.encoder import Encoder, InputShape
from foalnet.nets.foal import FoalNet, SingleNet
from foalnet.nets.fusion import CrossAttentionFusion, Fusion
from foalnet.nets.linear import Linear
from foalnet.nets.logmel import LogmelCnn
from foalnet.nets.variants import VARIANTS, Tasks, variant_names

Net = FoalNet | SingleNet
T = TypeVar("T")

AUDIO_ENCODERS: dict[str, Callable[[AudioEncoder, InputShape], Encoder]] = {
    "logmel_cnn": LogmelCnn,
}
VIDEO_ENCODERS: dict[str, Callable[[VideoEncoder, InputShape], Encoder]] = {
    "crop_cnn": CropCnn,
    "linear": Linear,
}
FUSIONS: dict[str, Callable[[int, int, FusionParams], Fusion]] = {
    "cross_attention": CrossAttentionFusion,
}


def build_net(variant: str, params: Train, *, classes: int, shape: InputShape) -> Net:
    """Return the untrained network of a variant; its weights come from torch's global generator.

    UsageError (exit 2) names an unknown encoder, fusion or variant, and parts that do not fit together.
    """
    tasks = tasks_of(variant)
    audio = video = None
    if tasks.audio:
        audio = _of(AUDIO_ENCODERS, params.audio.encoder, "train.audio.encoder")(params.audio, shape)
    if tasks.video:
        video = _of(VIDEO_ENCODERS, params.video.encoder, "train.video.encoder")(params.video, shape)
    if audio is not None and video is not None:
        fusion = _of(FUSIONS, params.fusion.kind, "train.fusion.kind")(audio.width, video.width, params.fusion)
        return FoalNet(audio, video, fusion, tasks=tasks, classes=classes, params=params)
    only = audio if audio is not None else video
    assert only is not None, "a variant sees at least one modality"
    return SingleNet(only, tasks=tasks, classes=classes, params=params)


def tasks_of(variant: str) -> Tasks:
    """Return what a variant is made of (UsageError, exit 2, where there is no such variant)."""
    return _of({name: VARIANTS[name.removesuffix(HALF)] for name in variant_names()}, variant, "variant")


def encoders(net: Net) -> list[Encoder]:
    """Return the encoders of a network, sound first."""
    return [net.encoder] if isinstance(net, SingleNet) else [net.audio, net.video]


def _of(registry: dict[str, T], name: str, key: str) -> T:
    if name not in registry:
        raise UsageError(
            f"{key}: '{name}' is not known; {nearest(name, registry)}",
            stage="train",
            action="correct it in params.yaml and run the same command again",
        )
    return registry[name]
