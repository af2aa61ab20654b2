"""The only place that scores test sessions: it applies each protocol's rule to stored logits and writes the scores.

Shape letters: E epochs, N utterances, C classes. `train` stores, for each fold and epoch, the logits of the test part
and, where the split has one, of the dev part. It gets no labels of the test part; this module reads them from the
manifest.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load

from foalnet.artifact.results import TRAIN, read_train, train_stage, write_results
from foalnet.artifact.seal import verified_bytes
from foalnet.artifact.table import read_manifest
from foalnet.config import Params
from foalnet.config.blocks import PROTOCOLS, SPLIT_OF, Split
from foalnet.core.errors import DataError, reason
from foalnet.core.files import sha256_file
from foalnet.core.labels import AFFECT
from foalnet.core.paths import HEADLINE, Paths
from foalnet.core.records import Prediction, Utterance
from foalnet.corpora.named import cluster_of, keys_tested
from foalnet.evidence.metrics import (
    DECIMALS,
    METRICS,
    best_epoch,
    calibration,
    ccc,
    mean_sd,
    rounded,
    scores,
    softmax,
)
from foalnet.evidence.probabilities import brier, calibrated_ece, macro_auc, nll, temperature
from foalnet.stages.evaluate.losses import losses_by_epoch
from foalnet.stages.evaluate.own_tasks import scored_own_tasks

PARTS = {"dev": ("dev", "test"), "four": ("test",)}
# How the other two protocols choose an epoch; `evaluate.select` names the rule of loso_dev_session.
SELECT = {"loso_fixed_epochs": "last_epoch", "paper_best_on_test": "best_test_ua"}


@dataclass(frozen=True, kw_only=True)
class FoldLogits:
    """One fold as `train` left it: part -> its keys, and its logits float32 [E, N, C] with a row for each key.

    `affect_ND`: predicted valence and activation of the test part at the epoch that the dev part chose, of a method
    that learns them.
    """

    name: str
    keys: Mapping[str, tuple[str, ...]]
    logits_ENC: Mapping[str, np.ndarray]
    affect_ND: np.ndarray | None = None


def evaluate_run(
    params: Params, paths: Paths, *, variant: str, seed: int, split: Split = "dev"
) -> dict[str, dict[str, Any]]:
    """Score one variant, seed and split under each protocol that reads it; return the metrics by protocol.

    Writes predictions.jsonl and metrics.json into the folder of each (`Paths.run`). DataError (exit 3) where logits and
    manifest do not belong together.
    """
    model = paths.model(variant, seed, split)
    train = read_train(paths, variant=variant, seed=seed, split=split)
    trained_on = train.get("inputs", {}).get("manifest")
    if trained_on is not None and trained_on != sha256_file(paths.manifest):
        raise DataError(
            f"the run was trained on another manifest than {paths.manifest}",
            file=model / TRAIN,
            action=f"train it again: `dvc repro {train_stage(params.corpus, variant, seed, split)}`",
        )
    classes = list(params.manifest.classes)
    used = {u.key: u for u in read_manifest(paths.manifest, corpus=params.corpus) if u.used}
    class_of = _class_numbers(used, classes, paths.manifest)
    folds: list[FoldLogits] = []
    for fold in read_logits(model, train, classes, split):
        taken = {key for other in folds for key in other.keys["test"]}
        _check_fold(fold, class_of, taken=taken, file=model / "logits.json")
        folds.append(fold)
    results: dict[str, dict[str, Any]] = {}
    for protocol in (name for name in PROTOCOLS if SPLIT_OF[name] == split):
        rows, metrics = score_folds(params, protocol, folds, used, variant=variant, seed=seed)
        for name, row in metrics["folds"].items():
            row["checkpoint_epoch"] = train["folds"].get(name, {}).get("chosen_epoch")
        results[protocol] = metrics | {"train": _train_facts(train)}
        if protocol == HEADLINE:
            tests = {fold.name: [class_of[key] for key in fold.keys["test"]] for fold in folds}
            again = train_stage(params.corpus, variant, seed, split)
            results[protocol] |= scored_own_tasks(model, train, tests, again=again)
            dev = {f.name: (f.logits_ENC["dev"], np.array([class_of[key] for key in f.keys["dev"]])) for f in folds}
            for name, curves in losses_by_epoch(model, train, dev, again=again).items():
                metrics["folds"][name]["losses"] = curves
        write_results(paths.run(variant, seed, protocol), rows, results[protocol])
    return results


def score_folds(
    params: Params,
    protocol: str,
    folds: Sequence[FoldLogits],
    used: Mapping[str, Utterance],
    *,
    variant: str,
    seed: int,
) -> tuple[list[Prediction], dict[str, Any]]:
    """Return the predictions of a run under a protocol, sorted by key, and its metrics.

    `used`: the manifest's utterances with a class, by key.
    """
    classes = list(params.manifest.classes)
    class_of = {key: classes.index(str(utterance.label)) for key, utterance in used.items()}
    rows, scored = _score(protocol, folds, used, class_of, params)
    return rows, {
        "schema": 1,
        "corpus": params.corpus,
        "variant": variant,
        "seed": seed,
        "protocol": protocol,
        "select": SELECT.get(protocol, params.evaluate.select),
        "cluster": cluster_of(params),
        "classes": classes,
        "pooled": _pooled(rows, classes, params.evaluate.calibration_bins),
        "folds": scored,
        "over_folds": {metric.key: mean_sd([fold[metric.key] for fold in scored.values()]) for metric in METRICS},
        "probabilities": _probabilities(folds, scored, class_of, params.evaluate.calibration_bins),
        **_affect(protocol, folds, used),
        "unpredicted": sorted(keys_tested(params, list(used.values())) - {row.key for row in rows}),
    }


def _probabilities(
    folds: Sequence[FoldLogits], scored: Mapping[str, Mapping[str, Any]], class_of: Mapping[str, int], bins: int
) -> dict[str, Any]:
    """Return what the probabilities of the test parts are worth, as they are, and scaled by the dev part's temperature.

    `calibrated`: the ECE that a calibrated model of this size shows. Without a dev part nothing is scaled.
    """
    labels, plain, scaled, temperatures = [], [], [], {}
    for fold in folds:
        epoch = scored[fold.name]["epoch"] - 1
        logits_NC = fold.logits_ENC["test"][epoch]
        labels.append(np.array([class_of[key] for key in fold.keys["test"]]))
        plain.append(softmax(logits_NC))
        if "dev" in fold.keys:
            dev_N = np.array([class_of[key] for key in fold.keys["dev"]])
            temperatures[fold.name] = temperature(fold.logits_ENC["dev"][epoch], dev_N)
            scaled.append(softmax(logits_NC / temperatures[fold.name]))
    label_N, confidence_N = np.concatenate(labels), np.concatenate(plain).max(axis=1)
    mean, high = calibrated_ece(confidence_N, bins)
    row: dict[str, Any] = {**_worth(plain, label_N, bins), "calibrated": {"mean": rounded(mean), "high": rounded(high)}}
    if scaled:
        row["scaled"] = _worth(scaled, label_N, bins)
        row["temperature"] = {name: rounded(each) for name, each in temperatures.items()}
    return row


def _worth(parts: Sequence[np.ndarray], label_N: np.ndarray, bins: int) -> dict[str, float | None]:
    probability_NC = np.concatenate(parts)
    auc = macro_auc(probability_NC, label_N)
    return {
        "nll": rounded(nll(probability_NC, label_N)),
        "brier": rounded(brier(probability_NC, label_N)),
        "auc": None if auc is None else rounded(auc),
        "ece": calibration(probability_NC, label_N, probability_NC.argmax(axis=1), bins)["ece"],
    }


def _affect(protocol: str, folds: Sequence[FoldLogits], used: Mapping[str, Utterance]) -> dict[str, Any]:
    """Return the CCC of each rating over the tested utterances that have it; {} for a method that learns none."""
    rows = [
        (row_D, used[key])
        for fold in folds
        if fold.affect_ND is not None and protocol == HEADLINE
        for key, row_D in zip(fold.keys["test"], fold.affect_ND, strict=True)
    ]
    ratings = {}
    for place, name in enumerate(AFFECT):
        pairs = np.array([(row_D[place], value) for row_D, u in rows if (value := getattr(u, name)) is not None], float)
        if len(pairs):
            ratings[name] = {"ccc": rounded(ccc(pairs[:, 0], pairs[:, 1])), "utterances": len(pairs)}
    return {"affect": ratings} if ratings else {}


def choose(protocol: str, fold: FoldLogits, class_of: Mapping[str, int]) -> tuple[int, dict[str, list[float]]]:
    """Return the epoch (0-based) that a protocol scores, and the UA of each epoch where it looked at one.

    loso_dev_session: the first epoch of the best UA on the dev part. loso_fixed_epochs: the last one, whatever any
    label says. paper_best_on_test: the first epoch of the best UA on the test part itself, as the paper's code chooses
    (docs/protocols.md); it is optimistic.
    """
    if protocol == "loso_fixed_epochs":
        return len(fold.logits_ENC["test"]) - 1, {}
    part = "test" if protocol == "paper_best_on_test" else "dev"
    label_N = np.array([class_of[key] for key in fold.keys[part]])
    epoch, ua_E = best_epoch(fold.logits_ENC[part], label_N)
    return epoch, {f"{part}_ua_by_epoch": ua_E}


def _score(
    protocol: str,
    folds: Sequence[FoldLogits],
    used: Mapping[str, Utterance],
    class_of: Mapping[str, int],
    params: Params,
) -> tuple[list[Prediction], dict[str, dict[str, Any]]]:
    """Return all predictions sorted by key, and the scores of each fold at the epoch that the protocol chose."""
    rows: list[Prediction] = []
    scored: dict[str, dict[str, Any]] = {}
    for fold in folds:
        epoch, looked_at = choose(protocol, fold, class_of)
        mine = _predictions(fold, epoch, used, list(params.manifest.classes))
        rows += mine
        scored[fold.name] = _pooled(mine, list(params.manifest.classes), params.evaluate.calibration_bins)
        scored[fold.name] |= {"epoch": epoch + 1, "epochs_run": len(fold.logits_ENC["test"]), **looked_at}
    return sorted(rows, key=lambda row: row.key), scored


def read_logits(
    model: Path, train: Mapping[str, Any], classes: list[str], split: Split = "dev"
) -> Iterator[FoldLogits]:
    """Yield the folds of logits.safetensors and logits.json, sorted by name, refusing what does not fit (exit 3).

    Both files must be those that `train`, the folder's train.json, vouches for.
    """
    again = train_stage(train["corpus"], train["variant"], train["seed"], split)

    def held(name: str) -> bytes:
        digest = train.get("files", {}).get(name)
        return verified_bytes(model / name, digest, by=model / "train.json", again=again)

    index = json.loads(held("logits.json"))
    if list(index["classes"]) != classes:
        raise DataError(
            f"the model was trained on classes {', '.join(index['classes'])}; params name {', '.join(classes)}",
            file=model / "logits.json",
            action="put them back in params.yaml, or train again: "
            f"`dvc repro -f -s {again}` (DVC does not see a changed order)",
        )
    file = model / "logits.safetensors"
    try:
        tensors = load(held(file.name))
    except SafetensorError as error:
        raise DataError(
            f"the logits cannot be read: {reason(error)}",
            file=file,
            action="remove them and run `dvc repro`",
        ) from error
    for name in sorted(index["folds"]):
        keys = {part: tuple(index["folds"][name].get(part, ())) for part in PARTS[split]}
        logits = {part: _logits(tensors, f"{name}/{part}", keys[part], len(classes), file) for part in keys}
        yield FoldLogits(name=name, keys=keys, logits_ENC=logits, affect_ND=tensors.get(f"{name}/affect"))


def _logits(
    tensors: Mapping[str, np.ndarray], name: str, keys: tuple[str, ...], classes: int, file: Path
) -> np.ndarray:
    """Return one part's finite logits [E, N, C], with a row for each key."""
    logits_ENC = tensors.get(name)
    if logits_ENC is None or logits_ENC.ndim != 3 or logits_ENC.shape[1:] != (len(keys), classes) or not keys:
        shape = "absent" if logits_ENC is None else f"of shape {list(logits_ENC.shape)}"
        raise DataError(
            f"tensor '{name}' is {shape}; expected [epochs, {len(keys)} utterances (at least 1), {classes} classes]",
            file=file,
            action="remove the model's folder and run `dvc repro`",
        )
    bad = np.argwhere(~np.isfinite(logits_ENC))
    if len(bad):
        raise DataError(
            f"tensor '{name}' holds {len(bad)} values that are not finite, the first in epoch {bad[0][0] + 1}",
            file=file,
            utterance=keys[bad[0][1]],
            action="train again with a smaller train.lr or train.clip_norm",
        )
    return logits_ENC


