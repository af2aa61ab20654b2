"""Losses by epoch: from history.csv as training wrote it, and the dev part's cross-entropy worked by hand."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from foalnet.core.errors import DataError
from foalnet.core.files import sha256_bytes
from foalnet.stages.evaluate.losses import losses_by_epoch

HISTORY = """fold,epoch,lr,padding,loss,cross_entropy,avel,mem,dev_ua
S1,1,0.1,0.2,5.5,1.25,4.0,,0.5
S1,2,0.1,0.2,4.5,0.75,3.5,,0.75
"""


def read(folder: Path, text: str, dev: dict[str, tuple[np.ndarray, np.ndarray]]) -> dict[str, dict[str, list[float]]]:
    (folder / "history.csv").write_text(text)
    train = {"files": {"history.csv": sha256_bytes(text.encode())}}
    return losses_by_epoch(folder, train, dev, again="train@drawn-foal-s1")


def test_each_loss_has_a_value_for_each_epoch(tmp_path: Path) -> None:
    # Two utterances of two classes. Epoch 1: equal logits, ln 2 each. Epoch 2: odds of 3 to 1 for the right class.
    logits_ENC = np.array([[[0.0, 0.0], [0.0, 0.0]], [[math.log(3), 0.0], [0.0, math.log(3)]]])
    curves = read(tmp_path, HISTORY, {"S1": (logits_ENC, np.array([0, 1]))})
    assert curves == {
        "S1": {
            "loss": [5.5, 4.5],
            "cross_entropy": [1.25, 0.75],
            "avel": [4.0, 3.5],
            "dev_cross_entropy": [pytest.approx(math.log(2), abs=1e-6), pytest.approx(-math.log(0.75), abs=1e-6)],
        }
    }


def test_a_run_without_a_history_has_none_and_a_damaged_one_is_refused(tmp_path: Path) -> None:
    assert losses_by_epoch(tmp_path, {"files": {}}, {}, again="train@drawn-foal-s1") == {}
    with pytest.raises(DataError, match="cannot be used"):
        read(tmp_path, HISTORY.replace("5.5", "five"), {})
    (tmp_path / "history.csv").write_text(HISTORY)
    with pytest.raises(DataError):
        losses_by_epoch(tmp_path, {"files": {"history.csv": "0" * 64}}, {}, again="train@drawn-foal-s1")
