"""Kill -9 at random moments of one command, in chains, and a look at what each kill left: see bench.kills."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from foalnet.core.temporaries import TEMP_SUFFIX

REPOSITORY = Path(__file__).resolve().parent.parent
MARK = "KILL_STORM"
POLL_S, DIE_S, RUN_S = 0.002, 20.0, 300.0
SOON_S = 0.02
CHAIN_ON, SWEEP_AFTER, OVER_YESTERDAY = 0.6, 0.3, 0.3
# The phase of a run that nothing can be lost in; the first words of an error that a held lock is refused with.
BEFORE_LOCK, BUSY = "before its lock", "another run is at work here"
# What the kill may find half written, since DVC writes it in place: the next run mends it.
IN_PLACE = "dvc.lock"
ENOUGH, PHASES = 10, 3


@dataclass(frozen=True, kw_only=True)
class Road:
    """One command to be killed, an argument list: `lay` makes a project before it, `change` the params of another day.

    `marker`: the file whose presence says that all that the command publishes, wherever it does, is whole and of one
    day. `phase(project, since)` says how far a chain has come that began at that time of day.
    """

    name: str
    command: tuple[str, ...]
    marker: str
    lay: Callable[[Path], None]
    change: Callable[[Path], None]
    phase: Callable[[Path, float], str]
    env: dict[str, str]
    refused: int = 4
    """The exit code of a run that meets the lock of a killed one."""


@dataclass(frozen=True, kw_only=True)
class Moment:
    """When to kill: so many seconds into a run, or so soon after so many changes of what it writes to."""

    after_s: float
    changes: int | None = None

    def __str__(self) -> str:
        """Say it on one line."""
        if self.changes is None:
            return f"{self.after_s:.3f} s after the start"
        return f"{1000 * self.after_s:.1f} ms after change {self.changes}"


@dataclass(kw_only=True)
class Tally:
    """What came of a road's kills; `faults` are the differences, in words.

    `at_once`: kills after which the command ran again while the killed run's processes may have lived; `refused`: how
    often it then found the lock held, said so, and was tried again.
    """

    kills: Counter[str] = field(default_factory=Counter)
    chains: Counter[int] = field(default_factory=Counter)
    missed: int = 0
    at_once: int = 0
    refused: int = 0
    sweeps: int = 0
    faults: list[str] = field(default_factory=list)

    @property
    def killed(self) -> int:
        """Runs killed."""
        return self.kills.total()

    @property
    def weak(self) -> list[str]:
        """Why these kills show little, in words: faults of the storm itself."""
        told, early = [], self.kills[BEFORE_LOCK]
        if 2 * early > self.killed:
            told.append(f"{early} of {self.killed} kills came {BEFORE_LOCK}, when nothing was at work yet")
        if self.killed >= ENOUGH and len(self.kills) < PHASES:
            told.append(f"{self.killed} kills hit {len(self.kills)} phases of a run, {PHASES} are the least")
        return told


@dataclass(frozen=True, kw_only=True)
class Undisturbed:
    """A road without a kill: the bytes it publishes, what work/ holds after `foalnet gc`, its time and its changes."""

    outs: dict[str, bytes]
    yesterday: dict[str, bytes]
    work: set[str]
    took_s: float
    changes: int


class Storm:
    """The kills of one road, in projects of their own below `folder`; `say` gets a line for each kill."""

    def __init__(self, road: Road, folder: Path, dice: random.Random, say: Callable[[str], None]) -> None:
        self.road, self.folder, self.dice, self.say = road, folder, dice, say
        self.tally, self.since_s = Tally(), 0.0
        # The run that was started at once after a kill, and until when a lock may refuse it.
        self.next: subprocess.Popen[bytes] | None = None
        self.until_s = 0.0
        self.laid, self.old = folder / "laid", folder / "old"
        road.lay(self.laid)
        self.whole = self._undisturbed()

    def _undisturbed(self) -> Undisturbed:
        """Run the other day's command and today's, each in a folder of its own, to their ends."""
        shutil.copytree(self.laid, self.old)
        self.road.change(self.old)
        if self._to_the_end(self.old) != 0:
            raise SystemExit(f"{self.road.name} fails without a kill:\n{self._said(self.old)}")
        home = self._project("whole")
        began, before, changes = time.monotonic(), _names(home), 0
        child = self._start(home)
        while child.poll() is None:
            time.sleep(POLL_S)
            now = _names(home)
            changes, before = changes + (now != before), now
        took_s = time.monotonic() - began
        if child.returncode != 0:
            raise SystemExit(f"{self.road.name} fails without a kill:\n{self._said(home)}")
        outs = self._outs(home)
        self._sweep(home)
        work = _below(home / "work")
        return Undisturbed(outs=outs, yesterday=self._outs(self.old), work=work, took_s=took_s, changes=changes)

    def run(self, kills: int) -> Tally:
        """Kill so many runs, in chains, and return the tally."""
        number = 0
        while self.tally.killed < kills:
            number += 1
            old = self.dice.random() < OVER_YESTERDAY
            home = self._project(f"chain{number}", self.old if old else None)
            self.since_s = time.time()
            length = 0
            while self.tally.killed < kills and (length == 0 or self.dice.random() < CHAIN_ON):
                if not self._kill(home, f"chain {number}{' over yesterday' if old else ''}"):
                    break
                length += 1
            self.tally.chains[length] += 1
            self._check_end(home, f"chain {number}")
            shutil.rmtree(home)
        return self.tally

    def _project(self, name: str, old: Path | None = None) -> Path:
        """Return a fresh project; over what `old` left, where it is given."""
        home = self.folder / name
        shutil.copytree(old or self.laid, home)
        if old is not None:
            shutil.copyfile(self.laid / "params.yaml", home / "params.yaml")
        (home / "tmp").mkdir(exist_ok=True)
        return home

    def _kill(self, home: Path, where: str) -> bool:
        """Start a run, kill it at a random moment and look at what is left; False where it ended before."""
        moment = self._moment()
        child = self._killed(home, moment)
        while self._refused(child, home):
            child = self._killed(home, moment)
        if child.returncode != -9:
            self.tally.missed += 1
            if child.returncode != 0:
                self._fault(f"{where}: the run ended with {child.returncode} before {moment}\n{self._said(home)}")
            return False
        phase, at_once = self.road.phase(home, self.since_s), self.tally.killed % 2 == 0
        if at_once:
            self.next, self.until_s = self._start(home), time.monotonic() + DIE_S
            self.tally.at_once += 1
        self.tally.kills[phase] += 1
        self.say(f"{self.road.name} {self.tally.killed}: {where}, {moment}: {phase}{', run at once' * at_once}")
        if not at_once:
            self._check_left(home, f"{where}, killed {moment} ({phase})")
        return True

    def _killed(self, home: Path, moment: Moment) -> subprocess.Popen[bytes]:
        """Return a run that is over: by a kill, or before its moment."""
        child, began = self._begun(home), time.monotonic()
        names, changes, since = _names(home), 0, 0.0
        while child.poll() is None:
            time.sleep(POLL_S)
            now = time.monotonic()
            if moment.changes is None:
                due = now - began >= moment.after_s
            else:
                if (seen := _names(home)) != names:
                    names, changes, since = seen, changes + 1, now
                due = changes >= moment.changes and now - since >= moment.after_s
            if due:
                child.kill()
                break
        child.wait()
        return child

    def _begun(self, home: Path) -> subprocess.Popen[bytes]:
        """Return the run that was started at once after a kill, else one that starts now."""
        child, self.next = self.next or self._start(home), None
        return child

    def _refused(self, child: subprocess.Popen[bytes], home: Path) -> bool:
        """Count a run that a killed run's lock refused by its name; False where it was no such run, or is none now."""
        said = self._said(home)
        named = any(f"work/locks/{path.name}" in said for path in (home / "work" / "locks").glob("*"))
        if child.returncode != self.road.refused or BUSY not in said or not named or time.monotonic() > self.until_s:
            return False
        self.tally.refused += 1
        return True

    def _moment(self) -> Moment:
        if self.dice.random() < 0.5:
            return Moment(after_s=self.dice.uniform(0.0, self.whole.took_s))
        return Moment(after_s=self.dice.uniform(0.0, SOON_S), changes=self.dice.randint(1, max(1, self.whole.changes)))

    def _check_left(self, home: Path, where: str) -> None:
        """What a kill leaves: no process, no name without whole bytes, nothing that gc cannot take."""
        self._check_dead(home, where)
        self.until_s = 0.0
        for name, data in self._outs(home, temporaries=False).items():
            if name != IN_PLACE and data not in (self.whole.outs.get(name), self.whole.yesterday.get(name)):
                self._fault(f"{where}: {name} has {len(data)} bytes that no run gave it")
        days = [_without_lock(day) for day in (self.whole.outs, self.whole.yesterday)]
        if (home / self.road.marker).exists() and _without_lock(self._outs(home, temporaries=False)) not in days:
            self._fault(f"{where}: {self.road.marker} is there, and what it stands for is of no one day")
        if self.dice.random() < SWEEP_AFTER:
            self.tally.sweeps += 1
            self._sweep(home)
            if unfinished := _unfinished(home / "work"):
                self._fault(f"{where}: left by `foalnet gc`: {', '.join(unfinished)}")

    def _check_dead(self, home: Path, where: str) -> None:
        deadline = time.monotonic() + DIE_S
        while (alive := _marked(home)) and time.monotonic() < deadline:
            time.sleep(0.05)
        if alive:
            self._fault(f"{where}: left alive: {', '.join(alive)}")

    def _check_end(self, home: Path, where: str) -> None:
        """The same command once more, undisturbed: it gives the undisturbed bytes, and work/ is as clean."""
        done = self._to_the_end(home)
        self._check_dead(home, where)
        if done != 0:
            self._fault(f"{where}: the same command ends with {done}\n{self._said(home)}")
            return
        outs = self._outs(home)
        for name in sorted({*outs, *self.whole.outs}):
            if outs.get(name) != self.whole.outs.get(name):
                self._fault(f"{where}: {name} differs" if name in self.whole.outs else f"{where}: {name} is left over")
        self._sweep(home)
        # A last run with nothing left to do measures no speed.
        for name in sorted(_below(home / "work") - self.whole.work | set(_unfinished(home / "work"))):
            self._fault(f"{where}: left in work/ after `foalnet gc`: {name}")

    def _start(self, home: Path) -> subprocess.Popen[bytes]:
        # A file of its own: what is left of a killed run may still write to the one before.
        (home / "tmp" / "said").unlink(missing_ok=True)
        with (home / "tmp" / "said").open("wb") as said:
            return subprocess.Popen(
                self.road.command,
                cwd=home,
                env=environment(home) | self.road.env,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _to_the_end(self, home: Path) -> int:
        (home / "tmp").mkdir(exist_ok=True)
        while True:
            child = self._begun(home)
            child.wait(RUN_S)
            if not self._refused(child, home):
                self.until_s = 0.0
                return child.returncode

    def _sweep(self, home: Path) -> None:
        command = [sys.executable, "-m", "foalnet", "gc"]
        done = subprocess.run(
            command, cwd=home, env=environment(home) | self.road.env, capture_output=True, text=True, timeout=RUN_S
        )
        if done.returncode != 0:
            self._fault(f"`foalnet gc` ends with {done.returncode}\n{done.stderr}")

    def _outs(self, home: Path, *, temporaries: bool = True) -> dict[str, bytes]:
        """Return the project without params, work/ and .dvc/, by relative path; `temporaries`: unfinished files too."""
        found = {}
        for path in home.rglob("*"):
            name = path.relative_to(home)
            if name.parts[0] in (".dvc", "params.yaml", "tmp", "work") or not path.is_file():
                continue
            if temporaries or not path.name.endswith(TEMP_SUFFIX):
                found[name.as_posix()] = path.read_bytes()
        return found

    def _said(self, home: Path) -> str:
        return (home / "tmp" / "said").read_text("utf-8", "replace")[-2000:]

    def _fault(self, what: str) -> None:
        self.tally.faults.append(f"{self.road.name}: {what}")
        self.say(f"DIFFERENCE {self.road.name}: {what}")


def environment(home: Path) -> dict[str, str]:
    """Return the environment of a project's commands: this repository's code, no setting but what a road adds."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FOALNET_")}
    path = os.pathsep.join([str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])])
    return kept | {"PYTHONPATH": path, "TMPDIR": str(home / "tmp"), MARK: str(home)}


def made(since_s: float, *paths: Path) -> int:
    """Return how many of the files are there and were written since a time of day."""
    return sum(path.exists() and path.stat().st_mtime >= since_s for path in paths)


def _names(home: Path) -> set[str]:
    """Return the names of all that a run makes, temporaries too."""
    return {
        f"{folder}/{name}"
        for top in ("work", "data", "models", "reports")
        for folder, folders, names in os.walk(home / top)
        for name in (*folders, *names)
    }


def _without_lock(outs: dict[str, bytes]) -> dict[str, bytes]:
    return {name: data for name, data in outs.items() if name != IN_PLACE}


def _below(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*")}


def _unfinished(work: Path) -> list[str]:
    """Return what no sweep may leave: temporaries, locks, empty folders, dialogues without an entry."""
    clips = [p for p in (work / "clips").glob("*") if not (p / "entry.json").is_file()]
    bad = [p for p in work.rglob("*") if p.name.endswith(TEMP_SUFFIX) or (p.parent.name == "locks")]
    empty = [p for p in work.glob("*/*") if p.is_dir() and not any(p.iterdir())]
    return sorted({p.relative_to(work).as_posix() for p in (*clips, *bad, *empty)})


def _marked(home: Path) -> list[str]:
    """Return the living processes that a run of this project started, itself included, as `pid name`."""
    found, mark = [], f"{MARK}={home}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            told = (folder / "environ").read_bytes().split(b"\0")
            state = (folder / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()[0]
            if mark in told and state != "Z":
                found.append(f"{folder.name} {(folder / 'comm').read_text().strip()}")
        except OSError:
            continue
    return found
