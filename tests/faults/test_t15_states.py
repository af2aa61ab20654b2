"""T15: a damaged state of a fold, or of the final model, is refused by name, and the one before it is used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import foalnet.train.state as states
from foalnet.checks.work import items, judged, to_remove
from foalnet.core.errors import Interrupted, MachineError
from foalnet.stages.final.training import FinalTask, train_final
from foalnet.train.environment import Stop, determined
from foalnet.train.fold import train_fold
from foalnet.train.speed import reached
from foalnet.train.state import Progress, previous_of
from tests.support.corpus.stores import CLASSES, make_params, make_run, make_store
from tests.support.marks import red_when

CPU = torch.device("cpu")
EPOCHS = 4

Train = Callable[..., Progress]


def a_fold() -> Train:
    synthetic = make_store(per_group=4)
    run = make_run(synthetic, "audio_only", params=make_params(epochs=EPOCHS, patience=9))
    task = run.task(run.folds[0], synthetic.store)

    def train(state: Path, stop: Stop, **more: Any) -> Progress:
        with determined("strict", 1):
            return train_fold(task, synthetic.store, state, device=CPU, stop=stop, **more)

    return train


def the_final() -> Train:
    synthetic = make_store(per_group=4)
    task = FinalTask(
        variant="audio_only",
        seed=1,
        params=make_params(epochs=EPOCHS),
        classes=CLASSES,
        labels={key: CLASSES.index(label) for key, label in synthetic.labels.items()},
        epochs=EPOCHS,
    )

    def train(state: Path, stop: Stop, **more: Any) -> Progress:
        with determined("strict", 1):
            return train_final(task, synthetic.store, state, device=CPU, stop=stop, **more)

    return train


@red_when("train/state.py", "whose the state is, is not compared")
def test_t15_a_state_of_another_fold_is_refused_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Two folds' states in each other's place: neither goes on from the other's."""
    synthetic = make_store(per_group=4)
    run = make_run(synthetic, "audio_only", params=make_params(epochs=2, patience=9))
    one, two = (tmp_path / f"{fold.name}.safetensors" for fold in run.folds[:2])

    def train(which: int, state: Path) -> Progress:
        task = run.task(run.folds[which], synthetic.store)
        with determined("strict", 1):
            return train_fold(task, synthetic.store, state, device=CPU, stop=Stop())

    expected = [torch.stack(train(which, state).test_NC) for which, state in enumerate((one, two))]
    assert expected[0].shape == expected[1].shape and not torch.equal(*expected)
    kept = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(kept)
    logits = [torch.stack(train(which, state).test_NC) for which, state in enumerate((one, two))]
    assert all(torch.equal(a, b) for a, b in zip(logits, expected, strict=True))
    assert caplog.text.count("the state of another training") == 2 and one.name in caplog.text


def train_until(train: Train, state: Path, epochs: int) -> None:
    """Train so many epochs and stop there."""
    stop = Stop()
    with pytest.raises(Interrupted):
        train(state, stop, before=lambda progress: stop.request() if progress.epochs == epochs else None)


def trained_epochs(train: Train, state: Path) -> list[int]:
    """Train to the end; return the epochs that were trained for it."""
    seen: list[int] = []
    train(state, Stop(), show=lambda progress, _utterances: seen.append(progress.epochs + 1))
    return sorted(set(seen))


@pytest.fixture(params=[a_fold, the_final], ids=["fold", "final"])
def train(request: Any) -> Train:
    return request.param()


class Killed(BaseException):
    """Stands for a kill."""


def killed(*_: object) -> None:
    raise Killed


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def flipped(data: bytes) -> bytes:
    return data[:-9] + bytes([data[-9] ^ 0x10]) + data[-8:]


@pytest.mark.parametrize("damage", [cut, flipped, lambda _: b""], ids=["truncated", "altered", "empty"])
def test_t15_the_state_before_a_damaged_one_is_used_and_the_end_is_the_same(
    train: Train, damage: Callable[[bytes], bytes], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    straight, state = tmp_path / "straight.safetensors", tmp_path / "s.safetensors"
    train(straight, Stop())
    train_until(train, state, 3)
    assert reached(state) == (3, False) and reached(previous_of(state)) == (2, False)
    state.write_bytes(damage(state.read_bytes()))
    assert trained_epochs(train, state) == [3, 4]
    assert f"{state}: this state is refused" in caplog.text and "epochs done: 2" in caplog.text
    assert state.read_bytes() == straight.read_bytes()
    assert not previous_of(state).exists(), "a finished training keeps one state alone"


def test_t15_with_both_damaged_training_restarts_and_the_end_is_the_same(
    train: Train, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    straight, state = tmp_path / "straight.safetensors", tmp_path / "s.safetensors"
    train(straight, Stop())
    train_until(train, state, 3)
    for file in (state, previous_of(state)):
        file.write_bytes(cut(file.read_bytes()))
    assert trained_epochs(train, state) == [1, 2, 3, 4]
    assert caplog.text.count("this state is refused") == 2 and "starts from its first epoch" in caplog.text
    assert state.read_bytes() == straight.read_bytes()


def test_t15_killed_between_setting_the_old_state_aside_and_writing_the_new_one(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    straight, state = tmp_path / "straight.safetensors", tmp_path / "s.safetensors"
    train(straight, Stop())
    train_until(train, state, 2)
    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(states, "save_checkpoint", killed)
        train(state, Stop())
    assert not state.exists() and reached(state) == (2, False), "the forecast looks at the previous one too"
    assert trained_epochs(train, state) == [3, 4]
    assert state.read_bytes() == straight.read_bytes() and not caplog.text, "nothing is wrong, nothing is said"


def test_t15_a_damaged_state_does_not_push_out_the_whole_one_before_it(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed while the next state is written, there is still something to go on from."""
    state = tmp_path / "s.safetensors"
    train_until(train, state, 3)
    state.write_bytes(cut(state.read_bytes()))
    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(states, "save_checkpoint", killed)
        train(state, Stop())
    assert trained_epochs(train, state) == [3, 4]


def test_t15_a_state_that_cannot_be_read_is_the_machines_fault_and_stays(train: Train, tmp_path: Path) -> None:
    state = tmp_path / "s.safetensors"
    train_until(train, state, 1)
    state.rename(tmp_path / "kept")
    state.mkdir()
    with pytest.raises(MachineError, match="cannot be read") as caught:
        train(state, Stop())
    assert caught.value.file == str(state) and state.exists()


def test_the_sweep_takes_both_states_with_their_folder(tmp_path: Path) -> None:
    folder = tmp_path / "train" / "run"
    folder.mkdir(parents=True)
    train_until(a_fold(), folder / "s.safetensors", 2)
    all_items = items(tmp_path)
    both = sum(path.stat().st_size for path in folder.iterdir())
    assert [(item.name, item.size_bytes) for item in all_items] == [("train/run", both)] and len(
        list(folder.iterdir())
    ) == 2
    kept = judged(all_items, busy={}, keep={folder}, unknown={}, everything=False)
    assert [item.kept for item in kept] == ["needed"]
    gone = to_remove(
        judged(all_items, busy={}, keep=set(), unknown={}, everything=False), older_than_days=None, max_bytes=0
    )
    assert [item.path for item in gone] == [folder]
