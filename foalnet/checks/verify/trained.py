"""Links by content of what was trained: runs and the final model, their digests, their own seals, what they name."""

from __future__ import annotations

import json
import math
import statistics
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from foalnet.artifact.provenance import code_digest
from foalnet.artifact.results import METRICS, TRAIN
from foalnet.checks.verify.anew import apart, manifest_rows, told, unlike
from foalnet.checks.verify.content import Scene, asked
from foalnet.checks.verify.link import Link, differs, ok, short, some, two
from foalnet.checks.verify.staged import INDEX, entries, rel
from foalnet.config.blocks import encoders_from
from foalnet.core.files import content_key
from foalnet.core.paths import run_name
from foalnet.core.processor import made_elsewhere


def trained_links(scene: Scene, stage: str, run: Mapping[str, Any] | None) -> Iterator[Link]:
    """Yield the links by content of a stage `train` or `final`; `run` is the item of the former in params.yaml."""
    verb = stage.partition("@")[0]
    if verb == "train" and run:
        for name, check in (("facts", facts), ("files", files), ("checkpoints", checkpoints), ("logits", logit_keys)):
            yield asked(f"{run['name']} {name}", stage, partial(check, scene, run))
    elif verb == "final":
        yield asked("final model", stage, partial(final_model, scene))
        yield asked("final card", stage, partial(card, scene))


def model(scene: Scene, run: Mapping[str, Any]) -> str:
    """Return the folder of a trained run."""
    return _rel(scene, scene.paths.model(run["variant"], run["seed"], run["split"]))


def _rel(scene: Scene, path: Path) -> str:
    return str(path.relative_to(scene.paths.home).as_posix())


def _again(scene: Scene, run: Mapping[str, Any]) -> str:
    return scene.again(f"train@{scene.params.corpus}-{run['name']}")


def _same(name: str, pairs: Mapping[str, tuple[Any, Any]], *, by: str, at: str, action: str, held: str) -> Link:
    """Compare values by name: (what is expected, what was found)."""
    wrong = [f"{what}: {two(one, other, by=by, at=at)}" for what, (one, other) in pairs.items() if one != other]
    return differs(name, "; ".join(wrong), action=action) if wrong else ok(name, held)


def facts(scene: Scene, run: Mapping[str, Any]) -> Link:
    """train.json names the training code and params of this folder, and this run."""
    from foalnet.stages.train import CODE
    from foalnet.train.encoders import known_by

    told, params = scene.store.json(f"{model(scene, run)}/{TRAIN}"), scene.params
    here = {
        "code": code_digest(CODE),
        "params": content_key(params.train.model_dump()),
        "classes": list(params.manifest.classes),
        "corpus": params.corpus,
        **{field: run[field] for field in ("variant", "seed", "split")},
    }
    if told.get("inputs") is not None:
        names = {"manifest": rel(scene.paths, "manifest"), "shards": f"{rel(scene.paths, 'shards')}/{INDEX}"}
        read = scene.store.digests(names.values())
        here["inputs"] = {name: read[path].sha256 for name, path in names.items()}
    if told.get("features") is not None:
        index = f"{rel(scene.paths, 'features')}/{INDEX}"
        here["features"] = scene.store.digests([index])[index].sha256
    if singles := encoders_from(run["variant"], params.train.encoders):
        models = {run_name(s, run["seed"], run["split"]): model(scene, {**run, "variant": s}) for s in singles.values()}
        here["encoders"] = {name: known_by(scene.store.json(f"{path}/{TRAIN}")) for name, path in models.items()}
    pairs = {what: (told.get(what), value) for what, value in here.items()}
    held = f"training code {short(here['code'])}, training params {short(here['params'])}: those of this folder"
    action = _again(scene, run)
    return _same(f"{run['name']} facts", pairs, by=TRAIN, at="this folder", action=action, held=held)


