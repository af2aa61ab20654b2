"""Trains on all sessions for a fixed number of epochs; no session is held out and no epoch is chosen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from foalnet.artifact.checkpoint import net_tensors
from foalnet.config.blocks import Train
from foalnet.encoders import Pretrained
from foalnet.train.batches import Store
from foalnet.train.encoders import encoded_store, prepared_store
from foalnet.train.environment import Stop
from foalnet.train.fold import objective_of, pad_s, restored, start, train_epoch
from foalnet.train.hooks import Hooks
from foalnet.train.state import Progress, save_progress


@dataclass(frozen=True, kw_only=True)
class FinalTask:
    """All that the final training depends on. `labels`: class number of every utterance; `epochs`: how many, fixed.

    `affect`: the ratings of utterances, for a variant that learns them.
    """

    variant: str
    seed: int
    params: Train
    classes: tuple[str, ...]
    labels: Mapping[str, int]
    epochs: int
    affect: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    pretrained: Pretrained | None = None
    encoders: Callable[[], Mapping[str, Tensor]] | None = None
    name: str = "final"


def train_final(
    task: FinalTask,
    store: Store,
    state: Path,
    *,
    device: torch.device,
    stop: Stop,
    show: Callable[[Progress, int], None] = lambda _progress, _utterances: None,
    before: Callable[[Progress], None] = lambda _: None,
    due: Callable[[], bool] = lambda: False,
) -> Progress:
    """Train to the last epoch; resumes from the file `state`.

    `show`, `before` and `due`: as `Hooks` has them. The rate follows the folds' schedule, made for `params.epochs`, up
    to the epoch where this training ends. Interrupted (exit 5), DataError (exit 3) and MachineError (exit 4) as
    `train_fold` raises them.
    """
    labels = dict(task.labels)
    net, optim, progress = restored(task, store, tuple(sorted(labels)), state, device)
    keys = sorted(store.clips) if store.dialogues else sorted(labels)
    keep = partial(save_progress, state, progress, net, optim)
    hooks = Hooks(stop=stop, due=due, keep=keep, show=show, before=before)
    before_batch = partial(hooks.before_batch, task.name, progress)
    if not progress.finished:
        store = prepared_store(net, store, keys, pad_s=pad_s(task.params), before_batch=before_batch)
        store = encoded_store(
            net, store, keys, device, task.params, pad_s=pad_s(task.params), before_batch=before_batch
        )
    start(net, store, sorted(labels), progress, task.params, device)
    objective = objective_of(task, labels, device, dialogues=bool(store.dialogues))
    while not progress.finished:
        progress.rows.append(train_epoch(task, store, net, optim, objective, labels, progress, hooks))
        if progress.epochs >= task.epochs:
            progress.finished, progress.best = True, progress.epochs - 1
            progress.best_net = net_tensors(net)
        save_progress(state, progress, net, optim)
    return progress
