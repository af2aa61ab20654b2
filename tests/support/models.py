"""Small sealed models for tests: untrained networks of the real kind, sealed as `final` seals them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from foalnet.artifact.checkpoint import net_tensors
from foalnet.artifact.model import FILE, Sealed, seal
from foalnet.config import Settings
from foalnet.config.blocks import Shards
from foalnet.methods import build_net
from foalnet.nets import InputShape
from foalnet.predict import Model, load
from tests.support.corpus.stores import CLASSES, RATE_HZ, make_params

FACE_PX = 16


def sealed_model(
    folder: Path,
    variant: str = "foal",
    *,
    classes: tuple[str, ...] = CLASSES,
    frame: tuple[int, ...] = (3, FACE_PX, FACE_PX),
    shards: dict[str, Any] | None = None,
    **train: Any,
) -> Path:
    """Seal a network with random weights into `folder` and return the folder."""
    picture = "features" if len(frame) == 1 else "face"
    encoder = {"encoder": "linear"} if len(frame) == 1 else {}
    params = make_params(**({"picture": picture, "frame_step": 2, "video": encoder} | train))
    torch.manual_seed(5)
    net = build_net(variant, params, classes=classes, shape=InputShape(rate_hz=RATE_HZ, frame=frame))
    content = Sealed(
        corpus="drawn",
        variant=variant,
        seed=1,
        classes=classes,
        rate_hz=RATE_HZ,
        frame=frame,
        shards=Shards(**({"detector": "fixed", "face_px": FACE_PX} | (shards or {}))),
        train=params,
        tools={"code": "another", "packages": {}, "ffmpeg": None, "detector": None},
        digests={},
        card={"licence": "none"},
    )
    seal(folder / FILE, net_tensors(net), content)
    return folder


def model_of(folder: Path, variant: str = "foal", **options: Any) -> Model:
    """Seal and load a network with random weights."""
    return load(sealed_model(folder, variant, **options), settings=Settings(device="cpu", threads=1))
