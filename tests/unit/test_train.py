"""Training: the files of a run, learning, resuming, errors."""

from __future__ import annotations

import csv
import io
import itertools
import json
import math
import os
import signal
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from foalnet.artifact.checkpoint import load_checkpoint, put_net
from foalnet.config import Settings
from foalnet.core.errors import DataError, Interrupted, MachineError, UsageError
from foalnet.methods import build_net
from foalnet.nets import InputShape
from foalnet.stages.train.training import train_folds, train_run
from foalnet.train.environment import Stop, determined, device, listening, threads
from foalnet.train.fold import train_fold, unweighted_accuracy
from foalnet.train.optim import optimizer, rate
from tests.support.corpus.stores import CLASSES, SIDE_PX, corpus_params, make_params, make_run, make_store, write_corpus
from tests.support.marks import red_when


def settings(tmp_path: Path, **over: Any) -> Settings:
    return Settings(**{"work": tmp_path / "work", "device": "cpu", "threads": 1, "workers": 1} | over)


def outputs(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a tiny corpus and one finished run of foal."""
    home = tmp_path_factory.mktemp("home")
    paths = write_corpus(home, make_store(per_group=8, without_picture=1))
    train_run(corpus_params(), settings(home), paths, variant="foal", seed=1)
    return home


def test_a_run_leaves_what_evaluate_report_and_predict_need(trained: Path) -> None:
    model = trained / "models" / "drawn" / "foal-s1"
    names = [f"fold-Session{i}.safetensors" for i in range(1, 6)]
    more = ["history.csv", "logits.json", "logits.safetensors", "own_tasks.safetensors", "train.json"]
    assert sorted(outputs(model)) == [*names, *more]
    train, index = (json.loads((model / name).read_text()) for name in ("train.json", "logits.json"))
    logits = load_file(model / "logits.safetensors")
    assert index["classes"] == list(CLASSES) == train["classes"]
    tested = [key for fold in index["folds"].values() for key in fold["test"]]
    assert len(tested) == len(set(tested)) == 40
    for name, fold in train["folds"].items():
        assert fold["epochs_run"] == len(fold["dev_ua"]) == 2 and 1 <= fold["chosen_epoch"] <= 2
        assert fold["utterances"] == {"train": 24, "dev": 8, "test": 8}
        for which in ("dev", "test"):
            logits_NC = logits[f"{name}/{which}"]
            assert logits_NC.shape == (2, 8, 4) and logits_NC.dtype == torch.float32
            assert index["folds"][name][which] == sorted(index["folds"][name][which])
        assert fold["dev_ua"].index(max(fold["dev_ua"])) + 1 == fold["chosen_epoch"]
    assert train["counts"]["video_missing"] == 5 and train["counts"]["pairs_without_video"] > 0
    assert train["counts"]["parameters"] > 1000 and train["determinism"] == "strict" and train["threads"] == 1
    rows = list(csv.DictReader(io.StringIO((model / "history.csv").read_text())))
    assert len(rows) == 10 and float(rows[0]["avel"]) > 0 and float(rows[0]["mem"]) > 0
    assert str(trained) not in (model / "train.json").read_text()


def test_a_fold_checkpoint_builds_the_network_that_gave_the_logits(trained: Path) -> None:
    from foalnet.config.blocks import Train
    from foalnet.shards import open_shards
    from foalnet.train.batches import load_store
    from foalnet.train.fold import logits_of

    model = trained / "models" / "drawn" / "foal-s1"
    tensors, facts = load_checkpoint(model / "fold-Session2.safetensors")
    shape = InputShape(rate_hz=facts["rate_hz"], frame=tuple(facts["frame"]))
    params = Train.model_validate(facts["train"])
    net = build_net(facts["variant"], params, classes=facts["classes"], shape=shape)
    put_net(net, tensors, file=model)
    keys = json.loads((model / "logits.json").read_text())["folds"]["Session2"]["test"]
    chosen = json.loads((model / "train.json").read_text())["folds"]["Session2"]["chosen_epoch"]
    store = load_store(open_shards(trained / "data" / "drawn" / "shards"), keys, params)
    expected = load_file(model / "logits.safetensors")["Session2/test"][chosen - 1]
    torch.testing.assert_close(logits_of(net, store, keys, torch.device("cpu"), params), expected, rtol=0, atol=1e-5)


@pytest.mark.long
@red_when("train/batches/collate.py", "the hour has a say in the seed")
def test_t74_the_same_run_again_writes_the_same_bytes(trained: Path, tmp_path: Path) -> None:
    """Another home, another work folder, two folds at a time: the outputs do not depend on place, time or workers."""
    paths = write_corpus(tmp_path, make_store(per_group=8, without_picture=1))
    train_run(corpus_params(), settings(tmp_path, workers=2), paths, variant="foal", seed=1)
    assert outputs(paths.model("foal", 1)) == outputs(trained / "models" / "drawn" / "foal-s1")


def test_another_seed_is_another_run() -> None:
    synthetic = make_store(per_group=4)
    first, second = (make_run(synthetic, "audio_only", seed=seed) for seed in (1, 2))
    trained = [train_one(run, synthetic) for run in (first, second)]
    assert not torch.equal(trained[0], trained[1])


def train_one(run: Any, synthetic: Any, **over: Any) -> torch.Tensor:
    """Train the first fold and return its test logits."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder, determined("strict", 1):
        progress = train_fold(
            run.task(run.folds[0], synthetic.store),
            synthetic.store,
            Path(folder) / "s.safetensors",
            device=torch.device("cpu"),
            stop=Stop(),
            **over,
        )
    return torch.stack(progress.test_NC)


def test_early_stop_waits_its_patience_and_keeps_the_first_of_a_tie(tmp_path: Path) -> None:
    synthetic = make_store(per_group=8)
    params = make_params(epochs=30, patience=3, lr=1e-9)
    done = train_folds(make_run(synthetic, "audio_only", params=params), synthetic.store, settings(tmp_path), tmp_path)
    for progress in done.values():
        ua = [row["dev_ua"] for row in progress.rows]
        assert progress.best == ua.index(max(ua)) and progress.epochs == min(30, progress.best + 4)
        assert progress.finished and not progress.bad_steps


class StopAt(Stop):
    """Asks to stop when it was looked at a given number of times."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self.left = looks

    @property
    def requested(self) -> bool:
        self.left -= 1
        return self.left < 0


@pytest.mark.parametrize("variant", ["audio_only", "foal"])
def test_t77_resume_at_every_epoch_is_the_straight_run(tmp_path: Path, variant: str) -> None:
    synthetic = make_store(per_group=4)
    params = make_params(epochs=4, patience=9, audio={"dropout": 0.3, "augment": True}, video={"augment": True})
    run = make_run(synthetic, variant, params=params)
    task, cpu = run.task(run.folds[0], synthetic.store), torch.device("cpu")
    with determined("strict", 1):
        straight = tmp_path / "straight"
        train_fold(task, synthetic.store, straight, device=cpu, stop=Stop())
        resumed = tmp_path / "resumed"
        # 12 training clips in batches of 8, and one batch each of dev and test part: four looks an epoch. Stop in each
        # epoch, before its second step.
        for epoch in range(4):
            with pytest.raises(Interrupted, match=f"epoch {epoch + 1}; {epoch} epochs"):
                train_fold(task, synthetic.store, resumed, device=cpu, stop=StopAt(1))
            assert resumed.exists() == (epoch > 0)
            if epoch < 3:
                with pytest.raises(Interrupted):
                    train_fold(task, synthetic.store, resumed, device=cpu, stop=StopAt(5))
        train_fold(task, synthetic.store, resumed, device=cpu, stop=Stop())
    assert resumed.read_bytes() == straight.read_bytes()


def test_t10_interrupted_and_run_again_gives_the_same_outputs(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGTERM in the middle of the third fold; the same call finishes with the same bytes."""
    import foalnet.train.fold as fold

    paths = write_corpus(tmp_path, make_store(per_group=8, without_picture=1))
    real, calls = fold.take_step, []

    def step(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        if len(calls) == 14:
            os.kill(os.getpid(), signal.SIGTERM)
        return real(*args, **kwargs)

    monkeypatch.setattr(fold, "take_step", step)
    with pytest.raises(Interrupted) as caught:
        train_run(corpus_params(), settings(tmp_path), paths, variant="foal", seed=1)
    assert caught.value.exit_code == 5 and "same command" in str(caught.value)
    assert not paths.model("foal", 1).exists()
    before = len(calls)
    train_run(corpus_params(), settings(tmp_path), paths, variant="foal", seed=1)
    # 5 folds x 2 epochs x 3 steps; fold 3 repeats the epoch that was cut after its second step.
    assert (before, len(calls)) == (14, 32)
    assert outputs(paths.model("foal", 1)) == outputs(trained / "models" / "drawn" / "foal-s1")


def test_labels_of_the_test_part_change_nothing_of_a_fold(tmp_path: Path) -> None:
    """With the test session's labels replaced, that fold's checkpoint and logits are the same bytes."""
    synthetic = make_store(per_group=8)
    labels = dict(synthetic.labels)
    for key in labels:
        if key.startswith("g1_"):
            labels[key] = CLASSES[(CLASSES.index(labels[key]) + 1) % 4]
    states = []
    for place, truth in enumerate((synthetic.labels, labels)):
        run = make_run(synthetic, "foal")
        run = type(run)(**{**vars(run), "labels": truth})
        with determined("strict", 1):
            for fold in (run.folds[0], run.folds[1]):
                state = tmp_path / f"{place}-{fold.name}"
                train_fold(
                    run.task(fold, synthetic.store), synthetic.store, state, device=torch.device("cpu"), stop=Stop()
                )
                states.append(state.read_bytes())
    assert b"own_tasks/foreign" in states[0], "its answers to its own tasks are in the state"
    assert states[0] == states[2], "fold Session1 saw the labels of its test session"
    assert states[1] != states[3], "fold Session2 trains on Session1: its labels must matter"


@pytest.mark.long
@pytest.mark.parametrize("paper", [True, False])
def test_t71_eight_clips_are_learned_by_heart(paper: bool) -> None:
    """Every variant fits 8 clips in under 200 steps: loss and gradient reach all that is needed."""
    from foalnet.config.variants import VARIANTS
    from foalnet.methods import Objective
    from foalnet.nets.hashed import pieces_of
    from foalnet.train.batches import Part, Turn, collate, turns_of
    from foalnet.train.optim import take_step

    synthetic = make_store(groups=1, per_group=8)
    labels = {key: CLASSES.index(label) for key, label in synthetic.labels.items()}
    clips = [synthetic.store.clips[key] for key in sorted(labels)]
    texts = [pieces_of(f"a {synthetic.labels[clip.key]} text") for clip in clips]
    parts = [Part(values=pieces_TP, mask_T=np.ones(len(pieces_TP), bool)) for pieces_TP in texts]
    batch = collate([clip.put("text", part) for clip, part in zip(clips, parts, strict=True)], labels)
    one = turns_of([[Turn(key=key, speaker="", scored=True) for key in batch.keys]])
    # Transformers without dropout need small steps, products of unit length large ones.
    rates = {"jmt": 1e-3, "m2fnet": 1e-3, "m2fnet_clip": 1e-3, "fbp": 2e-2}
    whole = {name: each for name, each in VARIANTS.items() if each.picture is None}
    for variant in [name for name, each in whole.items() if (each.method in ("single", "foal", "bc_lstm")) == paper]:
        params = make_params(lr=rates.get(variant, 5e-3))
        torch.manual_seed(0)
        net = build_net(variant, params, classes="abcd", shape=synthetic.store.shape)
        given = replace(batch, turns=one) if net.over_turns else batch
        for encoder in net.encoders.values():
            encoder.fit([batch])
        optim = optimizer(net, params)
        objective = Objective()
        for step in range(150):
            take_step(net, given, objective, optim, lr=params.lr, clip_norm=1.0)
            if step % 10 == 9:
                net.eval()
                sure = net(given).logits_BC.softmax(1)[torch.arange(8), batch.label_B].min()
                net.train()
                if sure > 0.99:
                    break
        assert sure > 0.99, variant


def poisoned(synthetic: Any, keys: tuple[str, ...]) -> Any:
    from dataclasses import replace

    clips = dict(synthetic.store.clips)
    for key in keys:
        sound = clips[key].parts["audio"]
        wave_N = sound.values.copy()
        wave_N[5] = math.nan
        clips[key] = clips[key].put("audio", replace(sound, values=wave_N))
    return replace(synthetic, store=replace(synthetic.store, clips=clips))


@pytest.mark.parametrize("variant", ["audio_only", "foal"])
@pytest.mark.parametrize("no_negative", ["leave_out", "positives"])
def test_t70_a_nan_skips_its_step_names_its_clip_and_stops_after_n(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, variant: str, no_negative: str
) -> None:
    synthetic = poisoned(make_store(per_group=8), ("g3_005",))
    params = make_params(
        sampler="plain", epochs=3, patience=9, max_bad_steps=2, methods={"foal": {"no_negative": no_negative}}
    )
    run = make_run(synthetic, variant, params=params)
    task, state = run.task(run.folds[0], synthetic.store), tmp_path / "s"
    with determined("strict", 1), pytest.raises(DataError, match="3 steps had a loss") as caught:
        train_fold(task, synthetic.store, state, device=torch.device("cpu"), stop=Stop())
    assert "g3_005" in str(caught.value.utterance) and caught.value.exit_code == 3
    assert caplog.text.count("the step is skipped") == 3 and caplog.text.count("g3_005") == 3
    tensors, facts = load_checkpoint(state)
    assert [bad["epoch"] for bad in facts["bad_steps"]] == [1, 2] and facts["counts"]["bad_steps"] == 2
    assert all(bool(torch.isfinite(t).all()) for name, t in tensors.items() if name.startswith("net/"))
    assert any(name.startswith("net/") for name in tensors)


def test_a_part_without_utterances_is_refused_by_name(tmp_path: Path) -> None:
    from dataclasses import replace

    synthetic = make_store(per_group=4)
    clips = {key: clip for key, clip in synthetic.store.clips.items() if not key.startswith("g3_")}
    lame = replace(synthetic, store=replace(synthetic.store, clips=clips))
    with pytest.raises(DataError, match=r"dev part \(Session3\) has no utterance"):
        train_folds(make_run(lame, "audio_only"), lame.store, settings(tmp_path), tmp_path)


def test_no_picture_at_all_is_an_error_for_variants_that_look_and_none_for_sound(tmp_path: Path) -> None:
    paths = write_corpus(tmp_path, make_store(per_group=4, without_picture=4))
    with pytest.raises(DataError, match="no utterance has any") as caught:
        train_run(corpus_params(), settings(tmp_path), paths, variant="foal", seed=1)
    assert "train a variant without" in str(caught.value.action)
    train_run(corpus_params(epochs=1), settings(tmp_path), paths, variant="audio_only", seed=1)
    facts = json.loads((paths.model("audio_only", 1) / "train.json").read_text())
    assert facts["counts"]["video_missing"] == 20


def test_an_unknown_variant_is_named_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="did you mean 'foal'"):
        train_run(
            corpus_params(), settings(tmp_path), write_corpus(tmp_path, make_store(per_group=4)), variant="fol", seed=1
        )


def test_a_gpu_that_is_not_there_is_the_machines_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(MachineError, match="0 GPUs") as caught:
        device(settings(tmp_path, device="cuda"))
    assert caught.value.exit_code == 4
    assert device(settings(tmp_path, device="auto")).type == "cpu"


def test_determinism_is_set_inside_and_given_back_after() -> None:
    before = (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled())
    with determined("strict", 1):
        assert torch.are_deterministic_algorithms_enabled() and torch.get_num_threads() == 1
    with determined("seeded", 1):
        assert not torch.are_deterministic_algorithms_enabled()
    assert before == (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled())


def test_signals_ask_to_stop_inside_and_mean_what_they_meant_after() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Interrupted), listening() as stop:
        assert not stop.requested
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.requested
    with pytest.raises(OSError, match="full"), listening():
        os.kill(os.getpid(), signal.SIGTERM)
        raise OSError("full")
    assert signal.getsignal(signal.SIGTERM) is before