def files(scene: Scene, run: Mapping[str, Any]) -> Link:
    """Every file of the run has the SHA-256 that train.json says; none is missing, none is extra."""
    folder, name = model(scene, run), f"{run['name']} files"
    listed = {str(file): str(digest) for file, digest in scene.store.json(f"{folder}/{TRAIN}")["files"].items()}
    here = set(scene.store.names(folder)) - {TRAIN}
    if strange := here ^ listed.keys():
        what = f"{len(strange)} files are gone, or {TRAIN} does not name them: {some(strange)}"
        return differs(name, what, action=_again(scene, run))
    read = scene.store.digests(f"{folder}/{file}" for file in listed)
    pairs = {f"{folder}/{file}": (digest, read[f"{folder}/{file}"].sha256) for file, digest in listed.items()}
    held = f"{len(pairs)} files have the SHA-256 that {folder}/{TRAIN} says"
    return _same(name, pairs, by=TRAIN, at="file", action=_again(scene, run), held=held)


def checkpoints(scene: Scene, run: Mapping[str, Any]) -> Link:
    """Every fold's checkpoint has its seal, is of this run, and its network gives a sample's logits as they are stored.

    The logits are those of the chosen epoch: the checkpoint holds its weights.
    """
    from safetensors.torch import load

    from foalnet.artifact.checkpoint import load_checkpoint
    from foalnet.checks.verify.networks import SAMPLE, answers, depends_on_batch, unlike_logits

    folder, name, again = model(scene, run), f"{run['name']} checkpoints", _again(scene, run)
    expected = {field: run[field] for field in ("variant", "seed", "split")}
    expected["classes"] = list(scene.params.manifest.classes)
    train, keys = scene.store.json(f"{folder}/{TRAIN}"), scene.store.json(f"{folder}/logits.json")["folds"]
    stored, answered = load(scene.store.read(f"{folder}/logits.safetensors")), 0
    for fold, trained in sorted(train["folds"].items()):
        path = f"{folder}/fold-{fold}.safetensors"
        bench = scene.bench / "checkpoints"
        laid = scene.store.lay(path, bench)
        with apart(bench):
            weights, sealed = load_checkpoint(laid)
        laid.unlink()  # those of a remote are many, and large
        here = {field: sealed[field] for field in (*expected, "fold")}
        if differing := list(unlike(expected | {"fold": fold}, here)):
            return differs(name, told(differing, by="params", at=path), action=again)
        sample = keys[fold]["test"][:SAMPLE]
        made_NC = answers(scene, weights, sealed, sample, file=Path(path))
        stored_NC = stored[f"{fold}/test"][trained["chosen_epoch"] - 1, : len(sample)]
        if not depends_on_batch(sealed) and (what := unlike_logits(made_NC, stored_NC, device=train["device"])):
            what = f"{path}: its network does not give the stored logits of {some(sample)}: {what}"
            return differs(name, what, action=again)
        answered += len(sample)
    held = f"{len(train['folds'])} folds' seals hold, they are of this run"
    elsewhere = made_elsewhere(train)
    return ok(
        name,
        f"{held}, their networks give the stored logits of {answered} utterances"
        + (f" but for rounding; {elsewhere}" if elsewhere else ""),
    )


def logit_keys(scene: Scene, run: Mapping[str, Any]) -> Link:
    """The folds' test parts are, once each, the utterances with a class that the shards hold."""
    folds = scene.store.json(f"{model(scene, run)}/logits.json")["folds"]
    tested = Counter(key for fold in folds.values() for key in fold["test"])
    used = {row["key"] for row in scene.store.rows(rel(scene.paths, "manifest")) if row["label"] is not None}
    staged = used & {key for shard in entries(scene) for key in shard["keys"]}
    wrong = (staged ^ tested.keys()) | {key for key, count in tested.items() if count > 1}
    if wrong:
        what = f"{len(wrong)} utterances are tested twice, or are not those of manifest and shards: {some(wrong)}"
        return differs(f"{run['name']} logits", what, action=_again(scene, run))
    return ok(f"{run['name']} logits", f"{len(folds)} folds test each of {len(staged)} utterances once")


