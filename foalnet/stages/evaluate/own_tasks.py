"""Reads the answers to a method's own tasks from a model's folder and scores them with the manifest's labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load

from foalnet.artifact.results import OWN_TASKS, TRAIN
from foalnet.artifact.seal import verified_bytes
from foalnet.core.errors import DataError, reason
from foalnet.evidence.own_tasks import Answers, own_task_scores


def scored_own_tasks(
    model: Path, train: Mapping[str, Any], tests: Mapping[str, Sequence[int]], *, again: str
) -> dict[str, Any]:
    """Return the scores of a run's own tasks under `own_tasks`; {} for a run without such a file.

    `train`: the folder's train.json, which lists the file with its digest; `tests`: fold -> class numbers of its test
    part.
    DataError (exit 3) for a damaged file, or one that does not fit the folds.
    """
    digest = train.get("files", {}).get(OWN_TASKS)
    if digest is None:
        return {}
    file = model / OWN_TASKS
    try:
        tensors = load(verified_bytes(file, digest, by=model / TRAIN, again=again))
        folds = [
            Answers.of(one, np.array(label_N))
            for name, label_N in sorted(tests.items())
            if (one := {key.removeprefix(f"{name}/"): x for key, x in tensors.items() if key.startswith(f"{name}/")})
        ]
        if not all(np.isfinite(tensor).all() for tensor in tensors.values()):
            raise ValueError("a value is not finite")
        scores = own_task_scores(folds)
    except (SafetensorError, KeyError, IndexError, ValueError) as error:
        raise DataError(
            f"the answers to the method's own tasks cannot be used: {reason(error)}",
            file=file,
            action=f"train it again: `dvc repro -f -s {again}`",
        ) from error
    return {"own_tasks": scores} if scores else {}
