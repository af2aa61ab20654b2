"""The progress of a fold, in memory and as a checkpoint in the work folder after every epoch.

A checkpoint contains everything on which the next epoch depends: weights, the optimiser's moments, the best weights so
far, the stored logits and the counts. Each epoch seeds its random streams from seed, fold and epoch; a checkpoint
within an epoch also contains their state. The previous checkpoint is kept until the fold is finished.
Shape letters: E epochs (of affect: valence, activation), N utterances, C classes.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from foalnet.artifact.checkpoint import (
    load_checkpoint,
    net_tensors,
    optimizer_tensors,
    part,
    prefixed,
    put_net,
    put_optimizer,
    save_checkpoint,
)
from foalnet.core.errors import DataError, MachineError, reason
from foalnet.methods import Method
from foalnet.train import ranks

logger = logging.getLogger(__name__)


@dataclass(kw_only=True)
class Midway:
    """An unfinished epoch: its steps done, of `total` (0 until it resumes), and the last learning rate.

    `saved`: how many of the steps are in a checkpoint; `losses`: by name, one per step that was not skipped; `random`:
    the state of the random streams in a loaded checkpoint.
    """

    steps: int = 0
    total: int = 0
    saved: int = 0
    lr: float = 0.0
    losses: dict[str, list[Tensor]] = field(default_factory=dict)
    random: dict[str, Tensor] = field(default_factory=dict)

    def add(self, losses: Mapping[str, Tensor]) -> None:
        """Record a step's losses by name."""
        for name, loss in losses.items():
            self.losses.setdefault(name, []).append(loss.detach())


