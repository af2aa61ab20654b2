"""Links by content from the training to the report: what each file says of the one before it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load

from foalnet.config.blocks import PROTOCOLS, SPLIT_OF
from foalnet.evaluate import PARTS, FoldLogits, choose
from foalnet.files import content_key
from foalnet.provenance import code_digest
from foalnet.verify.content import Scene, asked
from foalnet.verify.link import Link, differs, ok, short, some, two
from foalnet.verify.staged import INDEX, entries, rel


def scored_links(scene: Scene, stage: str, run: Mapping[str, Any] | None) -> Iterator[Link]:
    """Yield the links by content of a stage from the training on; `run` is the item of train and evaluate."""
    verb = stage.partition("@")[0]
    if verb == "train" and run:
        yield asked(f"{run['name']} facts", stage, partial(train_facts, scene, run))
        yield asked(f"{run['name']} logits", stage, partial(logit_keys, scene, run))
    elif verb == "evaluate" and run:
        for protocol in (name for name in PROTOCOLS if SPLIT_OF[name] == run["split"]):
            yield asked(f"{run['name']} predictions", stage, partial(predictions, scene, run, protocol))
    elif verb == "final":
        yield asked("final card", stage, partial(card, scene))


def model(scene: Scene, run: Mapping[str, Any]) -> str:
    """Return the folder of a trained run."""
    paths = scene.paths
    return str(paths.model(run["variant"], run["seed"], run["split"]).relative_to(paths.home).as_posix())


def scores(scene: Scene, run: Mapping[str, Any], protocol: str) -> str:
    """Return the folder of a run's predictions."""
    paths = scene.paths
    return str(paths.run(run["variant"], run["seed"], protocol).relative_to(paths.home).as_posix())


def _same(name: str, pairs: Mapping[str, tuple[Any, Any]], *, by: str, at: str, action: str, held: str) -> Link:
    """Compare values by name: (what is expected, what was found)."""
    wrong = [f"{what}: {two(one, other, by=by, at=at)}" for what, (one, other) in pairs.items() if one != other]
    return differs(name, "; ".join(wrong), action=action) if wrong else ok(name, held)


def train_facts(scene: Scene, run: Mapping[str, Any]) -> Link:
    """train.json names the training code and params of this folder, and this run."""
    from foalnet.train.run import CODE

    told, params = scene.store.json(f"{model(scene, run)}/train.json"), scene.params
    here = {
        "code": code_digest(CODE),
        "params": content_key(params.train.model_dump()),
        "classes": list(params.manifest.classes),
        "corpus": params.corpus,
        **{field: run[field] for field in ("variant", "seed", "split")},
    }
    if told.get("features") is not None:
        index = f"{rel(scene.paths, 'features')}/{INDEX}"
        here["features"] = scene.store.digests([index])[index].sha256
    pairs = {what: (told[what], value) for what, value in here.items()}
    held = f"training code {short(here['code'])}, training params {short(here['params'])}: those of this folder"
    action = scene.again(f"train@{params.corpus}-{run['name']}")
    return _same(f"{run['name']} facts", pairs, by="train.json", at="this folder", action=action, held=held)


def logit_keys(scene: Scene, run: Mapping[str, Any]) -> Link:
    """The folds' test parts are, once each, the utterances with a class that the shards hold."""
    told = scene.store.json(f"{model(scene, run)}/logits.json")["folds"]
    tested = Counter(key for fold in told.values() for key in fold["test"])
    used = {row["key"] for row in scene.store.rows(rel(scene.paths, "manifest")) if row["label"] is not None}
    staged = used & {key for shard in entries(scene) for key in shard["keys"]}
    wrong = (staged ^ tested.keys()) | {key for key, count in tested.items() if count > 1}
    if wrong:
        what = f"{len(wrong)} utterances are tested twice, or are not those of manifest and shards: {some(wrong)}"
        return differs(f"{run['name']} logits", what, action=scene.again(f"train@{scene.params.corpus}-{run['name']}"))
    return ok(f"{run['name']} logits", f"{len(told)} folds test each of {len(staged)} utterances once")


