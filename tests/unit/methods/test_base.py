"""Every method over turns: padding of turns, the other dialogues and their order change nothing; context counts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from foalnet.config.load import merge
from foalnet.config.variants import Modality, Variant
from foalnet.methods import METHODS, Method, Objective, build_net
from foalnet.nets import UNSCORED, Batch, InputShape, Turns
from foalnet.train.batches import Clip, Turn, collate, turns_of
from tests.support.corpus.stores import CLASSES, DIMS, RATE_HZ, make_params, make_store
from tests.unit.methods.test_registry import without, words_of

TIGHT = {"rtol": 0.0, "atol": 1e-5}
ALL: list[Modality] = ["audio", "video", "text"]
# Params that change how a method reads the turns, besides its defaults.
MORE: list[tuple[str, dict[str, Any]]] = [
    ("lmam", {"placement": "early_residual", "score_scale": "learned"}),
    ("lmam", {"placement": "late", "rank": 4}),
    ("lmam", {"placement": "late", "hosts": "anchor", "layers": 2}),
    ("m2fnet", {"query_again": True, "encoders": 1}),
]
CASES = [(name, {}) for name, method in METHODS.items() if method.over_turns] + MORE
# Two dialogues: the second turn of the first and the first and last of the second have no class.
SIZES, UNCLASSED = (2, 4), (1, 2, 5)
TEXTS = ("well", "go on", "because", "", "why not then", "so alone")


@pytest.fixture(params=CASES, ids=[f"{name}-{'-'.join(map(str, over.values()))}" for name, over in CASES])
def net(request: pytest.FixtureRequest) -> Method:
    name, over = request.param
    one = Variant(method=name, inputs=[m for m in ALL if m in METHODS[name].takes])
    base = {"audio": {"encoder": "functionals"}, "video": {"encoder": "linear"}, "text": {"dropout": 0.0}}
    params = make_params(**merge(base, {"methods": {name: over}, "variants": {name: one}}))
    torch.manual_seed(0)
    shape = InputShape(rate_hz=RATE_HZ, frame=(DIMS,))
    return build_net(name, params, classes=CLASSES, shape=shape).eval()


def clips(texts: tuple[str, ...] = TEXTS) -> list[Clip]:
    stored = list(make_store(groups=2, per_group=3, frame=(DIMS,), without_picture=1).store.clips.values())
    stored[4] = without(stored[4], "audio")
    return [clip.put("text", words_of(text)) for clip, text in zip(stored, texts, strict=True)]


def batch_of(*dialogues: list[Clip]) -> Batch:
    unclassed = [clips()[place].key for place in UNCLASSED]
    # The speakers of a dialogue: A, A, B, B.
    turns = [
        [Turn(key=c.key, speaker="AB"[place // 2], scored=c.key not in unclassed) for place, c in enumerate(each)]
        for each in dialogues
    ]
    rows = [clip for each in dialogues for clip in each]
    labels = {c.key: UNSCORED if c.key in unclassed else place % 4 for place, c in enumerate(rows)}
    return replace(collate(rows, labels), turns=turns_of(turns))


def logits(net: Method, batch: Batch) -> Tensor:
    with torch.no_grad():
        logits_BC: Tensor = net(batch).logits_BC
    return logits_BC


def test_one_dialogue_alone_equals_it_in_a_batch_in_any_order(net: Method) -> None:
    short, long = clips()[: SIZES[0]], clips()[SIZES[0] :]
    together = logits(net, batch_of(short, long))
    torch.testing.assert_close(logits(net, batch_of(short)), together[:2], **TIGHT)
    torch.testing.assert_close(logits(net, batch_of(long)), together[2:], **TIGHT)
    torch.testing.assert_close(logits(net, batch_of(long, short)), together[[2, 3, 4, 5, 0, 1]], **TIGHT)


def test_padding_of_turns_changes_neither_answers_nor_explanations(net: Method) -> None:
    batch = batch_of(clips()[: SIZES[0]], clips()[SIZES[0] :])
    assert batch.turns is not None
    padded = replace(batch, turns=Turns(**{name: F.pad(x, (0, 3)) for name, x in vars(batch.turns).items()}))
    torch.testing.assert_close(logits(net, padded), logits(net, batch), **TIGHT)
    with torch.no_grad():
        shown, more = net(batch).explain, net(padded).explain
    assert shown.keys() == more.keys()
    for name, value_BK in shown.items():
        torch.testing.assert_close(more[name], value_BK, **TIGHT)


def test_a_scored_turn_sees_unscored_ones_and_no_other_dialogue(net: Method) -> None:
    before = logits(net, batch_of(clips()[:2], clips()[2:]))
    other = clips((*TEXTS[:2], "great fun", *TEXTS[3:]))
    after = logits(net, batch_of(other[:2], other[2:]))
    moved_B = (before - after).abs().amax(dim=1)
    assert bool((moved_B[2:] > 1e-7).all()) and bool((moved_B[:2] == 0).all())


def test_turns_without_a_class_are_in_no_loss_and_every_param_learns(net: Method) -> None:
    batch = batch_of(clips()[:2], clips()[2:])
    assert batch.label_B is not None
    out = net.train()(batch)
    scored_B = batch.label_B != UNSCORED
    loss = Objective()(net, out, batch.label_B).total
    torch.testing.assert_close(loss, F.cross_entropy(out.logits_BC[scored_B], batch.label_B[scored_B]))
    loss.backward()
    silent = [name for name, p in net.named_parameters() if p.grad is None or not bool(p.grad.abs().sum() > 0)]
    assert silent == []
