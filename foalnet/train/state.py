"""What a fold has reached: in memory, and in the work folder after every epoch, so that a kill costs one epoch.

Shape letters: E epochs, N utterances, C classes. The state holds all that the next epoch depends on: weights, the
optimiser's moments, the best weights so far, the stored logits and the account. Each epoch seeds its random streams
anew from seed, fold and epoch; a state within an epoch holds where they stand. The state before the last one is kept
until the fold is finished.
"""

from __future__ import annotations

import logging
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
from foalnet.nets import Net
from foalnet.train import ranks

logger = logging.getLogger(__name__)

STAGE = "train"


@dataclass(kw_only=True)
class Midway:
    """An epoch that is not over: its steps so far, of `total` (0 until it goes on), the last rate.

    `kept`: how many of the steps a state holds; `losses`: of each step that counted, by name; `random`: where the
    random streams stand, in a state that was read.
    """

    steps: int = 0
    total: int = 0
    kept: int = 0
    lr: float = 0.0
    losses: dict[str, list[Tensor]] = field(default_factory=dict)
    random: dict[str, Tensor] = field(default_factory=dict)

    def add(self, **losses: Tensor | None) -> None:
        """Note a step's losses; one that the variant has not is None."""
        for name, loss in losses.items():
            if loss is not None:
                self.losses.setdefault(name, []).append(loss.detach())


@dataclass(kw_only=True)
class Progress:
    """One fold so far. `rows`: one per epoch, as history.csv has them; `best`: epoch from 0, -1 before the first.

    Without a dev part `best` is the last epoch, `best_net` is empty until the end, and `dev_NC` stays empty.

    `counts`: what was left out or skipped; `bad_steps`: epoch, step and keys of each step with a non-finite number.
    `best_net`: weights and buffers of the best epoch; `dev_NC`, `test_NC`: logits of each epoch; `scaler`: where the
    search for fp16's gradient scale stands; `midway`: the epoch at work. `whose`: a digest of the training that it is
    of, so that no other one goes on from its state.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    best: int = -1
    best_ua: float = -1.0
    finished: bool = False
    counts: dict[str, int] = field(default_factory=dict)
    bad_steps: list[dict[str, Any]] = field(default_factory=list)
    best_net: dict[str, Tensor] = field(default_factory=dict)
    dev_NC: list[Tensor] = field(default_factory=list)
    test_NC: list[Tensor] = field(default_factory=list)
    scaler: dict[str, float] = field(default_factory=dict)
    midway: Midway | None = None
    whose: str = ""

    @property
    def epochs(self) -> int:
        """Epochs done."""
        return len(self.rows)

    def add(self, name: str, count: int = 1) -> None:
        """Count something that was left out or skipped."""
        self.counts[name] = self.counts.get(name, 0) + count


FACTS = ("rows", "best", "best_ua", "finished", "counts", "bad_steps", "scaler", "whose")


def previous_of(path: Path) -> Path:
    """Return where the state before the one in `path` is kept."""
    return path.with_name(f"{path.stem}.previous{path.suffix}")


def save_progress(path: Path, progress: Progress, net: Net, optim: torch.optim.Optimizer) -> None:
    """Write everything the next step needs, atomically; what `path` held becomes the previous state.

    A finished fold keeps one state alone. Of several processes the first writes.
    """
    tensors = prefixed(progress.best_net, "best")
    tensors |= {"dev": _stacked(progress.dev_NC), "test": _stacked(progress.test_NC)}
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
    """Make the last state the previous one; killed before the next is written, `load_progress` still finds it there."""
    try:
        if path.exists():
            path.replace(previous_of(path))
    except OSError as error:
        raise MachineError(
            f"cannot write: {reason(error)}",
            file=path,
            stage=STAGE,
            action="free space or permissions, then run the same command again",
        ) from error


def _stacked(logits_NC: list[Tensor]) -> Tensor:
    """Return [E, N, C]; without an epoch, or without such a part, an empty tensor that comes back as no epoch."""
    return torch.stack(logits_NC) if logits_NC else torch.zeros(0)


def load_progress(path: Path, net: Net, optim: torch.optim.Optimizer, *, whose: str = "") -> Progress | None:
    """Return a fold's progress and put network and optimiser where it stood; None where there is none.

    A damaged state, or one of another training than `whose`, is refused by name, said so and removed; the previous one
    is used, or the fold starts anew: either way it reaches the same bytes, only later.
    """
    found = _newest_whole(path, whose)
    if found is None:
        return None
    tensors, facts = found
    if facts["finished"]:
        if ranks.is_first():
            previous_of(path).unlink(missing_ok=True)
    else:
        put_net(net, part(tensors, "net"), file=path, stage=STAGE)
        put_optimizer(optim, part(tensors, "optimizer"))
    return Progress(
        best_net=part(tensors, "best"),
        dev_NC=list(tensors["dev"].unbind()) if "dev" in tensors else [],
        test_NC=list(tensors["test"].unbind()),
        midway=_midway(tensors, facts["midway"], next(net.parameters()).device),
        **{name: facts[name] for name in FACTS},
    )


def _midway(tensors: dict[str, Tensor], facts: dict[str, Any] | None, device: torch.device) -> Midway | None:
    if facts is None:
        return None
    losses = {name: list(each.to(device).unbind()) for name, each in part(tensors, "losses").items()}
    return Midway(**facts, kept=facts["steps"], losses=losses, random=ranks.own(part(tensors, "random")))


def random_streams(device: torch.device) -> dict[str, Tensor]:
    """Return where the random streams stand that a step on `device` draws from."""
    streams = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        streams["cuda"] = torch.cuda.get_rng_state(device)
    return streams


def set_random_streams(streams: dict[str, Tensor], device: torch.device) -> None:
    """Put the random streams where `random_streams` found them."""
    torch.set_rng_state(streams["cpu"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(streams["cuda"], device)


def _newest_whole(path: Path, whose: str) -> tuple[dict[str, Tensor], Any] | None:
    """Return tensors and facts of the newest state that is whole; each damaged one is named and removed."""
    refused = False
    for file in (path, previous_of(path)):
        if not file.exists():
            continue
        try:
            tensors, facts = load_checkpoint(file, stage=STAGE)
            if facts.get("whose") != whose:
                raise DataError("it is the state of another training", file=file, stage=STAGE)
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
