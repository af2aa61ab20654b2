"""T10 and T77: training stopped anywhere ends with 5, and run again it ends with the same bytes as a straight run."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import torch

import foalnet.train.state as states
from foalnet.artifact.checkpoint import load_checkpoint
from foalnet.core.errors import Interrupted
from foalnet.core.paths import Paths
from foalnet.core.progress import Every
from foalnet.train.environment import Stop, determined
from foalnet.train.fold import train_fold
from foalnet.train.state import Progress
from tests.support.corpus.stores import make_params, make_run, make_store, write_corpus, write_params
from tests.unit.test_train import StopAt

CPU = torch.device("cpu")
# Everything that draws at random, so that a stream in the wrong place would show.
RANDOM: dict[str, Any] = {
    "audio": {"dropout": 0.3, "augment": True},
    "video": {"dropout": 0.2, "augment": True},
    "methods": {"foal": {"dropout": 0.2, "project_dropout": 0.3, "head_dropout": 0.2}},
}
EPOCHS, STEPS = 4, 3
# Looks of one epoch: before each of three steps, before one batch of the test part and before one of the dev part.
LOOKS = STEPS + 2


class Trainer:
    """One fold of a tiny run: `train` goes on from the state, `outcome` is all that a run publishes of it."""

    def __init__(self, variant: str = "foal") -> None:
        synthetic = make_store(per_group=8)
        run = make_run(synthetic, variant, params=make_params(epochs=EPOCHS, patience=9, **RANDOM))
        self.task, self.store = run.task(run.folds[0], synthetic.store), synthetic.store

    def train(self, state: Path, stop: Stop | None = None, **more: Any) -> Progress:
        with determined("strict", 1):
            return train_fold(self.task, self.store, state, device=CPU, stop=stop or Stop(), **more)


def outcome(progress: Progress) -> tuple[Any, ...]:
    """History, account, logits and weights, bit by bit."""
    tensors = [*progress.dev_NC, *progress.test_NC, *(progress.best_net[name] for name in sorted(progress.best_net))]
    return progress.rows, progress.counts, progress.best, [each.numpy().tobytes() for each in tensors]


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> tuple[Trainer, tuple[Any, ...], bytes]:
    trainer, state = Trainer(), tmp_path_factory.mktemp("straight") / "s.safetensors"
    return trainer, outcome(trainer.train(state)), state.read_bytes()


Straight = tuple[Trainer, tuple[Any, ...], bytes]


def some_long(numbers: Iterable[int], every: int) -> list[Any]:
    """Return params of which `make test` runs the first of every so many."""
    return [pytest.param(n, marks=[pytest.mark.long] if i % every else []) for i, n in enumerate(numbers)]


@pytest.mark.parametrize("looks", some_long(range(EPOCHS * LOOKS), 3))
def test_t10_stopped_at_any_of_20_points_and_run_again_it_ends_the_same(
    straight: Straight, looks: int, tmp_path: Path
) -> None:
    """Before every step of every epoch, and before each batch of the evaluations of test and dev part."""
    trainer, expected, whole = straight
    state = tmp_path / "s.safetensors"
    epoch = looks // LOOKS
    with pytest.raises(Interrupted, match=f"epoch {epoch + 1}; {epoch} epochs of it are kept") as caught:
        trainer.train(state, StopAt(looks))
    assert caught.value.exit_code == 5 and "same command" in str(caught.value.action)
    assert outcome(trainer.train(state)) == expected and state.read_bytes() == whole


@pytest.mark.parametrize("epoch", range(1, EPOCHS + 1))
def test_t10_stopped_while_a_state_is_written_it_keeps_that_state(
    straight: Straight, epoch: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer, expected, whole = straight
    state, stop, saved, real = tmp_path / "s.safetensors", Stop(), [], states.save_checkpoint

    def save(*args: Any) -> None:
        saved.append(1)
        if len(saved) == epoch:
            stop.request()
        real(*args)

    with monkeypatch.context() as patched:
        patched.setattr(states, "save_checkpoint", save)
        if epoch < EPOCHS:
            with pytest.raises(Interrupted, match=f"{epoch} epochs of it are kept"):
                trainer.train(state, stop)
        else:
            assert outcome(trainer.train(state, stop)) == expected, "after the last state there is nothing to stop"
    assert outcome(trainer.train(state)) == expected and state.read_bytes() == whole


class Killed(BaseException):
    """Stands for a kill: nothing is tidied up."""


def at_step(step: int, act: Callable[[], None]) -> Callable[[Progress, int], None]:
    left = [step]

    def show(_progress: Progress, _utterances: int) -> None:
        left[0] -= 1
        if not left[0]:
            act()

    return show


def kill() -> None:
    raise Killed


@pytest.mark.parametrize("step", some_long(range(1, EPOCHS * STEPS + 1), 4))
def test_t10_killed_after_any_step_with_states_within_the_epoch(straight: Straight, step: int, tmp_path: Path) -> None:
    """A state before every step but the first: the epoch goes on where it stood, to the same bytes."""
    trainer, expected, whole = straight
    state = tmp_path / "s.safetensors"
    with pytest.raises(Killed):
        trainer.train(state, due=lambda: True, show=at_step(step, kill))
    done = (step - 1) % STEPS
    if done:
        assert load_checkpoint(state)[1]["midway"]["steps"] == done
    seen: list[int] = []
    progress = trainer.train(state, show=lambda progress_now, _: seen.append(progress_now.epochs))
    assert len(seen) == EPOCHS * STEPS - (step - 1), "no step is trained again but the one that was cut"
    assert outcome(progress) == expected and state.read_bytes() == whole


def test_t10_stopped_again_and_again_within_one_epoch(straight: Straight, tmp_path: Path) -> None:
    trainer, expected, whole = straight
    state = tmp_path / "s.safetensors"
    for kept in range(1, STEPS):
        # Two steps more each time; the state of the first of them is written before the second.
        with pytest.raises(Interrupted, match="0 epochs of it are kept" + " and 1 steps of the next" * (kept == 1)):
            trainer.train(state, StopAt(2), due=lambda: True)
        assert load_checkpoint(state)[1]["midway"]["steps"] == kept
    assert outcome(trainer.train(state)) == expected and state.read_bytes() == whole


@pytest.mark.parametrize("variant", ["audio_only", "video_only", "baseline"])
def test_t77_resumed_at_every_epoch_each_variant_is_its_straight_run(variant: str, tmp_path: Path) -> None:
    trainer = Trainer(variant)
    expected = outcome(trainer.train(tmp_path / "straight"))
    for _ in range(EPOCHS - 1):
        with pytest.raises(Interrupted):
            trainer.train(tmp_path / "s", StopAt(LOOKS))
    assert outcome(trainer.train(tmp_path / "s", StopAt(LOOKS))) == expected


def test_a_state_is_due_when_its_seconds_went_by_and_never_with_none() -> None:
    now = [0.0]
    every = Every(10.0, clock=lambda: now[0])
    due = []
    for now[0] in (0.0, 9.9, 10.0, 11.0, 19.9, 20.1, 99.0, 100.0):
        due.append(every())
    assert due == [False, False, True, False, False, True, True, False]
    assert not Every(0.0, clock=lambda: 1e9)()


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.long
def test_t10_ctrl_c_of_the_real_verb_ends_with_5_and_the_same_command_ends_the_same(tmp_path: Path) -> None:
    """Send SIGINT once the first state exists; run `foalnet train` again; a second project gives the expected bytes."""
    homes = [tmp_path / name for name in ("cut", "whole")]
    command = [sys.executable, "-m", "foalnet", "train", "drawn", "--variant", "foal", "--seed", "1"]
    for home in homes:
        write_corpus(home, make_store(per_group=8))
        write_params(home, epochs=8, patience=8, **RANDOM)
    child = subprocess.Popen(command, cwd=homes[0], stderr=subprocess.PIPE, text=True)
    while child.poll() is None and not list(homes[0].glob("work/train/*/Session*.safetensors")):
        time.sleep(0.02)
    child.send_signal(signal.SIGINT)
    said = child.communicate(timeout=300)[1]
    assert child.returncode == 5, said
    assert "stopped in fold" in said and "run the same command again" in said
    assert not Paths("drawn", homes[0]).model("foal", 1).exists()
    for home in homes:
        subprocess.run(command, cwd=home, check=True, capture_output=True, timeout=300)
    first, second = (files(Paths("drawn", home).model("foal", 1)) for home in homes)
    assert first == second
