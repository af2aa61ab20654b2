"""Kills one command with SIGKILL at random moments, in chains, and checks the outputs after each kill (bench.kills)."""

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
# The phase of a run in which nothing can be lost; the start of the error on a held lock.
BEFORE_LOCK, BUSY = "before its lock", "another run is at work here"
# Files that a kill may leave half written, since DVC writes them in place: the next run repairs them.
IN_PLACE = "dvc.lock"
ENOUGH, PHASES = 10, 3


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One command to kill: `prepare` writes the project before it, `change` sets the params of "yesterday".

    `marker`: the file whose presence means that all published files are whole and of one params. `phase(project,
    since)` returns how far a chain has come that began at that time.
    """

    name: str
    command: tuple[str, ...]
    marker: str
    prepare: Callable[[Path], None]
    change: Callable[[Path], None]
    phase: Callable[[Path, float], str]
    env: dict[str, str]
    refused: int = 4
    """The exit code of a run that meets the lock of a killed one."""


@dataclass(frozen=True, kw_only=True)
class Moment:
    """When to kill: so many seconds into a run, or so soon after a number of changes in its output folders."""

    after_s: float
    changes: int | None = None

    def __str__(self) -> str:
        """Return one line."""
        if self.changes is None:
            return f"{self.after_s:.3f} s after the start"
        return f"{1000 * self.after_s:.1f} ms after change {self.changes}"


@dataclass(kw_only=True)
class Tally:
    """Result of a scenario's kills; `faults` are sentences on the differences.

    `at_once`: kills after which the command started again while processes of the killed run might be alive; `refused`:
    how often it was then refused by the held lock and tried again.
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
        """Number of runs killed."""
        return self.kills.total()

    @property
    def weak(self) -> list[str]:
        """Sentences on why these kills show little: faults of the test itself."""
        faults, early = [], self.kills[BEFORE_LOCK]
        if 2 * early > self.killed:
            faults.append(f"{early} of {self.killed} kills came {BEFORE_LOCK}, when nothing was running yet")
        if self.killed >= ENOUGH and len(self.kills) < PHASES:
            faults.append(f"{self.killed} kills hit {len(self.kills)} phases of a run, {PHASES} are the least")
        return faults


@dataclass(frozen=True, kw_only=True)
class Undisturbed:
    """A scenario without a kill: published bytes, contents of work/ after `foalnet gc`, duration, number of changes."""

    outs: dict[str, bytes]
    yesterday: dict[str, bytes]
    work: set[str]
    took_s: float
    changes: int


