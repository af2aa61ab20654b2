"""Prepares, trains and publishes the final model: all sessions, for the epochs that the folds fixed."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from foalnet.artifact.model import FILE, Sealed, model_bytes
from foalnet.artifact.provenance import code_digest
from foalnet.artifact.results import TRAIN, read_metrics, read_train
from foalnet.artifact.seal import read_sealed
from foalnet.artifact.speeds import write_speed
from foalnet.artifact.table import read_manifest
from foalnet.config import Params, Settings
from foalnet.config.blocks import Train, encoders_from
from foalnet.config.variants import Modality
from foalnet.core.errors import DataError, UsageError
from foalnet.core.files import Content, content_key, json_bytes, publish_together, sha256_file
from foalnet.core.paths import Paths, run_name
from foalnet.core.processor import processor
from foalnet.core.progress import Every
from foalnet.core.records import Utterance
from foalnet.methods import method_of, needs_weights
from foalnet.shards import INDEX, ShardSet, open_shards
from foalnet.stages.final.card import card_facts, card_md
from foalnet.stages.final.ranges import quantities, ranges_of
from foalnet.stages.final.training import FinalTask, train_final
from foalnet.stages.train.training import Given, at_once, given_for, need_inputs, run_facts
from foalnet.train import ranks
from foalnet.train.batches import Store, dialogues_of, load_store
from foalnet.train.encoders import Encoders
from foalnet.train.environment import Stop, at_start, determined, device, listening, threads
from foalnet.train.parallel import side_by_side
from foalnet.train.plan import affect_of
from foalnet.train.progress_line import FoldStatus, StatusReporter, progress_line
from foalnet.train.speed import reached
from foalnet.train.state import Progress

STAGE = "final"
CODE = ("artifact/model", "stages/final/card", "stages/final/model", "stages/final/training", "stages/final/ranges")
# The licence of a corpus that an older version staged.
UNKNOWN = "Not known: the shards were staged by an older version."
# The training's state in its folder of the work cache.
STATE = "final.safetensors"


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """Inputs of the final training; `params` name the picture that the variant takes.

    `singles`: modality -> the variant whose encoder is frozen (`train.encoders: single`), and its epochs.
    """

    params: Params
    given: Given
    digests: Mapping[str, Any]
    chosen: Mapping[str, int]
    metrics: Mapping[str, Any]
    epochs: int
    singles: Mapping[Modality, tuple[str, int]]
    folder: Path

    def trainings(self) -> list[tuple[str, int, Path]]:
        """Return (variant, epochs, state) of every training, the frozen encoders' first."""
        of_singles = [
            (single, epochs, self.folder / f"{single}.safetensors") for single, epochs in self.singles.values()
        ]
        return [*of_singles, (self.params.final.variant, self.epochs, self.folder / STATE)]


def prepare(params: Params, settings: Settings, paths: Paths, shards: ShardSet) -> Prepared:
    """Return what the final model of a corpus is trained from, and where its state is kept; nothing is written.

    UsageError (exit 2) where `final` names no run of the corpus, DataError (exit 3) where that run is not there or
    does not belong to today's params.
    """
    check_final(params)
    variant, seed = params.final.variant, params.final.seed
    given = given_for(params, settings, paths, shards, variant=variant)
    run = read_train(paths, variant=variant, seed=seed)
    # The folds' encoders are not used here, but their digests are part of this model's provenance.
    if singles := encoders_from(variant, params.train):
        given = replace(given, encoders=Encoders(load={}, facts=run.get("encoders", {})))
    train = params.train.of(variant)
    facts = run_facts(train, settings, given, variant=variant)
    chosen, metrics = folds_of(paths, params, facts)
    epochs = _median(chosen)
    inputs = {"manifest": sha256_file(paths.manifest), "shards": sha256_file(paths.shards / INDEX)}
    key = content_key([STAGE, facts, inputs, params.corpus, list(params.manifest.classes), variant, seed, epochs])
    return Prepared(
        params=params.model_copy(update={"train": train}),
        given=given,
        digests=inputs | facts | {"final": code_digest(CODE)},
        chosen=chosen,
        metrics=metrics,
        epochs=epochs,
        singles={
            modality: (single, _median(run["encoders"][run_name(single, seed)]["epochs"]))
            for modality, single in singles.items()
        },
        folder=settings.work / "train" / key,
    )


