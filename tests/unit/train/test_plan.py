"""The split without a dev part, the half picture, folds by speaker: the outputs of `train` for the protocols."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from foalnet.artifact.checkpoint import load_checkpoint
from foalnet.artifact.table import read_manifest
from foalnet.config import Params
from foalnet.config.blocks import Split
from foalnet.config.variants import VARIANTS
from foalnet.core.errors import DataError, Interrupted, UsageError
from foalnet.core.files import read_json, read_jsonl
from foalnet.core.paths import Paths
from foalnet.corpora.named import NAMED
from foalnet.methods import build_net
from foalnet.nets.losses.ccc import ccc_loss
from foalnet.stages.evaluate.scoring import evaluate_run
from foalnet.stages.train.training import train_folds, train_run
from foalnet.train.environment import Stop, determined
from foalnet.train.fold import logits_of, train_fold
from foalnet.train.plan import plan
from tests.support.corpus.rows import utterance
from tests.support.corpus.stores import (
    CLASSES,
    DIMS,
    SIDE_PX,
    corpus_params,
    make_params,
    make_run,
    make_store,
    write_corpus,
)
from tests.support.sealing import write_manifest
from tests.unit.test_train import StopAt, outputs, settings

CPU = torch.device("cpu")


def trained(home: Path, *, variant: str = "audio_only", labels: dict[str, str] | None = None, **train: Any) -> Paths:
    """A home with a tiny corpus and one finished run without a dev part; `labels` replace those of the corpus."""
    synthetic = make_store(per_group=8)
    paths = write_corpus(home, synthetic if labels is None else replace(synthetic, labels=labels))
    train_run(corpus_params(**train), settings(home), paths, variant=variant, seed=1, split="four")
    return paths


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    return trained(tmp_path_factory.mktemp("four"), variant="foal", epochs=3, patience=1, lr=1e-9)


def test_a_run_without_a_dev_part_runs_all_epochs_on_four_sessions(four: Paths) -> None:
    """Nothing improves at this rate; with a dev part and a patience of one epoch it would have stopped."""
    model = four.model("foal", 1, "four")
    assert model.name == "foal-s1-four" and not four.model("foal", 1).exists()
    train, index = (json.loads((model / name).read_text()) for name in ("train.json", "logits.json"))
    assert train["split"] == "four" and "protocol" not in train
    logits = load_file(model / "logits.safetensors")
    assert sorted(logits) == [f"Session{i}/test" for i in range(1, 6)]
    for name, fold in train["folds"].items():
        assert fold["utterances"] == {"train": 32, "dev": 0, "test": 8}
        assert (fold["chosen_epoch"], fold["epochs_run"], fold["dev_ua"]) == (3, 3, [])
        assert list(index["folds"][name]) == ["test"] and logits[f"{name}/test"].shape == (3, 8, 4)
    rows = list(csv.DictReader(io.StringIO((model / "history.csv").read_text())))
    assert len(rows) == 15 and {row["dev_ua"] for row in rows} == {""}


def test_the_checkpoint_of_a_fold_without_a_dev_part_is_its_last_epoch(tmp_path: Path) -> None:
    synthetic = make_store(per_group=8)
    run = make_run(synthetic, "audio_only", params=make_params(epochs=3), split="four")
    progress = train_folds(run, synthetic.store, settings(tmp_path), tmp_path)["Session2"]
    net = build_net("audio_only", run.params, classes="abcd", shape=synthetic.store.shape)
    net.load_state_dict(progress.best_net)
    keys = run.task(run.folds[1], synthetic.store).test
    actual = logits_of(net, synthetic.store, keys, CPU, run.params)
    torch.testing.assert_close(actual, progress.test_NC[2], rtol=0, atol=1e-5)
    assert not torch.allclose(actual, progress.test_NC[1], atol=1e-3)


def test_evaluate_reads_both_protocols_from_the_one_run(four: Paths) -> None:
    results = evaluate_run(corpus_params(), four, variant="foal", seed=1, split="four")
    assert sorted(results) == ["loso_fixed_epochs", "paper_best_on_test"]
    for protocol, metrics in results.items():
        folder = four.run("foal", 1, protocol)
        assert folder.relative_to(four.reports).as_posix() == f"runs/foal-s1-four/{protocol}"
        assert metrics.items() <= read_json(folder / "metrics.json").items()
        assert len(read_jsonl(folder / "predictions.jsonl")) == 40


def other_labels(session: str) -> dict[str, str]:
    """The labels of the corpus, those of one session each moved to the next class."""
    synthetic = make_store(per_group=8)
    return {
        key: CLASSES[(CLASSES.index(label) + 1) % 4] if synthetic.groups[key] == session else label
        for key, label in synthetic.labels.items()
    }


@pytest.mark.long
def test_without_a_dev_part_too_labels_of_the_test_session_change_no_byte(tmp_path: Path) -> None:
    """With the test session's labels replaced, that fold's checkpoint and logits are the same bytes."""
    first = trained(tmp_path / "first", variant="foal", epochs=2)
    second = trained(tmp_path / "second", variant="foal", epochs=2, labels=other_labels("Session1"))
    files = [outputs(paths.model("foal", 1, "four")) for paths in (first, second)]
    logits = [load_file(paths.model("foal", 1, "four") / "logits.safetensors") for paths in (first, second)]
    assert files[0]["fold-Session1.safetensors"] == files[1]["fold-Session1.safetensors"]
    assert logits[0]["Session1/test"].numpy().tobytes() == logits[1]["Session1/test"].numpy().tobytes()
    assert files[0]["fold-Session2.safetensors"] != files[1]["fold-Session2.safetensors"], "Session1 trains there"
    assert not torch.equal(logits[0]["Session2/test"], logits[1]["Session2/test"])


def test_t77_resume_without_a_dev_part_is_the_straight_run(tmp_path: Path) -> None:
    synthetic = make_store(per_group=4)
    run = make_run(synthetic, "foal", params=make_params(epochs=3), split="four")
    task = run.task(run.folds[0], synthetic.store)
    with determined("strict", 1):
        train_fold(task, synthetic.store, tmp_path / "straight", device=CPU, stop=Stop())
        # 16 training clips in batches of 8, and one batch of the test part: three looks an epoch. Stop in each epoch,
        # before its second step.
        for epoch in range(3):
            with pytest.raises(Interrupted, match=f"epoch {epoch + 1}; {epoch} epochs"):
                train_fold(task, synthetic.store, tmp_path / "resumed", device=CPU, stop=StopAt(1))
            if epoch < 2:
                with pytest.raises(Interrupted):
                    train_fold(task, synthetic.store, tmp_path / "resumed", device=CPU, stop=StopAt(4))
        train_fold(task, synthetic.store, tmp_path / "resumed", device=CPU, stop=Stop())
    assert (tmp_path / "resumed").read_bytes() == (tmp_path / "straight").read_bytes()


def test_two_splits_of_one_variant_do_not_share_their_work(tmp_path: Path) -> None:
    paths = write_corpus(tmp_path, make_store(per_group=4))
    for split in ("dev", "four"):
        train_run(corpus_params(epochs=1), settings(tmp_path), paths, variant="audio_only", seed=1, split=split)  # type: ignore[arg-type]
    assert len(list((tmp_path / "work" / "train").iterdir())) == 2


def test_a_part_without_utterances_is_refused_by_name_without_a_dev_part_too(tmp_path: Path) -> None:
    synthetic = make_store(per_group=4)
    clips = {key: clip for key, clip in synthetic.store.clips.items() if not key.startswith("g3_")}
    lame = replace(synthetic, store=replace(synthetic.store, clips=clips))
    with pytest.raises(DataError, match=r"test part \(Session3\) has no utterance"):
        train_folds(make_run(lame, "audio_only", split="four"), lame.store, settings(tmp_path), tmp_path)


def test_the_half_of_a_variant_is_the_same_network_on_the_half_picture(tmp_path: Path) -> None:
    """The half pictures of the synthetic corpus are twice as wide as its faces."""
    paths = write_corpus(tmp_path, make_store(per_group=4))
    for variant, wide in (("video_only", 1), ("video_only_half", 2)):
        train_run(corpus_params(epochs=1), settings(tmp_path), paths, variant=variant, seed=1)
        _, facts = load_checkpoint(paths.model(variant, 1) / "fold-Session1.safetensors")
        assert facts["frame"] == [3, SIDE_PX, wide * SIDE_PX]
        assert facts["train"]["picture"] == ("half" if wide == 2 else "face")
    assert outputs(paths.model("video_only", 1)) != outputs(paths.model("video_only_half", 1))


def test_every_variant_that_sees_a_picture_has_a_half() -> None:
    rivals = list(VARIANTS).index("concat")
    whole = [name for name, one in list(VARIANTS.items())[:rivals] if one.picture is None]
    seeing = [name for name in whole if "video" in VARIANTS[name].inputs]
    assert list(VARIANTS)[:rivals] == [*whole, *(f"{name}_half" for name in seeing)]
    for name in seeing:
        assert VARIANTS[f"{name}_half"] == VARIANTS[name].model_copy(update={"picture": "half"})
    for wrong in ("audio_only_half", "foal_half_half", "half"):
        with pytest.raises(UsageError, match="is not known"):
            make_params().variant(wrong)


def features(home: Path, **train: Any) -> tuple[Params, Paths]:
    """A corpus with a feature table for pictures."""
    paths = write_corpus(home, make_store(per_group=4, frame=(DIMS,)))
    return corpus_params(picture="features", video={"encoder": "linear"}, **train), paths


def test_the_half_of_a_feature_table_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    params, paths = features(tmp_path)
    with pytest.raises(UsageError, match="half pictures") as caught:
        train_run(params, settings(tmp_path), paths, variant="foal_half", seed=1)
    assert caught.value.exit_code == 2 and "train foal instead" in str(caught.value)


@pytest.mark.parametrize("split", [pytest.param("dev", marks=pytest.mark.long), "four"])
def test_folds_by_speaker_train_and_score_in_every_protocol(tmp_path: Path, split: Any) -> None:
    """Seven speakers dealt into five groups: two groups hold two."""
    synthetic = make_store(groups=7, per_group=4, frame=(DIMS,))
    paths = write_corpus(tmp_path, synthetic)
    params = corpus_params(picture="features", video={"encoder": "linear"}, fold_by="speaker", epochs=2)
    train_run(params, settings(tmp_path), paths, variant="foal", seed=1, split=split)
    for protocol, metrics in evaluate_run(params, paths, variant="foal", seed=1, split=split).items():
        assert sorted(metrics["folds"]) == [f"group{i}" for i in range(1, 6)] and metrics["cluster"] == "speaker"
        rows = read_jsonl(paths.run("foal", 1, protocol) / "predictions.jsonl")
        assert [row["key"] for row in rows] == sorted(synthetic.labels)
        by_speaker = {(row["speaker"], row["fold"]) for row in rows}
        assert len(by_speaker) == 7, "a speaker was tested in two folds"


def test_the_plan_names_the_picture_of_the_variant() -> None:
    params = corpus_params()
    rows = [utterance(f"u{i}", session=f"Session{i}", speaker=f"Session{i}F", label="sad") for i in range(3)]
    assert plan(params, rows, variant="foal", seed=1).params.picture == "face"
    assert plan(params, rows, variant="foal_half", seed=1).params.picture == "half"
    assert [f.dev for f in plan(params, rows, variant="foal", seed=1, split="four").folds] == [(), (), ()]


@pytest.mark.parametrize("protocol", ["dev", "four"])
def test_a_named_split_trains_its_fixed_parts_and_is_recorded(
    protocol: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A split of three parts, over the four classes of the synthetic store, from training to its scores."""
    made = replace(
        NAMED["gban-4490"],
        name="meld-official",
        groups={"train": "Session[123]", "dev": "Session4", "test": "Session5"},
        rule="fixed",
        dev_share=0.0,
        counts={"train": (6, 6, 6, 6), "dev": (2, 2, 2, 2), "test": (2, 2, 2, 1)},
    )
    monkeypatch.setitem(NAMED, "meld-official", made)
    paths = write_corpus(tmp_path, make_store(per_group=8))
    params = corpus_params(fold_by="meld-official")
    train_run(params, settings(tmp_path), paths, variant="foal", seed=1, split=protocol)
    record = read_json(paths.model("foal", 1, protocol) / "train.json")
    trained, chosen = (24, 8) if protocol == "dev" else (32, 0)
    assert {name: fold["utterances"] for name, fold in record["folds"].items()} == {
        "test": {"train": trained, "dev": chosen, "test": 8}
    }
    named = record["named_split"]
    assert (named["name"], named["digest"]) == ("meld-official", made.digest)
    assert named["counts_differ"] == ["test angry: 1 expected, 2 here"]
    assert (named["test_speakers"], named["test_speakers_in_training"]) == (1, 0)
    for metrics in evaluate_run(params, paths, variant="foal", seed=1, split=protocol).values():
        assert metrics["unpredicted"] == [] and metrics["pooled"]["n"] == 8 and metrics["cluster"] == "dialogue"
        assert metrics["train"]["named_split"] == named


