"""The kill storm sees what it is there to see: a promise that a toy verb breaks is a difference."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest

import bench.kills
import bench.storm
from bench.storm import REPOSITORY, Road, Storm, Tally, made

# Publishes a, b and, last, mark. What it must not do is asked for by name.
TOY = """
import os, subprocess, sys, time
from pathlib import Path
from foalnet.files import publish_bytes
from foalnet.temporaries import remove_temporaries
fault, out = sys.argv[1], Path("data/out")
day = Path("params.yaml").read_bytes()
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

if fault == "other":
    publish_bytes(out / "a", str(os.getpid()).encode())
"""


def lay(home: Path) -> None:
    home.mkdir()
    (home / "params.yaml").write_text("corpora: {}\nruns: {}\n")


def yesterday(home: Path) -> None:
    with (home / "params.yaml").open("a") as file:
        file.write("# yesterday\n")


def toy(fault: str) -> Road:
    return Road(
        name=fault,
        command=(sys.executable, "-c", TOY, fault),
        outs=("data/out",),
        marker="data/out/mark",
        lay=lay,
        change=yesterday,
        phase=lambda home, since_s: "with its mark" if made(since_s, home / "data/out/mark") else "without",
        env={"PYTHONPATH": str(REPOSITORY)},
    )


@pytest.fixture(autouse=True)
def short_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench.storm, "DIE_S", 0.5)
    monkeypatch.setattr(Storm, "_sweep", lambda self, home: None)


def killed(fault: str, folder: Path, kills: int, **chances: float) -> Tally:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in chances.items():
            patch.setattr(bench.storm, name, value)
        return Storm(toy(fault), folder, random.Random(3), lambda _: None).run(kills)


def test_a_sound_verb_has_no_difference(tmp_path: Path) -> None:
    tally = killed("none", tmp_path, 8)
    assert tally.faults == [] and tally.killed == 8 and sum(tally.chains.values()) > 1


@pytest.mark.long
@pytest.mark.parametrize(
    ("fault", "told", "chances"),
    [
        ("torn", "bytes that no run gave it", {}),
        ("mixed", "is of no one day", {"OVER_YESTERDAY": 1.0}),
        ("child", "left alive", {}),
        ("litter", "left in work/", {}),
        ("other", "data/out/a differs", {}),
    ],
)
def test_a_broken_promise_is_a_difference(fault: str, told: str, chances: dict[str, float], tmp_path: Path) -> None:
    tally = killed(fault, tmp_path, 8, **chances)
    assert any(told in each for each in tally.faults), tally.faults


@pytest.mark.long
def test_the_command_says_its_seed_and_fails_with_a_difference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench.kills, "ROADS", {"staging": lambda: toy("torn"), "training": lambda: toy("none")})
    assert bench.kills.main(["--staging", "6", "--training", "2", "--seed", "5"]) == 1
    told = capsys.readouterr().out
    assert told.startswith("seed 5\n") and "DIFFERENCE torn: chain" in told and "staging: 6 kills" in told
    assert "training: 2 kills, 0 differences" in told
    assert bench.kills.main(["--staging", "0", "--training", "2"]) == 0
