"""Trains all folds of one variant and seed: reads the clips once, trains each fold, publishes at the end."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from foalnet.artifact.provenance import code_digest, versions
from foalnet.artifact.table import read_manifest
from foalnet.config import Params, Settings
from foalnet.config.blocks import Split, Train
from foalnet.core.errors import DataError
from foalnet.core.files import content_key
from foalnet.core.paths import Paths, run_name
from foalnet.core.processor import instructions, processor
from foalnet.core.progress import Every
from foalnet.corpora.splits import Fold
from foalnet.encoders import Pretrained, library_version
from foalnet.methods import build_net, config_of
from foalnet.shards import ShardSet, open_shards
from foalnet.shards.features import FeatureSet, open_features, text_folder
from foalnet.stages.train.publish import publish
from foalnet.train import ranks
from foalnet.train.batches import Store, load_store
from foalnet.train.encoders import Encoders, inputs_of, prepared_store, published_encoders
from foalnet.train.environment import Stop, at_start, determined, device, listening, threads
from foalnet.train.fold import pad_s, train_fold
from foalnet.train.parallel import side_by_side
from foalnet.train.plan import Run, plan, pretrained_for
from foalnet.train.progress_line import FoldStatus, StatusReporter, progress_line
from foalnet.train.speed import measured
from foalnet.train.state import Progress

CODE = (
    "artifact/checkpoint",
    "corpora/named",
    "corpora/splits",
    "encoders",
    "media/audio",
    "media/images",
    "methods/base",
    "methods/build",
    "methods/objective",
    "nets",
    "shards",
    "stages/train/publish",
    "stages/train/training",
    "train",
)


def code_of(train: Train, variant: str) -> tuple[str, ...]:
    """Return the code that a variant's training depends on: what all share, and its own method."""
    return (*CODE, f"methods/{train.variant(variant).method}")


def train_run(
    params: Params,
    settings: Settings,
    paths: Paths,
    *,
    variant: str,
    seed: int,
    split: Split = "dev",
    say: Callable[[str], None] = lambda _: None,
) -> None:
    """Train all folds of one variant, seed and split and publish them into the model's folder.

    `say` gets a line on how and where it runs. Resumes per fold and epoch from `settings.work`; as one of several
    processes (foalnet.train.ranks) it takes its share, and the first publishes. Interrupted (exit 5) after Ctrl-C or
    SIGTERM; UsageError (2), DataError (3), MachineError (4) as their messages say.
    """
    config_of(variant, params.train)
    with ranks.together(device(settings)):
        utterances = read_manifest(paths.manifest, corpus=params.corpus)
        shards = open_shards(paths.shards, corpus=params.corpus)
        encoders = published_encoders(params, paths, variant=variant, seed=seed, split=split)
        given = given_for(params, settings, paths, shards, variant=variant, encoders=encoders)
        run = plan(
            params,
            utterances,
            variant=variant,
            seed=seed,
            split=split,
            pretrained=given.pretrained,
            encoders=given.encoders,
        )
        facts = run_facts(run.params, settings, given, variant=variant)
        work = state_folder(params, settings, paths, run, facts)
        store = load_store(shards, run.labels.keys(), run.params, given.features, given.texts, run.dialogues)
        need_inputs(store, variant, params.train, paths)
        if ranks.is_first():
            say(f"train {params.corpus} {run_name(variant, seed, split)}: {at_start(settings, run.params)}")
        with measured(run, settings, params.corpus, work, device=facts["device"]):
            done = train_folds(run, store, settings, work)
        if ranks.is_first():
            provenance = facts | {"processor": processor(), "inputs": inputs_of(paths)}
            publish(paths.model(variant, seed, split), run, store, done, corpus=params.corpus, facts=provenance)


@dataclass(frozen=True, kw_only=True)
class Given:
    """Inputs of a run besides the shards: published weights of its encoder, vectors of frozen ones (`features` of
    pictures, `texts` of words), `encoders` of other runs.
    """

    pretrained: Pretrained | None = None
    features: FeatureSet | None = None
    texts: FeatureSet | None = None
    encoders: Encoders | None = None


def given_for(
    params: Params,
    settings: Settings,
    paths: Paths,
    shards: ShardSet,
    *,
    variant: str,
    encoders: Encoders | None = None,
) -> Given:
    """Return a variant's inputs after a check of each (MachineError, exit 4, where weights are not ready here)."""
    features = None
    if params.train.picture == "features":
        features = open_features(paths.features, params.features, shards)
    texts = None
    if "text" in params.train.variant(variant).inputs:
        texts = open_features(text_folder(paths.features), params.features.text, shards)
    pretrained = pretrained_for(variant, params.train, settings)
    return Given(pretrained=pretrained, features=features, texts=texts, encoders=encoders)


