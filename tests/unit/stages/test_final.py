"""The final model: trained on all sessions for the folds' epochs, the same bytes after an interrupt, sealed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from foalnet.artifact.model import FILE, read_model
from foalnet.artifact.seal import publish_sealed
from foalnet.config import Params, Settings
from foalnet.config.blocks import Final
from foalnet.core.errors import DataError, Interrupted, MachineError, UsageError
from foalnet.core.files import read_json
from foalnet.core.paths import Paths
from foalnet.stages.evaluate.scoring import evaluate_run
from foalnet.stages.final import model as run_module
from foalnet.stages.final import training as train_module
from foalnet.stages.final.card import card_md
from foalnet.stages.final.model import final_run
from foalnet.stages.train.training import train_run
from tests.support.corpus.stores import CLASSES, corpus_params, make_store, write_corpus
from tests.support.disks import FullDisk
from tests.support.marks import red_when
from tests.support.sealing import vouch

TOOLS = {"code": "c", "packages": {"numpy": "0"}, "ffmpeg": "f", "detector": {"name": "haar", "digest": "d"}}


def settings(home: Path, **over: Any) -> Settings:
    return Settings(**{"work": home / "work", "device": "cpu", "threads": 1, "workers": 1} | over)


def params_of(variant: str = "foal", seed: int = 1, **train: Any) -> Params:
    return corpus_params(**{"epochs": 3, "patience": 3} | train).model_copy(
        update={"final": Final(variant=variant, seed=seed)}
    )


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a tiny corpus, one run of foal and its scores."""
    home = tmp_path_factory.mktemp("home")
    paths = write_corpus(home, make_store(per_group=8, without_picture=1))
    publish_sealed(paths.staging, {"tools": TOOLS})
    train_run(params_of(), settings(home), paths, variant="foal", seed=1)
    evaluate_run(params_of(), paths, variant="foal", seed=1)
    return home


@pytest.fixture
def home(scored: Path, tmp_path: Path) -> Path:
    """The same, for one test to change."""
    return Path(shutil.copytree(scored, tmp_path / "home"))


def files(home: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(Paths("drawn", home).final.iterdir())}


def test_it_trains_on_every_utterance_for_the_folds_epochs_and_quotes_the_folds(home: Path) -> None:
    paths = Paths("drawn", home)
    file = paths.model("foal", 1) / "train.json"
    train = read_json(file)
    for name, epoch in zip(sorted(train["folds"]), (1, 3, 2, 3, 1), strict=True):
        train["folds"][name]["chosen_epoch"] = epoch
    publish_sealed(file, train)
    card = final_run(params_of(), settings(home), paths)
    assert card["epochs"]["trained"] == 2 and list(card["epochs"]["folds"].values()) == [1, 3, 2, 3, 1]
    assert card["data"]["utterances"] == 40 and sum(card["data"]["per_class"].values()) == 40
    metrics = read_json(paths.run("foal", 1) / "metrics.json")
    assert card["out_of_fold"]["ua"] == metrics["pooled"]["ua"] and card["out_of_fold"]["utterances"] == 40
    text = (paths.final / "card.md").read_text()
    assert "scored on nothing" in text and "Licence:" in text and "Not to be used for" in text
    assert f"| UA | {100 * metrics['pooled']['ua']:.1f} |" in text
    weights, sealed = read_model(paths.final)
    assert sealed.classes == CLASSES and sealed.card == card and card_md(sealed.card) == text
    assert sealed.shards == params_of().shards and sealed.tools == TOOLS
    assert sealed.train == params_of().train.of("foal")
    assert {"manifest", "shards", "code", "params", "final"} <= set(sealed.digests) and weights
    assert str(home) not in text + (paths.final / "card.json").read_text()


def test_a_half_between_two_epochs_is_rounded_up(home: Path) -> None:
    paths = Paths("drawn", home)
    metrics = read_json(paths.run("foal", 1) / "metrics.json")
    file = paths.model("foal", 1) / "train.json"
    train = read_json(file)
    for facts in (train, metrics):
        del facts["folds"]["Session5"]
    for name, epoch in zip(sorted(train["folds"]), (1, 2, 1, 2), strict=True):
        train["folds"][name]["chosen_epoch"] = epoch
    publish_sealed(file, train)
    publish_sealed(paths.run("foal", 1) / "metrics.json", metrics)
    assert final_run(params_of(), settings(home), paths)["epochs"]["trained"] == 2