def test_threads_are_the_setting_or_one(tmp_path: Path) -> None:
    assert threads(settings(tmp_path, threads=3)) == 3
    assert threads(settings(tmp_path, threads=0)) == 1


def test_rate_warms_up_and_falls_to_its_end() -> None:
    params = make_params(lr=1.0, warmup=0.1, lr_end=0.1)
    rates = [rate(step, 100, params) for step in range(100)]
    assert rates[:10] == pytest.approx([(i + 1) / 11 for i in range(10)])
    assert rates[10] == 1.0 and all(a >= b for a, b in itertools.pairwise(rates[10:]))
    assert rates[-1] == pytest.approx(0.1, abs=0.001)
    assert rate(0, 1, make_params(lr=1e-3, warmup=0.0)) == pytest.approx(1e-3)


def test_only_weights_decay() -> None:
    net = build_net("foal", make_params(), classes="abcd", shape=InputShape(rate_hz=16000, frame=(3, SIDE_PX, SIDE_PX)))
    groups = optimizer(net, make_params(weight_decay=0.3)).param_groups
    assert [g["weight_decay"] for g in groups] == [0.3, 0.0]
    named: Mapping[int, str] = {id(p): name for name, p in net.named_parameters()}
    assert all(p.ndim > 1 for p in groups[0]["params"])
    free = {named[id(p)].split(".")[-1] for p in groups[1]["params"]}
    assert free == {"weight", "bias", "log_scale"} and all(
        "norm" in named[id(p)] or p.ndim <= 1 for p in groups[1]["params"]
    )
    assert sum(len(g["params"]) for g in groups) == len(list(net.parameters()))


def test_unweighted_accuracy_is_the_mean_of_the_recalls_of_classes_that_occur() -> None:
    logits_NC = torch.eye(4)[[0, 0, 1, 2, 2]]
    # Class 0: 1 of 2 right; class 2: 2 of 3 right; classes 1 and 3 do not occur.
    assert unweighted_accuracy(logits_NC, [0, 2, 0, 2, 2]) == pytest.approx((1 / 2 + 2 / 3) / 2)
