"""dvc.yaml: params are spelled, inventory alone always runs (test_snapshots compares the code of each stage)."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from foalnet.config import Params
from foalnet.config.base import Frozen
from foalnet.config.variants import VARIANTS, Variant
from foalnet.methods import METHODS
from tests.structure import REPOSITORY

STAGES = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())["stages"]


def unspelled(model: type[Frozen], given: dict[str, Any], path: str) -> list[str]:
    """Return the keys of a block that params.yaml leaves to a default in the code."""
    missing = []
    for name, field in model.model_fields.items():
        inner = field.annotation
        if name not in given:
            missing.append(f"{path}.{name}")
        elif isinstance(inner, type) and issubclass(inner, Frozen):
            missing += unspelled(inner, given[name], f"{path}.{name}")
    return missing


@pytest.mark.parametrize("block", ["draw", "shards", "features", "train", "evaluate", "report", "gate", "tune"])
def test_params_yaml_spells_every_value(block: str) -> None:
    given = yaml.safe_load((REPOSITORY / "params.yaml").read_text())[block]
    missing = unspelled(Params.model_fields[block].annotation, given, block)
    # In params.yaml these two are blocks of their own.
    assert [path for path in missing if path not in ("train.methods", "train.variants")] == []


@pytest.mark.parametrize("name", METHODS)
def test_params_yaml_spells_every_value_of_a_method(name: str) -> None:
    given = yaml.safe_load((REPOSITORY / "params.yaml").read_text())["methods"][name]
    assert unspelled(METHODS[name].config_type, given, name) == []


def test_params_yaml_defines_every_variant() -> None:
    given = yaml.safe_load((REPOSITORY / "params.yaml").read_text())["variants"]
    assert {name: Variant.model_validate(each) for name, each in given.items()} == VARIANTS
    assert list(given) == list(VARIANTS)


def test_a_method_has_the_name_of_its_file() -> None:
    assert {name: method.__module__ for name, method in METHODS.items()} == {n: f"foalnet.methods.{n}" for n in METHODS}


def test_inventory_alone_is_always_run_and_keeps_its_record() -> None:
    always = [name for name, stage in STAGES.items() if stage.get("do", stage).get("always_changed")]
    assert always == ["inventory"]
    assert STAGES["inventory"]["do"]["outs"] == [{"data/${key}/inventory.json": {"persist": True}}]


@pytest.mark.parametrize("stage", ["train", "evaluate", "report"])
def test_the_order_of_classes_is_a_param_of_every_stage_that_counts_them(stage: str) -> None:
    assert any(param.endswith(".manifest.classes") for param in STAGES[stage]["do"]["params"])