@dataclass(kw_only=True)
class Progress:
    """The progress of one fold. `rows`: one per epoch, as in history.csv; `best`: epoch from 0, -1 before the first.

    Without a dev part `best` is the last epoch, `best_net` is empty until the end, and `dev_NC` stays empty.

    `counts`: rows left out and steps skipped; `bad_steps`: epoch, step and keys of each step with a non-finite number.
    `best_net`: weights and buffers of the best epoch; `best_affect_NE`: its predicted valence and activation of the
    test part, [0] for a method without; `own_tasks`: its answers of foalnet.train.own_tasks, of a finished fold;
    `dev_NC`, `test_NC`: logits of each epoch; `scaler`: the state of the search for fp16's gradient scale; `midway`:
    the current epoch. `owner`: a digest of the training, so that no other training resumes from its checkpoint.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    best: int = -1
    best_ua: float = -1.0
    finished: bool = False
    counts: dict[str, int] = field(default_factory=dict)
    bad_steps: list[dict[str, Any]] = field(default_factory=list)
    best_net: dict[str, Tensor] = field(default_factory=dict)
    best_affect_NE: Tensor = field(default_factory=lambda: torch.zeros(0))
    own_tasks: dict[str, Tensor] = field(default_factory=dict)
    dev_NC: list[Tensor] = field(default_factory=list)
    test_NC: list[Tensor] = field(default_factory=list)
    scaler: dict[str, float] = field(default_factory=dict)
    midway: Midway | None = None
    owner: str = ""

    @property
    def epochs(self) -> int:
        """The number of finished epochs."""
        return len(self.rows)

    def add(self, name: str, count: int = 1) -> None:
        """Add to a count."""
        self.counts[name] = self.counts.get(name, 0) + count


FACTS = ("rows", "best", "best_ua", "finished", "counts", "bad_steps", "scaler", "owner")


def previous_of(path: Path) -> Path:
    """Return the path of the previous checkpoint of `path`.

    >>> previous_of(Path("Session1.safetensors")).name
    'Session1.previous.safetensors'
    """
    return path.with_name(f"{path.stem}.previous{path.suffix}")


def save_progress(path: Path, progress: Progress, net: Method, optim: torch.optim.Optimizer) -> None:
    """Write a checkpoint atomically; the one in `path` becomes the previous checkpoint.

    A finished fold keeps a single checkpoint. Of several processes only the first writes.
    """
    tensors = prefixed(progress.best_net, "best")
    tensors |= {"dev": _stacked(progress.dev_NC), "test": _stacked(progress.test_NC)}
    if len(progress.best_affect_NE):
        tensors["affect"] = progress.best_affect_NE
    tensors |= prefixed(progress.own_tasks, "own_tasks")
    if not progress.finished:
        tensors |= prefixed(net_tensors(net), "net") | prefixed(optimizer_tensors(optim), "optimizer")
    facts = {name: getattr(progress, name) for name in FACTS} | {"midway": None}
    if progress.midway is not None:
        midway = progress.midway
        tensors |= prefixed({name: torch.stack(losses) for name, losses in midway.losses.items()}, "losses")
        tensors |= prefixed(ranks.gathered(random_streams(next(net.parameters()).device)), "random")
        facts["midway"] = {"steps": midway.steps, "lr": midway.lr}
    if not ranks.is_first():
        return
    _set_aside(path)
    save_checkpoint(path, tensors, facts)
    if progress.finished:
        previous_of(path).unlink(missing_ok=True)


def _set_aside(path: Path) -> None:
    """Rename the last checkpoint to the previous one, which `load_progress` uses if the process is killed now."""
    try:
        if path.exists():
            path.replace(previous_of(path))
    except OSError as error:
        raise MachineError(
            f"cannot write: {reason(error)}",
            file=path,
            action="free space or permissions, then run the same command again",
        ) from error


def _stacked(logits_NC: list[Tensor]) -> Tensor:
    """Return [E, N, C]; without an epoch, or without such a part, an empty tensor, which loads as no epoch."""
    return torch.stack(logits_NC) if logits_NC else torch.zeros(0)


def load_progress(path: Path, net: Method, optim: torch.optim.Optimizer, *, owner: str = "") -> Progress | None:
    """Return a fold's progress and restore network and optimiser; None if there is no checkpoint.

    A damaged checkpoint, or one of another training than `owner`, is logged and deleted. The fold then resumes from
    the previous checkpoint or restarts; either way the result has the same bytes.
    """
    newest = _newest_whole(path, owner)
    if newest is None:
        return None
    tensors, facts = newest
    if facts["finished"]:
        if ranks.is_first():
            previous_of(path).unlink(missing_ok=True)
    else:
        put_net(net, part(tensors, "net"), file=path)
        put_optimizer(optim, part(tensors, "optimizer"))
    return Progress(
        best_net=part(tensors, "best"),
        best_affect_NE=tensors.get("affect", torch.zeros(0)),
        own_tasks=part(tensors, "own_tasks"),
        dev_NC=list(tensors["dev"].unbind()) if "dev" in tensors else [],
        test_NC=list(tensors["test"].unbind()),
        midway=_midway(tensors, facts["midway"], next(net.parameters()).device),
        **{name: facts[name] for name in FACTS},
    )


def _midway(tensors: dict[str, Tensor], facts: dict[str, Any] | None, device: torch.device) -> Midway | None:
    if facts is None:
        return None
    losses = {name: list(each.to(device).unbind()) for name, each in part(tensors, "losses").items()}
    return Midway(**facts, saved=facts["steps"], losses=losses, random=ranks.own(part(tensors, "random")))


def random_streams(device: torch.device) -> dict[str, Tensor]:
    """Return the states of the random streams from which a step on `device` draws."""
    streams = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        streams["cuda"] = torch.cuda.get_rng_state(device)
    return streams


def set_random_streams(streams: dict[str, Tensor], device: torch.device) -> None:
    """Restore the random streams to the states that `random_streams` returned."""
    torch.set_rng_state(streams["cpu"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(streams["cuda"], device)


def _newest_whole(path: Path, owner: str) -> tuple[dict[str, Tensor], Any] | None:
    """Return tensors and facts of the newest valid checkpoint; log and delete each invalid one."""
    refused = False
    for file in (path, previous_of(path)):
        if not file.exists():
            continue
        try:
            tensors, facts = load_checkpoint(file)
            if facts.get("owner") != owner:
                raise DataError("it is the state of another training", file=file)
        except DataError as error:
            refused = True
            logger.warning("%s: this state is refused and removed: %s", file, error.what)
            if ranks.is_first():
                file.unlink(missing_ok=True)
            continue
        if refused:
            logger.warning("%s: this state, the one before, is used; epochs done: %d", file, len(facts["rows"]))
        return tensors, facts
    if refused:
        logger.warning("%s: no whole state is left; this fold starts from its first epoch", path)
    return None
