"""WavLM through its Hugging Face class: the paper's audio encoder, fine-tuned behind a frozen front.

Shape letters: B utterances, N samples, T steps (50 a second), C channels of the front, D width.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor, nn

from foalnet.config.blocks import AudioEncoder
from foalnet.core.errors import UsageError
from foalnet.encoders import Pretrained, load_model, transformers_offline
from foalnet.nets.augment import hidden_spans
from foalnet.nets.encoder import InputShape, PretrainedEncoder, chance
from foalnet.nets.masks import zero_masked
from foalnet.nets.tensors import Inputs, Steps
from foalnet.nets.wavlm_attention import fuse

RATE_HZ = 16000
# The library's feature extractor adds this to the variance.
EPSILON = 1e-7


class WavLM(PretrainedEncoder):
    """Hidden states of the last layer, 50 a second; the convolutional front never learns (docs/method.md, encoders).

    In training SpecAugment and layerdrop follow the encoder's config unless params override it. They draw from torch's
    global generator, so that a resumed run draws the same numbers as an uninterrupted one.
    """

    def __init__(self, params: AudioEncoder, shape: InputShape, pretrained: Pretrained) -> None:
        super().__init__()
        if shape.rate_hz != RATE_HZ:
            raise UsageError(
                f"encoder {pretrained.name} needs sound of {RATE_HZ} Hz, this corpus has {shape.rate_hz} Hz",
                action="set train.audio.encoder: logmel_cnn",
            )
        self.config = _config(params, pretrained)
        if self.config.add_adapter:
            raise UsageError(
                "this WavLM has an adapter after its transformer, which is not supported",
                action="use weights whose config says add_adapter: false, as the published ones do",
            )
        model = load_model("WavLMModel", pretrained, self.config)
        model.freeze_feature_encoder()
        # The library passes its attention a mask of bools and one of numbers, which torch plans to forbid.
        warnings.filterwarnings("ignore", message="Support for mismatched .*key_padding_mask", category=UserWarning)
        if params.attention == "fused":
            fuse(model)
        self.tuned: Any = model
        self.width = int(self.config.hidden_size)
        self.padded_front = params.front == "batch"
        self.normalised = params.input_norm == "config" and bool(pretrained.preprocessor.get("do_normalize", False))
        self.dropout = nn.Dropout(chance(params.dropout))
        # The number of samples for one step; shorter sound is padded with silence.
        self.least = 1
        for kernel, stride in zip(reversed(self.config.conv_kernel), reversed(self.config.conv_stride), strict=True):
            self.least = (self.least - 1) * stride + kernel

    def forward(self, inputs: Inputs) -> Steps:
        """Return values_BTD and mask_BT, 50 steps a second."""
        sound = inputs.raw["audio"]
        if self.padded_front:
            return self._as_library(inputs)
        length_B = sound.mask_BT.sum(dim=1)
        wave_BN = sound.values_BTD.masked_fill(~sound.mask_BT, 0.0)
        if self.normalised:
            wave_BN = unit_variance(wave_BN, sound.mask_BT)
        short = self.least - wave_BN.shape[1]
        if short > 0:
            wave_BN = nn.functional.pad(wave_BN, (0, short))
        samples_B = length_B.clamp(min=self.least)
        front_BTC = self._front(wave_BN, samples_B)
        steps_B = self.tuned._get_feat_extract_output_lengths(samples_B)
        place_T = torch.arange(front_BTC.shape[1], device=steps_B.device)
        return self._transformed(front_BTC, place_T < steps_B[:, None])

    def _as_library(self, inputs: Inputs) -> Steps:
        """Return the library's result for the batch as it is; with group norm in the front, padding influences it.

        Source: the released code (docs/method.md); the library's mask says "all valid" for sound shorter than a step.
        """
        sound = inputs.raw["audio"]
        wave_BN = sound.values_BTD
        if self.normalised:
            wave_BN = unit_variance(wave_BN, sound.mask_BT)
        with torch.no_grad():
            front_BTC = self.tuned.feature_extractor(wave_BN).transpose(1, 2)
        mask_BT = self.tuned._get_feature_vector_attention_mask(front_BTC.shape[1], sound.mask_BT.long())
        # Only a clip without sound has no sample: then no step is valid, not every step.
        return self._transformed(front_BTC, mask_BT & sound.mask_BT.any(dim=1, keepdim=True))

    def _transformed(self, front_BTC: Tensor, mask_BT: Tensor) -> Steps:
        """Return the transformer's last hidden states."""
        hidden_BTD, _ = self.tuned.feature_projection(front_BTC)
        if self.training:
            hidden_BTD = self._augmented(hidden_BTD, mask_BT.sum(dim=1).tolist())
        # A copy, because the library writes zeros into its argument.
        out = self.tuned.encoder(zero_masked(hidden_BTD, mask_BT), attention_mask=mask_BT)
        return Steps(values_BTD=zero_masked(self.dropout(out.last_hidden_state), mask_BT), mask_BT=mask_BT)

    @torch.no_grad()
    def _front(self, wave_BN: Tensor, samples_B: Tensor) -> Tensor:
        """Return [B, T, C] of the convolutional front.

        Layer norm uses one step at a time. Group norm (WavLM base) averages over its whole input, so each utterance
        then passes alone, at its own length: neither padding nor other utterances influence it.
        """
        front = self.tuned.feature_extractor
        if self.config.feat_extract_norm != "group":
            return front(wave_BN).transpose(1, 2)
        rows = [front(wave_BN[i : i + 1, :n])[0].T for i, n in enumerate(samples_B.tolist())]
        return nn.utils.rnn.pad_sequence(rows, batch_first=True)

    def _augmented(self, hidden_BTD: Tensor, steps: list[int]) -> Tensor:
        """Replace spans of steps by the learnt vector, and spans of the width by zeros (SpecAugment)."""
        config, (size, longest, width) = self.config, hidden_BTD.shape
        if config.mask_time_prob > 0:
            hidden_BT = hidden_spans(
                steps,
                longest,
                share=config.mask_time_prob,
                span=config.mask_time_length,
                least=config.mask_time_min_masks,
            ).to(hidden_BTD.device)
            hidden_BTD = torch.where(hidden_BT[..., None], self.tuned.masked_spec_embed, hidden_BTD)
        if config.mask_feature_prob > 0:
            hidden_BD = hidden_spans(
                [width] * size,
                width,
                share=config.mask_feature_prob,
                span=config.mask_feature_length,
                least=config.mask_feature_min_masks,
            ).to(hidden_BTD.device)
            hidden_BTD = hidden_BTD.masked_fill(hidden_BD[:, None, :], 0.0)
        return hidden_BTD


def unit_variance(wave_BN: Tensor, mask_BN: Tensor) -> Tensor:
    """Return sound with mean 0 and variance 1 over each utterance's valid samples, 0 elsewhere."""
    count_B1 = mask_BN.sum(dim=1, keepdim=True).clamp(min=1)
    centred_BN = (wave_BN - wave_BN.sum(dim=1, keepdim=True) / count_B1).masked_fill(~mask_BN, 0.0)
    variance_B1 = centred_BN.square().sum(dim=1, keepdim=True) / count_B1
    return centred_BN * torch.rsqrt(variance_B1 + EPSILON)


def _config(params: AudioEncoder, pretrained: Pretrained) -> Any:
    """Return the architecture, with SpecAugment and layerdrop as params say."""
    config = transformers_offline().WavLMConfig.from_dict(dict(pretrained.config))
    if params.layerdrop is not None:
        config.layerdrop = params.layerdrop
    if params.spec_augment is not None:
        config.mask_time_prob = params.spec_augment
        config.mask_feature_prob = config.mask_feature_prob if params.spec_augment else 0.0
    elif not config.apply_spec_augment:
        config.mask_time_prob = config.mask_feature_prob = 0.0
    return config
