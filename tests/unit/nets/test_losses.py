"""Losses: gradients, random draws, excluded and counted pairs, values that must not reach them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from foalnet.methods import FoalNet, Loss, Objective, config_of, weights_of
from foalnet.methods.foal import FoalOutputs
from foalnet.nets import Encoded, MatchLogits, Steps
from foalnet.nets.losses import hard_negatives, similarity
from tests.support.corpus.stores import make_params
from tests.support.losses import avel_of, mem_of


class Echo(FoalNet):
    """A network that answers a pair with the pair's two row numbers."""

    def __init__(self, variant: str, **over: float | str) -> None:
        params = make_params(methods={"foal": over})
        weights = weights_of(variant, params)
        torch.nn.Module.__init__(self)
        self.config, self.weights = config_of(variant, params), weights
        self.pairs: list[tuple[list[int], list[int]]] = []

    def match(self, outputs: FoalOutputs, negatives: Encoded) -> MatchLogits:
        rows = [negatives[modality].values_BTD[:, 0, 0] for modality in ("video", "audio")]
        self.pairs.append((rows[0].tolist(), rows[1].tolist()))
        zeros = torch.zeros(len(outputs.logits_BC), 2)
        return MatchLogits(
            audio_matched_B2=zeros, audio_negative_B2=zeros, video_matched_B2=zeros, video_negative_B2=zeros
        )


def row_numbers(size: int) -> Steps:
    """Sequences of one step that holds the row's number."""
    return Steps(values_BTD=torch.arange(size).float().view(-1, 1, 1), mask_BT=torch.ones(size, 1, dtype=torch.bool))


def outputs(size: int, *, present: list[bool] | None = None, scale: float = 5.0) -> FoalOutputs:
    generator = torch.Generator().manual_seed(1)
    units = [torch.nn.functional.normalize(torch.randn(size, 6, generator=generator), dim=1) for _ in range(2)]
    mask_BT = torch.tensor(present or [True] * size).view(-1, 1)
    return FoalOutputs(
        logits_BC=torch.randn(size, 4, generator=generator),
        encoded={"audio": row_numbers(size), "video": replace(row_numbers(size), mask_BT=mask_BT)},
        audio_BD=torch.zeros(size, 1),
        video_BE=torch.zeros(size, 1),
        audio_BP=units[0],
        video_BP=units[1],
        scale=torch.tensor(scale),
    )


def loss_of(net: FoalNet, outputs: FoalOutputs, label_B: Tensor, class_weight_C: Tensor | None = None) -> Loss:
    if not net.weights:
        outputs = replace(outputs, audio_BP=None, video_BP=None, scale=None)
    return Objective(class_weight_C=class_weight_C)(net, outputs, label_B)


def test_t69_gradients_of_avel_and_its_scale() -> None:
    generator = torch.Generator().manual_seed(0)
    audio_BE, video_BE = (torch.randn(5, 3, dtype=torch.float64, generator=generator) for _ in range(2))
    log_scale = torch.tensor(1.3, dtype=torch.float64)
    label_B = torch.tensor([0, 1, 0, 2, 1])

    def loss(a_BE: Tensor, v_BE: Tensor, s: Tensor) -> Tensor:
        return avel_of(similarity(a_BE, v_BE, s.exp()), label_B)

    inputs = [x.requires_grad_() for x in (audio_BE, video_BE, log_scale)]
    assert torch.autograd.gradcheck(loss, inputs)