def final_model(scene: Scene) -> Link:
    """The final model is what it was sealed as; its inputs are those of this folder, its card the one beside it."""
    from foalnet.artifact.model import FILE, read_model
    from foalnet.checks.verify.networks import SAMPLE, answers
    from foalnet.nets.variants import picture_of
    from foalnet.stages.card import card_md
    from foalnet.stages.final import CODE as FINAL
    from foalnet.stages.train import CODE

    params, store, folder = scene.params, scene.store, _rel(scene, scene.paths.final)
    with apart(scene.bench / "final"):
        weights, sealed = read_model(store.lay(f"{folder}/{FILE}", scene.bench / "final"))
    manifest, shards = rel(scene.paths, "manifest"), f"{rel(scene.paths, 'shards')}/{INDEX}"
    read = store.digests([manifest, shards])
    picture = picture_of(params.final.variant, params.train.picture)
    digests = {
        "manifest": read[manifest].sha256,
        "shards": read[shards].sha256,
        "code": code_digest(CODE),
        "params": content_key(params.train.model_dump()),
        "final": code_digest(FINAL),
    }
    expected = {
        "corpus": params.corpus,
        "variant": params.final.variant,
        "seed": params.final.seed,
        "classes": list(params.manifest.classes),
        "shards": params.shards.model_dump(mode="json"),
        "train": params.train.model_copy(update={"picture": picture}).model_dump(mode="json"),
        "tools": store.json(rel(scene.paths, "staging"))["tools"],
        "digests": digests,
    }
    found = {
        "classes": list(sealed.classes),
        "shards": sealed.shards.model_dump(mode="json"),
        "train": sealed.train.model_dump(mode="json"),
        "digests": {what: sealed.digests.get(what) for what in digests},
    }
    found |= {field: getattr(sealed, field) for field in ("corpus", "variant", "seed", "tools")}
    action = scene.again(f"final@{params.corpus}")
    if differing := list(unlike(expected, found)):
        return differs("final model", told(differing, by="this folder", at=f"{folder}/{FILE}"), action=action)
    beside = json.loads(store.read(f"{folder}/card.json"))
    if differing := list(unlike({**sealed.card, "digests": sealed.digests}, _without(beside, "loss"))):
        return differs("final model", told(differing, by=FILE, at=f"{folder}/card.json"), action=action)
    if store.read(f"{folder}/card.md").decode(errors="replace") != card_md(sealed.card):
        return differs("final model", f"{folder}/card.md is not the card that {FILE} holds", action=action)
    sample = [key for shard in entries(scene) for key in shard["keys"]][:SAMPLE]
    if not answers(scene, weights, asdict(sealed), sample, file=Path(folder) / FILE).isfinite().all():
        return differs("final model", f"its network gives no finite logits of {sample}", action=action)
    held = f"manifest {short(digests['manifest'])}, index of shards {short(digests['shards'])}, code and params"
    return ok("final model", f"its seal holds; {held}: those here; its network answers; card.json, card.md are its own")


def _without(value: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {each: what for each, what in value.items() if each != name}


def card(scene: Scene) -> Link:
    """The card quotes this folder's epochs, scores and utterances; sound's length, ranges and machine are its own."""
    from foalnet.nets.variants import picture_of
    from foalnet.stages.card import card_facts
    from foalnet.stages.final import UNKNOWN

    params, store, paths = scene.params, scene.store, scene.paths
    variant, seed = params.final.variant, params.final.seed
    name, found = "final card", json.loads(store.read(f"{_rel(scene, paths.final)}/card.json"))
    folds = store.json(f"{_rel(scene, paths.model(variant, seed))}/{TRAIN}")["folds"]
    chosen = {fold: int(row["chosen_epoch"]) for fold, row in folds.items()}
    staged = {key for shard in entries(scene) for key in shard["keys"]}
    used = [row for row in manifest_rows(scene) if row.used and row.key in staged]
    train = params.train.model_copy(update={"picture": picture_of(variant, params.train.picture)})
    expected = card_facts(
        params.model_copy(update={"train": train}),
        used,
        chosen=chosen,
        epochs=math.ceil(statistics.median(chosen.values())),
        metrics=store.json(f"{_rel(scene, paths.run(variant, seed))}/{METRICS}"),
        seconds=found["data"]["seconds"],
        ranges=found["data"]["ranges"],
        machine=found["machine"],
        licence=store.json(_rel(scene, paths.staging)).get("licence", UNKNOWN),
    )
    if differing := list(unlike(expected, _without(_without(found, "loss"), "digests"))):
        action = scene.again(f"final@{params.corpus}")
        return differs(name, told(differing, by="folds, manifest", at="card.json"), action=action)
    return ok(name, f"{len(used)} utterances, {expected['epochs']['trained']} epochs and the folds' scores: those here")