@pytest.mark.long
def test_interrupted_it_resumes_to_the_same_bytes(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = Paths("drawn", home)
    train = read_json(paths.model("foal", 1) / "train.json")
    for fold in train["folds"].values():
        fold["chosen_epoch"] = 3
    publish_sealed(paths.model("foal", 1) / "train.json", train)
    final_run(params_of(), settings(home, work=home / "whole"), paths)
    whole = files(home)
    shutil.rmtree(paths.final)
    real, begun = train_module.train_epoch, []

    def stops_in_the_second(*args: Any) -> Any:
        begun.append(args[-2].epochs)
        if len(begun) == 2:
            args[-1].stop.request()
        return real(*args)

    monkeypatch.setattr(train_module, "train_epoch", stops_in_the_second)
    with pytest.raises(Interrupted, match="1 epochs of it are kept"):
        final_run(params_of(), settings(home), paths)
    assert not paths.final.exists()
    final_run(params_of(), settings(home), paths)
    assert begun == [0, 1, 1, 2], "the first epoch is not trained again"
    assert files(home) == whole


@red_when("stages/final/model.py", "the files are published one by one")
def test_t4_a_model_that_the_disk_does_not_take_leaves_the_earlier_one_with_its_card(home: Path) -> None:
    folder = Paths("drawn", home).final
    final_run(params_of(), settings(home), Paths("drawn", home))
    after = files(home)
    for name in after:
        (folder / name).write_bytes(b"old " + name.encode())
    before = files(home)
    room = sum(map(len, after.values())) - 1
    with FullDisk(folder, room).mounted(), pytest.raises(MachineError, match="0 bytes are free"):
        final_run(params_of(), settings(home), Paths("drawn", home))
    assert files(home) == before
    final_run(params_of(), settings(home), Paths("drawn", home))
    assert files(home) == after


def test_no_label_is_held_back_and_every_one_matters(home: Path) -> None:
    """Another label of any single utterance gives another model: training uses all of them."""
    paths = Paths("drawn", home)
    final_run(params_of(), settings(home), paths)
    before = read_model(paths.final)[0]
    rows = [json.loads(line) for line in paths.manifest.read_text().splitlines()]
    for place in (0, len(rows) - 1):
        changed = [dict(row) for row in rows]
        changed[place]["label"] = next(name for name in CLASSES if name != rows[place]["label"])
        paths.manifest.write_text("".join(json.dumps(row, sort_keys=True) + "\n" for row in changed))
        vouch(paths.manifest)
        final_run(params_of(), settings(home), paths)
        after = read_model(paths.final)[0]
        assert any(not torch.equal(before[name], after[name]) for name in before), rows[place]["key"]


@pytest.mark.parametrize(
    ("variant", "seed", "named"), [("mem", 1, "final.variant is mem"), ("foal", 7, "final.seed is 7")]
)
def test_a_run_that_is_none_of_the_corpus_ends_with_2(home: Path, variant: str, seed: int, named: str) -> None:
    with pytest.raises(UsageError, match=named) as caught:
        final_run(params_of(variant, seed), settings(home), Paths("drawn", home))
    assert "corpora.drawn.final" in str(caught.value.action)


def test_a_run_of_other_params_or_classes_ends_with_3(home: Path) -> None:
    with pytest.raises(DataError, match="its params differ") as caught:
        final_run(params_of(lr=0.01), settings(home), Paths("drawn", home))
    assert "dvc repro final@drawn" in str(caught.value.action)
    file = Paths("drawn", home).run("foal", 1) / "metrics.json"
    publish_sealed(file, read_json(file) | {"classes": ["happy", "sad"]})
    with pytest.raises(DataError, match="its classes differ"):
        final_run(params_of(), settings(home), Paths("drawn", home))


def test_t15_a_sealed_model_is_whole_or_refused_by_name(home: Path) -> None:
    paths = Paths("drawn", home)
    final_run(params_of(), settings(home), paths)
    file = paths.final / FILE
    data = file.read_bytes()
    assert read_model(file)[1] == read_model(paths.final)[1]
    for size in (0, 7, 100, len(data) // 2, len(data) - 1):
        file.write_bytes(data[:size])
        with pytest.raises(DataError, match="damaged") as caught:
            read_model(paths.final)
        assert caught.value.file == str(file) and "final@CORPUS" in str(caught.value.action)
    for place in range(8, len(data), max(1, len(data) // 97)):
        changed = bytearray(data)
        changed[place] ^= 0x20
        file.write_bytes(changed)
        with pytest.raises(DataError):
            read_model(paths.final)
    altered = data.replace(b'\\"happy\\"', b'\\"hippo\\"')
    assert altered != data
    file.write_bytes(altered)
    with pytest.raises(DataError, match="altered"):
        read_model(paths.final)


def test_what_is_no_sealed_model_is_refused_and_named(home: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such checkpoint") as caught:
        read_model(tmp_path / "nowhere")
    assert "nowhere" in str(caught.value.file)
    fold = Paths("drawn", home).model("foal", 1) / "fold-Session1.safetensors"
    with pytest.raises(DataError, match="not a sealed model"):
        read_model(fold)


def test_a_model_of_another_version_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from foalnet.artifact.checkpoint import load_checkpoint, save_checkpoint

    paths = Paths("drawn", home)
    final_run(params_of(), settings(home), paths)
    weights, facts = load_checkpoint(paths.final / FILE)
    save_checkpoint(paths.final / FILE, weights, facts | {"train": facts["train"] | {"spline": 3}})
    with pytest.raises(DataError, match=r"another version of foalnet: train\.spline"):
        read_model(paths.final)
    save_checkpoint(paths.final / FILE, weights, facts | {"schema": 2})
    with pytest.raises(DataError, match="schema 2"):
        read_model(paths.final)


def test_the_rate_keeps_the_folds_schedule(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two epochs of a schedule made for three: not one squeezed into two."""
    rates = []
    real = run_module.train_final
    monkeypatch.setattr(
        run_module, "train_final", lambda *args, **named: rates.append(real(*args, **named)) or rates[-1]
    )
    paths = Paths("drawn", home)
    train = read_json(paths.model("foal", 1) / "train.json")
    for fold in train["folds"].values():
        fold["chosen_epoch"] = 2
    publish_sealed(paths.model("foal", 1) / "train.json", train)
    final_run(params_of(), settings(home), paths)
    lasts = [row["lr"] for row in rates[0].rows]
    assert len(lasts) == 2 and lasts[-1] > 0.3 * params_of().train.lr, "a finished schedule would end at a tenth"
