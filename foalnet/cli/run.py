"""The verb `run`: the stages of a first run in one process, recorded by DVC; a later run is left to DVC."""

from __future__ import annotations

import io
import os
import shlex
import signal
import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from foalnet.artifact.dvcrepo import Planned, output_lock, planned, record
from foalnet.artifact.provenance import CodeGuard
from foalnet.config import load_settings
from foalnet.core.errors import Interrupted, MachineError
from foalnet.core.files import sha256_file
from foalnet.core.locks import lock
from foalnet.stages.table import BY_NAME

if TYPE_CHECKING:
    from foalnet.train.environment import Stop

DVC = (sys.executable, "-m", "dvc", "--wait-for-lock")
# DVC records their params and commands.
READ = ("params.yaml", "dvc.yaml")
# A killed process loses the record of so much work at most.
RECORD_S = 300.0
# Stages side by side: each has the clips of its corpus in memory.
AT_A_TIME = 2


@click.command(short_help="run all stages and record them; a first run in one process")
@click.argument("corpora", nargs=-1)
@click.pass_context
def run(context: click.Context, corpora: tuple[str, ...]) -> None:
    """Run the stages of CORPORA (default: all of params.yaml), with the result of `dvc repro`.

    Where none of these stages has an output here, they run in this process, which saves a start of Python for each, and
    DVC records them. Else this is `dvc repro`, with its exit codes: it runs what changed. The same command resumes
    after an interruption.
    """
    stages = planned(Path(), corpora)
    if any(stage.made or not _ours(context, stage) for stage in stages):
        os.execv(sys.executable, [*DVC, "repro", *(stage.name for stage in stages if corpora)])  # noqa: S606
    with lock(load_settings().work / "locks" / "run"):
        waiting: list[Planned] = []
        recorder, held = Record(stages), output_lock(Path(), stages, "foalnet run")
        numbers = {stage.name: number for number, stage in enumerate(stages, 1)}

        def go(stage: Planned) -> None:
            click.echo(f"{numbers[stage.name]} of {len(stages)}: {stage.command}", err=True)
            _run(context, str(stage.command))

        try:
            for group in grouped(stages):
                ended: set[str] = set()
                with held():
                    try:
                        if len(group) > 1:
                            side_by_side(group, go, ended)
                    finally:
                        waiting += [stage for stage in group if stage.name in ended]
                    for stage in group:
                        if stage.name not in ended:
                            go(stage)
                            waiting.append(stage)
                if recorder.is_due():
                    recorder.write(waiting)
        except BaseException:
            recorder.after_an_error(waiting)
            raise
        recorder.write(waiting)


def grouped(stages: Sequence[Planned]) -> Iterator[list[Planned]]:
    """Yield the stages in their order: successive trainings and evaluations as one group, others alone."""
    group: list[Planned] = []
    for stage in stages:
        if group and not (_per_run(group[0]) and _per_run(stage)):
            yield group
            group = []
        group.append(stage)
    if group:
        yield group


def _per_run(stage: Planned) -> bool:
    of = BY_NAME.get(str(stage.command).split()[1])  # a study has a verb of its own
    return of is not None and of.per_run


def _reads(stage: Planned, other: Planned) -> bool:
    return any(Path(read).is_relative_to(made) for read in stage.inputs for made in other.outputs)


