"""Small picture encoder, trained from scratch: every valid frame through the same convolutions.

Shape letters: B utterances, F frames, V valid frames of the batch, C colours, H and W pixels, D width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from foalnet.config.blocks import VideoEncoder
from foalnet.errors import UsageError
from foalnet.nets.augment import jitter_pictures
from foalnet.nets.encoder import Encoder, InputShape
from foalnet.nets.tensors import Inputs, Steps

SIDE_PX = 48
CHANNELS = (16, 32, 48)
MIN_DEVIATION = 0.02
JITTER = {"shift": 0.1, "zoom": 0.1, "turn": 0.15}
CONTRAST_SD, BRIGHTNESS_SD = 0.1, 0.1


class CropCnn(Encoder):
    """One step per frame: grey, 48 px, own mean and deviation taken out, three strided convolutions, one linear layer.

    Masked frames are not computed at all.
    """

    def __init__(self, params: VideoEncoder, shape: InputShape) -> None:
        super().__init__()
        if len(shape.frame) != 3:
            raise UsageError(
                f"encoder crop_cnn needs pictures, this corpus has frames of shape {list(shape.frame)}",
                stage="train",
                action="set train.video.encoder: linear for train.picture: features",
            )
        self.width = params.width
        self.augment = params.augment
        layers: list[nn.Module] = []
        channels = 1
        for out in CHANNELS:
            layers += [nn.Conv2d(channels, out, 3, stride=2, padding=1), nn.GroupNorm(1, out), nn.GELU()]
            channels = out
        self.convolutions = nn.Sequential(*layers)
        side = -(-SIDE_PX // 2 ** len(CHANNELS))
        self.flat = nn.Linear(channels * side * side, params.width)
        self.norm = nn.LayerNorm(params.width)
        self.dropout = nn.Dropout(params.dropout)

    def prepare(self, frames_VCHW: Tensor) -> Tensor:
        """Return grey pictures [V, 1, 48, 48] float32, each with mean 0 and deviation 1 (light and exposure go)."""
        weights_C = torch.tensor([0.299, 0.587, 0.114], device=frames_VCHW.device)
        grey_V1HW = (frames_VCHW.float() / 255.0 * weights_C[:, None, None]).sum(dim=1, keepdim=True)
        small = F.interpolate(grey_V1HW, size=(SIDE_PX, SIDE_PX), mode="bilinear", align_corners=False)
        mean = small.mean(dim=(1, 2, 3), keepdim=True)
        deviation = (small - mean).square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
        return (small - mean) / deviation.clamp(min=MIN_DEVIATION)

    def forward(self, inputs: Inputs) -> Steps:
        """Return values_BFD and the frame mask."""
        mask_BF = inputs.frame_mask_BF
        x_V1HW = self.prepare(inputs.frames[mask_BF])
        if self.training and self.augment:
            noise_V2 = torch.randn(len(x_V1HW), 2, device=x_V1HW.device)
            x_V1HW = jitter_pictures(x_V1HW, **JITTER)
            x_V1HW = x_V1HW * (1 + CONTRAST_SD * noise_V2[:, :1, None, None])
            x_V1HW = x_V1HW + BRIGHTNESS_SD * noise_V2[:, 1:, None, None]
        x_VD = self.dropout(F.gelu(self.norm(self.flat(self.convolutions(x_V1HW).flatten(1)))))
        values_BFD = x_VD.new_zeros(*mask_BF.shape, self.width)
        values_BFD[mask_BF] = x_VD
        return Steps(values_BTD=values_BFD, mask_BT=mask_BF)
