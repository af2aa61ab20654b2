"""Checkpoints: damage is refused, equal content gives equal bytes, optimiser and network are restored."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from foalnet.artifact.checkpoint import (
    load_checkpoint,
    net_tensors,
    optimizer_tensors,
    part,
    prefixed,
    put_net,
    put_optimizer,
    save_checkpoint,
    to_bytes,
)
from foalnet.core.errors import DataError

TENSORS = {
    "b": torch.arange(6.0).reshape(2, 3),
    "a": torch.tensor([1, 2]),
    "scalar": torch.tensor(2.5),
    "half": torch.ones(3, dtype=torch.bfloat16),
    "flag": torch.tensor([True]),
    "none": torch.zeros(0, 4),
}
FACTS = {"z": 1, "a": ["x", None, 0.1]}


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c.safetensors", TENSORS, FACTS)
    tensors, facts = load_checkpoint(tmp_path / "c.safetensors")
    assert facts == FACTS and tensors.keys() == TENSORS.keys()
    for name, value in TENSORS.items():
        assert tensors[name].dtype == value.dtype and torch.equal(tensors[name], value)


def test_equal_content_gives_equal_bytes_whatever_the_order_or_process() -> None:
    backwards = dict(reversed(list(TENSORS.items())))
    assert to_bytes(TENSORS, FACTS) == to_bytes(backwards, dict(reversed(list(FACTS.items()))))
    code = (
        "import hashlib, torch; from foalnet.artifact.checkpoint import to_bytes; "
        "print(hashlib.sha256(to_bytes({'x': torch.ones(2), 'y': torch.zeros(3)}, {'b': 1, 'a': 2})).hexdigest())"
    )
    digest = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    here = to_bytes({"y": torch.zeros(3), "x": torch.ones(2)}, {"a": 2, "b": 1})
    assert digest == hashlib.sha256(here).hexdigest()


def test_the_bytes_are_those_of_safetensors_for_torch() -> None:
    plain = {name: value for name, value in TENSORS.items() if name != "half"}
    encoded = to_bytes(plain, FACTS)
    meta = json.loads(encoded[8 : 8 + int.from_bytes(encoded[:8], "little")])["__metadata__"]
    assert encoded == save(plain, meta)


def test_a_truncated_checkpoint_is_refused(tmp_path: Path) -> None:
    data = to_bytes(TENSORS, FACTS)
    for size in (0, 3, 8, 40, len(data) // 2, len(data) - 1):
        (tmp_path / "c").write_bytes(data[:size])
        with pytest.raises(DataError, match="damaged"):
            load_checkpoint(tmp_path / "c")


def test_no_changed_byte_goes_unseen(tmp_path: Path) -> None:
    data = to_bytes({"x": torch.ones(4)}, {"epoch": 3})
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 0x11
        (tmp_path / "c").write_bytes(bytes(changed))
        with pytest.raises(DataError):
            load_checkpoint(tmp_path / "c")


def test_an_absent_checkpoint_names_the_next_action(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such checkpoint") as caught:
        load_checkpoint(tmp_path / "nothing")
    assert caught.value.action


def small() -> tuple[torch.nn.Module, torch.optim.AdamW]:
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.LayerNorm(4))
    return net, torch.optim.AdamW(net.parameters(), lr=0.1)


def steps(net: torch.nn.Module, optim: torch.optim.AdamW, count: int) -> None:
    for i in range(count):
        optim.zero_grad()
        net(torch.full((2, 3), float(i + 1))).square().sum().backward()
        optim.step()


def test_network_and_optimiser_go_on_as_if_never_stopped() -> None:
    straight, straight_optim = small()
    steps(straight, straight_optim, 3)
    tensors = prefixed(net_tensors(straight), "net") | prefixed(optimizer_tensors(straight_optim), "optimizer")
    steps(straight, straight_optim, 2)
    again, again_optim = small()
    put_net(again, part(tensors, "net"), file=Path("x"))
    put_optimizer(again_optim, part(tensors, "optimizer"))
    steps(again, again_optim, 2)
    for a, b in zip(straight.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)


def test_copies_do_not_follow_the_network() -> None:
    net, optim = small()
    steps(net, optim, 1)
    kept, moments = net_tensors(net), optimizer_tensors(optim)
    before = {k: v.clone() for k, v in (kept | moments).items()}
    steps(net, optim, 1)
    assert all(torch.equal(v, before[k]) for k, v in (kept | moments).items())


def test_a_checkpoint_of_another_network_is_refused() -> None:
    net, _ = small()
    with pytest.raises(DataError, match="another network"):
        put_net(torch.nn.Linear(3, 4), net_tensors(net), file=Path("x"))
