"""The utterance table as a file: manifest.jsonl, read by every stage behind `manifest` and checked at the door."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from foalnet.errors import DataError
from foalnet.files import read_jsonl
from foalnet.records import Utterance

KEY = re.compile(r"[A-Za-z0-9_-]+")


def read_manifest(path: Path, *, stage: str | None = None) -> list[Utterance]:
    """Return the utterances of a manifest, sorted by key as written.

    DataError (exit 3) names the line that is no utterance, has neither class nor reason (or both), is out of order or
    stands twice.
    """
    adapter, names = TypeAdapter(Utterance), {field.name for field in fields(Utterance)}
    utterances: list[Utterance] = []
    for number, row in enumerate(read_jsonl(path, stage=stage), 1):
        fault = None if isinstance(row, dict) and set(row) == names else "its keys are not those of an utterance"
        try:
            utterance = None if fault else adapter.validate_python(row)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            fault = f"{'.'.join(str(step) for step in first['loc'])}: {first['msg']}"
        if fault is None and utterance is not None:
            fault = _fault(utterance, utterances[-1].key if utterances else "")
        if fault is not None or utterance is None:
            raise DataError(
                f"line {number}: {fault}", file=path, stage=stage, action="remove the file and run `dvc repro`"
            )
        utterances.append(utterance)
    return utterances


def _fault(utterance: Utterance, before: str) -> str | None:
    if not KEY.fullmatch(utterance.key):
        return f"key {utterance.key!r} holds other characters than A-Z a-z 0-9 _ -"
    if utterance.key <= before:
        return f"key {utterance.key!r} stands twice or out of order"
    if (utterance.label is None) == (utterance.reason is None):
        return f"{utterance.key} needs either a class or a reason why it has none"
    if utterance.used and not 0 <= utterance.start_s < utterance.end_s:
        return f"{utterance.key} has no length: {utterance.start_s} s to {utterance.end_s} s"
    return None
