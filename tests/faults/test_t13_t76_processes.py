"""T76 and T13: a training of several processes is that of one, stops as one, and leaves none behind."""

from __future__ import annotations

import csv
import io
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from flows.process import Stopped, run
from foalnet.artifact.seal import publish_sealed
from foalnet.cli.launch import together
from foalnet.config import Settings
from foalnet.core.errors import MachineError
from foalnet.core.files import read_json
from foalnet.core.paths import Paths
from foalnet.train.environment import device
from tests.faults.test_t10_interrupted import RANDOM, files
from tests.support.corpus.stores import make_store, write_corpus, write_params
from tests.support.projects import verb
from tests.unit.stages.test_final import TOOLS

VERB = ("-m", "foalnet", "train", "drawn", "--seed", "1", "--variant")
TORCHRUN = ("-m", "torch.distributed.run", "--nproc-per-node", "2")
linux = pytest.mark.skipif(sys.platform != "linux", reason="looks for living processes in /proc")


def a_home(home: Path, **train: Any) -> Path:
    write_corpus(home, make_store(per_group=8))
    write_params(home, **({"epochs": 2} | train))
    return home


def train(home: Path, variant: str = "baseline", *, processes: int = 1, start: tuple[str, ...] = (), **env: str) -> Any:
    """Run the verb, by the setting or behind the words of `start`; return what it said."""
    settings = {"FOALNET_TRAIN_PROCESSES": str(processes), "FOALNET_DEVICE": "cpu", "FOALNET_WORKERS": "1"}
    command = [sys.executable, *start, *VERB, variant]
    return subprocess.run(
        command, cwd=home, env=os.environ | settings | env, capture_output=True, text=True, timeout=300
    )


def model(home: Path, variant: str = "baseline") -> Path:
    return Paths("drawn", home).model(variant, 1)


def history(home: Path, variant: str = "baseline") -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO((model(home, variant) / "history.csv").read_text())))


def same_curve(one: Path, two: Path, variant: str) -> None:
    first, second = history(one, variant), history(two, variant)
    assert len(first) == len(second) == 10
    for a, b in zip(first, second, strict=True):
        for name, value in a.items():
            if name in ("fold", "epoch", "lr", "padding"):
                assert b[name] == value
            elif name == "dev_ua":
                # One of the eight utterances, between two classes, may fall to either side of them.
                assert abs(float(b[name]) - float(value)) <= 1 / 8
            else:
                assert float(b[name] or 0) == pytest.approx(float(value or 0), rel=1e-5, abs=1e-5), (name, a, b)


@pytest.mark.long
# 24 clips of a fold in batches of 8, 7 (the last has 3: two and one) and 23 (the last has one: both take it).
@pytest.mark.parametrize(("variant", "size"), [("baseline", 8), ("foal", 7), ("audio_only", 23)])
def test_t76_two_processes_of_the_verb_have_the_curve_of_one(tmp_path: Path, variant: str, size: int) -> None:
    homes = [a_home(tmp_path / str(n), batch_size=size) for n in (1, 2)]
    for processes, home in enumerate(homes, 1):
        done = train(home, variant, processes=processes)
        assert done.returncode == 0, done.stderr
        assert done.stderr.count(f"processes: {processes}, determinism strict") == 1, "one line, of the first alone"
        assert read_json(model(home, variant) / "train.json")["processes"] == processes
    same_curve(*homes, variant)
    counts = [read_json(model(home, variant) / "train.json")["counts"] for home in homes]
    assert counts[0] == counts[1]
    keys = [path.name for home in homes for path in home.glob("work/train/*")]
    assert len(set(keys)) == 2, "a state of one process is none of two"


@pytest.mark.long
def test_t76_in_fp16_two_processes_learn_as_one_does(tmp_path: Path) -> None:
    homes = [a_home(tmp_path / str(n), batch_size=8, precision="fp16") for n in (1, 2)]
    for processes, home in enumerate(homes, 1):
        done = train(home, "foal", processes=processes)
        assert done.returncode == 0, done.stderr
        assert "precision fp16" in done.stderr
    first, second = (history(home, "foal") for home in homes)
    assert len(first) == len(second) == 10
    for one, two in zip(first, second, strict=True):
        # The first epoch's steps all overflow and only lower the scale: the weights are still the same. Afterwards the
        # curves part, for a process' own share of a batch overflows at another scale than the whole.
        if one["epoch"] == "1":
            assert float(two["loss"]) == pytest.approx(float(one["loss"]), rel=1e-3)
        else:
            assert float(two["loss"]) < float(first[first.index(one) - 1]["loss"])


