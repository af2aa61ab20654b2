"""Prompts: which modality is strong, a gate and a layer by hand, the second pass, the losses."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
import torch

from foalnet.core.errors import UsageError
from foalnet.nets.losses.contrastive import supervised_contrastive, two_passes
from foalnet.nets.tensors import Steps
from tests.support.fusions import ALL, alone, four, fusion, padded


@pytest.mark.parametrize(
    ("inputs", "strong", "expected"),
    [
        (ALL, "auto", "text"),
        (("video", "text"), "auto", "text"),
        (("video", "audio"), "auto", "audio"),
        (("audio", "video"), "video", "video"),
    ],
)
def test_the_strong_modality(inputs: tuple[str, ...], strong: str, expected: str) -> None:
    net = fusion("mpt_style", inputs, strong=strong)
    assert (net.strong, set(net.weak)) == (expected, set(inputs) - {expected})


def test_a_strong_modality_that_is_no_input_is_refused() -> None:
    with pytest.raises(UsageError, match="text is no input"):
        fusion("mpt_style", ["audio", "video"], strong="text")
    with pytest.raises(UsageError, match="cannot be cut into 3"):
        fusion("mpt_style", heads=3)


@torch.no_grad()
def test_a_layer_by_hand() -> None:
    """A gate of 1/2 on the prompt (6, 2); its key is zero, its value itself; every other linear layer copies."""
    net = fusion("mpt_style", ["audio", "video"], width=2, heads=1, layers=1).double().eval()
    [layer] = net.layers
    eye, zero = torch.eye(2, dtype=torch.float64), torch.zeros(2, 2, dtype=torch.float64)
    layer.gate.weight.zero_()
    layer.gate.bias.zero_()
    layer.prefix.weight.copy_(torch.cat([zero, eye]))
    layer.prefix.bias.zero_()
    layer.attention.in_proj_weight.copy_(torch.cat([eye] * 3))
    layer.attention.out_proj.weight.copy_(eye)
    layer.norm.eps = 0.0
    layer.feed_forward[4].weight.zero_()
    layer.feed_forward[4].bias.zero_()
    strong = Steps(
        values_BTD=torch.tensor([[[1.0, -1.0], [5.0, -3.0]]], dtype=torch.float64),
        mask_BT=torch.tensor([[True, False]]),
    )
    after, prompts_BND, gate_BN = layer(strong, torch.tensor([[[6.0, 2.0]]], dtype=torch.float64))
    assert prompts_BND.tolist() == [[[3.0, 1.0]]] and gate_BN.tolist() == [[0.5]]
    # Scores: 0 of the prompt, (1 + 1) / sqrt 2 of the step itself; the padded step is no key.
    own = math.exp(math.sqrt(2)) / (1 + math.exp(math.sqrt(2)))
    expected = [1 + own + (1 - own) * 3, -1 - own + (1 - own) * 1]
    assert after.values_BTD[0, 0].tolist() == pytest.approx(expected, abs=1e-12)
    assert after.values_BTD[0, 1].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("inputs", [*itertools.combinations(ALL, 2), ALL])
def test_gates_of_each_weak_modality_explain_and_no_neighbour_changes_them(inputs: tuple[str, ...]) -> None:
    net, batch = fusion("mpt_style", inputs, layers=3).eval(), four()
    out = net(batch)
    assert {name: tuple(gate.shape) for name, gate in out.explain.items()} == {
        f"gate_{modality}": (4, 3) for modality in net.weak
    }
    torch.testing.assert_close(net(padded(batch, 5)).logits_BC, out.logits_BC, rtol=0, atol=1e-5)
    for name, gate_BL in net(alone(batch, 2)).explain.items():
        torch.testing.assert_close(gate_BL[0], out.explain[name][2], rtol=0, atol=1e-5)


def test_each_layer_of_the_strong_modality_reads_the_prompts() -> None:
    net = fusion("mpt_style", ["audio", "video"], layers=3).eval()
    generator = torch.Generator().manual_seed(1)
    strong = Steps(values_BTD=torch.randn(1, 4, 8, generator=generator), mask_BT=torch.ones(1, 4, dtype=torch.bool))
    prompts_BND = torch.randn(1, 8, 8, generator=generator)
    for layer in net.layers:
        one, other = (layer(strong, each_BND)[0].values_BTD for each_BND in (prompts_BND, -prompts_BND))
        assert not torch.allclose(one, other)


def test_the_second_pass_has_other_dropout_and_is_left_out_where_nothing_needs_it() -> None:
    batch = four()
    learning = fusion("mpt_style", dropout=0.3).train()(batch)
    assert not torch.allclose(learning.fused_BE, learning.second_BE)
    answered = fusion("mpt_style", dropout=0.3).eval()(batch)
    assert answered.second_BE is answered.fused_BE
    without = fusion("mpt_style", losses={"unsupervised": 0.0}, dropout=0.3).train()(batch)
    assert without.second_BE is without.fused_BE


def test_the_losses_compare_the_fused_vectors() -> None:
    generator = torch.Generator().manual_seed(1)
    first_BE, second_BE = (torch.randn(4, 24, dtype=torch.float64, generator=generator) for _ in range(2))
    label_B = torch.tensor([0, 1, 0, 1])
    net = fusion("mpt_style", temperature=0.2)
    out = replace(net(four()), fused_BE=first_BE, second_BE=second_BE)
    losses = net.own_losses(out, label_B).losses
    torch.testing.assert_close(losses["unsupervised"], two_passes(first_BE, second_BE, 0.2))
    torch.testing.assert_close(losses["supervised"], supervised_contrastive(first_BE, label_B, 0.2))
    assert net.weights == {"unsupervised": 0.1, "supervised": 0.1}
    plain = fusion("mpt_style", losses={"unsupervised": 0.0, "supervised": 0.0})
    assert plain.own_losses(out, label_B).losses == {}
