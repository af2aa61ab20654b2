"""Trains one fold: epochs, unlabelled logits of dev and test part after each, early stopping on the dev part's UA.

A fold without a dev part cannot stop early: it runs all epochs and keeps the last one's weights. Labels come only from
`splits.FoldLabels`, which has none of the test part. Shape letters: N utterances, C classes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from foalnet.artifact.checkpoint import net_tensors
from foalnet.config.blocks import Train
from foalnet.core.errors import DataError
from foalnet.core.files import content_key
from foalnet.corpora.splits import Fold, FoldLabels
from foalnet.encoders import Pretrained
from foalnet.methods import CCC, Loss, Method, Objective, build_net
from foalnet.nets import Outputs
from foalnet.train import ranks
from foalnet.train.batches import (
    Store,
    bucketed,
    derived_seed,
    dialogue_order,
    eval_batches,
    padding,
    rated,
    score_batches,
    train_batches,
    train_order,
)
from foalnet.train.encoders import encoded_store, put_encoders
from foalnet.train.environment import Stop
from foalnet.train.hooks import Hooks, named_memory
from foalnet.train.optim import optimizer, rate, take_step
from foalnet.train.own_tasks import own_tasks
from foalnet.train.precision import Precision
from foalnet.train.state import Midway, Progress, load_progress, save_progress, set_random_streams

logger = logging.getLogger(__name__)

DIGITS = 6
# The column of the history with the weighted sum of the other losses.
LOSS = "loss"


class TrainingTask(Protocol):
    """The inputs of an epoch besides clips and labels; implemented by the task of a fold and of the final model."""

    @property
    def name(self) -> str:
        """The name of its random streams."""

    @property
    def variant(self) -> str:
        """Name in VARIANTS."""

    @property
    def seed(self) -> int:
        """The run's seed."""

    @property
    def params(self) -> Train:
        """The block `train`."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in their order."""

    @property
    def affect(self) -> Mapping[str, tuple[float, ...]]:
        """Valence and activation of training utterances; empty if the variant does not learn them."""

    @property
    def pretrained(self) -> Pretrained | None:
        """The pretrained encoder; None for a random initialisation."""

    @property
    def encoders(self) -> Callable[[], Mapping[str, Tensor]] | None:
        """Returns the tensors of the frozen encoders, by their names in the network; None if all of it learns."""


@dataclass(frozen=True, kw_only=True)
class FoldTask:
    """All inputs of one fold's training. `train`, `dev`, `test` are sorted keys in the store.

    `dev` is empty in the split without a dev part; `affect` has ratings of the train part alone.
    """

    fold: Fold
    variant: str
    seed: int
    params: Train
    classes: tuple[str, ...]
    labels: FoldLabels
    affect: Mapping[str, tuple[float, ...]]
    train: tuple[str, ...]
    dev: tuple[str, ...]
    test: tuple[str, ...]
    pretrained: Pretrained | None = None
    encoders: Callable[[], Mapping[str, Tensor]] | None = None

    @property
    def name(self) -> str:
        """The fold's name."""
        return self.fold.name

    def numbers(self, keys: Sequence[str]) -> dict[str, int]:
        """Return key -> class number of train or dev keys."""
        place = {name: i for i, name in enumerate(self.classes)}
        return {key: place[self.labels.label(key)] for key in keys}


