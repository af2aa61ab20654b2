"""T1 and T10 at random times: kill -9 in chains; then the same command leaves the same bytes and a clean work/.

The first tests are some kills of `python -m bench.kills`, the next all of them; a seed of their own each. The last show
that the storm sees a verb that breaks a promise.
"""

from __future__ import annotations

import random
import shutil
import sys
from pathlib import Path

import pytest

import bench.storm
from bench.kills import lines, storm
from bench.storm import BEFORE_LOCK, REPOSITORY, Scenario, Storm, Tally, made
from tests.support.marks import red_when


def outcome(road: str, kills: int, seed: int) -> tuple[int, list[str]]:
    """Return how many were killed, and what was not as it should be, in the product or in the storm."""
    tallies = storm({road: kills}, seed, lambda _: None)
    print("\n".join(lines(tallies)))
    return tallies[road].killed, tallies[road].faults + tallies[road].weak


@red_when("core/locks.py", "the lock of a dead process of this machine is refused")
@pytest.mark.long
def test_t01_staging_killed_at_random_times_ends_the_same() -> None:
    assert outcome("staging", 3, 41) == (3, [])


@pytest.mark.long
def test_t10_training_killed_at_random_times_ends_the_same() -> None:
    assert outcome("training", 4, 12) == (4, [])


@pytest.mark.long
def test_t01_staging_killed_at_fifty_random_times_ends_the_same() -> None:
    assert outcome("staging", 50, 13) == (50, [])


@pytest.mark.long
def test_t10_training_killed_at_twenty_random_times_ends_the_same() -> None:
    assert outcome("training", 20, 14) == (20, [])


@pytest.mark.long
def test_a_dvc_that_is_killed_at_random_times_ends_the_same() -> None:
    assert outcome("repro", 8, 15) == (8, [])


# Publishes a, b and, last, mark; its argument is the promise that it breaks.
TOY = """
import os, subprocess, sys, time
from pathlib import Path
from foalnet.core.files import publish_bytes
from foalnet.core.temporaries import remove_temporaries
fault, out = sys.argv[1], Path("data/out")
params = Path("params.yaml").read_bytes()
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
    data = name.encode() + params
    if fault == "torn":
        out.mkdir(parents=True, exist_ok=True)
        with (out / name).open("wb", 0) as file:
            file.write(data[:3])
            time.sleep(0.1)
            file.write(data[3:])
    else:
        publish_bytes(out / name, data)
if fault == "elsewhere":
    Path("reports").mkdir(exist_ok=True)
    Path(f"reports/.account.{os.getpid()}.part").touch()
if fault == "other":
    publish_bytes(out / "a", str(os.getpid()).encode())
"""


def prepare(home: Path) -> None:
    home.mkdir()
    (home / "params.yaml").write_text("corpora: {}\nruns: {}\n")


def change(home: Path) -> None:
    with (home / "params.yaml").open("a") as file:
        file.write("# yesterday\n")


def phase(home: Path, since_s: float) -> str:
    if made(since_s, home / "data/out/mark"):
        return "with its mark"
    return "without" if (home / "data").exists() else BEFORE_LOCK


def killed(fault: str, folder: Path, kills: int, **constants: float) -> Tally:
    """Kill a toy verb in a storm with a short sweep."""
    toy = Scenario(
        name=fault,
        command=(sys.executable, "-c", TOY, fault),
        marker="data/out/mark",
        prepare=prepare,
        change=change,
        phase=phase,
        env={"PYTHONPATH": str(REPOSITORY)},
    )
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ({"DIE_S": 0.5} | constants).items():
            patch.setattr(bench.storm, name, value)
        patch.setattr(Storm, "_sweep", lambda self, home: shutil.rmtree(home / "work/locks", ignore_errors=True))
        return Storm(toy, folder, random.Random(3), lambda _: None).run(kills)


@pytest.mark.long
def test_a_sound_verb_has_no_difference(tmp_path: Path) -> None:
    tally = killed("none", tmp_path, 4)
    assert tally.faults == [] and tally.killed == 4 and sum(tally.chains.values()) > 1


@pytest.mark.long
@pytest.mark.parametrize(
    ("fault", "message", "constants"),
    [
        ("torn", "bytes that no run gave it", {}),
        ("mixed", "are of two params", {"OVER_YESTERDAY": 1.0}),
        ("child", "left alive", {}),
        ("litter", "left in work/", {}),
        ("other", "data/out/a differs", {}),
        ("elsewhere", "is left over", {}),
    ],
)
def test_a_broken_promise_is_a_difference(
    fault: str, message: str, constants: dict[str, float], tmp_path: Path
) -> None:
    tally = killed(fault, tmp_path, 8, **constants)
    assert any(message in each for each in tally.faults), tally.faults
