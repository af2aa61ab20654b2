"""Encodes pictures with CLIP's image branch (Hugging Face's class), with equal numbers on all machines.

Shapes: H rows, W columns, V pictures, D numbers of a vector.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from foalnet.config.blocks import Features
from foalnet.core.shim import exact_torch, torch_device
from foalnet.encoders import Pretrained, load_model, transformers_offline
from foalnet.media import read_jpeg
from foalnet.shards import Sample

# Pictures at a time: of one utterance only, so that no vector depends on another utterance.
BATCH = 32


class ClipImages:
    """Projected image features, as the paper uses them (docs/method.md, encoders): 512 of ViT-B/32, 768 of ViT-L/14."""

    def __init__(self, pretrained: Pretrained, *, device: str) -> None:
        transformers = transformers_offline()
        self.device = torch_device(device)
        config = transformers.CLIPVisionConfig.from_dict(_vision(pretrained.config))
        # Eager attention: the fused kernels differ from machine to machine.
        config._attn_implementation = "eager"
        model = load_model("CLIPVisionModelWithProjection", pretrained, config)
        self.model: Any = model.to(self.device).eval().requires_grad_(False)
        # Pillow's resampling: the same bytes everywhere, and no torchvision.
        self.prepare: Any = transformers.CLIPImageProcessorPil(**_processor(pretrained.preprocessor))
        self.dims = int(config.projection_dim)

    def encode(self, pictures: Sequence[np.ndarray]) -> np.ndarray:
        """Return [V, D] float32 of RGB pictures [H, W, 3] uint8, prepared as the encoder's own config says."""
        import torch

        rows = []
        with exact_torch(), torch.inference_mode():
            for first in range(0, len(pictures), BATCH):
                pixels = self.prepare(images=list(pictures[first : first + BATCH]), return_tensors="np")["pixel_values"]
                given = torch.from_numpy(np.asarray(pixels, np.float32)).to(self.device)
                rows.append(self.model(pixel_values=given).image_embeds.float().cpu().numpy())
        return np.concatenate(rows) if rows else np.zeros((0, self.dims), np.float32)


def encode_sample(encoder: ClipImages, sample: Sample, params: Features) -> tuple[np.ndarray, np.ndarray]:
    """Return (vectors [F, D] float32, mask_F) of every `frame_step`-th frame; zeros where there is no picture."""
    if not sample.has(params.picture):
        raise sample.lacks(
            f"features.encoder is '{params.encoder}'",
            "set features.encoder to null for this corpus: its pictures are a feature table already",
        )
    slots = sample.pictures(params.picture)[:: params.frame_step]
    mask_F = np.array([bool(jpeg) for jpeg in slots], bool)
    rows_FD = np.zeros((len(slots), encoder.dims), np.float32)
    rows_FD[mask_F] = encoder.encode([read_jpeg(jpeg) for jpeg in slots if jpeg])
    return rows_FD, mask_F


def _vision(config: Any) -> dict[str, Any]:
    """Return the image branch's config; in old files the width of the common space is next to it."""
    return {"projection_dim": config.get("projection_dim", 512)} | dict(config.get("vision_config") or {})


def _processor(config: Any) -> dict[str, Any]:
    """Return the preprocessor's own values, without the names of classes."""
    names = ("image_processor_type", "feature_extractor_type", "processor_class")
    return {name: value for name, value in config.items() if name not in names}
