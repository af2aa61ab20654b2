"""A small picture encoder, trained from scratch, that applies the same convolutions to every valid frame.

Shape letters: B utterances, F frames, V valid frames of the batch, C colours or channels, H and W pixels, D width,
P pixels of a patch, N patches.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from foalnet.config.blocks import VideoEncoder
from foalnet.core.errors import UsageError
from foalnet.nets.augment import jitter_pictures
from foalnet.nets.encoder import Encoder, InputShape, chance
from foalnet.nets.tensors import Inputs, Steps

SIDE_PX = 48
CHANNELS = (16, 32, 48)
# In grey levels of 0..255: noise in a flat picture is not amplified.
MIN_DEVIATION = 4.0
JITTER = {"shift": 0.1, "zoom": 0.1, "turn": 0.15}
CONTRAST_SD = 0.1


class OfGrey(nn.Conv2d):
    """A 3 x 3 convolution of one channel, stride 2, as a product with its patches: a third of the time on a CPU."""

    def __init__(self, out: int) -> None:
        super().__init__(1, out, 3, stride=2, padding=1)

    def forward(self, input: Tensor) -> Tensor:
        """Return the convolution of pictures with even sides, [V, C, H / 2, W / 2]."""
        x_VPN = F.unfold(input, 3, padding=1, stride=2)
        assert self.bias is not None
        x_VCN = torch.baddbmm(self.bias.view(1, -1, 1), self.weight.flatten(1).expand(len(input), -1, -1), x_VPN)
        return x_VCN.view(*x_VCN.shape[:2], input.shape[2] // 2, input.shape[3] // 2)


class ChannelsLast(nn.Conv2d):
    """A convolution in channels-last memory format, which saves a third of the training time on a CPU.

    The stored weights keep torch's default order: in another order, a resumed run would sum them differently.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return the convolution, [V, C, H, W]."""
        weight = self.weight.contiguous(memory_format=torch.channels_last)
        return F.conv2d(input, weight, self.bias, self.stride, self.padding)


class CropCnn(Encoder):
    """One step per frame: grey, 48 px, standardised per frame, three strided convolutions, one linear layer.

    The encoder skips masked frames.
    """

    def __init__(self, params: VideoEncoder, shape: InputShape) -> None:
        super().__init__()
        if len(shape.frame) != 3:
            raise UsageError(
                f"encoder crop_cnn needs pictures, this corpus has frames of shape {list(shape.frame)}",
                action="set train.video.encoder: linear for train.picture: features",
            )
        self.width = params.width
        self.augment = params.augment
        layers: list[nn.Module] = []
        channels = 1
        for out in CHANNELS:
            convolution = OfGrey(out) if channels == 1 else ChannelsLast(channels, out, 3, stride=2, padding=1)
            layers += [convolution, nn.GroupNorm(1, out), nn.ReLU()]
            channels = out
        self.convolutions = nn.Sequential(*layers)
        side = -(-SIDE_PX // 2 ** len(CHANNELS))
        self.flat = nn.Linear(channels * side * side, params.width)
        self.norm = nn.LayerNorm(params.width)
        self.dropout = nn.Dropout(chance(params.dropout))

    def prepare_steps(self, inputs: Inputs) -> Steps | None:
        """Return the prepared frames [B, F, 48, 48]; None with `augment`, as every epoch then differs."""
        if self.augment:
            return None
        if "video" in inputs.prepared:
            return inputs.prepared["video"]
        x_V1HW, pictures = self.prepare(inputs), inputs.raw["video"]
        values_BFHW = x_V1HW.new_zeros(*pictures.mask_BT.shape, *x_V1HW.shape[2:])
        values_BFHW[pictures.mask_BT] = x_V1HW.squeeze(1)
        return Steps(values_BTD=values_BFHW, mask_BT=pictures.mask_BT)

    def prepare(self, inputs: Inputs) -> Tensor:
        """Return the valid frames as [V, 1, 48, 48] float32, each with mean 0 and deviation 1.

        It uses green as grey: green carries most of the brightness, and this saves two thirds of the work.
        """
        pictures = inputs.raw["video"]
        x_V1HW = pictures.values_BTD[:, :, 1:2][pictures.mask_BT].float()
        size = (SIDE_PX, SIDE_PX)
        if self.training and self.augment:
            x_V1HW = jitter_pictures(x_V1HW, size=size, **JITTER)
        else:
            x_V1HW = F.interpolate(x_V1HW, size=size, mode="bilinear", align_corners=False)
        x_V1HW = x_V1HW - x_V1HW.mean(dim=(1, 2, 3), keepdim=True)
        variance_V111 = x_V1HW.square().mean(dim=(1, 2, 3), keepdim=True)
        # rsqrt, because torch computes sqrt by MKL, and its last digit depends on the maker of the processor.
        return x_V1HW * variance_V111.clamp(min=MIN_DEVIATION**2).rsqrt()

    def forward(self, inputs: Inputs) -> Steps:
        """Return values_BFD and the frame mask."""
        prepared = inputs.prepared.get("video")
        mask_BF = inputs.raw["video"].mask_BT if prepared is None else prepared.mask_BT
        x_V1HW = self.prepare(inputs) if prepared is None else prepared.values_BTD[mask_BF].unsqueeze(1)
        if self.training and self.augment:
            x_V1HW = x_V1HW * (1 + CONTRAST_SD * torch.randn(len(x_V1HW), 1, 1, 1, device=x_V1HW.device))
        x_VD = self.dropout(F.relu(self.norm(self.flat(self.convolutions(x_V1HW).flatten(1)))))
        values_BFD = x_VD.new_zeros(*mask_BF.shape, self.width)
        values_BFD[mask_BF] = x_VD
        return Steps(values_BTD=values_BFD, mask_BT=mask_BF)
