"""The kill storm sees what it is there to see: a promise that a toy verb breaks is a difference."""

from __future__ import annotations

import random
import shutil
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

import bench.kills
import bench.storm
from bench.storm import BEFORE_LOCK, REPOSITORY, Moment, Scenario, Storm, Tally, made

# Publishes a, b and, last, mark. What it must not do is asked for by name.
TOY = """
import os, subprocess, sys, time
from pathlib import Path
from foalnet.core.errors import MachineError
from foalnet.core.files import publish_bytes
from foalnet.core.locks import lock
from foalnet.core.temporaries import remove_temporaries
fault, out = sys.argv[1], Path("data/out")
day = Path("params.yaml").read_bytes()
if fault in ("held", "unnamed"):
    held = lock(Path("work/locks/toy"))
    try:
        held.__enter__()
    except MachineError as error:
        Path("tmp/refused").touch()
        print(error if fault == "held" else "another run is at work here")
        sys.exit(4)
    # A child holds the lock on until another run was refused.
    child = os.fork()
    if child == 0:
        while not Path("tmp/refused").exists():
            time.sleep(0.01)
        os._exit(0)
    Path("tmp/held").touch()
remove_temporaries(Path("data"))
if fault == "child":
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"], start_new_session=True)
if fault == "litter":
    (Path("work/clips") / str(os.getpid())).mkdir(parents=True)
    (Path("work/clips") / str(os.getpid()) / "entry.json").touch()
if fault != "mixed":
    (out / "mark").unlink(missing_ok=True)
for name in ("a", "b", "mark"):
    time.sleep(0.1)
    data = name.encode() + day
    if fault == "torn":
        out.mkdir(parents=True, exist_ok=True)
        with (out / name).open("wb", 0) as file:
            file.write(data[:3])
            time.sleep(0.1)
            file.write(data[3:])
    else:
        publish_bytes(out / name, data)

if fault == "account":
    publish_bytes(Path("reports/account"), b"account" + day)
if fault == "elsewhere":
    Path("reports").mkdir(exist_ok=True)
    Path(f"reports/.account.{os.getpid()}.part").touch()
if fault in ("held", "unnamed"):
    os.kill(child, 9)
    os.waitpid(child, 0)
    held.__exit__(None, None, None)
if fault == "other":
    publish_bytes(out / "a", str(os.getpid()).encode())
"""


def prepare(home: Path) -> None:
    home.mkdir()
    (home / "params.yaml").write_text("corpora: {}\nruns: {}\n")


def yesterday(home: Path) -> None:
    with (home / "params.yaml").open("a") as file:
        file.write("# yesterday\n")


def phase(home: Path, since_s: float) -> str:
    if made(since_s, home / "data/out/mark"):
        return "with its mark"
    return "without" if (home / "data").exists() else BEFORE_LOCK


def toy(fault: str) -> Scenario:
    return Scenario(
        name=fault,
        command=(sys.executable, "-c", TOY, fault),
        marker="data/out/mark",
        prepare=prepare,
        change=yesterday,
        phase=phase,
        env={"PYTHONPATH": str(REPOSITORY)},
    )


@pytest.fixture(autouse=True)
def short_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench.storm, "DIE_S", 0.5)
    monkeypatch.setattr(Storm, "_sweep", lambda self, home: shutil.rmtree(home / "work/locks", ignore_errors=True))


def killed(fault: str, folder: Path, kills: int, **chances: float) -> Tally:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in chances.items():
            patch.setattr(bench.storm, name, value)
        return Storm(toy(fault), folder, random.Random(3), lambda _: None).run(kills)


@pytest.mark.long
def test_a_sound_verb_has_no_difference(tmp_path: Path) -> None:
    tally = killed("none", tmp_path, 4)
    assert tally.faults == [] and tally.killed == 4 and sum(tally.chains.values()) > 1
    assert (tally.at_once, tally.refused) == (2, 0)


