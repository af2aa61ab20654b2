"""The sealed model: one that was sealed before methods had params of their own is read and gives the same network."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from foalnet.artifact.checkpoint import load_checkpoint, put_net, save_checkpoint
from foalnet.artifact.model import FILE, read_model
from foalnet.methods import build_net, config_of
from foalnet.nets import InputShape
from tests.support.models import sealed_model

# What `train` held of the fusion and of the losses, and the losses' own params.
OBJECTIVE = ("alpha", "beta", "max_scale", "temperature", "positives", "gather_grad", "no_negative", "matched_pass")


@pytest.mark.parametrize("variant", ["foal", "baseline", "video_only"])
def test_a_model_sealed_with_blocks_fusion_and_objective_is_read_as_the_same(variant: str, tmp_path: Path) -> None:
    weights, today = read_model(sealed_model(tmp_path / "today", variant))
    _, facts = load_checkpoint(tmp_path / "today" / FILE)
    values = config_of("foal", today.train).model_dump()
    train = {name: value for name, value in facts["train"].items() if name not in ("methods", "variants")}
    train["objective"] = {name: values.pop(name) for name in OBJECTIVE}
    train["fusion"] = {"kind": "cross_attention", **values}
    save_checkpoint(tmp_path / "before" / FILE, weights, facts | {"train": train})
    _, before = read_model(tmp_path / "before")
    assert config_of(variant, before.train) == config_of(variant, today.train)
    assert before.train.variant(variant) == today.train.variant(variant)
    shape = InputShape(rate_hz=before.rate_hz, frame=before.frame)
    net = build_net(variant, before.train, classes=before.classes, shape=shape)
    put_net(net, weights, file=tmp_path / "before" / FILE)
    assert all(torch.equal(value, weights[name]) for name, value in net.state_dict().items())
