"""T70: out of memory is exit 4, with the place, the longest utterance and the next action."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import foalnet.train.fold as fold
from foalnet.core.errors import MachineError
from foalnet.train.environment import Stop, determined
from foalnet.train.fold import train_fold
from tests.support.corpus.stores import RATE_HZ, Synthetic, make_params, make_run, make_store, with_sound

CPU = torch.device("cpu")
LONG = {"train": "g3_005", "dev": "g2_003", "test": "g1_002"}


def synthetic_with_long_ones() -> Synthetic:
    """One utterance of each part of the first fold lasts two seconds."""
    synthetic = make_store(per_group=8)
    clips = dict(synthetic.store.clips)
    for key in LONG.values():
        clips[key] = with_sound(clips[key], np.full(2 * RATE_HZ, 0.1, np.float32))
    return replace(synthetic, store=replace(synthetic.store, clips=clips))


def train(state: Path) -> None:
    synthetic = synthetic_with_long_ones()
    run = make_run(synthetic, "audio_only", params=make_params(epochs=2, sampler="plain"))
    with determined("strict", 1):
        task = run.task(run.folds[0], synthetic.store)
        train_fold(task, synthetic.store, state, device=CPU, stop=Stop())


def gpu_refusal() -> Exception:
    return torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


def cpu_refusal() -> Exception:
    try:
        torch.empty(2**60)
    except RuntimeError as error:
        return error
    raise AssertionError("this machine has more memory than there is")


@pytest.mark.parametrize("refusal", [gpu_refusal, cpu_refusal, MemoryError], ids=["gpu", "cpu", "python"])
def test_t70_no_memory_for_a_step_names_fold_epoch_and_the_longest_utterance_of_the_batch(
    refusal: Callable[[], Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = fold.take_step
    seen: list[int] = []

    def step(net: Any, batch: Any, *args: Any, **more: Any) -> Any:
        seen.append(1)
        if len(seen) > 3 and LONG["train"] in batch.keys:
            raise refusal()
        return real(net, batch, *args, **more)

    monkeypatch.setattr(fold, "take_step", step)
    with pytest.raises(MachineError, match="out of memory in fold Session1, epoch 2; the longest") as caught:
        train(tmp_path / "s")
    assert caught.value.exit_code == 4 and caught.value.utterance == LONG["train"]
    assert "8 utterances lasts 2.00 s" in str(caught.value)
    assert "train.batch_size" in str(caught.value.action) and "train.max_s" in str(caught.value.action)
    monkeypatch.undo()
    train(tmp_path / "s")


def test_t70_no_memory_for_an_evaluation_names_its_longest_utterance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = fold.build_net

    def build(*args: Any, **more: Any) -> Any:
        net = real(*args, **more)

        def refuse(module: Any, inputs: Any) -> None:
            if not module.training and LONG["dev"] in inputs[0].keys:
                raise gpu_refusal()

        net.register_forward_pre_hook(refuse)
        return net

    monkeypatch.setattr(fold, "build_net", build)
    with pytest.raises(MachineError, match="out of memory in the evaluation") as caught:
        train(tmp_path / "s")
    assert caught.value.utterance == LONG["dev"]


def test_t70_another_fault_of_torch_stays_what_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def step(*_: Any, **__: Any) -> Any:
        raise RuntimeError("an operation has no deterministic form")

    monkeypatch.setattr(fold, "take_step", step)
    with pytest.raises(RuntimeError, match="deterministic form"):
        train(tmp_path / "s")