def side_by_side(group: Sequence[Planned], go: Callable[[Planned], None], ended: set[str]) -> None:
    """Run stages two at a time in processes of their own, where the machine allows it; add those that ended well.

    A stage starts when those that it reads have ended. It saves the time in which the last fold of a training, its
    reading and its publishing use one core. The caller runs what has not ended well and meets its error. Interrupted
    (exit 5) after Ctrl-C or SIGTERM.
    """
    from foalnet.stages.train.training import at_once
    from foalnet.train.environment import listening
    from foalnet.train.parallel import side_by_side as in_children
    from foalnet.train.progress_line import FoldStatus
    from foalnet.train.ranks import processes

    settings = load_settings()
    if at_once(settings) < AT_A_TIME or processes(settings) > 1:
        return

    def one(stage: Planned, stop: Stop, send: Callable[[FoldStatus], None]) -> None:
        os.environ["FOALNET_WORKERS"] = str(settings.workers // AT_A_TIME)
        sys.stderr = Lines(sys.stderr.buffer, line_buffering=True)
        try:
            go(stage)
        except Interrupted:
            stop.request()
            raise
        send(FoldStatus(epochs=0, finished=True))

    jobs = {stage.name: partial(one, stage) for stage in group}
    needs = {stage.name: [other.name for other in group if _reads(stage, other)] for stage in group}
    with listening() as stop:
        in_children(jobs, workers=AT_A_TIME, stop=stop, show=lambda name, _status: ended.add(name), needs=needs)
        if stop.requested:
            raise Interrupted(
                f"stopped in the {len(group)} stages that run side by side, {len(ended)} of them have ended",
                action="run the same command again: it resumes from there",
            )


class Lines(io.TextIOWrapper):
    """A stream that takes lines only: the bars of two processes would overwrite each other on one terminal."""

    def isatty(self) -> bool:
        """Return False."""
        return False


class Record:
    """Has DVC record finished stages, unless what they read was edited after this began."""

    def __init__(self, stages: Sequence[Planned]) -> None:
        made = {path for stage in stages for path in stage.outputs}
        read = {path for stage in stages for path in stage.inputs if Path(path).is_file()}
        self._files = {*READ, *read} - made
        self._guard, self._before, self._last_s = CodeGuard(), self._digests(), time.monotonic()

    def is_due(self) -> bool:
        """Return whether the last record is RECORD_S old."""
        return time.monotonic() - self._last_s >= RECORD_S

    def write(self, waiting: list[Planned]) -> None:
        """Record the stages and empty the list; MachineError (exit 4) if code, params or other files changed."""
        self._guard.check()
        if edited := self._edited():
            raise MachineError(
                f"{', '.join(edited)} changed while the stages ran: DVC would record it as what made the outputs",
                action="run the same command again: `dvc repro` then runs what has to run",
            )
        self._commit(waiting)
        waiting.clear()
        self._last_s = time.monotonic()

    def after_an_error(self, waiting: Collection[Planned]) -> None:
        """Record what can be: the error itself is what the user sees, and `dvc repro` runs again what has no record."""
        with suppress(MachineError, OSError):
            self._guard.check()
            if waiting and not self._edited():
                self._commit(waiting)

    def _commit(self, waiting: Collection[Planned]) -> None:
        click.echo(f"recording {len(waiting)} stages in dvc.lock", err=True)
        with _undisturbed():
            record(Path(), [stage.name for stage in waiting])

    def _digests(self) -> dict[str, str]:
        return {file: sha256_file(Path(file)) for file in self._files if Path(file).is_file()}

    def _edited(self) -> list[str]:
        after = self._digests()
        return sorted(file for file in self._files if after.get(file) != self._before.get(file))


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Ignore Ctrl-C and SIGTERM, here and in what is started: half a record is worse than a late end."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _verb(context: click.Context, command: str | None) -> tuple[click.Command, list[str]] | None:
    """Return the command of a line `foalnet VERB …` and its arguments; None for another line."""
    program, *words = shlex.split(command or "") or [""]
    root = context.find_root()
    if program != "foalnet" or not words or not isinstance(root.command, click.Group):
        return None
    one = root.command.get_command(root, words[0])
    return None if one is None else (one, words[1:])


def _ours(context: click.Context, stage: Planned) -> bool:
    return _verb(context, stage.command) is not None


def _run(context: click.Context, command: str) -> None:
    """Run a stage's command in this process; the verb's own errors pass."""
    verb = _verb(context, command)
    assert verb is not None, "only verbs are run here"
    one, arguments = verb
    try:
        with one.make_context(one.name, arguments, parent=context.find_root()) as own:
            one.invoke(own)
    except SystemExit as end:
        # A training in several processes ends with their exit code.
        if end.code:
            raise