@pytest.fixture
def once_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kill as soon as a child of the run holds the lock, however busy the machine is."""
    monkeypatch.setattr(Storm, "_moment", lambda self: Moment(after_s=0.0, changes=1))
    monkeypatch.setattr(bench.storm, "_names", lambda home: {"held"} if (home / "tmp/held").exists() else set())
    monkeypatch.setattr(bench.storm, "DIE_S", 300.0)


@pytest.mark.long
def test_a_run_at_once_after_a_kill_is_tried_again_while_the_dead_ones_children_hold_the_lock(
    tmp_path: Path, once_held: None
) -> None:
    tally = killed("held", tmp_path, 1)
    assert tally.at_once == 1 and tally.refused > 0 and tally.faults == []


def test_a_refusal_that_does_not_name_its_lock_is_a_difference(tmp_path: Path, once_held: None) -> None:
    tally = killed("unnamed", tmp_path, 1)
    assert any("ends with 4" in each for each in tally.faults), tally.faults


def test_kills_before_the_lock_show_nothing_and_the_storm_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Storm, "_moment", lambda self: Moment(after_s=0.0))
    early = replace(toy("none"), phase=lambda *_: BEFORE_LOCK)
    monkeypatch.setattr(bench.kills, "SCENARIOS", {"staging": lambda: early})
    assert bench.kills.main(["--staging", "3", "--training", "0", "--repro", "0"]) == 1
    printed = capsys.readouterr().out
    assert "staging: 3 kills, 0 differences" in printed and "WEAK STORM 3 of 3 kills came before its lock" in printed


def test_ten_kills_in_fewer_than_three_phases_show_little() -> None:
    two = {"early": 5, "late": 5}
    assert Tally(kills=Counter(two)).weak == ["10 kills hit 2 phases of a run, 3 are the least"]
    assert Tally(kills=Counter(two | {"between": 1})).weak == Tally(kills=Counter({"late": 9})).weak == []
    assert Tally(kills=Counter({BEFORE_LOCK: 1, "late": 1})).weak == []


@pytest.mark.long
@pytest.mark.parametrize(
    ("fault", "message", "chances"),
    [
        ("torn", "bytes that no run gave it", {}),
        ("mixed", "is of no one day", {"OVER_YESTERDAY": 1.0}),
        ("child", "left alive", {}),
        ("litter", "left in work/", {}),
        ("other", "data/out/a differs", {}),
        ("elsewhere", "is left over", {}),
    ],
)
def test_a_broken_promise_is_a_difference(fault: str, message: str, chances: dict[str, float], tmp_path: Path) -> None:
    tally = killed(fault, tmp_path, 8, **chances)
    assert any(message in each for each in tally.faults), tally.faults


def test_an_account_of_another_day_beside_the_marker_is_a_difference_in_whatever_folder(tmp_path: Path) -> None:
    storm = Storm(toy("account"), tmp_path, random.Random(3), lambda _: None)
    home = storm._project("mixed", storm.old)
    for name in ("a", "b", "mark"):
        (home / "data/out" / name).write_bytes(storm.whole.outs[f"data/out/{name}"])
    storm._check_left(home, "here")
    assert storm.tally.faults == ["account: here: data/out/mark exists, but the published files are of two params"]


@pytest.mark.long
def test_the_command_says_its_seed_and_fails_with_a_difference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench.kills, "SCENARIOS", {"staging": lambda: toy("torn"), "training": lambda: toy("none")})
    assert bench.kills.main(["--staging", "6", "--training", "2", "--repro", "0", "--seed", "5"]) == 1
    printed = capsys.readouterr().out
    assert printed.startswith("seed 5\n") and "DIFFERENCE torn: chain" in printed and "staging: 6 kills" in printed
    assert "training: 2 kills, 0 differences" in printed
    assert bench.kills.main(["--staging", "0", "--training", "4", "--repro", "0"]) == 0