def predictions(scene: Scene, run: Mapping[str, Any], protocol: str) -> Link:
    """Epochs, predictions and counts follow from the logits and the manifest; metrics.json names that training."""
    store, folder, own = scene.store, scores(scene, run, protocol), model(scene, run)
    name = f"{run['name']} predictions"
    metrics, rows = store.json(f"{folder}/metrics.json"), store.rows(f"{folder}/predictions.jsonl")
    train = store.json(f"{own}/train.json")
    found = {row["key"]: (row["label"], row["predicted"]) for row in rows}
    expected, epochs = _derived(scene, run, protocol)
    action = scene.again(f"evaluate@{scene.params.corpus}-{run['name']}")
    wrong = {key for key in expected.keys() | found.keys() if expected.get(key) != found.get(key)}
    if wrong or len(rows) != len(found):
        what = f"{len(wrong)} of {len(expected)} predictions are not those of the logits and labels: {some(wrong)}"
        return differs(name, what, action=action)
    classes = list(metrics["classes"])
    pairs: dict[str, tuple[Any, Any]] = {
        f"epoch of {fold}": (epoch, metrics["folds"][fold]["epoch"]) for fold, epoch in epochs.items()
    }
    pairs |= {f"training {what}": (train[what], metrics["train"].get(what)) for what in ("code", "params", "seed")}
    pairs["confusion"] = (_confusion(list(found.values()), classes), metrics["pooled"]["confusion"])
    held = f"{len(rows)} predictions, {protocol}: epochs, labels and counts follow from logits and manifest"
    return _same(name, pairs, by="logits, train.json", at=f"{folder}/metrics.json", action=action, held=held)


def _derived(scene: Scene, run: Mapping[str, Any], protocol: str) -> tuple[dict[str, tuple[str, str]], dict[str, int]]:
    """Return key -> (label, prediction) and fold -> epoch (from 1), from the logits and the manifest."""
    store, own, classes = scene.store, model(scene, run), list(scene.params.manifest.classes)
    label = {row["key"]: row["label"] for row in store.rows(rel(scene.paths, "manifest"))}
    index = store.json(f"{own}/logits.json")["folds"]
    try:
        tensors = load(store.read(f"{own}/logits.safetensors"))
    except SafetensorError as error:
        raise ValueError(f"logits.safetensors: {error}") from error
    number = {key: classes.index(value) for key, value in label.items() if value in classes}
    derived: dict[str, tuple[str, str]] = {}
    epochs = {}
    for name, parts in index.items():
        wanted = [part for part in PARTS[run["split"]] if part in parts]
        fold = FoldLogits(
            name=name,
            keys={part: tuple(parts[part]) for part in wanted},
            logits_ENC={part: tensors[f"{name}/{part}"] for part in wanted},
        )
        epoch, _ = choose(protocol, fold, number)
        epochs[name] = epoch + 1
        best_N = np.asarray(fold.logits_ENC["test"][epoch]).argmax(axis=1)
        derived |= {key: (label[key], classes[best]) for key, best in zip(fold.keys["test"], best_N, strict=True)}
    return derived, epochs


def _confusion(pairs: Sequence[tuple[str, str]], classes: Sequence[str]) -> list[list[int]]:
    count = Counter(pairs)
    return [[count[label, predicted] for predicted in classes] for label in classes]


def card(scene: Scene) -> Link:
    """The final model's card names the manifest, shards, code and params of this folder."""
    from foalnet.train.run import CODE

    folder = str(scene.paths.final.relative_to(scene.paths.home).as_posix())
    told = scene.store.json(f"{folder}/card.json")["digests"]
    manifest, shards = rel(scene.paths, "manifest"), f"{rel(scene.paths, 'shards')}/{INDEX}"
    read = scene.store.digests([manifest, shards])
    here = {
        "manifest": read[manifest].sha256,
        "shards": read[shards].sha256,
        "code": code_digest(CODE),
        "params": content_key(scene.params.train.model_dump()),
        "final": code_digest(["final"]),
    }
    pairs = {what: (told.get(what), value) for what, value in here.items()}
    held = f"manifest {short(here['manifest'])}, index of shards {short(here['shards'])}, code and params: those here"
    action = scene.again(f"final@{scene.params.corpus}")
    return _same("final card", pairs, by="card.json", at="this folder", action=action, held=held)
