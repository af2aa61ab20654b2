"""Links by content of the scores: what follows from logits and manifest, made anew and compared."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from foalnet.artifact.results import METRICS, PREDICTIONS
from foalnet.artifact.seal import SEAL
from foalnet.checks.verify.anew import scores_anew, told, unlike
from foalnet.checks.verify.content import Scene, asked
from foalnet.checks.verify.link import Link, differs, ok, some
from foalnet.config.blocks import PROTOCOLS, SPLIT_OF


def scored_links(scene: Scene, stage: str, run: Mapping[str, Any] | None) -> Iterator[Link]:
    """Yield the links by content of a stage `evaluate`; `run` is its item in params.yaml."""
    if run and stage.partition("@")[0] == "evaluate":
        for protocol in (name for name in PROTOCOLS if SPLIT_OF[name] == run["split"]):
            yield asked(f"{run['name']} predictions", stage, partial(predictions, scene, run, protocol))
            yield asked(f"{run['name']} metrics", stage, partial(metrics, scene, run, protocol))


def _pair(scene: Scene, run: Mapping[str, Any], protocol: str, file: str) -> tuple[str, bytes, bytes]:
    """Return a file's path, its bytes, and those that `evaluate` makes of what lies here."""
    variant, seed = run["variant"], run["seed"]
    path = (scene.paths.run(variant, seed, protocol) / file).relative_to(scene.paths.home).as_posix()
    found = scene.store.read(path)
    anew = scores_anew(scene, variant=variant, seed=seed, split=run["split"]).run(variant, seed, protocol) / file
    return path, found, anew.read_bytes()


def _again(scene: Scene, run: Mapping[str, Any]) -> str:
    return scene.again(f"evaluate@{scene.params.corpus}-{run['name']}")


def predictions(scene: Scene, run: Mapping[str, Any], protocol: str) -> Link:
    """Labels, predictions and probabilities are, byte for byte, those of the logits and the manifest."""
    name, action = f"{run['name']} predictions", _again(scene, run)
    path, found, anew = _pair(scene, run, protocol, PREDICTIONS)
    here, made = ({row["key"]: row for row in map(json.loads, data.splitlines())} for data in (found, anew))
    wrong = {key for key in here.keys() | made.keys() if here.get(key) != made.get(key)}
    if wrong:
        what = f"{len(wrong)} of {len(made)} predictions are not those of the logits and labels: {some(wrong)}"
        return differs(name, f"{path}: {what}", action=action)
    if found != anew:
        return differs(name, f"{path} has the same predictions in other bytes", action=action)
    return ok(name, f"{len(here)} predictions, {protocol}: labels and probabilities follow from logits and manifest")


def metrics(scene: Scene, run: Mapping[str, Any], protocol: str) -> Link:
    """Epochs, scores, counts and facts of the training are, byte for byte, those of logits, manifest and train.json."""
    name, action = f"{run['name']} metrics", _again(scene, run)
    path, found, anew = _pair(scene, run, protocol, METRICS)
    here, made = scene.store.json(path), json.loads(anew)
    if differing := list(unlike({key: value for key, value in made.items() if key != SEAL}, here)):
        return differs(name, told(differing, by="logits, manifest, train.json", at=path), action=action)
    if found != anew:
        return differs(name, f"{path} has the same values in other bytes", action=action)
    return ok(name, f"{protocol}: epochs, scores and counts follow from logits, manifest and train.json")
