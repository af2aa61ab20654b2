"""Runs of one corpus that share its clips: those of a search and of a study, trained without DVC between them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Self

from torch import Tensor

from foalnet.artifact.checkpoint import load_checkpoint, part
from foalnet.artifact.table import read_manifest
from foalnet.config import Params, Settings
from foalnet.config.blocks import Train, encoders_from
from foalnet.config.variants import Modality
from foalnet.core.errors import UsageError
from foalnet.core.paths import Paths
from foalnet.core.records import Utterance
from foalnet.methods import method_of, needs_weights
from foalnet.shards import ShardSet, open_shards
from foalnet.stages.train.training import Given, given_for, need_inputs, run_facts, state_folder, train_folds
from foalnet.train.batches import Store, load_store
from foalnet.train.encoders import Encoders
from foalnet.train.plan import Run, plan
from foalnet.train.state import Progress


@dataclass(frozen=True, kw_only=True)
class Job:
    """One run: a variant and seed with one setting; `folder` holds its checkpoints during training.

    `singles`: the runs of the same setting that provide its encoders (`encoders: single`).
    """

    run: Run
    train: Train
    folder: Path
    device: str
    singles: tuple[Job, ...] = ()


@dataclass(kw_only=True)
class Group:
    """What runs of one corpus share: utterances, clips and machine settings."""

    params: Params
    settings: Settings
    paths: Paths
    utterances: list[Utterance]
    shards: ShardSet
    _given: dict[tuple[Any, ...], Given] = field(default_factory=dict)
    _store: tuple[tuple[Any, ...], Store] | None = None

    @classmethod
    def of(cls, params: Params, settings: Settings, paths: Paths) -> Self:
        """Return the group of a corpus; DataError (exit 3) without manifest and shards."""
        return cls(
            params=params,
            settings=settings,
            paths=paths,
            utterances=read_manifest(paths.manifest, corpus=params.corpus),
            shards=open_shards(paths.shards, corpus=params.corpus),
        )

    def job(self, variant: str, seed: int, train: Train, others: Mapping[str, Train] | None = None) -> Job:
        """Return the run of a setting, on the folds that have a dev part.

        `others`: the settings of the variants that give the encoders, where they differ from `train`.
        """
        check_order(self.params, self.utterances, variant)
        params = self.params.model_copy(update={"train": train})
        singles = {
            m: self.job(one, seed, (others or {}).get(one, train)) for m, one in encoders_from(variant, train).items()
        }
        given = self.given(variant, train)
        if singles:
            given = replace(given, encoders=encoders_of(singles))
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
            # All of the corpus: a run of the learning curve has a part of them alone.
            keys = [u.key for u in self.utterances if u.used]
            self._store = (
                key,
                load_store(self.shards, keys, params, given.features, given.texts, job.run.dialogues),
            )
        return self._store[1]

    def check(self, job: Job) -> None:
        """Raise DataError (exit 3) before any training for what would fail every run: no pictures, an empty part."""
        store = self.store(job)
        need_inputs(store, job.run.variant, job.train, self.paths)
        for fold in job.run.folds:
            job.run.task(fold, store)

    def trained(self, job: Job) -> dict[str, Progress]:
        """Train all folds of a run, and before them its encoders' runs; return each fold's progress.

        Interrupted (exit 5) after a stop request: finished epochs are kept in the run's checkpoints.
        """
        for single in job.singles:
            self.trained(single)
        return train_folds(job.run, self.store(job), self.settings, job.folder)


def check_order(params: Params, utterances: Iterable[Utterance], variant: str) -> None:
    """Raise UsageError (exit 2) for a method over turns where no times order the turns of a dialogue.

    Their keys would, and a key may name the class: in RAVDESS' names the emotion stands first.
    """
    if params.manifest.turns == "transcript" or not method_of(variant, params.train).over_turns:
        return
    starts_s: dict[tuple[str, str], list[float]] = defaultdict(list)
    for u in utterances:
        starts_s[u.session, u.dialogue].append(u.start_s)
    for (_, dialogue), each in sorted(starts_s.items()):
        if len(each) > 1 and len(set(each)) == 1:
            raise UsageError(
                f"variant {variant} reads the turns of a dialogue, and all {len(each)} utterances of {dialogue} start "
                f"at {each[0]:g} s: only their names would order them, and a name may tell the class",
                action="train a method of single utterances, or write manifest.turns: transcript if the rows of the "
                "corpus are in the order of speech",
            )


def encoders_of(singles: Mapping[Modality, Job]) -> Encoders:
    """Return the encoders from the checkpoints of other runs, identified by what those runs depend on."""

    def of(job: Job, fold: str) -> dict[str, Tensor]:
        tensors, _ = load_checkpoint(job.folder / f"{fold}.safetensors")
        return part(tensors, "best")

    return Encoders(
        load={modality: partial(of, job) for modality, job in singles.items()},
        facts={job.run.variant: job.folder.name for job in singles.values()},
    )


def _read_by(job: Job) -> tuple[Any, ...]:
    """Return what else of a run decides how its clips are read: its words, and its context."""
    inputs = job.run.params.variant(job.run.variant).inputs
    return "text" in inputs, job.run.params.text.words, tuple(job.run.dialogues)
