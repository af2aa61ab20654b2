"""Checks Python, package versions against bounds and pins, torch with torchaudio, and the training device."""

from __future__ import annotations

import importlib.metadata
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from foalnet.artifact.provenance import RESULT_PACKAGES
from foalnet.checks.doctor.base import INSTALL, Context, Finding, fault, ok, warning

PYTHON = (3, 11)
CONSTRAINTS = Path("constraints.txt")


def python(_: Context) -> Iterator[Finding]:
    """Check Python's version and that it runs in a virtual environment."""
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < PYTHON:
        yield fault(f"Python {version}; 3.11 or newer is needed", mend="python3.11 -m venv .venv")
    elif sys.prefix == sys.base_prefix:
        yield warning(f"Python {version}, outside a virtual environment", mend=f"python3 -m venv .venv && {INSTALL}")
    else:
        yield ok(f"Python {version}")


def packages(context: Context) -> Iterator[Finding]:
    """Check that the declared packages are installed, within their bounds, and at the pinned versions."""
    from packaging.requirements import Requirement

    try:
        lines = importlib.metadata.requires("foalnet") or []
    except importlib.metadata.PackageNotFoundError:
        yield fault("foalnet is not installed in this environment", mend=INSTALL)
        return
    needed = [r for r in map(Requirement, lines) if r.marker is None or r.marker.evaluate({"extra": ""})]
    right = 0
    for requirement in needed:
        version = installed(requirement.name)
        if version is None:
            yield fault(f"{requirement.name} is not installed", mend=INSTALL)
        elif not requirement.specifier.contains(version, prereleases=True):
            yield fault(f"{requirement.name} {version} does not fit {requirement.specifier}", mend=INSTALL)
        else:
            right += 1
    yield ok(f"{right} of {len(needed)} declared packages are installed and within their bounds")
    yield from _pins(context)


def _pins(context: Context) -> Iterator[Finding]:
    path = context.home / CONSTRAINTS
    if not path.is_file():
        yield warning("no constraints.txt here: versions cannot be compared", mend="git checkout -- constraints.txt")
        return
    pins = dict(re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", path.read_text("utf-8"), re.MULTILINE))
    here = {name: installed(name) for name in pins}
    other = {name: have for name, have in here.items() if have is not None and public(have) != public(pins[name])}
    names = {re.sub(r"[-_.]+", "-", name).lower() for name in RESULT_PACKAGES}
    shaping = [name for name in other if re.sub(r"[-_.]+", "-", name).lower() in names]
    if other:
        listed = ", ".join(f"{name} {other[name]} (pinned {pins[name]})" for name in [*shaping, *sorted(other)][:5])
        bytes_too = "; results may differ in their bytes" if shaping else ""
        yield warning(f"{len(other)} packages differ from constraints.txt{bytes_too}: {listed}", mend=INSTALL)
    else:
        yield ok(f"{sum(have is not None for have in here.values())} packages have the versions of constraints.txt")


def installed(name: str) -> str | None:
    """Return a package's version, None where it is not installed."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def public(version: str) -> str:
    """Return a version without its local part: 2.13.0+cpu is 2.13.0."""
    return version.partition("+")[0]


def torch_pair(_: Context) -> Iterator[Finding]:
    """Check that torch and torchaudio can be imported; next to a CPU torch, torchaudio may lack its compiled part."""
    import torch

    from foalnet.core.shim import load_torchaudio

    audio = load_torchaudio()
    compiled = getattr(sys.modules.get("torchaudio._extension"), "_IS_TORCHAUDIO_EXT_AVAILABLE", False)
    how = "complete" if compiled else "without its compiled part, which is not needed"
    yield ok(f"torch {torch.__version__}, torchaudio {audio.__version__} ({how})")


def device(context: Context) -> Iterator[Finding]:
    """Check that the device of the settings exists, and describe it."""
    import torch

    from foalnet.train.environment import device as chosen

    where = chosen(context.settings)
    if where.type != "cuda":
        yield ok("no GPU is used: training runs on the CPU, several folds at once")
        return
    facts = torch.cuda.get_device_properties(where)
    free_bytes, _total = torch.cuda.mem_get_info(where)
    yield ok(f"{facts.name}, {facts.total_memory / 1e9:.0f} GB, {free_bytes / 1e9:.0f} GB of it free")