@pytest.mark.long
def test_t76_torchrun_and_the_setting_write_the_same_bytes(tmp_path: Path) -> None:
    homes = [a_home(tmp_path / name, **RANDOM) for name in ("setting", "torchrun")]
    first, second = train(homes[0], processes=2), train(homes[1], start=TORCHRUN)
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert files(model(homes[0])) == files(model(homes[1]))


@pytest.mark.long
def test_t76_the_final_model_of_two_processes_has_the_curve_of_one(tmp_path: Path) -> None:
    home = a_home(tmp_path, lr=1e-4)
    assert train(home, "foal").returncode == 0
    publish_sealed(Paths("drawn", home).staging, {"tools": TOOLS})
    env = os.environ | {"FOALNET_DEVICE": "cpu"}
    scored = [sys.executable, "-m", "foalnet", "evaluate", *VERB[3:], "foal"]
    subprocess.run(scored, cwd=home, env=env, check=True, timeout=300)
    losses = []
    for processes in ("1", "2"):
        final = [sys.executable, "-m", "foalnet", "final", "drawn"]
        settings = {"FOALNET_TRAIN_PROCESSES": processes}
        done = subprocess.run(
            final, cwd=home, env=env | settings, check=True, capture_output=True, text=True, timeout=300
        )
        assert done.stdout.count("sealed in") == 1, "the first says it"
        losses.append(read_json(Paths("drawn", home).final / "card.json")["loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5, abs=1e-5)


# The verb where one utterance's sound is not finite, which no file of ours can hold.
POISONED = """
import math, sys
import foalnet.train.batches.store as store
real = store.read_clip
def read(sample, *args, **more):
    clip, rate_hz = real(sample, *args, **more)
    if clip.key == "g3_005":
        clip.parts["audio"].values[5] = math.nan
    return clip, rate_hz
store.read_clip = read
from foalnet.cli import main
sys.argv = ["foalnet", *sys.argv[1:]]
main()
"""


@pytest.mark.long
def test_t70_what_is_not_finite_on_one_process_is_skipped_on_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOALNET_DEVICE", "cpu")
    monkeypatch.setenv("FOALNET_WORKERS", "1")
    skipped = []
    for processes in (1, 2):
        home = a_home(tmp_path / str(processes), sampler="plain", max_bad_steps=99)
        monkeypatch.chdir(home)
        assert together([[sys.executable, "-c", POISONED, *VERB[2:], "audio_only"]] * processes) == 0
        folds = read_json(model(home, "audio_only") / "train.json")["folds"]
        skipped.append([fold["bad_steps"] for fold in folds.values()])
    assert skipped[0] == skipped[1] and [len(bad) for bad in skipped[0]] == [2, 0, 0, 2, 2], "three folds train on it"
    assert all(len(bad["keys"]) == 8 and "g3_005" in bad["keys"] for bad in skipped[1][0])


def marked(mark: str) -> list[int]:
    """Processes that were started with a mark in their environment, zombies left out."""
    processes = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (place / "environ").read_bytes():
                processes.append(int(place.name))
        except OSError:
            continue
    return processes


def begun(home: Path, start: tuple[str, ...], mark: str, **env: str) -> subprocess.Popen[str]:
    """Start a training of two processes in a session of its own, and wait until its first state exists."""
    settings = {"FOALNET_TRAIN_PROCESSES": "2", "FOALNET_DEVICE": "cpu", "T13_MARK": mark}
    child = subprocess.Popen(
        [sys.executable, *start, *VERB, "baseline"],
        cwd=home,
        env=os.environ | settings | env,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    while child.poll() is None and not list(home.glob("work/train/*/Session*.safetensors")):
        time.sleep(0.02)
    assert child.poll() is None, child.communicate()[1]
    return child


def all_gone(mark: str, within_s: float = 300.0) -> bool:
    until = time.monotonic() + within_s
    while marked(mark) and time.monotonic() < until:
        time.sleep(0.1)
    return not marked(mark)


def to_the_group(child: subprocess.Popen[str]) -> None:
    os.killpg(child.pid, signal.SIGTERM)


def to_the_starter(child: subprocess.Popen[str]) -> None:
    child.terminate()


def kill_the_starter(child: subprocess.Popen[str]) -> None:
    child.kill()


@pytest.mark.long
@linux
@pytest.mark.parametrize("start", [TORCHRUN, ()], ids=["torchrun", "setting"])
@pytest.mark.parametrize("end", [to_the_group, to_the_starter, kill_the_starter])
def test_t13_cancelled_while_two_processes_train_no_process_is_left(
    start: tuple[str, ...], end: Callable[[Any], None], tmp_path: Path
) -> None:
    home, mark = a_home(tmp_path, epochs=400, patience=400), uuid.uuid4().hex
    child = begun(home, start, mark)
    assert len(marked(mark)) >= 3, "the starter and both processes"
    end(child)
    assert all_gone(mark)
    said = child.communicate()[1]
    assert end is kill_the_starter or start or child.returncode == 5, said
    assert end is kill_the_starter or said.count("stopped in fold") == 1, "the first says it, once"
    assert not model(home).exists()


@pytest.mark.long
@linux
def test_t10_two_processes_stopped_and_started_again_end_as_if_never_stopped(tmp_path: Path) -> None:
    """With states within the epoch, which hold the random streams of both."""
    over = {"epochs": 4, "patience": 9, **RANDOM}
    homes = [a_home(tmp_path / name, **over) for name in ("straight", "cut")]
    assert train(homes[0], processes=2).returncode == 0
    mark, often = uuid.uuid4().hex, {"FOALNET_CHECKPOINT_EVERY_S": "0.000001"}
    child = begun(homes[1], (), mark, **often)
    child.send_signal(signal.SIGINT)
    said = child.communicate(timeout=300)[1]
    assert child.returncode == 5 and all_gone(mark), said
    done = train(homes[1], processes=2, **often)
    assert done.returncode == 0, done.stderr
    assert files(model(homes[0])) == files(model(homes[1]))


@pytest.mark.long
@linux
def test_t13_one_of_two_killed_ends_the_other(tmp_path: Path) -> None:
    home, mark = a_home(tmp_path, epochs=400, patience=400), uuid.uuid4().hex
    child = begun(home, (), mark)
    second = next(pid for pid in marked(mark) if b"LOCAL_RANK=1\0" in Path(f"/proc/{pid}/environ").read_bytes())
    os.kill(second, signal.SIGKILL)
    said = child.communicate(timeout=300)[1]
    # What the other says of it, or what the killed one's end says, whichever is seen first: both may be tried again.
    assert child.returncode in (4, 128 + signal.SIGKILL), said
    assert all_gone(mark)


@linux
@pytest.mark.long
def test_t13_a_flow_that_is_cancelled_leaves_none_of_its_processes(tmp_path: Path) -> None:
    """As a flow runs a stage: in a group of its own, behind a guard."""
    home, mark, stop = a_home(tmp_path, epochs=400, patience=400), uuid.uuid4().hex, threading.Event()

    def cancel() -> None:
        while not list(home.glob("work/train/*/Session*.safetensors")):
            time.sleep(0.05)
        stop.set()

    settings = {"FOALNET_TRAIN_PROCESSES": "2", "FOALNET_DEVICE": "cpu", "T13_MARK": mark}
    lines: list[str] = []
    threading.Thread(target=cancel, daemon=True).start()
    with pytest.raises(Stopped):
        run([sys.executable, *VERB, "baseline"], cwd=home, env=os.environ | settings, on_line=lines.append, stop=stop)
    assert all_gone(mark)


def test_each_process_takes_the_gpu_of_its_number_and_one_that_is_not_there_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    settings = Settings(work=tmp_path, device="auto")
    assert str(device(settings)) == "cuda"
    monkeypatch.setenv("WORLD_SIZE", "3")
    for rank in ("0", "1"):
        monkeypatch.setenv("LOCAL_RANK", rank)
        assert str(device(settings)) == f"cuda:{rank}"
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(MachineError, match=r"device 'cuda:2' is set; torch .* sees 2 GPUs"):
        device(settings)


def test_an_environment_that_says_half_is_refused(tmp_path: Path) -> None:
    home, command = a_home(tmp_path), (*VERB[2:], "baseline")
    done = verb(home, *command, check=False, WORLD_SIZE="2", FOALNET_DEVICE="cpu")
    assert done.returncode == 2 and "RANK, LOCAL_RANK, MASTER_ADDR, MASTER_PORT are not set" in done.stderr
    done = verb(home, *command, check=False, WORLD_SIZE="two", FOALNET_DEVICE="cpu")
    assert done.returncode == 2 and "WORLD_SIZE=two" in done.stderr


def says(code: str) -> list[str]:
    return [sys.executable, "-c", f"import os, sys, time, signal; {code}"]


@pytest.mark.parametrize(
    ("codes", "expected"),
    [((0, 0), 0), ((0, 3), 3), ((4, 3), 3), ((70, 4), 70), ((0, 4), 4)],
)
def test_the_starter_ends_with_the_most_informative_code(codes: tuple[int, int], expected: int) -> None:
    assert together([says(f"sys.exit({code})") for code in codes]) == expected


def test_the_starter_ends_what_does_not_end_by_itself() -> None:
    deaf = says("signal.signal(signal.SIGTERM, signal.SIG_IGN); print(os.getpid(), flush=True); time.sleep(60)")
    assert together([deaf, says("time.sleep(0.3); sys.exit(3)")], grace_s=0.5) == 3
