"""dvc.yaml: params are spelled, inventory alone always runs (test_snapshots compares the code of each stage)."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from foalnet.config import blocks
from foalnet.config.base import Frozen
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
    assert unspelled(getattr(blocks, block.capitalize()), given, block) == []


def test_inventory_alone_is_always_run_and_keeps_its_record() -> None:
    always = [name for name, stage in STAGES.items() if stage.get("do", stage).get("always_changed")]
    assert always == ["inventory"]
    assert STAGES["inventory"]["do"]["outs"] == [{"data/${key}/inventory.json": {"persist": True}}]


@pytest.mark.parametrize("stage", ["train", "evaluate", "report"])
def test_the_order_of_classes_is_a_param_of_every_stage_that_counts_them(stage: str) -> None:
    assert any(param.endswith(".manifest.classes") for param in STAGES[stage]["do"]["params"])
