"""How a network decided: attention, similarities and gradients, apart from the forward pass."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from foalnet.methods import METHODS, Method, build_net
from foalnet.nets import Batch, InputShape
from foalnet.nets.attention import AttentionStack
from foalnet.nets.encoder import Encoder
from foalnet.nets.tensors import Inputs, Outputs, Steps
from foalnet.study.explain import (
    MODALITIES,
    TURNS,
    attention,
    columns,
    gradients,
    projected,
    shown,
    similarities,
)
from foalnet.train.batches import Turn, turns_of
from tests.support.corpus.stores import CLASSES, DIMS, RATE_HZ, make_params
from tests.support.fusions import ALL, four


def talk(batch: Batch, *dialogues: str) -> Batch:
    """The batch as dialogues, each turn a letter for its speaker."""
    keys = iter(batch.keys)
    turns = [[Turn(key=next(keys), speaker=who, scored=True) for who in each] for each in dialogues]
    return replace(batch, turns=turns_of(turns))


SMALL = {"width": 8, "heads": 2, "segments": 8, "hidden": 4}


def network(name: str, **config: str) -> Method:
    """A small network of a method, with all modalities that it takes."""
    method = METHODS[name]
    inputs = [modality for modality in ALL if modality in method.takes][: method.most]
    own = {key: value for key, value in SMALL.items() if key in method.config_type.model_fields}
    params = make_params(
        audio={"encoder": "functionals"},
        video={"encoder": "linear"},
        text={"dropout": 0.0, "augment": False},
        methods={name: own | config},
        variants={name: {"method": name, "inputs": inputs}},
    )
    torch.manual_seed(0)
    return build_net(name, params, classes=CLASSES, shape=InputShape(rate_hz=RATE_HZ, frame=(DIMS,))).eval()


def foal(variant: str = "foal") -> Method:
    params = make_params(audio={"encoder": "functionals"}, video={"encoder": "linear"})
    torch.manual_seed(0)
    net = build_net(variant, params, classes=CLASSES, shape=InputShape(rate_hz=RATE_HZ, frame=(DIMS,)))
    return net.eval()


def steps(values: list[list[list[float]]], mask: list[list[bool]]) -> Steps:
    return Steps(values_BTD=torch.tensor(values), mask_BT=torch.tensor(mask))


def test_the_attention_is_the_one_that_the_layer_used() -> None:
    torch.manual_seed(1)
    stack = AttentionStack(3, 3, layers=2, heads=1, dropout=0.0)
    last = stack.layers[1]
    for name in ("value", "out"):
        linear = getattr(last, name)
        nn.init.eye_(linear.weight)
        nn.init.zeros_(linear.bias)
    last.norm = nn.Identity()
    # The keys are unit vectors, so that a layer that passes values on adds its weights to the query.
    keys = steps([torch.eye(3).tolist()] * 2, [[True, True, False], [False, False, False]])
    query = steps(torch.randn(2, 2, 3).tolist(), [[True, True], [True, False]])
    after_BTD = stack.layers[0](query.values_BTD, keys.values_BTD * keys.mask_BT[..., None], keys.mask_BT)
    pooled_BD = torch.stack([after_BTD[0].mean(dim=0), after_BTD[1, 0]])
    weights_BS = attention(stack, query, keys)
    torch.testing.assert_close(weights_BS, stack(query, keys) - pooled_BD, rtol=0, atol=1e-6)
    assert weights_BS[0].sum().item() == pytest.approx(1.0, abs=1e-6) and weights_BS[1].tolist() == [0.0] * 3


def test_similarities_by_hand() -> None:
    # Two of class 0 and two of class 1; the last has no picture.
    audio_N2 = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    video_N2 = torch.tensor([[0.6, 0.8], [0.8, 0.6], [0.0, 1.0], [0.0, 0.0]])
    similar_N4 = similarities(torch.stack([audio_N2, video_N2], dim=1), torch.tensor([0, 0, 1, 1]))
    torch.testing.assert_close(
        similar_N4,
        torch.tensor([[0.6, 0.8, 0.0, 0.6], [0.8, 0.6, 0.0, 0.8], [1.0, 0.0, 0.7, 0.3], [0.0, 1.0, 0.7, -0.7]]),
    )


class Given(Encoder):
    """Gives the same steps each time."""

    def __init__(self, given: Steps) -> None:
        super().__init__()
        self.given, self.width = given, given.values_BTD.shape[2]

    def forward(self, _inputs: Inputs) -> Steps:
        return self.given


class Sums(Method):
    """Class 0: twice the sound and half the picture; class 1: nothing. Over turns: the sum of all turns so far."""

    def __init__(self, sound: list[float], picture: list[list[float]], *, over_turns: bool = False) -> None:
        audio = steps([[[x]] for x in sound], [[True]] * len(sound))
        video = steps([[[x] for x in each] for each in picture], [[True] * len(each) for each in picture])
        super().__init__({"audio": Given(audio), "video": Given(video)}, weights={})
        self.over_turns = over_turns  # type: ignore[misc]

    def forward(self, inputs: Inputs) -> Outputs:
        encoded = self.encode(inputs)
        sum_B: Tensor = 2 * encoded["audio"].values_BTD.sum(dim=(1, 2)) + encoded["video"].values_BTD.sum((1, 2)) / 2
        if inputs.turns is not None:
            sum_B = inputs.turns.by_row(inputs.turns.by_dialogue(sum_B).cumsum(dim=1))
        return Outputs(logits_BC=torch.stack([sum_B, torch.zeros_like(sum_B)], dim=1), encoded=encoded)


def test_shares_of_gradients_by_hand() -> None:
    batch = Batch(raw={}, keys=("a", "b"))
    shares = gradients(Sums([3.0, 1.0], [[1.0, 1.0], [0.0, 4.0]]), batch)
    # |2 * 3| and |1 / 2| + |1 / 2|; |2 * 1| and |4 / 2|.
    torch.testing.assert_close(shares[MODALITIES], torch.tensor([[6 / 7, 1 / 7], [0.5, 0.5]]))
    # An answer of class 1 depends on nothing.
    assert gradients(Sums([-3.0], [[0.0]]), Batch(raw={}, keys=("a",)))[MODALITIES].tolist() == [[0.0, 0.0]]


def test_shares_over_turns_by_hand() -> None:
    batch = talk(Batch(raw={}, keys=("a", "b", "c")), "AB", "A")
    shares = gradients(Sums([1.0, 3.0, 5.0], [[0.0], [4.0], [0.0]], over_turns=True), batch)
    # Turn 2 of the first dialogue: 6 and 2 of itself, 2 of the first turn.
    torch.testing.assert_close(shares[TURNS], torch.tensor([[1.0, 0, 0], [0.8, 0.2, 0], [1.0, 0, 0]]))
    torch.testing.assert_close(shares[MODALITIES], torch.tensor([[1.0, 0], [0.8, 0.2], [1.0, 0]]))


def test_bc_lstm_that_reads_the_past_has_no_later_turns() -> None:
    talks = talk(four(), "ABA", "B")
    past, both = (gradients(network("bc_lstm", reads=reads), talks)[TURNS] for reads in ("past", "all"))
    assert past[:, 2].tolist() == [0.0] * 4 and both[0, 2] > 0
    torch.testing.assert_close(past.sum(dim=1), torch.ones(4))


def test_what_foal_and_its_ablations_show() -> None:
    batch = four()
    for variant in ("foal", "baseline"):
        net = foal(variant)
        outputs = net(batch)
        explain = shown(net, batch, outputs)
        assert sorted(explain) == ["audio_by_video", "gradient_modalities", "video_by_audio"]
        assert columns(net, MODALITIES, 2) == ["audio", "video"] and columns(net, "audio_by_video", 2) == ["1", "2"]
        # The second utterance has no picture to look at.
        assert explain["video_by_audio"][1].tolist() == [0.0] * 8
        assert explain["gradient_modalities"][1].tolist() == [1.0, 0.0]
        vectors_B2P = projected(net, outputs)
        assert (vectors_B2P is None) == (variant == "baseline")
        assert vectors_B2P is None or vectors_B2P[1].abs().sum() == 0


@pytest.mark.parametrize("name", METHODS)
def test_logits_are_the_same_with_and_without(name: str) -> None:
    batch = talk(four(), "ABA", "B") if METHODS[name].over_turns else four()
    net = foal() if name == "foal" else network(name)
    with torch.no_grad():
        before = net(batch)
        explain = shown(net, batch, before)
        after = net(batch)
    assert torch.equal(before.logits_BC, after.logits_BC)
    assert all(p.grad is None and p.requires_grad for p in net.parameters())
    for value_BK in explain.values():
        assert value_BK.shape[0] == 4 and not value_BK.requires_grad and torch.isfinite(value_BK).all()
    # The same numbers each time.
    assert all(torch.equal(value_BK, shown(net, batch, after)[key]) for key, value_BK in explain.items())
    assert bool(explain) == (name != "single")
