"""The networks of a trained run on the clips of their test parts, as they are and disturbed.

Shape letters: N utterances, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from foalnet.artifact.checkpoint import load_checkpoint, put_net
from foalnet.artifact.results import TRAIN, read_train, train_stage
from foalnet.config.blocks import Train
from foalnet.core.errors import DataError
from foalnet.core.files import sha256_file
from foalnet.encoders import Pretrained
from foalnet.methods import Method, build_net
from foalnet.nets import InputShape
from foalnet.probe.disturb import Disturbance, disturbed
from foalnet.stages.evaluate.scoring import FoldLogits, read_logits
from foalnet.stages.train.answers import depends_on_batch, unlike_logits
from foalnet.stages.train.group import Group, Job
from foalnet.stages.train.training import ready
from foalnet.train.batches import Store
from foalnet.train.encoders import inputs_of
from foalnet.train.environment import determined, device, threads
from foalnet.train.fold import FoldTask, logits_of
from foalnet.train.plan import Run

# Modality -> how a reason names it.
SENSES = {"audio": "sound", "video": "pictures", "text": "words"}


@dataclass(frozen=True, kw_only=True)
class Answers:
    """The predicted class of each tested utterance by key, under the name of each disturbance.

    `changed`: name -> how many tested utterances the disturbance changed; `reasons`: name -> why it was not applied.
    """

    predicted: Mapping[str, Mapping[str, str]]
    changed: Mapping[str, int]
    reasons: Mapping[str, str]


def answers_of(group: Group, job: Job, every: Sequence[Disturbance]) -> Answers:
    """Return the answers of a trained run to its test parts under each disturbance that can be applied.

    The networks must first give the logits that `train` stored of the undisturbed clips (but for rounding, on another
    processor). DataError (exit 3) if they do not, or if the run is of other inputs.
    """
    store, trained = group.store(job), Trained.of(group, job)
    speakers = {u.key: u.speaker for u in group.utterances}
    inputs = job.run.params.variant(job.run.variant).inputs
    reads = [one for one in every if one.modality in inputs]
    reasons = {one.name: f"it does not read {SENSES[one.modality]}" for one in every if one not in reads}
    predicted: dict[str, dict[str, str]] = {one.name: {} for one in reads}
    changed = dict.fromkeys(predicted, 0)
    with determined(job.run.params.determinism, threads(group.settings)):
        for fold in job.run.folds:
            task = job.run.task(fold, store)
            network = trained.network(task)
            network.check(store, trained.stored.get(fold.name))
            parts = {key: store.clips[key] for key in store.keys(store.units(task.test))}
            for one in reads:
                clips, keys = disturbed(parts, speakers, one)
                changed[one.name] += len(keys & set(task.test))
                logits_NC = network.logits(replace(store, clips={**store.clips, **clips}))
                numbers = zip(task.test, logits_NC.argmax(dim=1).tolist(), strict=True)
                predicted[one.name] |= {key: task.classes[number] for key, number in numbers}
    for one in reads:
        if not changed[one.name]:
            reasons[one.name] = one.otherwise
            del predicted[one.name]
    return Answers(predicted=predicted, changed=changed, reasons=reasons)


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A trained run: its train.json, and its stored logits by fold."""

    group: Group
    job: Job
    train: Mapping[str, Any]
    stored: Mapping[str, FoldLogits]

    @classmethod
    def of(cls, group: Group, job: Job) -> Self:
        """Return the published run (DataError, exit 3, if it is absent, damaged or of other inputs than today's)."""
        paths, run = group.paths, job.run
        model, train = paths.model(run.variant, run.seed), read_train(paths, variant=run.variant, seed=run.seed)
        if train.get("inputs") not in (None, inputs_of(paths)):
            raise DataError(
                "the run was trained on another manifest or other shards than those here",
                file=model / TRAIN,
                action=_again(train),
            )
        stored = {fold.name: fold for fold in read_logits(model, train, list(run.classes))}
        return cls(group=group, job=job, train=train, stored=stored)

    def network(self, task: FoldTask) -> Network:
        """Return a fold's network (DataError, exit 3, for another checkpoint than train.json names)."""
        run, where = self.job.run, device(self.group.settings)
        file = self.group.paths.model(run.variant, run.seed) / f"fold-{task.name}.safetensors"
        weights, facts = load_checkpoint(file)
        if sha256_file(file) != self.train["files"].get(file.name):
            raise DataError(f"digest mismatch: {TRAIN} names another checkpoint", file=file, action=_again(self.train))
        shape = InputShape(rate_hz=facts["rate_hz"], frame=tuple(facts["frame"]), text=facts.get("text"))
        params, pretrained = Train.model_validate(facts["train"]), Pretrained.from_facts(facts["pretrained"])
        net = build_net(run.variant, params, classes=facts["classes"], shape=shape, pretrained=pretrained)
        put_net(net, weights, file=file)
        return Network(
            net=net.to(where), run=run, task=task, where=where, file=file, train=self.train,
            whole=depends_on_batch(facts),
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Network:
    """The network of a fold on its test part.

    `whole`: the batches of the whole corpus decide what its encoders read, so that all of it is prepared.
    """

    net: Method
    run: Run
    task: FoldTask
    where: torch.device
    file: Path
    train: Mapping[str, Any]
    whole: bool

    def logits(self, store: Store) -> Tensor:
        """Return the logits [N, C] of the test part."""
        if self.whole:
            store = ready(self.run, store, look=lambda: None)
        return logits_of(self.net, store, self.task.test, self.where, self.run.params)

    def check(self, store: Store, stored: FoldLogits | None) -> None:
        """Raise DataError (exit 3) unless the network gives the stored logits of the undisturbed test part."""
        if stored is None or stored.keys["test"] != self.task.test:
            what = "the test part is not that of training"
        else:
            epoch = int(self.train["folds"][self.task.name]["chosen_epoch"]) - 1
            stored_NC = torch.from_numpy(stored.logits_ENC["test"][epoch])
            what = unlike_logits(self.logits(store), stored_NC, device=self.train["device"])
            what = what and f"the network does not give the logits that are stored: {what}"
        if what:
            raise DataError(f"fold {self.task.name}: {what}", file=self.file, action=_again(self.train))


def _again(train: Mapping[str, Any]) -> str:
    return f"train it again: `dvc repro -f -s {train_stage(train['corpus'], train['variant'], train['seed'])}`"
