"""T76: several processes learn what one with the whole batch would, loss and gradient; as released they do not."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from foalnet.nets import Batch
from foalnet.nets.losses import avel, similarity
from foalnet.nets.tensors import Steps
from tests.support.ranks import CASES, cut, doubled, learn, network, together

SAME = {"rtol": 0.0, "atol": 1e-6}
ONE = [(name, 3) for name in CASES if not name.startswith("released")] + [("foal", 4), ("pictures", 4)]
Results = dict[tuple[str, int], tuple[dict[str, Any], dict[str, Tensor]]]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """What two processes learn in every case."""
    return together(tmp_path_factory.mktemp("ranks"), *ONE, ("released", 3), ("released negatives", 1))


def alone(name: str) -> tuple[dict[str, float | int], dict[str, Tensor]]:
    return learn(CASES[name], cut(CASES[name], 0, len(CASES[name]["labels"])))


@pytest.mark.parametrize(("name", "split"), ONE)
def test_t76_two_processes_are_one_with_the_whole_batch(results: Results, name: str, split: int) -> None:
    facts, gradients = results[name, split]
    expected, one = alone(name)
    assert facts["total"] == pytest.approx(expected["total"], abs=1e-6)
    assert (facts["negatives"], facts["videos"]) == (expected["negatives"], expected["videos"])
    assert gradients.keys() == one.keys()
    for parameter, gradient in one.items():
        torch.testing.assert_close(gradients[parameter], gradient, **SAME, msg=lambda m, p=parameter: f"{p}: {m}")
    if name != "one class":
        assert max(float(gradient.abs().max()) for gradient in one.values()) > 1e-3


def test_as_released_only_the_row_side_learns(results: Results) -> None:
    """Same loss, another gradient: that of each process' rows against everything gathered, all of it detached."""
    facts, gradients = results["released", 3]
    expected, one = alone("released")
    assert facts["total"] == pytest.approx(expected["total"], abs=1e-6)
    name = "audio_projection.linear1.weight"
    assert float((gradients[name] - one[name]).abs().max()) > 1e-3
    torch.testing.assert_close(gradients[name], row_side(cut(CASES["released"], 0, 6))[name], **SAME)


def test_as_released_a_gathered_negative_teaches_no_encoder(results: Results) -> None:
    facts, gradients = results["released negatives", 1]
    expected, one = alone("released negatives")
    assert facts["total"] == pytest.approx(expected["total"], abs=1e-6)
    name = "audio.layers.0.conv.weight"
    assert float((gradients[name] - one[name]).abs().max()) > 1e-5
    for parameter, gradient in with_detached_negatives(cut(CASES["released negatives"], 0, 2)).items():
        torch.testing.assert_close(gradients[parameter], gradient, **SAME, msg=lambda m, p=parameter: f"{p}: {m}")


def with_detached_negatives(whole: Batch) -> dict[str, Tensor]:
    """Cross-entropy and MEM of two rows written plainly: each is paired with the other's video and sound, detached."""
    net, _ = network(CASES["released negatives"])
    outputs = net(doubled(whole))
    label_B = whole.label_B
    assert label_B is not None
    other_B = torch.tensor([1, 0])
    others = {
        modality: Steps(values_BTD=steps.values_BTD[other_B].detach(), mask_BT=steps.mask_BT[other_B])
        for modality, steps in outputs.encoded.items()
    }
    logits = net.match(outputs, others)
    same = [each.log_softmax(1)[:, 1].mean() for each in (logits.audio_matched_B2, logits.video_matched_B2)]
    other = [each.log_softmax(1)[:, 0].mean() for each in (logits.audio_negative_B2, logits.video_negative_B2)]
    mem = -(sum(same) + sum(other)) / 4
    (F.cross_entropy(outputs.logits_BC, label_B) + net.weights["mem"] * mem).backward()
    return {name: p.grad for name, p in net.named_parameters() if p.grad is not None}


def row_side(whole: Batch) -> dict[str, Tensor]:
    """The released AVEL gradient written plainly: mean over the two halves, columns without gradient.

    MEM teaches no projection, and the cross-entropy none either: AVEL's is theirs alone.
    """
    net, _ = network(CASES["released"])
    outputs = net(doubled(whole))
    label_B = whole.label_B
    assert outputs.audio_BP is not None and outputs.video_BP is not None and outputs.scale is not None
    assert label_B is not None
    total = torch.zeros((), dtype=torch.float64)
    for own in (slice(0, 3), slice(3, 6)):
        audio_KG = similarity(outputs.audio_BP[own], outputs.video_BP.detach(), outputs.scale)
        video_KG = similarity(outputs.video_BP[own], outputs.audio_BP.detach(), outputs.scale)
        total = total + avel(audio_KG, video_KG, label_B[own], label_B, net.config.positives) / 2
    total.backward()
    return {name: p.grad for name, p in net.named_parameters() if p.grad is not None}