def _class_numbers(used: Mapping[str, Utterance], classes: list[str], manifest: Path) -> dict[str, int]:
    """Return key -> class number; a class that params do not name is refused."""
    for key, utterance in used.items():
        if utterance.label not in classes:
            raise DataError(
                f"class '{utterance.label}' is not among {', '.join(classes)}",
                file=manifest,
                utterance=key,
                action="run `dvc repro`: the manifest is older than params.yaml",
            )
    return {key: classes.index(str(utterance.label)) for key, utterance in used.items()}


def _check_fold(fold: FoldLogits, class_of: Mapping[str, int], *, taken: set[str], file: Path) -> None:
    """Refuse a fold whose parts overlap, repeat a key, test what another fold tested, or name a key without a label."""
    keys = Counter(key for part in fold.keys.values() for key in part)
    faults = [
        ("is listed twice or in both the dev and the test part", {key for key, count in keys.items() if count > 1}),
        ("was already tested in another fold", taken & set(fold.keys["test"])),
        ("has no label in the manifest", keys.keys() - class_of.keys()),
    ]
    for what, faulty in faults:
        if faulty:
            raise DataError(
                f"fold {fold.name}: an utterance {what} ({len(faulty)} such)",
                file=file,
                utterance=min(faulty),
                action="remove the model's folder and run `dvc repro`",
            )


