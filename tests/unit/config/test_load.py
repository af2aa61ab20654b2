"""Params: errors name the nearest valid key; settings come from file and environment; runs match their entries."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import yaml

from foalnet.cli.entries import check_runs, sync
from foalnet.cli.new_entry import parse_classes
from foalnet.config import load_params, load_settings
from foalnet.config.load import merge, read_file
from foalnet.core.errors import UsageError


def edited(repository: Path, folder: Path, **changes: object) -> Path:
    data = yaml.safe_load((repository / "params.yaml").read_text())
    data["corpora"]["drawn"]["train"] = {}
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


def test_variants_changed_by_hand_differ_from_runs_until_synced(repository: Path, tmp_path: Path) -> None:
    path = edited(repository, tmp_path, corpora={"drawn": {"variants": ["audio_only", "mem"]}})
    with pytest.raises(UsageError, match="drawn-mem-s1"):
        check_runs(path)
    stale = tmp_path / "reports" / "drawn" / "runs" / "foal-s1"
    stale.mkdir(parents=True)
    assert any(line.startswith("removed") and "foal-s1" in line for line in list(sync(path)))
    assert not stale.exists()
    check_runs(path)


def test_a_final_that_is_no_run_is_named_and_synced(repository: Path, tmp_path: Path) -> None:
    entry = {"final": {"variant": "mem", "seed": 1}, "train": {"encoders": "single"}}
    path = edited(repository, tmp_path, corpora={"drawn": entry})
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
    with pytest.raises(UsageError, match="FOALNET_WORKERS: Input should be a valid integer"):
        load_settings()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("-1: /data", "the key -1 is not a string"),
        ("2026-11-21: x", "the key .* is not a string"),
        ("on: x", "on .*: unknown key"),
    ],
)
def test_a_setting_with_a_name_that_is_no_text_is_refused(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "settings.yaml").write_text(f"workers: 2\n{text}\n")
    with pytest.raises(UsageError, match=says) as caught:
        load_settings(tmp_path)
    assert str(caught.value.file).endswith("settings.yaml")


def test_classes_are_looked_up_or_spelled() -> None:
    presets = {"happy": ["hap", "exc"], "sad": ["sad"], "fear": ["fea"]}
    assert parse_classes("sad,happy", presets, []) == {"sad": ["sad"], "happy": ["hap", "exc"]}
    assert parse_classes("happy=hap,sad", presets, []) == {"happy": ["hap"], "sad": ["sad"]}
    assert list(parse_classes("all", presets, [])) == list(presets)
    for wrong in ("joy,sad", "sad,sad", "sad"):
        with pytest.raises(UsageError):
            parse_classes(wrong, presets, [])


ALL = ["loso_dev_session", "loso_fixed_epochs", "paper_best_on_test"]


@pytest.mark.parametrize("protocols", [ALL, ALL[:2], [ALL[2], ALL[0]]])
def test_either_protocol_beside_the_headlines_calls_for_one_more_run(
    repository: Path, tmp_path: Path, protocols: list[str]
) -> None:
    path = edited(
        repository, tmp_path, corpora={"drawn": {"protocols": protocols, "variants": ["foal"], "seeds": [1, 2]}}
    )
    with pytest.raises(UsageError, match="drawn-foal-s1-four"):
        check_runs(path)
    list(sync(path))
    check_runs(path)
    runs = yaml.safe_load(path.read_text())["runs"]
    assert list(runs) == ["drawn-foal-s1", "drawn-foal-s1-four", "drawn-foal-s2", "drawn-foal-s2-four"]
    four = {"corpus": "drawn", "variant": "foal", "method": "foal", "seed": 1, "split": "four", "name": "foal-s1-four"}
    four |= {"audio": "data/drawn/shards/index.json", "video": "data/drawn/features/index.json"}
    four |= {"text": "data/drawn/features/text/index.json"}
    assert runs["drawn-foal-s1-four"] == four
    assert load_params("drawn", path).protocols == protocols
    stale = [tmp_path / "reports" / "drawn" / "runs" / name for name in ("foal-s1", "foal-s1-four")]
    for folder in stale:
        folder.mkdir(parents=True)
    path = edited(repository, tmp_path, corpora={"drawn": {"protocols": ALL[:1]}})
    list(sync(path))
    assert [folder.exists() for folder in stale] == [True, False], "no entry has the second run any more"


@pytest.mark.parametrize("wrong", [[], ["paper_best_on_test"], ["loso_dev_session", "loso_dev_session"]])
def test_the_headlines_protocol_is_always_among_them_and_each_stands_once(
    repository: Path, tmp_path: Path, wrong: list[str]
) -> None:
    path = edited(repository, tmp_path, corpora={"drawn": {"protocols": wrong}})
    with pytest.raises(UsageError, match="loso_dev_session is required") as caught:
        load_params("drawn", path)
    assert "docs/protocols.md" in str(caught.value)


def test_an_entry_without_its_protocols_is_reported_and_completed(repository: Path, tmp_path: Path) -> None:
    """dvc.yaml names them as a param of every corpus: DVC would stop at the report, hours later."""
    path = edited(repository, tmp_path)
    data = yaml.safe_load(path.read_text())
    del data["corpora"]["drawn"]["protocols"]
    path.write_text(yaml.safe_dump(data, sort_keys=False))
    with pytest.raises(UsageError, match=r"drawn\.protocols"):
        check_runs(path)
    list(sync(path))
    check_runs(path)
    assert yaml.safe_load(path.read_text())["corpora"]["drawn"]["protocols"] == ["loso_dev_session"]


def test_an_entry_without_a_table_of_sides_is_reported_and_completed_and_an_existing_one_stays(
    repository: Path, tmp_path: Path
) -> None:
    """dvc.yaml names it as a dependency of every corpus."""
    path = edited(repository, tmp_path)
    data = yaml.safe_load(path.read_text())
    del data["corpora"]["drawn"]["sides_table"]
    path.write_text(yaml.safe_dump(data, sort_keys=False))
    with pytest.raises(UsageError, match=r"drawn\.sides_table"):
        check_runs(path)
    list(sync(path))
    check_runs(path)
    assert load_params("drawn", path).sides_table == "data/drawn.sides.txt"
    table = tmp_path / "data" / "drawn.sides.txt"
    assert [line for line in table.read_text().splitlines() if not line.startswith("#")] == []
    table.write_text("Ses01F_impro01 Ses01F right\n")
    list(sync(path))
    assert table.read_text() == "Ses01F_impro01 Ses01F right\n"


@pytest.mark.parametrize("table", ["/srv/sides.txt", "../sides.txt"])
def test_a_table_of_sides_outside_the_project_is_refused(repository: Path, tmp_path: Path, table: str) -> None:
    path = edited(repository, tmp_path, corpora={"drawn": {"sides_table": table}})
    with pytest.raises(UsageError, match="outside the project"):
        load_params("drawn", path)


def test_half_pictures_of_a_feature_table_are_refused_by_name(repository: Path, tmp_path: Path) -> None:
    drawn = {"variants": ["foal", "foal_half"], "train": {"picture": "features"}}
    path = edited(repository, tmp_path, corpora={"drawn": drawn})
    with pytest.raises(UsageError, match="variants: foal_half: they need half pictures") as caught:
        load_params("drawn", path)
    assert "remove them from variants" in str(caught.value)
    load_params("drawn", edited(repository, tmp_path, corpora={"drawn": {"variants": ["foal", "foal_half"]}}))
    with pytest.raises(UsageError, match="audio_only_half"):
        load_params("drawn", edited(repository, tmp_path, corpora={"drawn": {"variants": ["audio_only_half"]}}))


def test_every_protocol_has_a_split() -> None:
    from foalnet.config.blocks import PROTOCOLS, SPLIT_OF, SPLITS
    from foalnet.corpora.splits import SPLITS as FOLDS

    assert list(SPLIT_OF) == list(PROTOCOLS) and list(FOLDS) == list(SPLITS)


def test_settings_of_another_folder_are_read_from_there_and_cross_process_borders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "settings.yaml").write_text("slots: 2")
    (tmp_path / "other").mkdir()
    (tmp_path / "other/settings.yaml").write_text("slots: 3")
    assert (load_settings().slots, load_settings(tmp_path / "other").slots, load_settings().slots) == (2, 3, 2)
    settings = load_settings(tmp_path / "other")
    assert pickle.loads(pickle.dumps(settings)) == settings
    (tmp_path / "other/settings.yaml").write_text("slots: none")
    with pytest.raises(UsageError, match="slots") as failure:
        load_settings(tmp_path / "other")
    assert "other/settings.yaml" in str(failure.value)


def test_an_unknown_setting_is_refused_with_the_nearest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FOALNET_ROOTS__IEMOCAP", "/data/iemocap")
    monkeypatch.setenv("FOALNET_DEBUG", "1")
    assert load_settings().roots == {"iemocap": "/data/iemocap"}
    monkeypatch.setenv("FOALNET_DEVISE", "cpu")
    with pytest.raises(UsageError, match="FOALNET_DEVISE: no such setting; did you mean 'FOALNET_DEVICE'"):
        load_settings()
    monkeypatch.delenv("FOALNET_DEVISE")
    (tmp_path / "settings.yaml").write_text("devise: cpu")
    with pytest.raises(UsageError, match=r"devise \(line 1\): unknown key; did you mean 'device'"):
        load_settings()


LAUGHS = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 9))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: &a {b: *a}", "contains itself"),
        (LAUGHS, "expands to more than 1,000,000 values"),
        ("a: 2001-99-99", "month must be in 1..12"),
        ("a: !!bool x", "'x'"),
        ("[" * 1000, "nested too deeply"),
        ('a: "\\ud800"', "surrogates not allowed"),
    ],
)
@pytest.mark.parametrize("file", ["params.yaml", "settings.yaml"])
def test_yaml_that_cannot_be_meant_is_refused_with_the_file(file: str, text: str, says: str, tmp_path: Path) -> None:
    (tmp_path / file).write_text(text)
    with pytest.raises(UsageError, match="cannot be read") as caught:
        read_file(tmp_path / file) if file == "params.yaml" else load_settings(tmp_path)
    assert says in caught.value.what and caught.value.file == str(tmp_path / file)
