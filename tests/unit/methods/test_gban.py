"""GBAN: alignment and gates worked by hand, its switches, the network on the paper's own encoders."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from foalnet.config.load import merge
from foalnet.config.variants import Modality, Variant
from foalnet.core.errors import UsageError
from foalnet.methods import Method, build_net
from foalnet.methods.gban import Alignment, GatedFusion, Gban
from foalnet.nets import Batch, InputShape, Steps
from foalnet.nets.bilstm import final_states, last_step
from foalnet.train.batches import collate
from tests.support.corpus.stores import CLASSES, DIMS, RATE_HZ, make_params, make_store
from tests.unit.methods.test_registry import words_of

SHAPE = InputShape(rate_hz=RATE_HZ, frame=(DIMS,))
TIGHT = {"rtol": 0.0, "atol": 1e-6}


def steps(*values: float, valid: int) -> Steps:
    values_BTD = torch.tensor(values).reshape(1, -1, 1)
    return Steps(values_BTD=values_BTD, mask_BT=torch.arange(len(values))[None] < valid)


def net_of(inputs: list[Modality], *, audio: str = "functionals", text: str = "hashed", **over: Any) -> Gban:
    branch = {"audio": {"encoder": audio, "width": 16}, "text": {"encoder": text, "width": 16, "dropout": 0.0}}
    params = make_params(
        **merge(branch, {"methods": {"gban": over}, "variants": {"gban": Variant(method="gban", inputs=inputs)}})
    )
    torch.manual_seed(0)
    net: Method = build_net("gban", params, classes=CLASSES, shape=SHAPE).eval()
    assert isinstance(net, Gban)
    return net


def batch() -> Batch:
    clips = list(make_store(groups=1, per_group=3, frame=(DIMS,)).store.clips.values())
    texts = ("so it was then", "", "go home")
    return collate([clip.put("text", words_of(text)) for clip, text in zip(clips, texts, strict=True)])


def softmax(*scores: float) -> list[float]:
    return [math.exp(score) / sum(map(math.exp, scores)) for score in scores]


def test_alignment_by_hand_with_the_dot_product() -> None:
    # The third step of s is masked. For t = 1 its scores are 0 and ln 3, for t = 0 both are 0: the sums are 3/4 ln 3
    # and 1/2 ln 3. Of t, step 0 gets scores 0 and 0, step ln 3 gets ln 3 and 0: 1/2 and 3/4.
    s, t = steps(0.0, math.log(3), 50.0, valid=2), steps(1.0, 0.0, valid=2)
    a_s, a_t = Alignment(1, "scaled_dot")(s, t)
    torch.testing.assert_close(a_s, torch.tensor([[5 / 8 * math.log(3)]]), **TIGHT)
    torch.testing.assert_close(a_t, torch.tensor([[5 / 8]]), **TIGHT)


def test_alignment_by_hand_with_its_tanh() -> None:
    s, t = steps(2.0, -1.0, valid=2), steps(0.5, 9.0, valid=1)
    high, low = softmax(math.tanh(1.0), math.tanh(-0.5))
    a_s, a_t = Alignment(1, "tanh_dot")(s, t)
    torch.testing.assert_close(a_s, torch.tensor([[2 * high - low]]), **TIGHT)
    torch.testing.assert_close(a_t, torch.tensor([[0.5]]), **TIGHT)


def test_additive_alignment_has_a_vector_for_each_direction() -> None:
    alignment = Alignment(1, "additive")
    with torch.no_grad():
        alignment.scales_2D.copy_(torch.tensor([[3.0], [0.0]]))
    s, t = steps(2.0, -1.0, valid=2), steps(0.5, 1.0, valid=2)
    means = [softmax(3 * math.tanh(2 + x), 3 * math.tanh(-1 + x)) for x in (0.5, 1.0)]
    a_s, a_t = alignment(s, t)
    expected = sum(2 * high - low for high, low in means) / 2
    torch.testing.assert_close(a_s, torch.tensor([[expected]]), **TIGHT)
    torch.testing.assert_close(a_t, torch.tensor([[0.75]]), **TIGHT)


def test_a_tanh_score_leaves_many_steps_close_to_their_mean() -> None:
    generator = torch.Generator().manual_seed(0)
    values_BTD = 100 * torch.randn(1, 299, 8, generator=generator)
    s = Steps(values_BTD=values_BTD, mask_BT=torch.ones(1, 299, dtype=torch.bool))
    scores_BKL, _ = Alignment(8, "tanh_dot").scores(values_BTD, values_BTD[:, :3])
    assert float(scores_BKL.softmax(dim=1).max()) < 0.025
    assert float(Alignment(8, "scaled_dot").scores(s.values_BTD, s.values_BTD)[0].softmax(dim=1).max()) > 0.9


def test_gates_by_hand() -> None:
    fusion = GatedFusion(1, 1)
    assert [p.shape for p in fusion.parameters()] == [(1, 2), (1, 2), (1, 1), (1, 1), (1, 1), (1, 1)], "no bias"
    with torch.no_grad():
        fusion.gates[0].weight.copy_(torch.tensor([[math.log(3), 0.0]]))
        fusion.gates[1].weight.copy_(torch.tensor([[0.0, -math.log(4)]]))
        for layer, weight in zip(fusion.layers, (1.0, 2.0, 3.0, 4.0), strict=True):
            layer.weight.fill_(weight)
    one = torch.ones(1, 1)
    h_BG, gates_B2 = fusion(((one, 0.5 * one), (0.1 * one, one)))
    torch.testing.assert_close(gates_B2, torch.tensor([[0.75, 0.2]]), **TIGHT)
    expected = 0.75 * math.tanh(1) + 0.25 * math.tanh(1) + 0.2 * math.tanh(0.3) + 0.8 * math.tanh(4)
    torch.testing.assert_close(h_BG, torch.tensor([[expected]]), **TIGHT)


def test_the_gates_are_explained_and_the_order_of_the_inputs_is_none() -> None:
    net, swapped = net_of(["audio", "text"]), net_of(["text", "audio"])
    swapped.load_state_dict(net.state_dict())
    first, second = net(batch()), swapped(batch())
    torch.testing.assert_close(second.logits_BC, first.logits_BC)
    gates_B2 = first.explain["gates"]
    assert gates_B2.shape == (3, 2) and bool(((gates_B2 > 0) & (gates_B2 < 1)).all())


@pytest.mark.parametrize(
    ("over", "same"),
    [({"last": "last_step"}, False), ({"score": "scaled_dot"}, False), ({"dropout": 0.0}, True)],
)
def test_the_switches_change_the_answer(over: dict[str, Any], same: bool) -> None:
    net, other = net_of(["audio", "text"]), net_of(["audio", "text"], **over)
    other.load_state_dict(net.state_dict())
    assert torch.equal(net(batch()).logits_BC, other(batch()).logits_BC) is same


def test_with_the_papers_encoders_the_method_adds_neither_stem_nor_lstm() -> None:
    net = net_of(["audio", "text"], audio="gban", text="gban", sequences="encoders", width=16, gate=8)
    own = [name for name, _ in net.named_parameters() if not name.startswith(("audio.", "text."))]
    assert {name.split(".")[0] for name in own} == {"stem", "fusion", "head"}
    assert [name for name in own if name.startswith("stem")] == ["stem.missing.audio", "stem.missing.text"]
    given = batch()
    out = net(given)
    s, t = net.stem(out.encoded)["audio"], net.stem(out.encoded)["text"]
    torch.testing.assert_close(t.values_BTD[1, 0], net.stem.missing["text"])
    h_BG, _ = net.fusion((net.alignment(s, t), (final_states(s), final_states(t))))
    torch.testing.assert_close(out.logits_BC, net.head(h_BG))
    out.logits_BC.sum().backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in net.parameters())


def test_encoders_of_other_widths_are_an_error_by_name() -> None:
    with pytest.raises(UsageError, match="that of audio is 16"):
        net_of(["audio", "text"], sequences="encoders", width=32)


def test_the_last_step_has_read_backwards_one_step_alone() -> None:
    net = net_of(["audio", "text"])
    steps_BTD = torch.randn(1, 4, 256)
    mask_BT = torch.ones(1, 4, dtype=torch.bool)
    read = [net.lstms["text"](Steps(values_BTD=x, mask_BT=mask_BT)) for x in (steps_BTD, 2 * steps_BTD)]
    changed = torch.cat([2 * steps_BTD[:, :3], steps_BTD[:, 3:]], dim=1)
    other = net.lstms["text"](Steps(values_BTD=changed, mask_BT=mask_BT))
    torch.testing.assert_close(last_step(read[0])[:, 128:], last_step(other)[:, 128:])
    assert not torch.allclose(final_states(read[0])[:, 128:], final_states(other)[:, 128:])