def train_fold(
    task: FoldTask,
    store: Store,
    state: Path,
    *,
    device: torch.device,
    stop: Stop,
    show: Callable[[Progress, int], None] = lambda _progress, _utterances: None,
    before: Callable[[Progress], None] = lambda _: None,
    due: Callable[[], bool] = lambda: False,
) -> Progress:
    """Train one fold to its end, resuming from the checkpoint `state`.

    `show`, `before` and `due`: see `Hooks`. Interrupted (exit 5) after a stop request: finished epochs are kept.
    DataError (exit 3) after more than `max_bad_steps` steps with a non-finite loss or gradient. MachineError (exit 4)
    if memory runs out.
    """
    labels, dev_labels = task.numbers(task.train), task.numbers(task.dev)
    net, optim, progress = restored(task, store, task.train, state, device)
    keep = partial(save_progress, state, progress, net, optim)
    hooks = Hooks(stop=stop, due=due, keep=keep, show=show, before=before)
    before_batch = partial(hooks.before_batch, task.name, progress)
    if not progress.finished:
        keys = sorted(store.clips) if store.dialogues else (*task.train, *task.dev, *task.test)
        store = encoded_store(
            net, store, keys, device, task.params, pad_s=pad_s(task.params), before_batch=before_batch
        )
    start(net, store, task.train, progress, task.params, device)
    objective = objective_of(task, labels, device, dialogues=bool(store.dialogues))
    while not progress.finished:
        row = train_epoch(task, store, net, optim, objective, labels, progress, hooks)
        test_NC = logits_of(net, store, task.test, device, task.params, before_batch=before_batch)
        dev_NC = logits_of(net, store, task.dev, device, task.params, before_batch=before_batch) if task.dev else None
        # Appended only now, because an epoch that is stopped in its evaluation is trained again.
        progress.test_NC.append(test_NC)
        if dev_NC is not None:
            progress.dev_NC.append(dev_NC)
            _choose(task, progress, row, net, [dev_labels[key] for key in task.dev])
        else:
            _keep_last(task, progress, row, net)
        if task.dev and CCC in net.weights and progress.best == progress.epochs - 1:
            progress.best_affect_NE = logits_of(net, store, task.test, device, task.params, read=_affect)
        if task.dev and progress.finished:
            progress.own_tasks = _own_tasks(task, net, store, progress, device)
        save_progress(state, progress, net, optim)
    return progress


def _choose(
    task: FoldTask, progress: Progress, row: dict[str, float | int | str | None], net: Method, dev_labels: Sequence[int]
) -> None:
    """Finish an epoch: keep its weights if its dev UA is the best so far, stop after `patience` epochs without one."""
    # Rounded as in `evaluate`, so that both get the same ties.
    dev_ua = round(unweighted_accuracy(progress.dev_NC[-1], dev_labels), DIGITS)
    progress.rows.append(row | {"dev_ua": dev_ua})
    # Strictly better: of tied epochs the first wins, as in `evaluate`.
    if dev_ua > progress.best_ua:
        progress.best, progress.best_ua = progress.epochs - 1, dev_ua
        progress.best_net = net_tensors(net)
    waited = progress.epochs - 1 - progress.best
    progress.finished = progress.epochs >= task.params.epochs or waited >= task.params.patience


def _keep_last(task: FoldTask, progress: Progress, row: dict[str, float | int | str | None], net: Method) -> None:
    """Finish an epoch of a fold without a dev part, which runs all epochs and keeps the last one's weights."""
    progress.rows.append(row | {"dev_ua": None})
    progress.best = progress.epochs - 1
    progress.finished = progress.epochs >= task.params.epochs
    if progress.finished:
        progress.best_net = net_tensors(net)


def _own_tasks(
    task: FoldTask, net: Method, store: Store, progress: Progress, device: torch.device
) -> dict[str, Tensor]:
    """Return the answers of the best epoch's weights, which the network then has, to its own tasks on the test part."""
    net.load_state_dict(progress.best_net)
    seeds = (task.seed, task.name)
    return own_tasks(net, store, task.test, device, task.params, *seeds, pad_s=pad_s(task.params))


