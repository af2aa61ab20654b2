"""`config --explain`: every param has a meaning and the origin of its value."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from foalnet.cli.explain import Explained, explain, meaning_of, meanings
from foalnet.config.load import merge
from foalnet.config.meanings import MEANINGS, SOURCES
from tests.support.projects import verb

PARAMS = dict(meanings())


@pytest.mark.parametrize("param", PARAMS)
def test_every_param_has_a_meaning_and_a_source(param: str) -> None:
    meaning = PARAMS[param]
    assert len(meaning.says) > 8, f"describe {param}: a description of its field, or a line in config/meanings.py"
    assert not meaning.says.endswith("."), param
    assert meaning.source


def test_the_tables_name_no_param_that_is_gone() -> None:
    assert sorted(set(MEANINGS) - set(PARAMS)) == []
    blocks = {".".join(p.split(".")[:n]) for p in PARAMS for n in range(len(p.split(".")))}
    assert sorted(set(SOURCES) - blocks) == []


def test_a_unit_comes_from_the_end_of_the_name() -> None:
    assert meaning_of("shards.bridge_s", "x").unit == "s"
    assert meaning_of("shards.face_px", "x").unit == "px"
    assert meaning_of("train.lr", "x").unit == ""
    assert meaning_of("train.audio.new", "x").source == SOURCES["train.audio"]
    assert meaning_of("trainer.new", "x").source == SOURCES[""]


def by_param(rows: list[Explained]) -> dict[str, Explained]:
    return {row.param: row for row in rows}


def test_the_origins_of_values_differ(repository: Path, tmp_path: Path) -> None:
    data = yaml.safe_load((repository / "params.yaml").read_text())
    data["corpora"]["drawn"]["train"] = {"audio": {"width": 32}}
    data = merge(data, {"train": {"lr": 0.5}})
    del data["train"]["epochs"], data["draw"]["seed"]
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(data))
    rows = by_param(explain("drawn", path))
    assert list(rows) == list(PARAMS)
    assert (rows["train.audio.width"].value, rows["train.audio.width"].origin) == (
        32,
        "params.yaml, entry corpora.drawn",
    )
    assert (rows["train.lr"].value, rows["train.lr"].origin) == (0.5, "params.yaml")
    assert rows["train.audio.mels"].origin == "params.yaml"
    assert (rows["train.epochs"].value, rows["train.epochs"].origin) == (16, "default of the code")
    assert rows["draw.seed"].origin == "default of the code"
    assert rows["draw.share_both"].origin == "params.yaml"
    assert {rows[name].origin for name in ("features.encoder", "gate.max_loss_ua", "tune.trials")} == {"params.yaml"}
    assert rows["manifest.max_drop_fraction"].origin == "default of the code"


def test_the_verb_prints_the_content_of_its_json(repository: Path) -> None:
    text = verb(repository, "config", "drawn", "--explain").stdout
    rows = json.loads(verb(repository, "config", "drawn", "--explain", "--json").stdout)["drawn"]
    assert [row["param"] for row in rows] == list(PARAMS)
    for row in rows:
        assert f"{row['param']} = " in text and row["meaning"] in text
    plain = json.loads(verb(repository, "config", "--json").stdout)
    assert plain["drawn"]["train"]["epochs"] == 11
