"""Training on several processes: each takes its share of every batch, and their gradients are summed.

`torchrun` starts them, or `foalnet train` itself (setting `train_processes`, foalnet/cli/launch.py). Every process has
the same weights, takes the same decisions and reads the same checkpoints; only the first one writes and prints. In a
training with one process, every function here does what one process needs.

Shape letters: N utterances, P numbers of all gradients.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from foalnet.config import Settings
from foalnet.core.errors import DataError, Interrupted, MachineError, UsageError
from foalnet.core.processes import die_with_parent
from foalnet.methods import Loss
from foalnet.nets.gather import rank
from foalnet.nets.gather import ranks as count

NEEDED = ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
# If MASTER_ADDR begins so, processes meet in that file (foalnet.cli.launch); else at MASTER_PORT of that address.
MEET = "file://"


def started() -> bool:
    """Tell whether the environment says that this process is one of several."""
    return _number("WORLD_SIZE", 1) > 1


def processes(settings: Settings) -> int:
    """Return the number of processes that train together, from the environment, else from the settings."""
    return _number("WORLD_SIZE", settings.train_processes)


def is_first() -> bool:
    """Tell whether this process is the one that writes and prints, before or after `together`."""
    return not started() or _number("RANK", 0) == 0


def local_rank() -> int:
    """Return this process' number on its machine, from 0."""
    return _number("LOCAL_RANK", 0) if started() else 0


def _number(name: str, default: int) -> int:
    try:
        return int(os.environ.get(name) or default)
    except ValueError as error:
        raise UsageError(
            f"the environment says {name}={os.environ[name]}", action="unset it, or start with torchrun"
        ) from error


@contextmanager
def together(device: torch.device) -> Iterator[None]:
    """Connect to the other processes, if there are any, inside the block.

    UsageError (exit 2) if the environment names other processes but no address; MachineError (exit 4) if another
    process ended early.
    """
    if not started():
        yield
        return
    missing = [name for name in NEEDED if name not in os.environ]
    if missing:
        raise UsageError(
            f"WORLD_SIZE is {os.environ['WORLD_SIZE']}, and {', '.join(missing)} are not set",
            action="unset WORLD_SIZE, or start with torchrun (docs/operating.md)",
        )
    die_with_parent()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    try:
        # gloo transfers the numbers to agree on, nccl the gradients on GPUs.
        backend, where = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo", os.environ["MASTER_ADDR"]
        if where.startswith(MEET):
            own, all_of_them = _number("RANK", 0), _number("WORLD_SIZE", 1)
            dist.init_process_group(backend, init_method=where, rank=own, world_size=all_of_them)
        else:
            dist.init_process_group(backend)
        if rank():
            logging.getLogger("foalnet").setLevel(logging.ERROR)
        yield
        dist.destroy_process_group()
    except (Interrupted, DataError, UsageError) as error:
        # All processes end with this error at the same step; only the first prints it.
        if rank():
            sys.exit(error.exit_code)
        raise
    except RuntimeError as error:
        if not isinstance(error, dist.DistError) and "gloo" not in str(error):
            raise
        raise MachineError(
            "another process of this training ended early",
            action="see its messages, then run the same command again: it resumes where it stopped",
        ) from error


