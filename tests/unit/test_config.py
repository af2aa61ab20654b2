"""Params: unknown keys name the nearest; settings come from file and environment; runs stay in step."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from foalnet.cli.entries import check_runs, parse_classes, sync
from foalnet.config import load_params, load_settings
from foalnet.config.load import merge
from foalnet.errors import UsageError


def edited(repository: Path, folder: Path, **changes: object) -> Path:
    data = yaml.safe_load((repository / "params.yaml").read_text())
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump(merge(data, changes), sort_keys=False))
    return path


def test_committed_params_are_valid_and_in_step(repository: Path) -> None:
    check_runs(repository / "params.yaml")
    params = load_params("drawn", repository / "params.yaml")
    assert list(params.manifest.classes) == ["happy", "neutral", "sad", "angry"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train": {"epoch": 3}}, "did you mean 'epochs'"),
        ({"train": {"audio": {"widht": 3}}}, "did you mean 'width'"),
        ({"corpora": {"drawn": {"seed": [1]}}}, "did you mean 'seeds'"),
        ({"trian": {}}, "did you mean 'train'"),
        ({"shards": {"stride": 0}}, "greater than or equal to 1"),
        ({"train": {"lr": float("inf")}}, "finite"),
    ],
)
def test_a_wrong_key_or_value_is_named(
    repository: Path, tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        load_params("drawn", edited(repository, tmp_path, **changes))


def test_the_entry_overrides_the_block(repository: Path, tmp_path: Path) -> None:
    path = edited(repository, tmp_path, train={"epochs": 7, "lr": 0.5}, corpora={"drawn": {"train": {"epochs": 3}}})
    train = load_params("drawn", path).train
    assert (train.epochs, train.lr) == (3, 0.5)


def test_variants_changed_by_hand_are_told_apart_from_runs_until_synced(repository: Path, tmp_path: Path) -> None:
    path = edited(repository, tmp_path, corpora={"drawn": {"variants": ["audio_only", "mem"]}})
    with pytest.raises(UsageError, match="drawn-mem-s1"):
        check_runs(path)
    stale = tmp_path / "reports" / "drawn" / "runs" / "foal-s1"
    stale.mkdir(parents=True)
    assert any(line.startswith("removed") and "foal-s1" in line for line in list(sync(path)))
    assert not stale.exists()
    check_runs(path)


def test_a_final_that_is_no_run_is_named_and_synced(repository: Path, tmp_path: Path) -> None:
    path = edited(repository, tmp_path, corpora={"drawn": {"final": {"variant": "mem", "seed": 1}}})
    with pytest.raises(UsageError, match=r"corpora\.drawn\.final names no run"):
        check_runs(path)
    list(sync(path))
    check_runs(path)
    assert load_params("drawn", path).final.variant == "foal"
    unspelled = yaml.safe_load(path.read_text())
    del unspelled["corpora"]["drawn"]["final"]
    path.write_text(yaml.safe_dump(unspelled, sort_keys=False))
    with pytest.raises(UsageError, match=r"corpora\.drawn\.final names no run"):
        check_runs(path)


def test_settings_environment_beats_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "settings.yaml").write_text("workers: 3\nroots: {iemocap: /from/file}\n")
    assert load_settings().workers == 3
    monkeypatch.setenv("FOALNET_WORKERS", "5")
    monkeypatch.setenv("FOALNET_ROOTS__RAVDESS4", "/from/environment")
    settings = load_settings()
    assert settings.workers == 5
    assert settings.roots["ravdess4"] == "/from/environment"
    monkeypatch.setenv("FOALNET_WORKERS", "none")
    with pytest.raises(UsageError, match="workers"):
        load_settings()


def test_classes_are_looked_up_or_spelled() -> None:
    presets = {"happy": ["hap", "exc"], "sad": ["sad"], "fear": ["fea"]}
    assert parse_classes("sad,happy", presets, []) == {"sad": ["sad"], "happy": ["hap", "exc"]}
    assert parse_classes("happy=hap,sad", presets, []) == {"happy": ["hap"], "sad": ["sad"]}
    assert list(parse_classes("all", presets, [])) == list(presets)
    for wrong in ("joy,sad", "sad,sad", "sad"):
        with pytest.raises(UsageError):
            parse_classes(wrong, presets, [])
