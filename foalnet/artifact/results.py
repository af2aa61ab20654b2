"""A run's files at the door: train.json of `train`, predictions.jsonl and metrics.json of `evaluate`; whose they are.

Both JSON files are sealed, written last, and vouch for those beside them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from foalnet.artifact.seal import ALTERED, held_bytes, read_bytes, read_sealed, refused, sealed_bytes
from foalnet.core.files import json_bytes, jsonl_bytes, jsonl_rows, publish_together, sha256_bytes
from foalnet.core.paths import Paths, run_name
from foalnet.core.records import Prediction

METRICS, PREDICTIONS, TRAIN = "metrics.json", "predictions.jsonl", "train.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Results:
    """One variant and seed under one protocol: its metrics, and `rows`, utterance key -> prediction."""

    metrics: Mapping[str, Any]
    rows: Mapping[str, Mapping[str, Any]]


def write_results(folder: Path, rows: Sequence[Prediction], metrics: Mapping[str, Any]) -> None:
    """Publish predictions, sorted by key, and metrics with their digest and number: never beside an earlier run's."""
    data = jsonl_bytes(asdict(row) for row in sorted(rows, key=lambda row: row.key))
    vouched = {**metrics, "predictions": {"rows": len(rows), "sha256": sha256_bytes(data)}}
    publish_together(
        {
            folder / PREDICTIONS: data,
            folder / METRICS: sealed_bytes(METRICS, vouched),
        },
        marker=folder / METRICS,
        stage="evaluate",
    )


def read_train(
    paths: Paths, *, variant: str, seed: int, split: str = "dev", stage: str | None = None
) -> dict[str, Any]:
    """Return a run's train.json (DataError, exit 3, where it is absent, altered or another run's)."""
    file, again = paths.model(variant, seed, split) / TRAIN, train_stage(paths.corpus, variant, seed, split)
    train = read_sealed(file, again=again, stage=stage)
    asked = {"corpus": paths.corpus, "variant": variant, "seed": seed, "split": split}
    if (said := {name: train.get(name) for name in asked}) != asked:
        raise refused(f"is another run's: {_of(said)}, not {_of(asked)}", file, again=again, stage=stage)
    return train


def train_stage(corpus: str, variant: str, seed: int, split: str = "dev") -> str:
    """Return the stage of dvc.yaml that trains a run."""
    return f"train@{corpus}-{run_name(variant, seed, split)}"


def read_metrics(
    paths: Paths, folder: Path, *, stage: str | None = None, unsealed: list[str] | None = None
) -> dict[str, Any]:
    """Return the metrics.json of a run's folder, as `read_results` does without the predictions."""
    file, again = folder / METRICS, _again(paths, folder)
    older: list[str] = []
    metrics = read_sealed(file, again=again, stage=stage, unsealed=None if unsealed is None else older)
    if older and "predictions" in metrics:
        raise refused(f"{ALTERED}: it vouches for predictions and has no seal", file, again=again, stage=stage)
    if unsealed is not None:
        unsealed += older
    said = {name: metrics.get(name) for name in ("corpus", "variant", "seed", "protocol")}
    if said["corpus"] != paths.corpus or _place(paths, said) != folder:
        raise refused(f"is another run's, {_of(said)}: it belongs in its folder", file, again=again, stage=stage)
    return metrics


def read_results(
    paths: Paths, folder: Path, *, stage: str | None = None, unsealed: list[str] | None = None
) -> Results | None:
    """Return what `evaluate` left in a run's folder, None where it holds neither file.

    DataError (exit 3) where one file is absent, either was altered, or they are not those of the corpus, variant, seed
    and protocol whose folder this is. With a list as `unsealed`, files of older versions, which vouch for nothing, are
    taken as they are and named in it.
    """
    file = folder / PREDICTIONS
    if not (folder / METRICS).is_file() and not file.is_file():
        return None
    again = _again(paths, folder)
    metrics = read_metrics(paths, folder, stage=stage, unsealed=unsealed)
    vouched = metrics["predictions"] if isinstance(metrics.get("predictions"), dict) else {}
    if unsealed and (folder / METRICS).as_posix() in unsealed:
        data = read_bytes(file, again=again, stage=stage)
    else:
        data = held_bytes(file, vouched.get("sha256"), by=folder / METRICS, again=again, stage=stage)
    rows = {row["key"]: row for row in _rows(data, file, again=again, stage=stage)}
    if len(rows) != vouched.get("rows", len(rows)):
        raise refused(f"has {len(rows)} rows, not {vouched['rows']}", file, again=again, stage=stage)
    return Results(metrics=metrics, rows=rows)


def _of(said: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in said.items())


def _place(paths: Paths, said: Mapping[str, Any]) -> Path | None:
    variant, seed, protocol = said["variant"], said["seed"], said["protocol"]
    if not (isinstance(variant, str) and isinstance(protocol, str) and type(seed) is int):
        return None
    return paths.run(variant, seed, protocol)


def _again(paths: Paths, folder: Path) -> str:
    """Return the stage that writes a run's folder: a protocol beside the headline's has one inside its run's."""
    return f"evaluate@{paths.corpus}-{folder.relative_to(paths.reports / 'runs').parts[0]}"


def _rows(data: bytes, file: Path, *, again: str, stage: str | None) -> list[dict[str, Any]]:
    """Return the predictions, each whole, sorted by key, none twice; no number is read out of a text."""
    adapter, names = TypeAdapter(Prediction), {field.name for field in fields(Prediction)}
    last = ""
    rows = jsonl_rows(data, file, stage=stage)
    for number, row in enumerate(rows, 1):
        fault = None if isinstance(row, dict) and set(row) == names else "its keys are not those of a prediction"
        try:
            key = "" if fault else adapter.validate_json(json_bytes(row), strict=True).key
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            fault = f"{'.'.join(str(step) for step in first['loc'])}: {first['msg']}"
        if fault is None and key <= last:
            fault = f"key {key!r} " + ("stands twice" if key == last else f"does not follow {last!r}")
        if fault is not None:
            raise refused(f"cannot be used: line {number}: {fault}", file, again=again, stage=stage)
        last = key
    return rows