def share(keys: Sequence[str]) -> list[str]:
    """Return this process' part of a batch: consecutive keys, at most one more than another process has.

    If a batch has fewer keys than there are processes, every process gets the whole batch. Its cross-entropy and MEM
    are unchanged; in AVEL every row is compared with one copy per process, which adds ln(processes) to the loss and,
    with `positives: sum`, scales its gradient.
    """
    if len(keys) < count():
        return list(keys)
    edges = [len(keys) * place // count() for place in (rank(), rank() + 1)]
    return list(keys[edges[0] : edges[1]])


def any_of(*flags: bool) -> tuple[bool, ...]:
    """Return for each flag whether any process has set it, so that all take the same decision at the same step."""
    if count() == 1:
        return flags
    up = torch.tensor(flags, dtype=torch.int32)
    dist.all_reduce(up, dist.ReduceOp.MAX)
    return tuple(bool(each) for each in up)


def summed(tensor: Tensor) -> Tensor:
    """Return the sum of a tensor over all processes."""
    if count() > 1:
        dist.all_reduce(tensor)
    return tensor


def same_start(net: nn.Module, *numbers: int) -> None:
    """Give every process the first one's weights and buffers; MachineError (exit 4) if their `numbers` differ."""
    if count() == 1:
        return
    low, high = torch.tensor(numbers), torch.tensor(numbers)
    dist.all_reduce(low, dist.ReduceOp.MIN)
    dist.all_reduce(high, dist.ReduceOp.MAX)
    if not torch.equal(low, high):
        raise MachineError(
            f"the processes have different checkpoints: {low.tolist()} to {high.tolist()} epochs and steps",
            action="give all of them the same work folder (setting `work`)",
        )
    for tensor in net.state_dict().values():
        dist.broadcast(tensor, 0)


def merged(own_rows: Mapping[str, Tensor], keys: Sequence[str]) -> Tensor:
    """Return the rows of `keys`, each computed by one process, to all processes."""
    if count() == 1:
        return torch.stack([own_rows[key] for key in keys])
    width = torch.tensor(max((len(row) for row in own_rows.values()), default=0))
    dist.all_reduce(width, dist.ReduceOp.MAX)
    rows = torch.zeros(len(keys), int(width))
    for place, key in enumerate(keys):
        if key in own_rows:
            rows[place] = own_rows[key]
    return summed(rows)


def gathered(streams: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return every process' tensors, named `name/rank`; their shapes must be the same on all processes."""
    if count() == 1:
        return {f"{name}/0": each for name, each in streams.items()}
    by_rank: dict[str, Tensor] = {}
    for name in sorted(streams):
        each = [torch.zeros_like(streams[name]) for _ in range(count())]
        dist.all_gather(each, streams[name])
        by_rank |= {f"{name}/{place}": tensor for place, tensor in enumerate(each)}
    return by_rank


def own(streams: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return this process' tensors from the result of `gathered`."""
    return {name.partition("/")[0]: each for name, each in streams.items() if name.endswith(f"/{rank()}")}


def reducer(net: nn.Module, rows: int) -> Callable[[Loss], Loss] | None:
    """Return the function that averages the gradients of all processes, for a batch of `rows`; None for one process."""
    if count() == 1:
        return None
    return partial(reduced, net, copies=count() if rows < count() else 1)


@torch.no_grad()
def reduced(net: nn.Module, loss: Loss, *, copies: int) -> Loss:
    """Give every process the mean of all gradients, by one all-reduce; return the loss of the whole batch.

    The objective's shares are such that this mean is the whole batch's gradient. `copies`: how many processes computed
    each row. A parameter without a gradient on all processes keeps none, and the optimiser skips it, as in one process.
    """
    learning = [p for p in net.parameters() if p.requires_grad]
    device = learning[0].device
    # Every process has the same parts and counts in the same order: they follow from the variant.
    numbers: list[Any] = [loss.total, *loss.parts.values(), *loss.counts.values()]
    parts = [torch.as_tensor(n, device=device).detach().float().reshape(1) for n in numbers]
    used = torch.tensor([float(p.grad is not None) for p in learning], device=device)
    grads = [(torch.zeros_like(p) if p.grad is None else p.grad).float().reshape(-1) for p in learning]
    flat_P = summed(torch.cat([*grads, *parts, used]))
    place = 0
    for p, somewhere in zip(learning, flat_P[-len(used) :].tolist(), strict=True):
        if somewhere:
            p.grad = (flat_P[place : place + p.numel()] / count()).view_as(p).to(p.dtype)
        place += p.numel()
    whole = flat_P[place : place + len(parts)]
    means, counts = (whole / count())[: 1 + len(loss.parts)], whole[1 + len(loss.parts) :]
    return Loss(
        total=means[0],
        parts=dict(zip(loss.parts, means[1:], strict=True)),
        counts={name: round(float(n) / copies) for name, n in zip(loss.counts, counts, strict=True)},
    )
