"""Lists the stages of one corpus in DVC's order, runs one, and explains its failure.

DVC owns the graph and dvc.lock. Stages run one by one in the order of `dvc repro`, so that the flow and a laptop leave
the same dvc.lock, byte for byte.
"""

from __future__ import annotations

import json
import os
import re
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from flows.process import TimedOut, run
from foalnet.config.load import read_file, resolve
from foalnet.core.errors import FoalnetError, MachineError, UsageError, reason

RETRIES = 2
# How often, and at what interval, dvc.lock is read while another run may be writing it.
LOCK_FILE, READS, READ_AGAIN_S = "dvc.lock", 10, 0.3
LAST = "report"
# Optional stage of a corpus: the model to deploy. No other stage depends on it.
FINAL = "final"
SAID_LINES = 12

LOCKED = 255
"""No verb's code: DVC returns 255 for every failure; here it means that another DVC holds the lock."""
KILLED = (129, 130, 137, 143)
"""128 + HUP, INT, KILL, TERM: killed by a person or for lack of memory."""

MEANINGS = {
    2: ("wrong usage or params", "correct what the lines above name, then run the flow again"),
    3: ("the data breaks its contract", "correct the data that the lines above name, then run the flow again"),
    4: ("this machine lacks something", "see the lines above, then run the flow again"),
    5: ("it was interrupted", "run the flow again: it resumes"),
    70: ("a bug in foalnet", "report it with the lines above"),
    LOCKED: ("another DVC runs in this folder", "wait for it to end, then run the flow again"),
}

# `ERROR: failed to reproduce 'train@x': failed to run: foalnet train x, exited with 4`
VERB_FAILED = re.compile(r"^ERROR: failed to reproduce '.*': failed to run: .*, exited with (-?\d+)$")
DVC_LOCKED = re.compile(r"^ERROR: .*(Unable to acquire lock|is busy, it is being blocked by)")
RAN = re.compile(r"^Running stage '")
# DVC's hints to a person at a terminal; they do not apply to a run.
HINT = re.compile(
    r"^(To track the changes|To enable auto staging|Use `dvc push`|(Updating|Generating) lock file|\s+(git|dvc) )"
)
VERB_SAID = "foalnet: "
UP_TO_DATE = "Stage '%s' didn't change, skipping"


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """A stage of dvc.yaml, the stages whose outputs it reads, and all paths that it reads."""

    name: str
    needs: tuple[str, ...]
    reads: tuple[str, ...] = ()


