"""One training on several processes: each takes its share of every batch, and gradients are summed between them.

Started by `torchrun`, or by `foalnet train` itself (setting `train_processes`, foalnet/cli/launch.py). Every process
holds the same weights, takes the same decisions and reads the same states; the first alone writes and speaks. Without
such a start every function here is that of one process alone.

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
from foalnet.nets.gather import rank
from foalnet.nets.gather import ranks as count
from foalnet.nets.losses import Loss

STAGE = "train"
NEEDED = ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
# Where MASTER_ADDR begins so, processes meet in that file (foalnet.cli.launch); else at MASTER_PORT of that address.
MEET = "file://"
# What a loss is made of; a part that the variant has not is None on every process alike.
MEANS = ("total", "cross_entropy", "avel", "mem")
COUNTS = ("pairs_without_negative", "pairs_without_video")


def started() -> bool:
    """Tell whether this process was started as one of several (the environment says so)."""
    return _number("WORLD_SIZE", 1) > 1


def processes(settings: Settings) -> int:
    """Return how many processes train together: as this one was started, else as the settings ask."""
    return _number("WORLD_SIZE", settings.train_processes)


def is_first() -> bool:
    """Tell whether this process is the one that writes and speaks, before or after they have met."""
    return not started() or _number("RANK", 0) == 0


def local_rank() -> int:
    """Return this process' number on its machine, from 0."""
    return _number("LOCAL_RANK", 0) if started() else 0


def _number(name: str, default: int) -> int:
    try:
        return int(os.environ.get(name) or default)
    except ValueError as error:
        raise UsageError(
            f"the environment says {name}={os.environ[name]}", stage=STAGE, action="unset it, or start with torchrun"
        ) from error


@contextmanager
def together(device: torch.device) -> Iterator[None]:
    """Meet the other processes for the time of the block, where there are any.

    UsageError (exit 2) where the environment says that there are, and not where; MachineError (exit 4) where another
    one ended before its time.
    """
    if not started():
        yield
        return
    missing = [name for name in NEEDED if name not in os.environ]
    if missing:
        raise UsageError(
            f"WORLD_SIZE is {os.environ['WORLD_SIZE']}, and {', '.join(missing)} are not set",
            stage=STAGE,
            action="unset WORLD_SIZE, or start with torchrun (docs/operating.md)",
        )
    die_with_parent()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    try:
        # Numbers to agree on travel by gloo, gradients on GPUs by nccl.
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
        # All end by it at the same step; the first says it.
        if rank():
            sys.exit(error.exit_code)
        raise
    except RuntimeError as error:
        if not isinstance(error, dist.DistError) and "gloo" not in str(error):
            raise
        raise MachineError(
            "another process of this training ended before its time",
            stage=STAGE,
            action="see what it said, then run the same command again: it goes on where it stopped",
        ) from error


def share(keys: Sequence[str]) -> list[str]:
    """Return this process' part of a batch: neighbours, at most one more than another process has.

    A batch of fewer keys than processes is everybody's: its cross-entropy and MEM stay what they are; in AVEL every row
    meets itself once a process, which adds ln(processes) to the loss and, with `positives: sum`, scales its gradient.
    """
    if len(keys) < count():
        return list(keys)
    edges = [len(keys) * place // count() for place in (rank(), rank() + 1)]
    return list(keys[edges[0] : edges[1]])


def any_of(*flags: bool) -> tuple[bool, ...]:
    """Return for each flag whether any process has it up: all take the same decision at the same step."""
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
    """Give every process the first one's weights and buffers; MachineError (exit 4) where their `numbers` differ."""
    if count() == 1:
        return
    low, high = torch.tensor(numbers), torch.tensor(numbers)
    dist.all_reduce(low, dist.ReduceOp.MIN)
    dist.all_reduce(high, dist.ReduceOp.MAX)
    if not torch.equal(low, high):
        raise MachineError(
            f"the processes found different states: {low.tolist()} to {high.tolist()} epochs and steps",
            stage=STAGE,
            action="give all of them the same work folder (setting `work`)",
        )
    for tensor in net.state_dict().values():
        dist.broadcast(tensor, 0)


def merged(found: Mapping[str, Tensor], keys: Sequence[str]) -> Tensor:
    """Return the rows of `keys`, each of which one process has found; all processes have them then."""
    if count() == 1:
        return torch.stack([found[key] for key in keys])
    width = torch.tensor(max((len(row) for row in found.values()), default=0))
    dist.all_reduce(width, dist.ReduceOp.MAX)
    rows = torch.zeros(len(keys), int(width))
    for place, key in enumerate(keys):
        if key in found:
            rows[place] = found[key]
    return summed(rows)


def gathered(streams: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return every process' tensors, named `name/rank`; they have one shape everywhere."""
    if count() == 1:
        return {f"{name}/0": each for name, each in streams.items()}
    found: dict[str, Tensor] = {}
    for name in sorted(streams):
        each = [torch.zeros_like(streams[name]) for _ in range(count())]
        dist.all_gather(each, streams[name])
        found |= {f"{name}/{place}": tensor for place, tensor in enumerate(each)}
    return found


def own(streams: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return this process' tensors of what `gathered` gave."""
    return {name.partition("/")[0]: each for name, each in streams.items() if name.endswith(f"/{rank()}")}


def reducer(net: nn.Module, rows: int) -> Callable[[Loss], Loss] | None:
    """Return what makes one step of the steps of all processes, for a batch of `rows`; None for one process alone."""
    if count() == 1:
        return None
    return partial(reduced, net, copies=count() if rows < count() else 1)


@torch.no_grad()
def reduced(net: nn.Module, loss: Loss, *, copies: int) -> Loss:
    """Give every process the mean of all gradients, by one all-reduce; return the loss of the whole batch.

    The objective's shares are such that this mean is the whole batch's gradient. `copies`: how many processes computed
    each row. A parameter that had a gradient nowhere keeps none, and the optimiser passes it over as in one process.
    """
    learning = [p for p in net.parameters() if p.requires_grad]
    numbers: list[Any] = [getattr(loss, name) for name in MEANS + COUNTS]
    device = learning[0].device
    parts = [torch.as_tensor(0.0 if n is None else n, device=device).detach().float().reshape(1) for n in numbers]
    used = torch.tensor([float(p.grad is not None) for p in learning], device=device)
    grads = [(torch.zeros_like(p) if p.grad is None else p.grad).float().reshape(-1) for p in learning]
    flat_P = summed(torch.cat([*grads, *parts, used]))
    place = 0
    for p, somewhere in zip(learning, flat_P[-len(used) :].tolist(), strict=True):
        if somewhere:
            p.grad = (flat_P[place : place + p.numel()] / count()).view_as(p).to(p.dtype)
        place += p.numel()
    whole = flat_P[place : place + len(parts)]
    mean = dict(zip(MEANS, whole / count(), strict=False))
    counts = {name: round(float(n) / copies) for name, n in zip(COUNTS, whole[len(MEANS) :], strict=True)}
    return Loss(
        total=mean["total"],
        cross_entropy=mean["cross_entropy"],
        avel=None if loss.avel is None else mean["avel"],
        mem=None if loss.mem is None else mean["mem"],
        **counts,
    )
