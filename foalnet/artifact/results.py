"""Reads, writes and validates the files of a run: train.json, predictions.jsonl and metrics.json.

Both JSON files are sealed, are written last, and record the digests of the other files in their folder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from foalnet.artifact.seal import ALTERED, keyed_rows, read_bytes, read_sealed, refused, sealed_bytes, verified_bytes
from foalnet.core.files import jsonl_bytes, publish_together, sha256_bytes
from foalnet.core.paths import Paths, run_name
from foalnet.core.records import Prediction

METRICS, PREDICTIONS, TRAIN = "metrics.json", "predictions.jsonl", "train.json"
# The answers to a method's own tasks on the test parts, in a model's folder.
OWN_TASKS = "own_tasks.safetensors"


@dataclass(frozen=True, kw_only=True, slots=True)
class Results:
    """The results of one variant and seed under one protocol; `rows`: utterance key -> prediction."""

    metrics: Mapping[str, Any]
    rows: Mapping[str, Mapping[str, Any]]


def write_results(folder: Path, rows: Sequence[Prediction], metrics: Mapping[str, Any]) -> None:
    """Publish predictions, sorted by key, together with metrics that record their digest and number."""
    data = jsonl_bytes(asdict(row) for row in sorted(rows, key=lambda row: row.key))
    recorded = {**metrics, "predictions": {"rows": len(rows), "sha256": sha256_bytes(data)}}
    publish_together(
        {
            folder / PREDICTIONS: data,
            folder / METRICS: sealed_bytes(METRICS, recorded),
        },
        marker=folder / METRICS,
    )


def read_train(paths: Paths, *, variant: str, seed: int, split: str = "dev") -> dict[str, Any]:
    """Return the train.json of a run (DataError, exit 3, if it is absent, altered or belongs to another run)."""
    file, again = paths.model(variant, seed, split) / TRAIN, train_stage(paths.corpus, variant, seed, split)
    train = read_sealed(file, again=again)
    expected = {"corpus": paths.corpus, "variant": variant, "seed": seed, "split": split}
    if (actual := {name: train.get(name) for name in expected}) != expected:
        what = f"belongs to another run: {_listed(actual)}, not {_listed(expected)}"
        raise refused(what, file, again=again)
    return train


def train_stage(corpus: str, variant: str, seed: int, split: str = "dev") -> str:
    """Return the name of the stage in dvc.yaml that trains a run.

    >>> train_stage("drawn", "foal", 1), train_stage("drawn", "foal", 1, "four")
    ('train@drawn-foal-s1', 'train@drawn-foal-s1-four')
    """
    return f"train@{corpus}-{run_name(variant, seed, split)}"


def read_metrics(paths: Paths, folder: Path, *, unsealed: list[str] | None = None) -> dict[str, Any]:
    """Return the metrics.json of a run's folder; `read_results` without the predictions."""
    file, again = folder / METRICS, _stage_of(paths, folder)
    older: list[str] = []
    metrics = read_sealed(file, again=again, unsealed=None if unsealed is None else older)
    if older and "predictions" in metrics:
        raise refused(f"{ALTERED}: it has a digest of predictions but no seal", file, again=again)
    if unsealed is not None:
        unsealed += older
    facts = {name: metrics.get(name) for name in ("corpus", "variant", "seed", "protocol")}
    if facts["corpus"] != paths.corpus or _run_folder(paths, facts) != folder:
        what = f"belongs to another run, {_listed(facts)}, and not in this folder"
        raise refused(what, file, again=again)
    return metrics


def read_results(paths: Paths, folder: Path, *, unsealed: list[str] | None = None) -> Results | None:
    """Return the results that `evaluate` wrote into a run's folder; None if both files are absent.

    Raises DataError (exit 3) if one file is absent, if one was altered, or if they belong to another corpus, variant,
    seed or protocol than the folder. If `unsealed` is a list, files of older versions, which have no seal, are accepted
    and appended to it.
    """
    file = folder / PREDICTIONS
    if not (folder / METRICS).is_file() and not file.is_file():
        return None
    again = _stage_of(paths, folder)
    metrics = read_metrics(paths, folder, unsealed=unsealed)
    recorded = metrics["predictions"] if isinstance(metrics.get("predictions"), dict) else {}
    if unsealed and (folder / METRICS).as_posix() in unsealed:
        data = read_bytes(file, again=again)
    else:
        data = verified_bytes(file, recorded.get("sha256"), by=folder / METRICS, again=again)
    rows = {row.key: asdict(row) for row in keyed_rows(Prediction, data, file, again=again)}
    if len(rows) != recorded.get("rows", len(rows)):
        raise refused(f"has {len(rows)} rows, not {recorded['rows']}", file, again=again)
    return Results(metrics=metrics, rows=rows)


def _listed(facts: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in facts.items())


def _run_folder(paths: Paths, facts: Mapping[str, Any]) -> Path | None:
    variant, seed, protocol = facts["variant"], facts["seed"], facts["protocol"]
    if not (isinstance(variant, str) and isinstance(protocol, str) and type(seed) is int):
        return None
    return paths.run(variant, seed, protocol)


def _stage_of(paths: Paths, folder: Path) -> str:
    """Return the stage that writes a run's folder; the folder of another protocol is inside that of its run."""
    return f"evaluate@{paths.corpus}-{folder.relative_to(paths.reports / 'runs').parts[0]}"