def test_t69_gradients_of_mem() -> None:
    generator = torch.Generator().manual_seed(0)
    four = [torch.randn(4, 2, dtype=torch.float64, generator=generator).requires_grad_() for _ in range(4)]
    has_B = torch.tensor([True, False, True, True])

    def loss(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
        logits = MatchLogits(audio_matched_B2=a, audio_negative_B2=b, video_matched_B2=c, video_negative_B2=d)
        return mem_of(logits, has_B, torch.ones(4, dtype=torch.bool))

    assert torch.autograd.gradcheck(loss, four)


def test_negatives_follow_the_softmax_of_their_row() -> None:
    torch.manual_seed(3)
    # Row 0 may draw columns 1 and 2, with weights 3 : 1; its own label's column 3 has far more and is never drawn.
    sim_BB = torch.tensor([[0.0, 3.0, 1.0, 1e6]] * 4).log()
    label_B = torch.tensor([0, 1, 2, 0])
    drawn = torch.stack([hard_negatives(sim_BB, label_B)[0][0] for _ in range(4000)])
    assert set(drawn.tolist()) == {1, 2}
    # Four standard errors of a share of 3/4 among 4000 draws are 0.027.
    assert abs(float((drawn == 1).double().mean()) - 0.75) < 0.027


def test_uniform_negatives_ignore_the_similarity() -> None:
    torch.manual_seed(3)
    made = outputs(4, scale=1e6)
    label_B = torch.tensor([0, 1, 2, 0])
    by_kind: dict[str, list[float]] = {}
    for kind in ("uniform", "similarity"):
        net = Echo("mem", negatives=kind)
        for _ in range(2000):
            loss_of(net, made, label_B)
        by_kind[kind] = [videos[0] for videos, _ in net.pairs]
    # At this scale the most similar video of another label is all that similarity draws.
    assert len(set(by_kind["similarity"])) == 1
    # Four standard errors of a share of 1/2 among 2000 draws are 0.045.
    assert set(by_kind["uniform"]) == {1.0, 2.0} and abs(by_kind["uniform"].count(1.0) / 2000 - 0.5) < 0.045


@pytest.mark.parametrize("seed", range(20))
def test_a_negative_never_has_the_label_of_its_row(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    size = int(torch.randint(1, 9, (1,), generator=generator))
    label_B = torch.randint(0, 3, (size,), generator=generator)
    index_B, has_B = hard_negatives(torch.randn(size, size, generator=generator) * 50, label_B)
    assert has_B.tolist() == [bool((label_B != label).any()) for label in label_B]
    assert bool((label_B[index_B] != label_B)[has_B].all())


def test_the_total_is_the_weighted_sum_of_its_parts() -> None:
    label_B = torch.tensor([0, 1, 2, 3, 0])
    loss = loss_of(Echo("foal", alpha=0.5, beta=2.0), outputs(5), label_B)
    parts = loss.parts
    assert list(parts) == ["cross_entropy", "avel", "mem"]
    torch.testing.assert_close(loss.total, parts["cross_entropy"] + 0.5 * parts["avel"] + 2.0 * parts["mem"])
    alone = loss_of(Echo("baseline"), outputs(5), label_B)
    assert list(alone.parts) == ["cross_entropy"]
    torch.testing.assert_close(alone.total, parts["cross_entropy"])


def test_rows_without_a_picture_take_part_in_no_pair() -> None:
    label_B = torch.tensor([0, 1, 0, 1])
    net = Echo("foal")
    whole = outputs(4)
    present = [True, True, False, True]
    loss = loss_of(net, outputs(4, present=present), label_B)
    assert loss.counts == {"pairs_without_video": 1, "pairs_without_negative": 0}
    # Labels 0 1 1 are left: row 0 draws 1 or 3, rows 1 and 3 can only draw 0; row 2 stands for itself and is left out.
    for drawn in net.pairs[0]:
        assert drawn[0] in (1, 3) and drawn[1:] == [0, 2, 0]
    row_K = torch.tensor([0, 1, 3])
    assert whole.audio_BP is not None and whole.video_BP is not None
    expected = avel_of(similarity(whole.audio_BP[row_K], whole.video_BP[row_K], torch.tensor(5.0)), label_B[row_K])
    torch.testing.assert_close(loss.parts["avel"], expected)


@pytest.mark.parametrize("variant", ["avel", "mem", "foal"])
def test_t67_a_batch_of_one_and_a_batch_without_pictures_are_finite(variant: str) -> None:
    for out in (outputs(1), outputs(3, present=[False] * 3)):
        label_B = torch.zeros(len(out.logits_BC), dtype=torch.int64)
        assert bool(torch.isfinite(loss_of(Echo(variant), out, label_B).total))
    same_B = torch.zeros(3, dtype=torch.int64)
    assert loss_of(Echo("mem"), outputs(3), same_B).counts["pairs_without_negative"] == 6


def test_class_weights_weigh_the_cross_entropy_alone() -> None:
    label_B = torch.tensor([0, 1, 1, 1])
    out = outputs(4)
    weighted = loss_of(Echo("baseline"), out, label_B, torch.tensor([3.0, 1.0, 1.0, 1.0]))
    each_B = torch.nn.functional.cross_entropy(out.logits_BC, label_B, reduction="none")
    # Weighted mean: weights 3 1 1 1, divided by their sum.
    torch.testing.assert_close(weighted.total, (3 * each_B[0] + each_B[1:].sum()) / 6)
