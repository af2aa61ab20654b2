"""Checks whether this machine is fit for the project; a failing line ends with the command that corrects it."""

from __future__ import annotations

from collections.abc import Iterator

from foalnet.checks.doctor import corpora, packages, project, storage, tools
from foalnet.checks.doctor.base import Check, Context, Finding, from_error, run_check
from foalnet.config import load_settings
from foalnet.config.load import read_file, resolve
from foalnet.core.errors import UsageError

__all__ = ["CHECKS", "Finding", "Scene", "examine", "scene_of", "usable"]

# To add a check, write a function that yields findings and add one line here.
CHECKS: dict[str, Check] = {
    "python": packages.python,
    "packages": packages.packages,
    "project": project.project,
    "git": project.git,
    "dvc": project.dvc,
    "pushed": project.pushed,
    "champions": project.champions,
    "prefect": project.prefect,
    "ffmpeg": tools.ffmpeg,
    "pyav": tools.pyav,
    "soundfile": tools.soundfile,
    "opencv": tools.opencv,
    "torch": packages.torch_pair,
    "device": packages.device,
    "work": storage.work,
    "disk": storage.disk,
    "locks": storage.locks,
    "roots": corpora.roots,
    "corpora": corpora.corpora,
    "weights": corpora.weights,
    "encoders": corpora.encoders,
}


def context_of(corpus: str | None, *, remote: bool) -> Context:
    """Read the project of the current folder; a file that cannot be read becomes a finding.

    UsageError (exit 2) where params.yaml has no such `corpus`.
    """
    given: dict[str, object] = {"remote": remote}
    wrong = []
    try:
        given["settings"] = load_settings()
    except UsageError as error:
        wrong.append(from_error(error))
    try:
        file = read_file()
    except UsageError as error:
        wrong.append(from_error(error))
    else:
        names = [corpus] if corpus else list(file.corpora)
        given["corpora"] = tuple(resolve(file, name) for name in names)
    return Context(wrong=tuple(wrong), **given)  # type: ignore[arg-type]


def examine(context: Context) -> Iterator[Finding]:
    """Run every check in order and yield each finding at once."""
    for name, check in CHECKS.items():
        yield from run_check(name, check, context)


def usable(findings: list[Finding]) -> bool:
    """Return whether no finding is a fault."""
    return all(finding.level != "fault" for finding in findings)
