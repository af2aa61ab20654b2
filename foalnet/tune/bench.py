"""Trains one setting of one variant over the folds of split `dev` and scores it on their dev parts.

A record contains scores of dev parts and nothing of test parts, neither logits nor labels. It is stored in
`work/tune/` under the same key as the run's checkpoints (code, params, inputs, device), so that a search can resume.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from foalnet.artifact.checkpoint import load_checkpoint, part
from foalnet.artifact.seal import publish_sealed, read_sealed
from foalnet.artifact.table import read_manifest
from foalnet.config import Params, Settings
from foalnet.config.blocks import Train, encoders_from
from foalnet.config.variants import Modality
from foalnet.core.errors import DataError, UsageError
from foalnet.core.paths import Paths
from foalnet.core.records import Utterance
from foalnet.evidence.metrics import rounded
from foalnet.methods import needs_weights
from foalnet.shards import ShardSet, open_shards
from foalnet.stages.train.training import Given, given_for, need_inputs, run_facts, state_folder, train_folds
from foalnet.train.batches import Store, load_store
from foalnet.train.encoders import Encoders
from foalnet.train.plan import Run, plan
from foalnet.train.speed import measured
from foalnet.tune.sampler import STAGE


@dataclass(frozen=True, kw_only=True)
class Job:
    """One run of a trial: a variant and seed with one setting; `folder` holds its checkpoints during training.

    `singles`: the runs of the same setting that provide its encoders (`encoders: single`).
    """

    run: Run
    train: Train
    folder: Path
    device: str
    singles: tuple[Job, ...] = ()

    @property
    def record(self) -> Path:
        """The path of its record."""
        return self.folder.parents[1] / "tune" / f"{self.folder.name}.json"


@dataclass(kw_only=True)
class Bench:
    """What the trials of one corpus share: utterances, clips and machine settings."""

    params: Params
    settings: Settings
    paths: Paths
    utterances: list[Utterance]
    shards: ShardSet
    _given: dict[tuple[Any, ...], Given] = field(default_factory=dict)
    _store: tuple[tuple[Any, ...], Store] | None = None

    @classmethod
    def of(cls, params: Params, settings: Settings, paths: Paths) -> Bench:
        """Return the bench of a corpus; DataError (exit 3) without manifest and shards."""
        return cls(
            params=params,
            settings=settings,
            paths=paths,
            utterances=read_manifest(paths.manifest, corpus=params.corpus),
            shards=open_shards(paths.shards, corpus=params.corpus),
        )

    def job(self, variant: str, seed: int, train: Train) -> Job:
        """Return the run of a setting, on the folds that have a dev part."""
        params = self.params.model_copy(update={"train": train})
        singles = {m: self.job(one, seed, train) for m, one in encoders_from(variant, train).items()}
        given = self.given(variant, train)
        if singles:
            given = replace(given, encoders=_encoders(singles))
        run = plan(
            params,
            self.utterances,
            variant=variant,
            seed=seed,
            pretrained=given.pretrained,
            encoders=given.encoders,
        )
        facts = run_facts(run.params, self.settings, given, variant=variant)
        folder = state_folder(params, self.settings, self.paths, run, facts)
        return Job(run=run, train=train, folder=folder, device=facts["device"], singles=tuple(singles.values()))

    def given(self, variant: str, train: Train) -> Given:
        """Return the weights and features of a setting, checked once."""
        key = (variant, train.picture, train.audio.encoder, train.audio.weights, needs_weights(variant, train))
        if key not in self._given:
            params = self.params.model_copy(update={"train": train})
            self._given[key] = given_for(params, self.settings, self.paths, self.shards, variant=variant)
        return self._given[key]

    def store(self, job: Job) -> Store:
        """Return the clips of a run; read them again only if its setting reads them in another way."""
        params = job.run.params
        key = (params.picture, params.frame_step, params.max_s, *_read_by(job))
        if self._store is None or self._store[0] != key:
            self._store = None  # two of them at a time may be more than the memory holds
            given = self.given(job.run.variant, job.train)
            keys = job.run.labels.keys()
            self._store = (
                key,
                load_store(self.shards, keys, params, given.features, given.texts, job.run.dialogues),
            )
        return self._store[1]

    def check(self, job: Job) -> None:
        """Raise DataError (exit 3) before any training for what would fail every trial: no pictures, an empty part."""
        store = self.store(job)
        need_inputs(store, job.run.variant, job.train, self.paths)
        for fold in job.run.folds:
            job.run.task(fold, store)

    def reach(self, job: Job) -> dict[str, Any]:
        """Return a run's result; train the run if it has no record.

        Interrupted (exit 5) after a stop request: finished epochs are kept in the run's checkpoints.
        """
        result = recorded(job)
        if result is None:
            corpus = speed_name(self.params.corpus)
            for single in job.singles:
                if "failed" in (reached := self.reach(single)):
                    return reached
                # A record may outlive the checkpoints, which hold the encoders.
                train_folds(single.run, self.store(single), self.settings, single.folder)
            try:
                store = self.store(job)
            except UsageError as error:
                result = {"failed": error.what}
            else:
                with measured(job.run, self.settings, corpus, job.folder, device=job.device):
                    result = score_run(job.run, store, self.settings, job.folder)
            publish_sealed(job.record, result)
        return result


def _encoders(singles: Mapping[Modality, Job]) -> Encoders:
    """Return the encoders from the checkpoints of other runs, identified by what those runs depend on."""

    def of(job: Job, fold: str) -> dict[str, Tensor]:
        tensors, _ = load_checkpoint(job.folder / f"{fold}.safetensors")
        return part(tensors, "best")

    return Encoders(
        load={modality: partial(of, job) for modality, job in singles.items()},
        facts={job.run.variant: job.folder.name for job in singles.values()},
    )


def speed_name(corpus: str) -> str:
    """Return the name for the recorded speed of a corpus' trials; no corpus can have this name."""
    return f"{corpus}-tune"