def _median(chosen: Mapping[str, int]) -> int:
    """Return the epochs that the folds' choices fix: their median, rounded up."""
    return math.ceil(statistics.median(chosen.values()))


def final_run(
    params: Params, settings: Settings, paths: Paths, *, say: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Train and seal the final model: model.safetensors, card.json and, last, card.md; return the card.

    `say` gets a line on how and where it runs. Resumes per epoch from `settings.work`; of several processes the first
    publishes. UsageError (exit 2) where `final` names no run of the corpus, DataError (exit 3) where run and shards do
    not belong together, Interrupted (exit 5) after Ctrl-C or SIGTERM.
    """
    with ranks.together(device(settings)):
        if ranks.is_first():
            say(f"final {params.corpus}: {at_start(settings, params.train)}")
        return _final(params, settings, paths)


def _final(params: Params, settings: Settings, paths: Paths) -> dict[str, Any]:
    shards = open_shards(paths.shards, corpus=params.corpus)
    ready = prepare(params, settings, paths, shards)
    params, variant = ready.params, params.final.variant
    utterances = read_manifest(paths.manifest, corpus=params.corpus)
    used = [u for u in utterances if u.used]
    over_turns = method_of(variant, params.train).over_turns
    dialogues = dialogues_of(utterances, dict.fromkeys((u.key for u in used), STAGE)) if over_turns else {}
    given = ready.given
    store = load_store(shards, {u.key for u in used}, params.train, given.features, given.texts, dialogues)
    need_inputs(store, variant, params.train, paths)
    used = [u for u in used if u.key in store]
    progress = _all_trained(ready, store, settings, used)
    seconds = sum(store.samples(u.key) for u in used) / store.shape.rate_hz
    machine = {name: ready.digests[name] for name in ("device", "instructions", "threads")} | {"processor": processor()}
    account = read_sealed(paths.staging, again=f"shards@{paths.corpus}", corpus=paths.corpus)
    card = card_facts(
        params,
        used,
        chosen=ready.chosen,
        epochs=ready.epochs,
        metrics=ready.metrics,
        seconds=seconds,
        ranges=_ranges(shards, store),
        machine=machine,
        licence=account.get("licence", UNKNOWN),
        drawn=account.get("drawn", False),
    )
    if ranks.is_first():
        _publish(paths, ready, progress, store, card, account["tools"])
    return card


def _all_trained(ready: Prepared, store: Store, settings: Settings, used: Sequence[Utterance]) -> Progress:
    """Train the runs that give the encoders, side by side where the machine allows it, then the final model."""
    params, variant = ready.params, ready.params.final.variant
    classes = tuple(params.manifest.classes)
    labels = {u.key: classes.index(str(u.label)) for u in used}
    done: dict[str, Progress] = {}

    def trained(name: str, _fold: str) -> Mapping[str, Any]:
        return done[name].best_net

    load = {modality: partial(trained, name) for modality, (name, _) in ready.singles.items()}
    encoders = Encoders(load=load, facts={})

    def one(name: str, epochs: int, state: Path, stop: Stop, send: Callable[[FoldStatus], None]) -> Progress:
        task = FinalTask(
            variant=name,
            seed=params.final.seed,
            params=params.train,
            classes=classes,
            labels=labels,
            epochs=epochs,
            affect=affect_of(used, name, params.train),
            pretrained=ready.given.pretrained if needs_weights(name, params.train) else None,
            encoders=partial(encoders.of, STAGE) if name == variant and ready.singles else None,
        )
        return _trained(task, store, settings, state, corpus=params.corpus, stop=stop, send=send)

    jobs = {name: partial(one, name, epochs, state) for name, epochs, state in ready.trainings()}
    most = {name: epochs for name, epochs, _ in ready.trainings()}
    with (
        determined(params.train.determinism, threads(settings)),
        listening() as stop,
        progress_line(f"final {run_name(variant, params.final.seed)}", most, shown=ranks.is_first()) as shown,
    ):
        if (workers := at_once(settings)) > 1 and ready.singles:
            singles = {name: job for name, job in jobs.items() if name != variant}
            side_by_side(singles, workers=workers, stop=stop, show=shown.update)
        for name, job in jobs.items():
            done[name] = job(stop, partial(shown.update, name))
    return done[variant]


def _ranges(shards: ShardSet, store: Store) -> dict[str, list[float]]:
    """Return the ranges of the training data (foalnet.stages.final.ranges)."""
    trained_on = (sample for sample in shards.samples() if sample.key in store)
    return ranges_of(quantities(s.meta, store.clips[s.key].parts["audio"].values) for s in trained_on)


def check_final(params: Params) -> None:
    """Raise UsageError (exit 2) if `final` names none of the corpus' runs."""
    final = params.final
    for name, value, among in (("variant", final.variant, params.variants), ("seed", final.seed, params.seeds)):
        if value not in among:
            raise UsageError(
                f"final.{name} is {value}, which corpus {params.corpus} does not train ({', '.join(map(str, among))})",
                file="params.yaml",
                action=f"name one of these as corpora.{params.corpus}.final.{name}, or add it to its {name}s",
            )


def folds_of(paths: Paths, params: Params, facts: Mapping[str, Any]) -> tuple[dict[str, int], dict[str, Any]]:
    """Return fold -> chosen epoch (from 1), and the run's metrics.

    DataError (exit 3) where training and scores are not of one run, or of other params or classes than today's.
    """
    variant, seed = params.final.variant, params.final.seed
    file = paths.model(variant, seed) / TRAIN
    train = read_train(paths, variant=variant, seed=seed)
    metrics = read_metrics(paths, paths.run(variant, seed))
    same = {
        "its params": train.get("params") == facts["params"] == metrics["train"].get("params"),
        "its code": train.get("code") == metrics["train"].get("code"),
        "its classes": train.get("classes") == metrics.get("classes") == list(params.manifest.classes),
        "its folds": sorted(train.get("folds", {})) == sorted(metrics.get("folds", {})) != [],
    }
    for what, fits in same.items():
        if not fits:
            raise DataError(
                f"run {variant}-s{seed}: {what} differ between training, scores and params.yaml",
                file=file,
                action=f"run `dvc repro final@{params.corpus}`: it makes the run first",
            )
    return {name: int(fold["chosen_epoch"]) for name, fold in train["folds"].items()}, metrics


def speed_facts(params: Train, settings: Settings) -> dict[str, Any]:
    """Return the facts that the measured seconds per epoch depend on."""
    values = params.model_dump(mode="json", exclude={"epochs", "patience"})
    return {"device": device(settings).type, "params": values, "threads": threads(settings)}


def _trained(
    task: FinalTask,
    store: Store,
    settings: Settings,
    state: Path,
    *,
    corpus: str,
    stop: Stop,
    send: Callable[[FoldStatus], None],
) -> Progress:
    before, began, report = reached(state)[0], time.monotonic(), StatusReporter(send)
    progress = train_final(
        task,
        store,
        state,
        device=device(settings),
        stop=stop,
        show=report.step,
        before=report.before_batch,
        due=Every(settings.checkpoint_every_s),
    )
    report.before_batch(progress)
    if progress.epochs > before and ranks.is_first():
        speed = {"epochs": progress.epochs - before, "wall_s": round(time.monotonic() - began, 3)}
        write_speed(settings, f"{STAGE}-{corpus}-{task.variant}", speed_facts(task.params, settings) | speed)
    return progress


def _publish(
    paths: Paths, ready: Prepared, progress: Progress, store: Store, card: dict[str, Any], tools: Mapping[str, Any]
) -> None:
    params, pretrained, digests = ready.params, ready.given.pretrained, dict(ready.digests)
    content = Sealed(
        corpus=params.corpus,
        variant=params.final.variant,
        seed=params.final.seed,
        classes=tuple(params.manifest.classes),
        rate_hz=store.shape.rate_hz,
        frame=store.shape.frame,
        text=store.shape.text,
        shards=params.shards,
        train=params.train,
        features=dict(store.features) if store.features else None,
        texts=dict(store.texts) if store.texts else None,
        pretrained=pretrained.facts() if pretrained else None,
        tools=tools,
        digests=digests,
        card=card,
    )
    published = card | {"digests": digests, "loss": [row["loss"] for row in progress.rows]}
    files: dict[Path, Content] = {
        paths.final / "card.json": json_bytes(published),
        paths.final / "card.md": card_md(card).encode(),
        paths.final / FILE: model_bytes(progress.best_net, content),
    }
    publish_together(files, marker=paths.final / FILE)
