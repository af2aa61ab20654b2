"""Defines the doctor's findings and context, and runs a check so that its errors become findings."""

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
    """One line of the doctor: a message, and for a warning or a fault the command that corrects it."""

    level: Level
    message: str
    mend: str = ""
    check: str = ""

    def __str__(self) -> str:
        """Return one line for a terminal; a failing one ends with its remedy."""
        return f"{self.level:<8} {self.check:<12} {self.message}" + (f"; mend: {self.mend}" if self.mend else "")

    def as_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return asdict(self)


def ok(message: str) -> Finding:
    """Return a finding that something is as it should be."""
    return Finding(level="ok", message=message)


def warning(message: str, *, mend: str) -> Finding:
    """Return a finding that something works but should be changed."""
    return Finding(level="warning", message=message, mend=mend)


def fault(message: str, *, mend: str) -> Finding:
    """Return a finding that something keeps a verb from working."""
    return Finding(level="fault", message=message, mend=mend)


@dataclass(frozen=True, kw_only=True)
class Context:
    """What the checks examine: the project in the current folder, its settings, the requested corpora.

    `remote`: checks may use the network. `wrong`: findings on params or settings that could not be read.
    """

    corpora: tuple[Params, ...] = ()
    settings: Settings = field(default_factory=Settings.model_construct)
    remote: bool = False
    wrong: tuple[Finding, ...] = ()
    home: Path = Path()


Check = Callable[[Context], Iterable[Finding]]


def run_check(name: str, check: Check, context: Context) -> Iterator[Finding]:
    """Yield the findings of one check with its name and without secrets; an exception becomes a fault."""
    try:
        for finding in check(context):
            yield _shown(replace(finding, check=name))
    except FoalnetError as error:
        yield _shown(replace(from_error(error), check=name))
    except Exception as error:
        # One broken package must not hide the results of the other checks.
        message = f"the check itself failed: {named(error)}"
        yield _shown(Finding(level="fault", message=_one_line(message), mend=INSTALL, check=name))


def from_error(error: FoalnetError) -> Finding:
    """Return a typed error as a fault with its message, file and next action."""
    where = f" ({error.file})" if error.file else ""
    return fault(_one_line(f"{error.what}{where}"), mend=_one_line(error.action or INSTALL))


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _shown(finding: Finding) -> Finding:
    return replace(finding, message=redact(finding.message), mend=redact(finding.mend))


def output_of(*command: str, timeout_s: float = COMMAND_TIMEOUT_S) -> str:
    """Return a command's output (RuntimeError with its last output where it fails or hangs)."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=timeout_s)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RuntimeError(reason(error)) from error
    if done.returncode != 0:
        raise RuntimeError((done.stderr or done.stdout).strip()[-400:] or f"exit code {done.returncode}")
    return done.stdout