class Storm:
    """Runs the kills of one scenario in projects below `folder`; `say` gets a line for each kill."""

    def __init__(self, scenario: Scenario, folder: Path, dice: random.Random, say: Callable[[str], None]) -> None:
        self.scenario, self.folder, self.dice, self.say = scenario, folder, dice, say
        self.tally, self.since_s = Tally(), 0.0
        # The run that started at once after a kill, and until when a lock may refuse it.
        self.next: subprocess.Popen[bytes] | None = None
        self.until_s = 0.0
        self.prepared, self.old = folder / "laid", folder / "old"
        scenario.prepare(self.prepared)
        self.whole = self._undisturbed()

    def _undisturbed(self) -> Undisturbed:
        """Run the command with yesterday's and with today's params, each in its own folder, to the end."""
        shutil.copytree(self.prepared, self.old)
        self.scenario.change(self.old)
        if self._to_the_end(self.old) != 0:
            raise SystemExit(f"{self.scenario.name} fails without a kill:\n{self._said(self.old)}")
        home = self._project("whole")
        began, before, changes = time.monotonic(), _names(home), 0
        child = self._start(home)
        while child.poll() is None:
            time.sleep(POLL_S)
            now = _names(home)
            changes, before = changes + (now != before), now
        took_s = time.monotonic() - began
        if child.returncode != 0:
            raise SystemExit(f"{self.scenario.name} fails without a kill:\n{self._said(home)}")
        outs = self._outs(home)
        self._sweep(home)
        work = _below(home / "work")
        return Undisturbed(outs=outs, yesterday=self._outs(self.old), work=work, took_s=took_s, changes=changes)

    def run(self, kills: int) -> Tally:
        """Kill `count` runs in chains and return the tally."""
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
        """Return a fresh project, or a copy of the outputs in `old` where it is given."""
        home = self.folder / name
        shutil.copytree(old or self.prepared, home)
        if old is not None:
            shutil.copyfile(self.prepared / "params.yaml", home / "params.yaml")
        (home / "tmp").mkdir(exist_ok=True)
        return home

    def _kill(self, home: Path, where: str) -> bool:
        """Start a run, kill it at a random moment and check the outputs; False where it ended before."""
        moment = self._moment()
        child = self._killed(home, moment)
        while self._refused(child, home):
            child = self._killed(home, moment)
        if child.returncode != -9:
            self.tally.missed += 1
            if child.returncode != 0:
                self._fault(f"{where}: the run ended with {child.returncode} before {moment}\n{self._said(home)}")
            return False
        phase, at_once = self.scenario.phase(home, self.since_s), self.tally.killed % 2 == 0
        if at_once:
            self.next, self.until_s = self._start(home), time.monotonic() + DIE_S
            self.tally.at_once += 1
        self.tally.kills[phase] += 1
        self.say(f"{self.scenario.name} {self.tally.killed}: {where}, {moment}: {phase}{', run at once' * at_once}")
        if not at_once:
            self._check_left(home, f"{where}, killed {moment} ({phase})")
        return True

    def _killed(self, home: Path, moment: Moment) -> subprocess.Popen[bytes]:
        """Return a run that has ended: by a kill, or before its moment."""
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
        """Return the run that started at once after a kill, else a new one."""
        child, self.next = self.next or self._start(home), None
        return child

    def _refused(self, child: subprocess.Popen[bytes], home: Path) -> bool:
        """Count a run that a killed run's lock refused; False where it did not, or must not any more."""
        said = self._said(home)
        named = any(f"work/locks/{path.name}" in said for path in (home / "work" / "locks").glob("*"))
        if (
            child.returncode != self.scenario.refused
            or BUSY not in said
            or not named
            or time.monotonic() > self.until_s
        ):
            return False
        self.tally.refused += 1
        return True

    def _moment(self) -> Moment:
        if self.dice.random() < 0.5:
            return Moment(after_s=self.dice.uniform(0.0, self.whole.took_s))
        return Moment(after_s=self.dice.uniform(0.0, SOON_S), changes=self.dice.randint(1, max(1, self.whole.changes)))

    def _check_left(self, home: Path, where: str) -> None:
        """Check after a kill: no process is alive, every file is whole, gc can remove the rest."""
        self._check_dead(home, where)
        self.until_s = 0.0
        for name, data in self._outs(home, temporaries=False).items():
            if name != IN_PLACE and data not in (self.whole.outs.get(name), self.whole.yesterday.get(name)):
                self._fault(f"{where}: {name} has {len(data)} bytes that no run gave it")
        days = [_without_lock(day) for day in (self.whole.outs, self.whole.yesterday)]
        if (home / self.scenario.marker).exists() and _without_lock(self._outs(home, temporaries=False)) not in days:
            self._fault(f"{where}: {self.scenario.marker} exists, but the published files are of two params")
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
        """Run the same command undisturbed and check that outputs and work/ are those of an undisturbed run."""
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
        # A last run that has nothing to do records no speed.
        for name in sorted(_below(home / "work") - self.whole.work | set(_unfinished(home / "work"))):
            self._fault(f"{where}: left in work/ after `foalnet gc`: {name}")

    def _start(self, home: Path) -> subprocess.Popen[bytes]:
        # A new file: processes of a killed run may still write to the previous one.
        (home / "tmp" / "said").unlink(missing_ok=True)
        with (home / "tmp" / "said").open("wb") as said:
            return subprocess.Popen(
                self.scenario.command,
                cwd=home,
                env=environment(home) | self.scenario.env,
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
            command, cwd=home, env=environment(home) | self.scenario.env, capture_output=True, text=True, timeout=RUN_S
        )
        if done.returncode != 0:
            self._fault(f"`foalnet gc` ends with {done.returncode}\n{done.stderr}")

    def _outs(self, home: Path, *, temporaries: bool = True) -> dict[str, bytes]:
        """Return path -> bytes of the project without params, work/ and .dvc/; `temporaries`: unfinished files too."""
        outs = {}
        for path in home.rglob("*"):
            name = path.relative_to(home)
            if name.parts[0] in (".dvc", "params.yaml", "tmp", "work") or not path.is_file():
                continue
            if temporaries or not path.name.endswith(TEMP_SUFFIX):
                outs[name.as_posix()] = path.read_bytes()
        return outs

    def _said(self, home: Path) -> str:
        return (home / "tmp" / "said").read_text("utf-8", "replace")[-2000:]

    def _fault(self, what: str) -> None:
        self.tally.faults.append(f"{self.scenario.name}: {what}")
        self.say(f"DIFFERENCE {self.scenario.name}: {what}")


def environment(home: Path) -> dict[str, str]:
    """Return the environment of a project's commands: this repository's code, and only a scenario's settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FOALNET_")}
    path = os.pathsep.join([str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])])
    return kept | {"PYTHONPATH": path, "TMPDIR": str(home / "tmp"), MARK: str(home)}


def made(since_s: float, *paths: Path) -> int:
    """Return how many of the files exist and were written since a time."""
    return sum(path.exists() and path.stat().st_mtime >= since_s for path in paths)


def _names(home: Path) -> set[str]:
    """Return the names of all files that a run writes, including temporaries."""
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
    """Return what `foalnet gc` must not leave: temporaries, locks, empty folders, dialogues without an entry."""
    clips = [p for p in (work / "clips").glob("*") if not (p / "entry.json").is_file()]
    bad = [p for p in work.rglob("*") if p.name.endswith(TEMP_SUFFIX) or (p.parent.name == "locks")]
    empty = [p for p in work.glob("*/*") if p.is_dir() and not any(p.iterdir())]
    return sorted({p.relative_to(work).as_posix() for p in (*clips, *bad, *empty)})


def _marked(home: Path) -> list[str]:
    """Return the living processes of a run of this project, itself included, as `pid name`."""
    living, mark = [], f"{MARK}={home}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            variables = (folder / "environ").read_bytes().split(b"\0")
            state = (folder / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()[0]
            if mark in variables and state != "Z":
                living.append(f"{folder.name} {(folder / 'comm').read_text().strip()}")
        except OSError:
            continue
    return living
