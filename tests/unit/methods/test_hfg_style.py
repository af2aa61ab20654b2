"""Graphs: a layer by hand, edges of both stages, what a window, a speaker and a stage let an answer depend on."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from foalnet.methods.hfg_style import GraphLayer, modality_edges, turn_edges
from foalnet.nets import Batch
from foalnet.nets.tensors import Turns
from foalnet.train.batches import Turn, turns_of
from tests.support.fusions import alone, four, fusion


def layer(*weights: float) -> GraphLayer:
    """A layer of width 1 with these weights, and a bias of 1/2 on a node itself."""
    made = GraphLayer(1, len(weights), 0.0).double()
    with torch.no_grad():
        for linear, weight in zip(made.relations, weights, strict=True):
            linear.weight.fill_(weight)
        made.relations[0].bias.fill_(0.5)
    return made


def talk(batch: Batch, *dialogues: str) -> Batch:
    """The batch as dialogues, each turn a letter for its speaker."""
    keys = iter(batch.keys)
    turns = [[Turn(key=next(keys), speaker=who, scored=True) for who in each] for each in dialogues]
    return replace(batch, turns=turns_of(turns))


def logits(net: torch.nn.Module, batch: Batch) -> Tensor:
    with torch.no_grad():
        return net(batch).logits_BC  # type: ignore[no-any-return]


def test_a_layer_by_hand() -> None:
    # Two modalities of two segments: 1 2 of the first, 3 4 of the second.
    nodes_BND = torch.tensor([[[1.0], [2.0], [3.0], [4.0]]], dtype=torch.float64)
    after, share_BNK = layer(2.0, 3.0, 5.0)(nodes_BND, modality_edges(2, 2))
    # The first: 2 * 1 + 1/2 of itself, 3 * 3 of the other modality, 5 * 2 of the next segment.
    assert after.flatten().tolist() == [21.5, 21.5, 29.5, 29.5]
    torch.testing.assert_close(share_BNK[0, 0], torch.tensor([2.5, 9.0, 10.0], dtype=torch.float64) / 21.5)


def test_neighbours_of_a_relation_are_averaged_and_the_sum_is_never_negative() -> None:
    nodes_BND = torch.tensor([[[1.0], [3.0], [8.0]]], dtype=torch.float64)
    # Three modalities of one segment: there is no next segment.
    after, share_BNK = layer(0.0, 2.0, 7.0)(nodes_BND, modality_edges(3, 1))
    assert after.flatten().tolist() == [11.5, 9.5, 4.5]
    assert share_BNK[..., 2].flatten().tolist() == [0.0] * 3
    negative, _ = layer(-1.0, -1.0, 0.0)(nodes_BND, modality_edges(3, 1))
    assert negative.flatten().tolist() == [0.0] * 3


def test_edges_of_turns_by_speaker_time_and_window() -> None:
    turns = Turns(
        there_ST=torch.tensor([[True] * 4, [True, True, False, False]]),
        scored_ST=torch.zeros(2, 4, dtype=torch.bool),
        speaker_ST=torch.tensor([[0, 1, 0, 1], [0, 0, 0, 0]]),
    )
    edges = turn_edges(turns, 2)
    pairs = [[[(i, j) for i in range(4) for j in range(4) if kind[i, j]] for kind in of] for of in edges]
    assert pairs[0] == [
        [(0, 0), (1, 1), (2, 2), (3, 3)],
        [(2, 0), (3, 1)],
        [(1, 0), (2, 1), (3, 2)],
        [(0, 2), (1, 3)],
        [(0, 1), (1, 2), (2, 3)],
    ]
    assert pairs[1] == [[(0, 0), (1, 1)], [(1, 0)], [], [(0, 1)], []]


def test_a_turn_depends_on_the_turns_of_its_window() -> None:
    net, batch = fusion("hfg_style", window=1).eval(), four()
    before = logits(net, talk(batch, "ABAB"))
    changed = logits(net, talk(alone(batch, 0, 1, 2, 1), "ABAB"))
    moved = [not torch.allclose(a, b, rtol=0, atol=1e-6) for a, b in zip(before, changed, strict=True)]
    assert moved == [False, False, True, True]


def test_who_speaks_matters_and_another_dialogue_of_the_batch_does_not() -> None:
    net, batch = fusion("hfg_style").eval(), four()
    together = logits(net, talk(batch, "AAB", "A"))
    torch.testing.assert_close(logits(net, talk(alone(batch, 0, 1, 2), "AAB")), together[:3], rtol=0, atol=1e-6)
    torch.testing.assert_close(logits(net, talk(alone(batch, 3), "A")), together[3:], rtol=0, atol=1e-6)
    assert not torch.allclose(logits(net, talk(batch, "ABB", "A"))[0], together[0], rtol=0, atol=1e-6)


def test_stage_one_reads_each_utterance_alone() -> None:
    net, batch = fusion("hfg_style", stage="one").eval(), four()
    assert torch.equal(logits(net, talk(batch, "ABAB")), logits(net, batch))
    assert not any(name.startswith(("turn.", "dialogue.")) for name, _ in net.named_parameters())
    assert list(net(batch).explain) == ["relations"]


@pytest.mark.parametrize("inputs", [("audio", "video"), ("text", "audio"), ("video", "text")])
def test_shares_of_relations_explain(inputs: tuple[str, ...]) -> None:
    net = fusion("hfg_style", inputs).eval()
    explain = net(talk(four(), "AB", "BA")).explain
    assert {name: tuple(share.shape) for name, share in explain.items()} == {
        "relations": (4, 3),
        "turn_relations": (4, 5),
    }
    for share_BK in explain.values():
        torch.testing.assert_close(share_BK.sum(dim=1), torch.ones(4))