def test_a_run_by_session_has_no_record_of_a_named_split(four: Paths) -> None:
    assert "named_split" not in read_json(four.model("foal", 1, "four") / "train.json")


@pytest.mark.long
def test_ratings_are_those_of_training_utterances_alone_and_their_ccc_is_scored(tmp_path: Path) -> None:
    paths = write_corpus(tmp_path, make_store(groups=5, per_group=8))
    rows = read_manifest(paths.manifest, corpus="drawn")
    places = {label: float(place) for place, label in enumerate(CLASSES)}
    rated = [replace(u, valence=1.0 + places[str(u.label)], activation=5.0 - places[str(u.label)]) for u in rows]
    write_manifest(paths.manifest, [*rated[:-1], rows[-1]])
    params = corpus_params(epochs=2)
    run = plan(params, read_manifest(paths.manifest, corpus="drawn"), variant="jmt_va", seed=1)
    assert len(run.affect) == len(rows) - 1 and rows[-1].key not in run.affect
    task = run.task(run.folds[0], make_store(groups=5, per_group=8).store)
    assert task.affect and set(task.affect) <= set(task.train)
    train_run(params, settings(tmp_path), paths, variant="jmt_va", seed=1)
    logits = load_file(paths.model("jmt_va", 1) / "logits.safetensors")
    assert logits["Session1/affect"].shape == (8, 2)
    affect = evaluate_run(params, paths, variant="jmt_va", seed=1)["loso_dev_session"]["affect"]
    values = torch.cat([logits[f"Session{n}/affect"] for n in range(1, 6)])[: len(rows) - 1].double()
    truth = torch.tensor([u.valence for u in rated[:-1]], dtype=torch.float64)
    ccc = 1 - float(ccc_loss(values[:, :1], truth[:, None]))
    assert affect["valence"] == {"ccc": pytest.approx(ccc, abs=1e-5), "utterances": len(rows) - 1}
    with pytest.raises(UsageError, match="learns valence and activation, and no utterance has such ratings"):
        plan(params, rows, variant="jmt_va", seed=1)