def restored(
    task: TrainingTask, store: Store, keys: Sequence[str], state: Path, device: torch.device
) -> tuple[Method, torch.optim.Optimizer, Progress]:
    """Return network, optimiser and progress from the checkpoint `state`, or as they are before the first step."""
    torch.manual_seed(derived_seed("weights", task.seed, task.name))
    net = build_net(task.variant, task.params, classes=task.classes, shape=store.shape, pretrained=task.pretrained).to(
        device
    )
    if task.encoders is not None:
        put_encoders(net, task.encoders())
    optim = optimizer(net, task.params)
    owner = content_key([task.name, task.variant, task.seed, list(task.classes), list(keys)])
    return net, optim, load_progress(state, net, optim, owner=owner) or Progress(owner=owner)


def start(
    net: Method, store: Store, keys: Sequence[str], progress: Progress, params: Train, device: torch.device
) -> None:
    """Fit the encoders to the training utterances `keys` before the first step; give all processes the same start."""
    if not progress.finished and not progress.epochs and progress.midway is None:
        for encoder in net.encoders.values():
            encoder.fit(batch.to(device) for batch in eval_batches(store, keys, pad_s=pad_s(params)))
    ranks.same_start(net, progress.epochs, progress.midway.steps if progress.midway else 0)


def objective_of(
    task: TrainingTask, labels: dict[str, int], device: torch.device, *, dialogues: bool = False
) -> Objective:
    """Return the objective, with class weights where no drawing of utterances balances the classes."""
    weight_C = None
    if task.params.sampler == "plain" or (dialogues and task.params.sampler == "balanced"):
        count_C = torch.bincount(torch.tensor(list(labels.values())), minlength=len(task.classes)).clamp(min=1)
        weight_C = (len(labels) / (len(task.classes) * count_C)).float().to(device)
    return Objective(class_weight_C=weight_C)


