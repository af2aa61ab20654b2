"""A small table of predictions with figures worked by hand, as rows and as files of every format."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from foalnet.artifact.table import manifest_files
from foalnet.audit import audit, of_file
from foalnet.core.files import jsonl_bytes
from foalnet.core.records import Utterance

CLASSES = ("happy", "neutral", "sad", "angry")
RAW = {"happy": "exc", "neutral": "neu", "sad": "sad", "angry": "ang"}
Row = dict[str, Any]


def rows(seed: int | None = None) -> list[Row]:
    """Return 5 sessions of 2 dialogues of 16 utterances, 160 in all: of each class 40, of which 30 are right.

    The four utterances of a class in a dialogue: the first is predicted as the next class, the others rightly. The
    predicted class has a probability of 0.7 to 0.8, different in each row, the others share the rest.
    """
    made = []
    for number in range(160):
        session, dialogue, at = 1 + number // 32, 1 + number // 16 % 2, number % 16
        label = at % 4
        predicted = (label + 1) % 4 if at < 4 else label
        top = 0.7 + (number + (1000 * (seed or 0))) % 9973 / 100_000
        probabilities = [(1 - top) / 3] * 4
        probabilities[predicted] = top
        row = {
            "key": f"Ses0{session}F_impro0{dialogue}_{'FM'[at // 8]}{at:03d}",
            "label": CLASSES[label],
            "predicted": CLASSES[predicted],
            "fold": f"Session{session}",
            "probabilities": probabilities,
        }
        made.append(row if seed is None else row | {"seed": seed})
    return made


def utterances(of: Sequence[Mapping[str, Any]]) -> list[Utterance]:
    """Return the utterances of a manifest for rows."""
    return [
        Utterance(
            key=row["key"], corpus="mine", session=f"Session{row['key'][4]}", dialogue=row["key"][:14],
            speaker=row["key"][:5] + row["key"][15], side="left", start_s=0.0, end_s=1.0,
            raw_label=RAW[row["label"]], label=row["label"],
        )
        for row in of
    ]  # fmt: skip


def manifest(folder: Path, of: Sequence[Mapping[str, Any]] | None = None) -> Path:
    """Write a manifest of rows, by default of `rows()`."""
    path = folder / "manifest.jsonl"
    for file, data in manifest_files(path, utterances(of or rows())).items():
        file.write_bytes(data)
    return path


def flat(row: Mapping[str, Any], prefix: str = "prob_") -> Row:
    """Return a row with one column for each probability, named after its class."""
    own = {name: value for name, value in row.items() if name != "probabilities"}
    return own | {f"{prefix}{name}": value for name, value in zip(CLASSES, row["probabilities"], strict=True)}


def write(path: Path, of: Sequence[Mapping[str, Any]]) -> Path:
    """Write rows in the format of the path's ending."""
    if path.suffix == ".jsonl":
        path.write_bytes(jsonl_bytes(of))
    elif path.suffix == ".npz":
        arrays = {name: np.array([row[name] for row in of]) for name in of[0]}
        np.savez(path, **arrays)  # type: ignore[arg-type]
    elif path.suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.Table.from_pylist([dict(row) for row in of]), path)
    else:
        text = io.StringIO()
        table = csv.DictWriter(text, list(of[0]), delimiter="\t" if path.suffix == ".tsv" else ",")
        table.writeheader()
        table.writerows({name: json.dumps(v) if isinstance(v, list) else v for name, v in row.items()} for row in of)
        path.write_text(text.getvalue())
    return path


def checked(folder: Path, of: Sequence[Row], *, against: bool = True, name: str = "mine.jsonl", **more: Any) -> Any:
    """Return the facts of an audit of rows, by default against the manifest of the right ones."""
    reference = of_file(manifest(folder)) if against else None
    return audit([write(folder / name, of)], reference=reference, **more)["files"][0]


def verdicts(facts: Any) -> dict[str, str]:
    """Return name of a check -> its worst verdict."""
    order = ("ok", "warning", "fault")
    worst: dict[str, str] = {}
    for row in facts["checks"]:
        worst[row["name"]] = max(worst.get(row["name"], "ok"), row["verdict"], key=order.index)
    return worst


def faulty(facts: Any) -> set[str]:
    """Return the names of the checks that are a fault."""
    return {name for name, verdict in verdicts(facts).items() if verdict == "fault"}


def text_of(facts: Any, name: str) -> str:
    """Return what the checks of a name say."""
    return " ".join(row["text"] for row in facts["checks"] if row["name"] == name)