def recorded(job: Job) -> dict[str, Any] | None:
    """Return a run's recorded result; None if it was not trained to its end, or the record cannot be read."""
    try:
        result = read_sealed(job.record, again=STAGE)
    except DataError:
        return None
    return result if "folds" in result or "failed" in result else None


def forget(jobs: Iterable[Job], *, spare: Iterable[Path] = ()) -> None:
    """Delete the checkpoints of recorded runs, except those in `spare`."""
    stay = set(spare)
    for job in jobs:
        for folder in (job.folder, *(single.folder for single in job.singles)):
            if folder not in stay:
                shutil.rmtree(folder, ignore_errors=True)


def score_run(run: Run, store: Store, settings: Settings, work: Path) -> dict[str, Any]:
    """Train all folds of a run; return dev UA, chosen epoch (from 1) and epochs of each, or the reason of failure.

    A run fails because of its setting: non-finite losses, or a network that cannot be built.
    """
    try:
        done = train_folds(run, store, settings, work)
    except (DataError, UsageError) as error:
        return {"failed": error.what}
    return {
        "folds": {
            name: {"dev_ua": progress.best_ua, "epoch": progress.best + 1, "epochs_run": progress.epochs}
            for name, progress in done.items()
        }
    }


def mean_ua(reached: Iterable[Mapping[str, Any]]) -> float:
    """Return the mean dev UA over all folds of all runs of a trial.

    >>> mean_ua([{"folds": {"Session1": {"dev_ua": 0.5}, "Session2": {"dev_ua": 0.75}}}])
    0.625
    """
    scores = [fold["dev_ua"] for each in reached for fold in each["folds"].values()]
    return rounded(sum(scores) / len(scores))


def _read_by(job: Job) -> tuple[Any, ...]:
    """Return what else of a run decides how its clips are read: its words, and its context."""
    inputs = job.run.params.variant(job.run.variant).inputs
    return "text" in inputs, job.run.params.text.words, tuple(job.run.dialogues)
