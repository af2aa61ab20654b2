"""Joint vectors: averaged, the only path between modalities; two classifiers and their losses by hand."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from foalnet.core.errors import UsageError
from foalnet.methods import Objective
from foalnet.nets.losses.contrastive import supervised_contrastive
from foalnet.nets.tensors import UNSCORED, Steps
from tests.support.fusions import ALL, four, fusion


def steps(*values: float) -> Steps:
    values_BTD = torch.tensor(values, dtype=torch.float64).view(1, -1, 1)
    return Steps(values_BTD=values_BTD, mask_BT=torch.ones(1, len(values), dtype=torch.bool))


class Sum(nn.Module):
    """Adds to each vector the sum of all valid ones of its utterance."""

    def forward(self, x_BSD: Tensor, src_key_padding_mask: Tensor) -> Tensor:
        return x_BSD + (x_BSD * ~src_key_padding_mask[..., None]).sum(dim=1, keepdim=True)


def test_the_joint_vectors_are_the_average_of_what_each_modality_makes_of_them() -> None:
    [layer, *_] = fusion("ecmf_style", ["audio", "video"]).layers
    layer.of = nn.ModuleDict({"audio": Sum(), "video": Sum()})
    joint_BND = torch.tensor([[[1.0], [2.0]]], dtype=torch.float64)
    video = replace(steps(100.0, 7.0), mask_BT=torch.tensor([[True, False]]))
    joint, after = layer(joint_BND, {"audio": steps(10.0), "video": video})
    # The sum with the sound is 13, with the picture's valid step 103: on average 58.
    assert joint.flatten().tolist() == [59.0, 60.0]
    assert after["audio"].values_BTD.flatten().tolist() == [23.0]
    assert after["video"].values_BTD[0, 0].item() == 203.0


def test_a_modality_gets_news_of_another_through_the_joint_vectors_alone() -> None:
    net = fusion("ecmf_style", ["audio", "video"]).double().eval()
    generator = torch.Generator().manual_seed(1)
    given = {
        modality: Steps(
            values_BTD=torch.randn(2, 3, 8, dtype=torch.float64, generator=generator),
            mask_BT=torch.ones(2, 3, dtype=torch.bool),
        )
        for modality in ("audio", "video")
    }
    other = {**given, "video": replace(given["video"], values_BTD=-given["video"].values_BTD)}
    joint_BND = net.joint_ND.expand(2, -1, -1)
    first, second = net.layers
    (joint, one), (changed_joint, changed) = first(joint_BND, given), first(joint_BND, other)
    assert torch.equal(one["audio"].values_BTD, changed["audio"].values_BTD)
    assert not torch.equal(joint, changed_joint)
    assert not torch.equal(second(joint, one)[1]["audio"].values_BTD, second(changed_joint, one)[1]["audio"].values_BTD)


@pytest.mark.parametrize("inputs", [*itertools.combinations(ALL, 2), ALL])
def test_training_answers_with_the_first_classifier_and_prediction_with_both(inputs: tuple[str, ...]) -> None:
    net, batch = fusion("ecmf_style", inputs, dropout=0.0), four()
    learning, answered = net.train()(batch), net.eval()(batch)
    torch.testing.assert_close(answered.logits_BC, (learning.logits_BC + learning.second_BC) / 2)
    for name in ("joint_head", "second_head"):
        torch.testing.assert_close(answered.explain[name].sum(dim=1), torch.ones(4))


def test_the_loss_is_the_sum_of_both_cross_entropies_and_the_contrastive_loss() -> None:
    net = fusion("ecmf_style", inter_class=0.2)
    out = replace(
        net(four()),
        logits_BC=torch.tensor([[math.log(3), 0.0]] * 4, dtype=torch.float64),
        second_BC=torch.tensor([[0.0, math.log(7)]] * 4, dtype=torch.float64),
        contrast_BD=torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8], [1.0, 1.0]], dtype=torch.float64),
    )
    label_B = torch.tensor([0, 0, 1, UNSCORED])
    loss = Objective()(net, out, label_B)
    # Rows of class 0 have 3/4 and 1/8, the row of class 1 has 1/4 and 7/8.
    first = -(2 * math.log(3 / 4) + math.log(1 / 4)) / 3
    second = -(2 * math.log(1 / 8) + math.log(7 / 8)) / 3
    contrast = supervised_contrastive(out.contrast_BD, label_B, 0.1).item()
    assert loss.parts["second_head"].item() == pytest.approx(second, abs=1e-12)
    assert loss.total.item() == pytest.approx(first + second + 0.2 * contrast, abs=1e-12)


def test_a_loss_that_is_off_and_a_shared_head_build_less() -> None:
    batch = four()
    plain = fusion("ecmf_style", losses={"second_head": 0.0, "inter_class": 0.0}).eval()
    assert plain.second_head is None and plain.contrast is None
    assert plain.own_losses(plain(batch), batch.label_B).losses == {} and plain(batch).explain == {}
    shared = fusion("ecmf_style", head="shared").eval()
    assert list(shared.own_losses(shared(batch), batch.label_B).losses) == ["inter_class"]
    assert shared.head[1].in_features == 4 * 8


def test_a_width_that_heads_cannot_share_is_refused() -> None:
    with pytest.raises(UsageError, match="width of 8 cannot be cut into 3"):
        fusion("ecmf_style", heads=3)