class StageFailed(FoalnetError):
    """A stage failed: `code` is its verb's exit code, LOCKED, or None for an error of DVC itself."""

    def __init__(self, stage: str, code: int | None, said: str = "") -> None:
        self.code = code
        said = self.said = _verb_error(said)
        meaning, action = MEANINGS.get(
            5 if code in KILLED else code or 0, ("DVC or its command failed", "see the lines above")
        )
        number = "" if code is None or code == LOCKED else f" (exit {code})"
        super().__init__(f"{said}\n{meaning}{number}".strip(), stage=stage, action=action)

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle with all arguments: the error crosses process boundaries."""
        return StageFailed, (self.stage, self.code, self.said)


def _verb_error(said: str) -> str:
    """Return the verb's error without DVC's lines around it; all lines where the verb printed none."""
    lines = said.splitlines()
    begins = [number for number, line in enumerate(lines) if line.startswith(VERB_SAID)]
    if not begins:
        return said
    return "\n".join(line for line in lines[begins[-1] :] if not VERB_FAILED.match(line))


def may_retry(code: int | None, tries: int) -> bool:
    """Return whether to run a stage again that failed `tries` times, the last time with `code`.

    Retried are failures of the environment (4, which includes locks; LOCKED, a lock of DVC) and stages that were killed
    although the flow was not cancelled (5 and KILLED: the verb resumes). Not 2 and 3: the same input fails again.
    """
    return tries <= RETRIES and (code in (4, 5, LOCKED) or code in KILLED)


def plan(home: Path, corpus: str, *, end: str | None = None) -> list[Stage]:
    """Return the stages that the corpus' report and final model need, in the order of `dvc repro`.

    `end`: another stage, in place of report and final model; it is the last one. UsageError (exit 2) where the corpus,
    the stage or the project does not exist.
    """
    resolve(read_file(home / "params.yaml"), corpus, path=home / "params.yaml")

    from dvc.exceptions import DvcException

    left = READS
    while True:
        try:
            return _planned(home, [end] if end else [f"{LAST}@{corpus}", f"{FINAL}@{corpus}"])
        except DvcException as error:
            left -= 1
            # DVC writes dvc.lock in place, so another run may have written half of it.
            if not left or LOCK_FILE not in str(error):
                raise UsageError(
                    f"DVC cannot read the project: {reason(error)}",
                    file=home,
                    action="try `dvc status` there; without .git: `dvc config --local core.no_scm true`",
                ) from error
        time.sleep(READ_AGAIN_S)


def _planned(home: Path, ends: Sequence[str]) -> list[Stage]:
    """Return the stages that `ends` need, and these; the first must exist, the others are optional."""
    import networkx
    from dvc.repo import Repo
    from dvc.repo.reproduce import get_active_graph, plan_repro

    with Repo(str(home)) as repo:
        graph = get_active_graph(repo.index.graph)
        order = [stage for stage in plan_repro(graph) if stage.path_in_repo == "dvc.yaml"]
        names = {stage: stage.name for stage in order}
        last = [stage for stage, name in names.items() if name in ends]
        if ends[0] not in (names[stage] for stage in last):
            raise UsageError(f"no stage {ends[0]}", file=home / "dvc.yaml", action="compare it with `dvc stage list`")
        wanted = {*last, *(below for end in last for below in networkx.descendants(graph, end))}
        return [
            Stage(
                name=names[stage],
                needs=tuple(sorted(names[n] for n in graph.successors(stage) if n in wanted)),
                reads=tuple(os.path.relpath(dep.fs_path, repo.root_dir) for dep in stage.deps),
            )
            for stage in order
            if stage in wanted
        ]


def command(stage: str) -> list[str]:
    """Return the argument list that runs one stage, waiting for DVC's repository lock."""
    return [sys.executable, "-m", "dvc", "--wait-for-lock", "repro", "--single-item", stage]


def environment() -> dict[str, str]:
    """Return this process' environment with the folder of its Python first on PATH: stages call `foalnet`."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    return {**os.environ, "PATH": path, "DVC_NO_ANALYTICS": "1", "PYTHONUNBUFFERED": "1"}


def up_to_date(
    names: Sequence[str],
    home: Path,
    *,
    stop: threading.Event | None = None,
    env: Mapping[str, str] | None = None,
) -> list[str]:
    """Return which stages need not run, their outputs in place (flows.uptodate); Stopped on a cancel.

    Where DVC cannot tell, none: `reproduce` then meets what is wrong, and names it.
    """
    said: deque[str] = deque([""], maxlen=1)
    program = [sys.executable, "-m", "flows.uptodate", *names]
    code = run(program, cwd=home, env=environment() | dict(env or {}), on_line=said.append, stop=stop)
    return list(json.loads(said[0])) if code == 0 else []


def reproduce(
    stage: str,
    home: Path,
    *,
    on_line: Callable[[str], None],
    stop: threading.Event | None = None,
    timeout_s: float | None = None,
    env: Mapping[str, str] | None = None,
) -> bool:
    """Bring one stage up to date; return whether its command ran. `env` is added to this process' environment.

    Raises StageFailed with the verb's own exit code (DVC returns 255 for every failure), Stopped on a cancel.
    """
    said: deque[str] = deque(maxlen=SAID_LINES)
    ran = False
    code: int | None = None

    def listen(line: str) -> None:
        nonlocal ran, code
        ran = ran or RAN.match(line) is not None
        if failed := VERB_FAILED.match(line):
            code = int(failed[1])
        elif DVC_LOCKED.match(line):
            code = LOCKED
        if not HINT.match(line):
            said.append(line)
            on_line(line)

    try:
        status = run(
            command(stage),
            cwd=home,
            env=environment() | dict(env or {}),
            on_line=listen,
            stop=stop,
            timeout_s=timeout_s,
        )
    except TimedOut as error:
        raise StageFailed(stage, MachineError.exit_code, str(error)) from error
    if status == 0:
        return ran
    if code is None and status in KILLED:
        code = status
    elif code is not None and code < 0:
        code = 128 - code
    raise StageFailed(stage, code, "\n".join(said))