def train_epoch(
    task: TrainingTask,
    store: Store,
    net: Method,
    optim: torch.optim.Optimizer,
    objective: Objective,
    labels: dict[str, int],
    progress: Progress,
    hooks: Hooks,
) -> dict[str, float | int | str | None]:
    """Train one epoch, or the rest of it; return its row of the history with the mean losses over its steps."""
    params, epoch = task.params, progress.epochs
    seeds = (task.seed, task.name, epoch)
    device = next(net.parameters()).device
    if store.dialogues:
        drawn = dialogue_order(store.units(list(labels)), *seeds)
    else:
        drawn = train_order(labels, params.sampler, *seeds)
    order = bucketed(drawn, store.length, params.batch_size, params.buckets, *seeds)
    per_epoch = -(-len(order) // params.batch_size)
    # The first process draws the same numbers as a single process; the others draw different ones.
    others = ("rank", ranks.rank()) if ranks.rank() else ()
    part = _begun(progress, derived_seed("epoch", *seeds, *others), device)
    part.total = per_epoch
    net.train()
    precision = Precision.of(params.precision, device, progress.scaler)

    def at_work() -> list[str]:
        return order[part.steps * params.batch_size :][: params.batch_size]

    with named_memory(store, lambda: store.keys(at_work()), f"fold {task.name}, epoch {epoch + 1}"):
        rest = order[part.steps * params.batch_size :]
        batches = train_batches(store, rest, labels, params.batch_size, pad_s=pad_s(params), share=ranks.share)
        for batch in batches:
            hooks.before_batch(task.name, progress)
            part.lr = rate(epoch * per_epoch + part.steps, params.epochs * per_epoch, params)
            loss = take_step(
                net,
                rated(batch, task.affect).to(device),
                objective,
                optim,
                lr=part.lr,
                clip_norm=params.clip_norm,
                precision=precision,
                reduce=ranks.reducer(net, len(at_work())),
            ).loss
            progress.scaler = precision.state()
            if loss is None:
                _skipped(task, progress, epoch, part.steps, store.keys(at_work()))
            else:
                _record(part, progress, loss)
            utterances = len(store.keys(at_work()))
            part.steps += 1
            hooks.show(progress, utterances)
    progress.midway = None
    least = 0 if store.dialogues else store.samples_in(pad_s(params))
    padded = round(padding(order, store.length, params.batch_size, least=least), DIGITS)
    row: dict[str, float | int | str | None] = {"fold": task.name, "epoch": epoch + 1}
    row |= {"lr": float(f"{part.lr:.6g}"), "padding": padded}
    return row | {name: _mean(losses) for name, losses in part.losses.items()}


def _record(part: Midway, progress: Progress, loss: Loss) -> None:
    part.add({LOSS: loss.total, **loss.parts})
    for name, number in loss.counts.items():
        progress.add(name, number)


def _begun(progress: Progress, seed: int, device: torch.device) -> Midway:
    """Begin an epoch from its seed, or resume it from its checkpoint."""
    if progress.midway is None:
        progress.midway = Midway()
        torch.manual_seed(seed)
    else:
        set_random_streams(progress.midway.random, device)
    return progress.midway


def pad_s(params: Train) -> float | None:
    """Return the seconds to which every batch's sound is padded; None for its longest utterance."""
    return params.max_s if params.pad_to == "max_s" else None


def _mean(values: Sequence[Tensor]) -> float:
    return round(float(torch.stack(list(values)).double().mean()), DIGITS)


def _skipped(task: TrainingTask, progress: Progress, epoch: int, step: int, keys: Sequence[str]) -> None:
    """Log and count a skipped step; DataError (exit 3) if there were too many."""
    progress.add("bad_steps")
    progress.bad_steps.append({"epoch": epoch + 1, "step": step + 1, "keys": list(keys)})
    where = f"fold {task.name}, epoch {epoch + 1}, step {step + 1}"
    logger.warning("%s: loss or gradient is not finite; the step is skipped. Utterances: %s", where, ", ".join(keys))
    if len(progress.bad_steps) > task.params.max_bad_steps:
        common = set.intersection(*(set(bad["keys"]) for bad in progress.bad_steps))
        raise DataError(
            f"{len(progress.bad_steps)} steps had a loss or gradient that is not finite, the last in {where}",
            utterance=", ".join(sorted(common or keys)),
            action="look at these utterances, or lower train.lr; train.max_bad_steps sets how many are allowed",
        )


@torch.no_grad()
def logits_of(
    net: Method,
    store: Store,
    keys: Sequence[str],
    device: torch.device,
    params: Train,
    *,
    before_batch: Callable[[], None] = lambda: None,
    read: Callable[[Outputs], Tensor] = lambda outputs: outputs.logits_BC,
) -> Tensor:
    """Return the logits [N, C] float32 of unlabelled utterances in the order of `keys`, or what else `read` returns."""
    net.eval()
    precision, rows, at_work = Precision.of(params.precision, device), dict[str, Tensor](), list[str]()
    with named_memory(store, lambda: at_work, "the evaluation"):
        for place, batch in enumerate(score_batches(store, keys, pad_s=pad_s(params))):
            if place % ranks.count() == 0:
                before_batch()
            if place % ranks.count() != ranks.rank():
                continue
            at_work = list(batch.keys)
            with precision.autocast():
                answer_BC = read(net(batch.to(device)))
            rows |= zip(batch.keys, answer_BC.float().cpu(), strict=True)
    return ranks.merged(rows, keys)


def _affect(outputs: Outputs) -> Tensor:
    assert outputs.affect_BE is not None, "the network predicts valence and activation"
    return outputs.affect_BE


def unweighted_accuracy(logits_NC: Tensor, labels: Sequence[int]) -> float:
    """Return the mean of the recalls of the classes that occur (docs/report.md, UA).

    >>> unweighted_accuracy(torch.tensor([[2.0, 1.0], [2.0, 1.0], [1.0, 2.0]]), [0, 0, 0])
    0.6666666666666666
    """
    label_N = torch.tensor(labels)
    right_N = logits_NC.argmax(dim=1) == label_N
    return float(torch.stack([right_N[label_N == c].double().mean() for c in label_N.unique()]).mean())
