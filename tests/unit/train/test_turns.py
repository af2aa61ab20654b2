"""Dialogues as batches: two masks, context without labels, no padding and no other dialogue changes a turn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from foalnet.core.errors import DataError, UsageError
from foalnet.core.files import read_json
from foalnet.core.ledger import Ledger
from foalnet.core.paths import Paths
from foalnet.core.records import Utterance
from foalnet.corpora.splits import SPLITS
from foalnet.methods import Method, Objective, build_net
from foalnet.nets import UNSCORED, Batch, InputShape, Turns
from foalnet.nets.hashed import pieces_of
from foalnet.shards import META, Sample
from foalnet.shards.format import meta_bytes
from foalnet.stages.evaluate.scoring import evaluate_run
from foalnet.stages.train.training import train_run
from foalnet.train.batches import Clip, Part, Store, Turn, dialogue_order, dialogues_of, turns_of
from foalnet.train.batches.collate import dialogue_batch, score_batches
from foalnet.train.plan import plan
from tests.support.corpus.rows import utterance
from tests.support.corpus.samples import meta_of
from tests.support.corpus.stores import CLASSES, corpus_params, make_params, write_shards
from tests.support.sealing import write_manifest
from tests.unit.test_train import settings

WORDS = {"happy": "great fun", "neutral": "the table", "sad": "so alone", "angry": "get out"}
TIGHT = {"rtol": 0.0, "atol": 1e-5}


def clip(key: str, text: str) -> Clip:
    hashes_TP = pieces_of(text)
    alone = Clip.of(
        key, wave_N=np.zeros(1, np.float32), frames=np.zeros((0, 0), np.uint8), frame_mask_F=np.zeros(0, bool),
        heard=False,
    )  # fmt: skip
    return alone.put("text", Part(values=hashes_TP, mask_T=np.ones(len(hashes_TP), bool)))


def store(**dialogues: list[str]) -> Store:
    """A store of dialogues of texts; a text in brackets has no class. Speakers take turns."""
    clips, turns = {}, {}
    for name, texts in dialogues.items():
        keys = [f"{name}_{place}" for place in range(len(texts))]
        clips |= {key: clip(key, text.strip("[]")) for key, text in zip(keys, texts, strict=True)}
        turns[name] = tuple(
            Turn(key=key, speaker="AB"[place % 2], scored=not texts[place].startswith("["))
            for place, key in enumerate(keys)
        )
    return Store(clips=clips, shape=InputShape(rate_hz=16000, frame=(0,)), ledger=Ledger(), dialogues=turns)


def net(**params: object) -> Method:
    torch.manual_seed(3)
    train = make_params(text={"width": 8, "dropout": 0.0}, methods={"bc_lstm": {"width": 6, **params}})
    return build_net("text_turns", train, classes="abcd", shape=InputShape(rate_hz=16000, frame=(0,))).eval()


def logits(method: Method, batch: Batch) -> dict[str, Tensor]:
    with torch.no_grad():
        return dict(zip(batch.keys, method(batch).logits_BC, strict=True))


SHORT, LONG = ["well", "[go on]"], ["no", "why not", "[because]", "so alone", "get out"]


def test_padding_of_turns_and_the_other_dialogues_change_nothing() -> None:
    both, method = store(short=SHORT, long=LONG), net()
    together = logits(method, dialogue_batch(both, ["short", "long"]))
    for name in ("short", "long"):
        for key, alone in logits(method, dialogue_batch(both, [name])).items():
            torch.testing.assert_close(together[key], alone, **TIGHT)
    swapped = logits(method, dialogue_batch(both, ["long", "short"]))
    assert swapped.keys() == together.keys()
    for key, row in together.items():
        torch.testing.assert_close(swapped[key], row, **TIGHT)


@pytest.mark.parametrize(("reads", "earlier_sees_it"), [("all", True), ("past", False)])
def test_a_scored_turn_sees_unscored_ones(reads: str, earlier_sees_it: bool) -> None:
    method = net(reads=reads)
    before = logits(method, dialogue_batch(store(d=LONG), ["d"]))
    after = logits(method, dialogue_batch(store(d=[*LONG[:2], "[great fun]", *LONG[3:]]), ["d"]))
    assert not torch.equal(before["d_3"], after["d_3"])
    assert torch.equal(before["d_1"], after["d_1"]) is not earlier_sees_it


def test_the_two_masks_and_the_speakers_of_a_batch() -> None:
    turns = dialogue_batch(store(short=SHORT, long=LONG), ["short", "long"]).turns
    assert turns is not None
    assert turns.there_ST.tolist() == [[True, True, False, False, False], [True] * 5]
    assert turns.scored_ST.tolist() == [[True, False, False, False, False], [True, True, False, True, True]]
    assert turns.speaker_ST.tolist() == [[0, 1, 0, 0, 0], [0, 1, 0, 1, 0]]


def test_rows_to_turns_and_back() -> None:
    turns = turns_of([[Turn(key=k, speaker="A", scored=True) for k in "ab"], [Turn(key="c", speaker="A", scored=True)]])
    rows_BD = torch.arange(6.0).reshape(3, 2)
    assert turns.by_dialogue(rows_BD).tolist() == [[[0, 1], [2, 3]], [[4, 5], [0, 0]]]
    assert torch.equal(turns.by_row(turns.by_dialogue(rows_BD)), rows_BD)
    assert isinstance(turns.to(torch.device("cpu")), Turns)


def test_turns_without_a_label_are_in_no_loss() -> None:
    labels = {"short_0": 1, "long_0": 0, "long_1": 2, "long_3": 3, "long_4": 1}
    batch, method = dialogue_batch(store(short=SHORT, long=LONG), ["short", "long"], labels), net()
    assert batch.label_B is not None
    assert batch.label_B.tolist() == [1, UNSCORED, 0, 2, UNSCORED, 3, 1]
    out = method(batch)
    scored_B = batch.label_B != UNSCORED
    expected = torch.nn.functional.cross_entropy(out.logits_BC[scored_B], batch.label_B[scored_B])
    torch.testing.assert_close(Objective()(method, out, batch.label_B).total, expected)
    weight_C = torch.tensor([1.0, 2.0, 0.5, 3.0])
    expected = torch.nn.functional.cross_entropy(out.logits_BC[scored_B], batch.label_B[scored_B], weight=weight_C)
    torch.testing.assert_close(Objective(class_weight_C=weight_C)(method, out, batch.label_B).total, expected)


def test_batches_to_score_hold_whole_dialogues_and_only_the_wanted_ones() -> None:
    many = store(a=["one"], b=["one", "[two]"], c=["x", "y", "z"])
    batches = list(score_batches(many, ["b_0", "c_2"], size=1))
    assert [batch.keys for batch in batches] == [("b_0", "b_1"), ("c_0", "c_1", "c_2")]
    assert many.units(["c_2", "b_0"]) == ["b", "c"] and many.length("c") == 3


def test_the_order_of_dialogues_depends_on_the_seed_alone() -> None:
    names = [f"d{i}" for i in range(9)]
    assert dialogue_order(names, 1) == dialogue_order(names[::-1], 1) != dialogue_order(names, 2)
    assert sorted(dialogue_order(names, 1)) == names


def rows(*, dialogue: str = "d", session: str = "s", turns: tuple[int, ...] = (1, 0)) -> list[Utterance]:
    return [
        utterance(f"{dialogue}_{place}", dialogue=dialogue, session=session, turn=turn, speaker="AB"[turn % 2])
        for place, turn in enumerate(turns)
    ]


def test_dialogues_are_in_the_order_of_their_turns_and_those_without_a_class_are_left_out() -> None:
    ordered = dialogues_of([*rows(), *rows(dialogue="e")], {"d_0": "g"})
    assert {name: [(turn.key, turn.scored) for turn in turns] for name, turns in ordered.items()} == {
        "s/d": [("d_1", False), ("d_0", True)]
    }


def test_a_dialogue_in_two_groups_is_refused() -> None:
    with pytest.raises(UsageError, match=r"dialogue s/d has turns in g and h: .*test part's in training"):
        dialogues_of(rows(), {"d_0": "g", "d_1": "h"})


def text_corpus(home: Path, text: str = "") -> Paths:
    """A corpus of text alone: five sessions with two dialogues of eight turns, every fourth of which has no class.

    `text`: the words of every turn, "" for those of its class.
    """
    generator, paths = np.random.default_rng(0), Paths("drawn", home)
    samples: list[tuple[Sample, str]] = []
    manifest = []
    for session in (f"S{n}" for n in range(1, 6)):
        for turn in range(16):
            dialogue, label = f"{session}_d{turn // 8}", CLASSES[int(generator.integers(4))]
            key, used = f"{dialogue}_{turn:02d}", turn % 4 != 3
            facts = {
                "session": session, "dialogue": f"{session}_d1", "turn": turn, "speaker": f"{session}{'AB'[turn % 2]}"
            }  # fmt: skip
            meta = meta_of(key, **facts, audio=None, text=text or WORDS[label], label=label if used else "")
            samples.append((Sample(key=key, shard="", members={META: meta_bytes(meta)}), session))
            manifest.append(
                utterance(
                    key, corpus="drawn", **facts, side="whole", raw_label=label[:3] if used else "xxx",
                    label=label if used else None, reason=None if used else "label_not_used",
                    transcript=text or WORDS[label],
                )
            )  # fmt: skip
    write_shards(paths.shards, samples)
    write_manifest(paths.manifest, sorted(manifest, key=lambda u: u.key))
    return paths


@pytest.mark.parametrize("variant", ["text_only", "text_turns"])
def test_a_corpus_of_text_alone_is_trained_and_scored(tmp_path: Path, variant: str) -> None:
    paths = text_corpus(tmp_path)
    params = corpus_params(
        text={"width": 16, "dropout": 0.0, "rows": 512}, methods={"bc_lstm": {"dropout": 0.0}}, epochs=12, lr=0.02,
        batch_size=4 if variant == "text_turns" else 8,
    )  # fmt: skip
    train_run(params, settings(tmp_path), paths, variant=variant, seed=1)
    metrics = evaluate_run(params, paths, variant=variant, seed=1)["loso_dev_session"]
    assert metrics["pooled"]["n"] == 60  # the turns with a class, each once
    assert metrics["pooled"]["ua"] > 0.9
    facts = read_json(paths.model(variant, 1) / "train.json")
    assert sorted(facts["folds"]) == [f"S{n}" for n in range(1, 6)]


def test_a_variant_that_needs_sound_is_refused_on_text_alone(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="variant audio_only needs sound, and no utterance has any"):
        train_run(corpus_params(), settings(tmp_path), text_corpus(tmp_path), variant="audio_only", seed=1)


def test_a_run_over_turns_plans_whole_dialogues() -> None:
    params = corpus_params()
    labels = {True: {"label": "sad"}, False: {"label": None, "reason": "label_not_used"}}
    groups = [
        replace(u, speaker=f"{u.session}{u.speaker}", **labels[u.key.endswith("0")])
        for n in range(1, 6)
        for u in rows(dialogue=f"d{n}", session=f"s{n}")
    ]
    run = plan(params, groups, variant="text_turns", seed=1)
    assert len(run.dialogues) == 5 and run.labels.keys() == {f"d{n}_0" for n in range(1, 6)}
    assert run.folds == tuple(SPLITS["dev"](run.groups.values()))
    assert plan(params, groups, variant="text_only", seed=1).dialogues == {}
