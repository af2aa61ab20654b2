"""The concordance loss: values by hand, missing targets, gradients, two processes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from foalnet.nets.losses.ccc import ccc_loss

NAN = float("nan")
# Each process has its rows, the first of them `split`; both print the loss and their gradient.
PROCESS = """
import json, sys
import torch, torch.distributed as dist
from foalnet.nets.losses.ccc import ccc_loss
folder, rank, split, rows = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), json.loads(sys.argv[4])
torch.set_num_threads(1)
dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
own = slice(0, split) if rank == 0 else slice(split, None)
x_KE, y_KE = (torch.tensor(each, dtype=torch.float64)[own] for each in rows)
loss_E = ccc_loss(x_KE.requires_grad_(), y_KE)
loss_E.sum().backward()
print(json.dumps([loss_E.tolist(), x_KE.grad.tolist()]))
dist.destroy_process_group()
"""


def column(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)[:, None]


def test_values_by_hand() -> None:
    # Means 2 and 3, variances 2/3 and 2, covariance 1: CCC = 2 / (8/3 + 1) = 6/11.
    torch.testing.assert_close(ccc_loss(column(1, 2, 3), column(2, 2, 5)), column(5 / 11)[0])
    torch.testing.assert_close(ccc_loss(column(1, 2, 3), column(1, 2, 3)), column(0)[0])
    torch.testing.assert_close(ccc_loss(column(-1, 1), column(1, -1)), column(2)[0])


def test_each_dimension_has_the_rows_that_have_its_target() -> None:
    x_KE = torch.cat([column(1, 7, 2, 3), column(1, 2, 3, 4)], dim=1)
    y_KE = torch.cat([column(2, NAN, 2, 5), column(NAN, NAN, NAN, NAN)], dim=1).float()
    x_KE.requires_grad_()
    loss_E = ccc_loss(x_KE, y_KE)
    torch.testing.assert_close(loss_E, torch.tensor([5 / 11, 0.0]))
    loss_E.sum().backward()
    assert x_KE.grad is not None
    assert bool(x_KE.grad.isfinite().all()) and not bool(x_KE.grad[1, 0]) and not bool(x_KE.grad[:, 1].any())


@pytest.mark.parametrize("same", [0.0, 0.5])
def test_a_constant_prediction_and_one_row_are_finite(same: float) -> None:
    for target_KE in (column(0.5, 0.5), column(0.5), column(0.5)[:0]):
        x_KE = torch.full_like(target_KE, same, requires_grad=True)
        loss_E = ccc_loss(x_KE, target_KE)
        loss_E.sum().backward()
        assert loss_E.tolist() == [1.0 if len(target_KE) else 0.0]
        assert x_KE.grad is not None and bool(x_KE.grad.isfinite().all())


def test_gradients() -> None:
    generator = torch.Generator().manual_seed(0)
    x_KE, y_KE = (torch.randn(5, 2, dtype=torch.float64, generator=generator) for _ in range(2))
    y_KE[1, 0] = NAN
    assert torch.autograd.gradcheck(lambda x: ccc_loss(x, y_KE), [x_KE.requires_grad_()])


@pytest.mark.long
def test_two_processes_are_one_with_all_rows(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(1)
    x_KE, y_KE = (torch.randn(5, 2, dtype=torch.float64, generator=generator) for _ in range(2))
    y_KE[0, 1] = NAN
    rows = json.dumps([x_KE.tolist(), y_KE.tolist()])
    staff = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, str(tmp_path), str(rank), "2", rows], stdout=subprocess.PIPE, text=True
        )
        for rank in range(2)
    ]
    (first, own), (second, other) = (json.loads(each.communicate(timeout=300)[0]) for each in staff)
    loss_E = ccc_loss(x_KE.requires_grad_(), y_KE)
    loss_E.sum().backward()
    assert first == second == pytest.approx(loss_E.tolist(), abs=1e-12)
    # Training averages the gradients of the processes.
    assert x_KE.grad is not None
    torch.testing.assert_close(torch.tensor(own + other, dtype=torch.float64) / 2, x_KE.grad)
