"""Copies of the project to run for real: the committed config, shrunk, never a second one."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from foalnet.cli import main
from foalnet.cli.entries import sync
from foalnet.config.load import merge

REPOSITORY = Path(__file__).resolve().parents[2]
LEFT_OUT = {".git", ".venv", "work", "models", "reports", "__pycache__", ".mypy_cache", ".ruff_cache", ".hypothesis"}

# 40 utterances in 5 dialogues, 2 epochs.
TINY = {
    "draw": {"dialogues_per_session": 1, "used_per_dialogue": 8, "unused_per_dialogue": 0},
    "train": {"epochs": 2},
    "report": {"bootstrap": 200},
}


def copy_project(target: Path, *, git: bool = True) -> Path:
    """Copy the sources (no data, no results, no caches) and make them a fresh DVC project."""
    for folder, folders, names in os.walk(REPOSITORY):
        here = Path(folder).relative_to(REPOSITORY)
        folders[:] = sorted(
            f
            for f in folders
            if f not in LEFT_OUT
            and here != Path("data")
            and not (here == Path(".dvc") and f in ("cache", "tmp"))
            and not f.endswith(".egg-info")
        )
        for name in sorted(names):
            # `.git` is a file where the checkout is a worktree: a copy of it would commit to that checkout's branch.
            if name in (".git", "dvc.lock", "settings.yaml", "config.local"):
                continue
            (target / here).mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / here / name, target / here / name)
    # Copies train for moments, one seed, with the blocks' own settings: what a search chose for the entry is left out.
    params = target / "params.yaml"
    text = re.sub(r"(?m)^    train:.*\n(?:^      .*\n)+", "    train: {}\n", params.read_text())
    params.write_text(re.sub(r"(?m)^    seeds:\n(?:    - \d+\n)+", "    seeds:\n    - 1\n", text))
    list(sync(params))
    if git:
        for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "copy"]):
            subprocess.run(
                ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *command], cwd=target, check=True
            )
    else:
        run(target, sys.executable, "-m", "dvc", "config", "--local", "core.no_scm", "true")
    return target


def change_params(project: Path, **changes: object) -> None:
    """Merge changes into a copy's params.yaml."""
    path = project / "params.yaml"
    path.write_text(yaml.safe_dump(merge(yaml.safe_load(path.read_text()), changes), sort_keys=False))


def environment(project: Path) -> dict[str, str]:
    """Return the environment in which the copy's own code runs, with this interpreter's programs first on PATH."""
    return os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(project),
        "DVC_NO_ANALYTICS": "1",
        "DVC_SITE_CACHE_DIR": str(project / ".dvc" / "tmp" / "site"),
    }


def run(
    project: Path, *command: str, check: bool = True, timeout_s: float = 900, **more: str
) -> subprocess.CompletedProcess[str]:
    """Run a command in the copy; a failure shows its output."""
    done = subprocess.run(
        list(command), cwd=project, env=environment(project) | more, capture_output=True, text=True, timeout=timeout_s
    )
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(command)} ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


def repro(project: Path, *targets: str, check: bool = True, **more: str) -> subprocess.CompletedProcess[str]:
    """Run `dvc repro` in the copy."""
    return run(project, sys.executable, "-m", "dvc", "repro", *targets, check=check, **more)


def program(project: Path, *args: str, check: bool = True, **more: str) -> subprocess.CompletedProcess[str]:
    """Run `foalnet …` in the copy, with the copy's code."""
    return run(project, sys.executable, "-m", "foalnet", *args, check=check, **more)


def verb(project: Path, *args: str, check: bool = True, **more: str) -> subprocess.CompletedProcess[str]:
    """Run `foalnet …` in the copy, with the repository's code and in this process: a start costs seconds."""
    said, errors, code = io.StringIO(), io.StringIO(), 0
    handler = signal.getsignal(signal.SIGTERM)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        patch.setattr(sys, "argv", ["foalnet", *args])
        for name, value in (environment(project) | more).items():
            patch.setenv(name, value)
        try:
            with contextlib.redirect_stdout(said), contextlib.redirect_stderr(errors):
                main()
        except SystemExit as end:
            code = int(end.code or 0)
        finally:
            signal.signal(signal.SIGTERM, handler)
    done = subprocess.CompletedProcess(["foalnet", *args], code, said.getvalue(), errors.getvalue())
    if check and code != 0:
        raise AssertionError(f"foalnet {' '.join(args)} ended with {code}\n{done.stdout}\n{done.stderr}")
    return done


def stages_run(done: subprocess.CompletedProcess[str]) -> list[str]:
    """Return the stages that a `dvc repro` really ran, in order."""
    return [
        line.split("'")[1] for line in (done.stdout + done.stderr).splitlines() if line.startswith("Running stage '")
    ]
