"""What a fold has reached: in memory, and in the work folder after every epoch, so that a kill costs one epoch.

Shape letters: E epochs, N utterances, C classes. The state holds all that the next epoch depends on: weights, the
optimiser's moments, the best weights so far, the stored logits and the account. Random streams are not stored: each
epoch seeds them anew from seed, fold and epoch.
"""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from foalnet.checkpoint import (
    load_checkpoint,
    net_tensors,
    optimizer_tensors,
    part,
    prefixed,
    put_net,
    put_optimizer,
    save_checkpoint,
)
from foalnet.errors import DataError
from foalnet.nets import Net

logger = logging.getLogger(__name__)

STAGE = "train"


@dataclass(kw_only=True)
class Progress:
    """One fold so far. `rows`: one per epoch, as history.csv has them; `best`: epoch from 0, -1 before the first.

    Without a dev part `best` is the last epoch, `best_net` is empty until the end, and `dev_NC` stays empty.

    `counts`: what was left out or skipped; `bad_steps`: epoch, step and keys of each step with a non-finite number.
    `best_net`: weights and buffers of the best epoch; `dev_NC`, `test_NC`: logits of each epoch; `scaler`: where the
    search for fp16's gradient scale stands.
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

    @property
    def epochs(self) -> int:
        """Epochs done."""
        return len(self.rows)

    def add(self, name: str, count: int = 1) -> None:
        """Count something that was left out or skipped."""
        self.counts[name] = self.counts.get(name, 0) + count


FACTS = ("rows", "best", "best_ua", "finished", "counts", "bad_steps", "scaler")


def save_progress(path: Path, progress: Progress, net: Net, optim: torch.optim.Optimizer) -> None:
    """Write everything the next epoch needs, atomically."""
    tensors = prefixed(progress.best_net, "best")
    tensors |= {"dev": _stacked(progress.dev_NC), "test": _stacked(progress.test_NC)}
    if not progress.finished:
        tensors |= prefixed(net_tensors(net), "net") | prefixed(optimizer_tensors(optim), "optimizer")
    facts = {name: value for name, value in asdict(progress).items() if name in FACTS}
    save_checkpoint(path, tensors, facts)


def _stacked(logits_NC: list[Tensor]) -> Tensor:
    """Return [E, N, C]; without an epoch, or without such a part, an empty tensor that comes back as no epoch."""
    return torch.stack(logits_NC) if logits_NC else torch.zeros(0)


def load_progress(path: Path, net: Net, optim: torch.optim.Optimizer) -> Progress | None:
    """Return a fold's progress and put network and optimiser where it stood; None where there is none.

    A damaged state is refused, said so, and the fold starts anew: it reaches the same bytes, only later.
    """
    if not path.exists():
        return None
    try:
        tensors, facts = load_checkpoint(path, stage=STAGE)
    except DataError as error:
        logger.warning("%s\nThis fold starts from its first epoch.", error)
        return None
    if not facts["finished"]:
        put_net(net, part(tensors, "net"), file=path, stage=STAGE)
        put_optimizer(optim, part(tensors, "optimizer"))
    return Progress(
        best_net=part(tensors, "best"),
        dev_NC=list(tensors["dev"].unbind()) if "dev" in tensors else [],
        test_NC=list(tensors["test"].unbind()),
        **{name: facts[name] for name in FACTS},
    )
