"""The fused attention of WavLM against the library's own: numbers, gradients, names, conversion back."""

from __future__ import annotations

import copy
import logging
from typing import Any

import pytest
import torch
from torch import Tensor

from foalnet.encoders import transformers_offline
from foalnet.nets import wavlm_attention
from foalnet.nets.wavlm_attention import fuse
from tests.support.hub import BASE, LARGE, WAVLM, needs_transformers

KINDS = {"base": BASE, "large": LARGE}


def pair(kind: str, **over: Any) -> tuple[Any, Any]:
    """The same random model twice: as the library has it, and fused."""
    needs_transformers()
    transformers = transformers_offline()
    with torch.random.fork_rng():
        torch.manual_seed(7)
        model = transformers.WavLMModel(transformers.WavLMConfig(**(WAVLM | KINDS[kind] | over))).eval()
        with torch.no_grad():
            for p in model.parameters():
                p.add_(0.05 * torch.randn_like(p))
    fused = copy.deepcopy(model)
    assert fuse(fused)
    return model, fused


def steps(size: int = 3, longest: int = 40, width: int = 32) -> tuple[Tensor, Tensor]:
    """Sequences of different lengths, and which steps are valid."""
    generator = torch.Generator().manual_seed(1)
    mask_BT = torch.arange(longest) < torch.tensor([longest, longest // 2, 1])[:size, None]
    return torch.randn(size, longest, width, generator=generator) * mask_BT[..., None], mask_BT


@pytest.mark.parametrize("kind", KINDS)
def test_the_encoders_output_is_the_librarys_within_1e_5(kind: str) -> None:
    library, fused = pair(kind)
    hidden_BTD, mask_BT = steps()
    for mask in (mask_BT, None):
        with torch.no_grad():
            expected = library.encoder(hidden_BTD.clone(), attention_mask=mask).last_hidden_state
            actual = fused.encoder(hidden_BTD.clone(), attention_mask=mask).last_hidden_state
        torch.testing.assert_close(actual[mask_BT], expected[mask_BT], rtol=0, atol=1e-5)


def test_in_bf16_it_is_within_1e_3_and_no_farther_from_fp32_than_the_library() -> None:
    """One layer as wide as WavLM-base, as its library initialises it, over six seconds."""
    needs_transformers()
    transformers = transformers_offline()
    with torch.random.fork_rng():
        torch.manual_seed(7)
        library = transformers.WavLMModel(transformers.WavLMConfig(num_hidden_layers=1)).eval()
    fused = copy.deepcopy(library)
    assert fuse(fused)
    hidden_BTD, mask_BT = steps(size=2, longest=300, width=768)
    own, other = fused.encoder.layers[0].attention, library.encoder.layers[0].attention
    with torch.no_grad():
        exact = other(hidden_BTD, attention_mask=mask_BT)[0][mask_BT]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            expected, actual = (layer(hidden_BTD, attention_mask=mask_BT)[0][mask_BT] for layer in (other, own))
    assert actual.dtype == expected.dtype == torch.bfloat16
    assert float((actual.float() - expected.float()).abs().max()) <= 1e-3
    errors = [float((each.float() - exact).square().mean().sqrt()) for each in (actual, expected)]
    assert errors[0] <= 1.05 * errors[1]


@pytest.mark.parametrize("kind", KINDS)
def test_every_gradient_is_the_librarys(kind: str) -> None:
    library, fused = (model.double() for model in pair(kind))
    hidden_BTD, mask_BT = (steps()[0].double(), steps()[1])
    for model in (library, fused):
        out = model.encoder(hidden_BTD.clone(), attention_mask=mask_BT).last_hidden_state
        out[mask_BT].square().sum().backward()
    theirs = {name: p.grad for name, p in library.encoder.named_parameters()}
    for name, p in fused.encoder.named_parameters():
        assert (p.grad is None) == (theirs[name] is None), name
        if p.grad is not None:
            torch.testing.assert_close(p.grad, theirs[name], rtol=1e-6, atol=1e-8, msg=lambda m, n=name: f"{n}: {m}")
    assert theirs["layers.0.attention.rel_attn_embed.weight"].abs().sum() > 0


def test_dropout_acts_in_training_alone() -> None:
    _, fused = pair("large", attention_dropout=0.5)
    hidden_BTD, mask_BT = steps()

    def once() -> Tensor:
        with torch.no_grad():
            out: Tensor = fused.encoder(hidden_BTD.clone(), attention_mask=mask_BT).last_hidden_state
        return out

    assert torch.equal(once(), once())
    fused.train()
    assert not torch.equal(once(), once())


def test_names_of_the_weights_stay() -> None:
    library, fused = pair("large")
    assert list(library.state_dict()) == list(fused.state_dict())
    assert type(fused.encoder.layers[0].attention).__name__ == "FusedWavLMAttention"


@pytest.mark.parametrize("how", ["other numbers", "other form"])
def test_another_version_of_the_library_keeps_its_own_and_is_warned_of(
    how: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    needs_transformers()
    transformers = transformers_offline()
    model = transformers.WavLMModel(transformers.WavLMConfig(**(WAVLM | LARGE)))
    if how == "other numbers":
        plain = wavlm_attention._forward
        monkeypatch.setattr(wavlm_attention, "_forward", lambda *a, **k: (plain(*a, **k)[0] + 1.0, None, None))
    else:
        for layer in model.encoder.layers:
            del layer.attention.gru_rel_pos_const
    with caplog.at_level(logging.WARNING):
        assert not fuse(model)
    assert "stays the library's" in caplog.text
    assert type(model.encoder.layers[0].attention).__name__ == "WavLMAttention"