def _predictions(fold: FoldLogits, epoch: int, used: Mapping[str, Utterance], classes: list[str]) -> list[Prediction]:
    """Return the test part's predictions at an epoch."""
    logits_NC = fold.logits_ENC["test"][epoch]
    predicted_N = logits_NC.argmax(axis=1)
    probability_NC = np.round(softmax(logits_NC), DECIMALS)
    return [
        Prediction(
            key=key,
            fold=fold.name,
            session=used[key].session,
            dialogue=used[key].dialogue,
            speaker=used[key].speaker,
            label=str(used[key].label),
            predicted=classes[predicted],
            probabilities=tuple(float(p) for p in probability_C),
        )
        for key, predicted, probability_C in zip(fold.keys["test"], predicted_N, probability_NC, strict=True)
    ]


def _pooled(rows: list[Prediction], classes: list[str], bins: int) -> dict[str, Any]:
    """Score rows together, whatever folds they come from."""
    number = {name: i for i, name in enumerate(classes)}
    return scores(
        np.array([number[row.label] for row in rows]),
        np.array([number[row.predicted] for row in rows]),
        np.array([row.probabilities for row in rows]),
        classes,
        calibration_bins=bins,
    )


def _train_facts(train: Mapping[str, Any]) -> dict[str, Any]:
    """Copy what the report says about training, so that it need not read a model's folder."""
    facts = {key: value for key, value in train.items() if key not in ("folds", "classes", "files")}
    plain = (str, int, float, type(None))
    folds = {
        name: {key: value for key, value in fold.items() if isinstance(value, (*plain, dict))}
        for name, fold in train.get("folds", {}).items()
    }
    return facts | {"folds": folds}