def state_folder(params: Params, settings: Settings, paths: Paths, run: Run, facts: dict[str, Any]) -> Path:
    """Return the folder of a run's states in the work cache, named by the digest of what determines its bytes."""
    key = content_key([facts, inputs_of(paths), params.corpus, list(run.classes), run.variant, run.seed, run.split])
    return settings.work / "train" / key


def run_facts(train: Train, settings: Settings, given: Given, *, variant: str) -> dict[str, Any]:
    """Return what determines a run's bytes besides inputs, variant and seed: code, params, machine, versions.

    `train`: the params on which the variant depends.
    """
    facts: dict[str, Any] = {
        "code": code_digest(code_of(train, variant)),
        "params": content_key(train.model_dump()),
        "determinism": train.determinism,
        "device": device(settings).type,
        "instructions": instructions(),
        "threads": threads(settings),
        "processes": ranks.processes(settings),
        "versions": versions(),
    }
    if given.features is not None:
        facts["features"] = given.features.digest
    if given.texts is not None:
        facts["texts"] = given.texts.digest
    if given.encoders is not None:
        facts["encoders"] = dict(given.encoders.facts)
    if given.pretrained is not None:
        facts["weights"] = {
            "name": given.pretrained.name,
            "sha256": given.pretrained.sha256,
            "transformers": library_version(),
        }
    return facts


# Modality -> how an error names it.
NAMED = {"audio": "sound", "video": "pictures", "text": "words"}


def need_inputs(store: Store, variant: str, params: Train, paths: Paths) -> None:
    """Raise DataError (exit 3) for a variant with a modality that no utterance has."""
    for modality in params.variant(variant).inputs:
        absent = (
            store.shape.frame == (0,)
            if modality == "video"
            else not any(clip.has(modality) for clip in store.clips.values())
        )
        if absent:
            raise DataError(
                f"variant {variant} needs {NAMED[modality]}, and no utterance has any",
                file=paths.staging,
                action="the file says why; mend it, or train a variant without (variants in params.yaml)",
            )


def train_folds(run: Run, store: Store, settings: Settings, work: Path) -> dict[str, Progress]:
    """Return the finished progress of every fold by name; their states are in `work`, one file per fold.

    On a CPU the folds are trained side by side, `settings.workers` at a time, each on its own threads.
    """
    where, together = device(settings), at_once(settings)

    def one(fold: Fold, stop: Stop, send: Callable[[FoldStatus], None]) -> Progress:
        report = StatusReporter(send)
        progress = train_fold(
            run.task(fold, store),
            store,
            work / f"{fold.name}.safetensors",
            device=where,
            stop=stop,
            show=report.step,
            before=report.before_batch,
            due=Every(settings.checkpoint_every_s),
        )
        report.before_batch(progress)
        return progress

    what, folds = f"train {run_name(run.variant, run.seed, run.split)}", {f"fold {f.name}": f for f in run.folds}
    with (
        determined(run.params.determinism, threads(settings)),
        listening() as stop,
        progress_line(what, dict.fromkeys(folds, run.params.epochs), shown=ranks.is_first()) as shown,
    ):
        store = ready(run, store, look=shown.draw)
        if together > 1:
            jobs = {name: partial(one, fold) for name, fold in folds.items()}
            side_by_side(jobs, workers=together, stop=stop, show=shown.update)
        return {fold.name: one(fold, stop, partial(shown.update, name)) for name, fold in folds.items()}


def at_once(settings: Settings) -> int:
    """Return how many trainings may run side by side, each in a process of its own."""
    # A fork is safe only without a thread pool of torch, that is with one thread per training.
    forks = device(settings).type == "cpu" and threads(settings) == 1 and ranks.count() == 1
    return settings.workers if forks and sys.platform == "linux" else 1


def ready(run: Run, store: Store, *, look: Callable[[], None]) -> Store:
    """Return the store with the inputs that all folds' encoders share; calls `look` before each batch."""
    bare = replace(run.pretrained, folder=None) if run.pretrained else None
    net = build_net(run.variant, run.params, classes=run.classes, shape=store.shape, pretrained=bare)
    keys = sorted(store.clips) if store.dialogues else sorted(key for key in run.labels if key in store)
    return prepared_store(net, store, keys, pad_s=pad_s(run.params), before_batch=look)
