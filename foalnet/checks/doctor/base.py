"""What a check of the machine says, and the door through which every check runs: alone, and never with a traceback."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from foalnet.config import Params, Settings
from foalnet.core.errors import FoalnetError, named, reason
from foalnet.core.redact import redact

Level = Literal["ok", "warning", "fault"]
INSTALL = "pip install -c constraints.txt -e ."
COMMAND_TIMEOUT_S = 20.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One line: what was found, and for a warning or a fault the command that mends it."""

    level: Level
    message: str
    mend: str = ""
    check: str = ""

    def __str__(self) -> str:
        """One line for a terminal; a failing one ends with its remedy."""
        return f"{self.level:<8} {self.check:<12} {self.message}" + (f"; mend: {self.mend}" if self.mend else "")

    def as_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return asdict(self)


def ok(message: str) -> Finding:
    """Say that something is as it should be."""
    return Finding(level="ok", message=message)


def warning(message: str, *, mend: str) -> Finding:
    """Say that something works but is worth a change."""
    return Finding(level="warning", message=message, mend=mend)


def fault(message: str, *, mend: str) -> Finding:
    """Say that something keeps a verb from working."""
    return Finding(level="fault", message=message, mend=mend)


@dataclass(frozen=True, kw_only=True)
class Context:
    """What the checks look at: the project in the current folder, its settings, the corpora asked for.

    `remote`: the network may be used. `wrong`: what kept params or settings from being read.
    """

    corpora: tuple[Params, ...] = ()
    settings: Settings = field(default_factory=Settings.model_construct)
    remote: bool = False
    wrong: tuple[Finding, ...] = ()
    home: Path = Path()


Check = Callable[[Context], Iterable[Finding]]


def run_check(name: str, check: Check, context: Context) -> Iterator[Finding]:
    """Yield what one check finds, under its name and without secrets; whatever it raises is a fault of that check."""
    try:
        for finding in check(context):
            yield _shown(replace(finding, check=name))
    except FoalnetError as error:
        yield _shown(replace(from_error(error), check=name))
    except Exception as error:
        # One broken package must not hide what the other checks have to say.
        message = f"the check itself failed: {named(error)}"
        yield _shown(Finding(level="fault", message=_one_line(message), mend=INSTALL, check=name))


def from_error(error: FoalnetError) -> Finding:
    """Turn a typed error into a fault: its words, its file, its next action."""
    where = f" ({error.file})" if error.file else ""
    return fault(_one_line(f"{error.what}{where}"), mend=_one_line(error.action or INSTALL))


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _shown(finding: Finding) -> Finding:
    return replace(finding, message=redact(finding.message), mend=redact(finding.mend))


def output_of(*command: str, timeout_s: float = COMMAND_TIMEOUT_S) -> str:
    """Return what a command prints (RuntimeError with its last words where it fails or hangs)."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=timeout_s)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RuntimeError(reason(error)) from error
    if done.returncode != 0:
        raise RuntimeError((done.stderr or done.stdout).strip()[-400:] or f"exit code {done.returncode}")
    return done.stdout
