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

if TYPE_CHECKING:
    from foalnet.train.environment import Stop

DVC = (sys.executable, "-m", "dvc", "--wait-for-lock")
# DVC records their params and commands.
READ = ("params.yaml", "dvc.yaml")
# A killed process loses the record of so much work at most.
RECORD_S = 300.0
# Stages side by side: each has the clips of its corpus in memory.
AT_A_TIME = 2
# Verbs that use one core for a part of their time. Staging and a study use all of them.
SMALL = frozenset({"train", "evaluate", "final", "report"})


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
    with lock(load_settings().work / "locks" / "run"), output_lock(Path(), stages):
        waiting: list[Planned] = []
        recorder, numbers = Record(stages), {stage.name: number for number, stage in enumerate(stages, 1)}

        def go(stage: Planned) -> None:
            click.echo(f"{numbers[stage.name]} of {len(stages)}: {stage.command}", err=True)
            _run(context, str(stage.command))

        def ended(stage: Planned) -> None:
            waiting.append(stage)
            waiting.sort(key=lambda one: numbers[one.name])
            if recorder.is_due():
                recorder.write(waiting)

        try:
            for group in grouped(stages):
                left = group
                while left:
                    done = side_by_side(left, go, ended)
                    # What failed in a child runs again here, and its error is the user's.
                    for stage in [stage for stage in left if stage.name not in done][:1]:
                        go(stage)
                        ended(stage)
                        done.add(stage.name)
                    left = [stage for stage in left if stage.name not in done]
        except BaseException:
            recorder.after_an_error(waiting)
            raise
        recorder.write(waiting)


def grouped(stages: Sequence[Planned]) -> Iterator[list[Planned]]:
    """Yield the stages in their order: successive ones of SMALL as one group, others alone."""
    group: list[Planned] = []
    for stage in stages:
        if group and not (_is_small(group[0]) and _is_small(stage)):
            yield group
            group = []
        group.append(stage)
    if group:
        yield group


def _is_small(stage: Planned) -> bool:
    return str(stage.command).split()[1] in SMALL


def _reads(stage: Planned, other: Planned) -> bool:
    pairs = ((Path(read), Path(made)) for read in stage.inputs for made in other.outputs)
    return any(read.is_relative_to(made) or made.is_relative_to(read) for read, made in pairs)


def side_by_side(group: Sequence[Planned], go: Callable[[Planned], None], ended: Callable[[Planned], None]) -> set[str]:
    """Run stages two at a time in processes of their own, where the machine allows it; return those that ended well.

    A stage starts when those that it reads have ended; `ended` gets each that ended well. After one fails, no other
    starts, and the caller runs it again and meets its error. It saves the time in which the last fold of a training,
    its reading and its publishing use one core. Interrupted (exit 5) after Ctrl-C or SIGTERM.
    """
    if len(group) == 1:
        return set()
    from foalnet.stages.train.training import at_once
    from foalnet.train.environment import listening
    from foalnet.train.parallel import side_by_side as in_children
    from foalnet.train.progress_line import FoldStatus
    from foalnet.train.ranks import processes

    settings, by_name, done = load_settings(), {stage.name: stage for stage in group}, set[str]()
    if at_once(settings) < AT_A_TIME or processes(settings) > 1:
        return done

    def one(stage: Planned, _stop: Stop, send: Callable[[FoldStatus], None]) -> None:
        # As in this process: only a training looks at a Stop, and it has its own.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.default_int_handler)
        os.environ["FOALNET_WORKERS"] = str(settings.workers // AT_A_TIME)
        sys.stderr = Lines(sys.stderr.buffer, line_buffering=True)
        try:
            go(stage)
        except Interrupted:
            raise
        except Exception as error:
            what = str(error).partition("\n")[0] or type(error).__name__
            click.echo(f"{stage.command} failed: {what}; it runs again when the other stage has ended", err=True)
            raise
        send(FoldStatus(epochs=0, finished=True))

    def show(name: str, _status: FoldStatus) -> None:
        if name not in done:
            done.add(name)
            ended(by_name[name])

    jobs = {stage.name: partial(one, stage) for stage in group}
    needs = {stage.name: [other.name for other in group if other != stage and _reads(stage, other)] for stage in group}
    with listening() as stop:
        in_children(jobs, workers=AT_A_TIME, stop=stop, show=show, needs=needs, goes_on=False)
        if stop.requested:
            raise Interrupted(
                f"stopped in {len(group)} stages that run side by side, {len(done)} of them have ended",
                action="run the same command again: it resumes from there",
            )
    return done


class Lines(io.TextIOWrapper):
    """A stream that takes lines only: the bars of two processes would overwrite each other on one terminal."""

    def isatty(self) -> bool:
        """Return False."""
        return False


class Record:
    """Has DVC record finished stages, unless what they read was edited after this began."""

    def __init__(self, stages: Sequence[Planned]) -> None:
        made = {path for stage in stages for path in stage.outputs}
        read = {path for stage in stages for path in stage.inputs if Path(path).is_file()} - made
        self._files = {*READ, *map(os.path.relpath, read)}
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
        if waiting:
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
    """Put off Ctrl-C and SIGTERM to the end of the block: half a record is worse than a late end."""
    late: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda got, _frame: late.append(got)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if late:
            signal.raise_signal(late[0])


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
