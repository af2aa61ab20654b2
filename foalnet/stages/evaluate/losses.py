"""Reads the losses of training by epoch from a model's folder, and adds the cross-entropy of the dev part.

Shape letters: E epochs, N utterances, C classes.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from foalnet.artifact.results import TRAIN
from foalnet.artifact.seal import verified_bytes
from foalnet.core.errors import DataError, reason
from foalnet.evidence.metrics import rounded, softmax
from foalnet.evidence.probabilities import nll

HISTORY = "history.csv"
# Columns of history.csv that are no loss.
OTHERS = ("fold", "epoch", "lr", "padding", "dev_ua")
DEV = "dev_cross_entropy"
Curves = dict[str, list[float]]


def losses_by_epoch(
    model: Path, train: Mapping[str, Any], dev: Mapping[str, tuple[np.ndarray, np.ndarray]], *, again: str
) -> dict[str, Curves]:
    """Return each fold's losses by name, with a value for each epoch; {} for a run without a history.

    `train`: the folder's train.json, which lists the file with its digest; `dev`: fold -> logits [E, N, C] of its dev
    part and class numbers [N]. The dev part's cross-entropy counts every utterance once, in nats; that of training is
    what was minimised. DataError (exit 3) for a damaged file.
    """
    digest = train.get("files", {}).get(HISTORY)
    if digest is None:
        return {}
    file = model / HISTORY
    data = verified_bytes(file, digest, by=model / TRAIN, again=again)
    folds: dict[str, Curves] = {}
    try:
        for row in csv.DictReader(io.StringIO(data.decode())):
            curves = folds.setdefault(row["fold"], {})
            for name, text in row.items():
                if name not in OTHERS and text and math.isfinite(value := float(text)):
                    curves.setdefault(name, []).append(rounded(value))
    except (KeyError, ValueError) as error:
        raise DataError(
            f"the history of training cannot be used: {reason(error)}",
            file=file,
            action=f"train it again: `dvc repro -f -s {again}`",
        ) from error
    for fold, (logits_ENC, label_N) in dev.items():
        folds.setdefault(fold, {})[DEV] = [rounded(nll(softmax(logits_NC), label_N)) for logits_NC in logits_ENC]
    return folds
