"""Runs git: argument lists, no hooks, no prompts, and errors that a user can act on."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from foalnet.core.errors import MachineError, UsageError, reason

# Author of automatic commits, independent of the machine's git configuration.
IDENTITY = {
    "GIT_AUTHOR_NAME": "foalnet retrain",
    "GIT_AUTHOR_EMAIL": "retrain@foalnet.invalid",
    "GIT_COMMITTER_NAME": "foalnet retrain",
    "GIT_COMMITTER_EMAIL": "retrain@foalnet.invalid",
}
# The operator's hooks (DVC installs some) are meant for the operator's own checkout.
NO_HOOKS = ("-c", "core.hooksPath=/dev/null")
LOCK = "dvc.lock"
CONFLICT = ("<<<<<<< ", ">>>>>>> ")
SHOWN = 5


def git(folder: Path, *args: str, check: bool = True, given: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run git in `folder` with `given` as its standard input.

    Raises MachineError (exit 4) if git is not installed, UsageError (exit 2) if it fails.
    """
    # GIT_ variables, which an outer git sets for its hooks, would name another repository.
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(
            ["git", *NO_HOOKS, *args],
            cwd=folder,
            env=clean | IDENTITY | {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C.UTF-8"},
            input=given or "",
            capture_output=True,
            text=True,
            errors="replace",
        )
    except OSError as error:
        raise MachineError(
            f"git cannot be run: {reason(error)}", file=folder, action="install git, then run it again"
        ) from error
    if check and done.returncode != 0:
        raise UsageError(
            f"git {' '.join(args[:2])} failed: {done.stderr.strip() or done.stdout.strip() or done.returncode}",
            file=folder,
            action="see git's message above; `git status` in that folder shows more",
        )
    return done


def has_git(folder: Path) -> bool:
    """Return whether the folder is the top of a git checkout."""
    return (folder / ".git").exists()


def commit_of(folder: Path, name: str) -> str | None:
    """Return the commit that a branch or another revision name refers to; None if there is none."""
    done = git(folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}", check=False)
    return done.stdout.strip() or None


def is_ancestor(folder: Path, older: str, newer: str) -> bool:
    """Return whether `newer` contains the whole history of `older`."""
    return git(folder, "merge-base", "--is-ancestor", older, newer, check=False).returncode == 0


def text_at(folder: Path, commit: str, path: str) -> str | None:
    """Return a file's text at a commit; None if the commit does not have it."""
    done = git(folder, "show", f"{commit}:{path}", check=False)
    return done.stdout if done.returncode == 0 else None


def blobs_at(folder: Path, commit: str, paths: Iterable[str]) -> dict[str, str]:
    """Return path -> object name of every file of a commit at or below `paths`."""
    rows = git(folder, "ls-tree", "-r", "-z", commit, "--", *paths).stdout.split("\0")
    return {row.partition("\t")[2]: row.split()[2] for row in rows if row}


def blobs_here(folder: Path, paths: Sequence[str]) -> dict[str, str]:
    """Return path -> object name of the worktree's file content, independent of the index."""
    names = git(folder, "hash-object", "--", *paths).stdout.split() if paths else []
    return dict(zip(paths, names, strict=True))


def checked_out(folder: Path, branch: str) -> Path | None:
    """Return the checkout that has a branch checked out; None if there is none."""
    place = None
    for line in git(folder, "worktree", "list", "--porcelain").stdout.splitlines():
        if line.startswith("worktree "):
            place = Path(line.removeprefix("worktree "))
        elif line == f"branch refs/heads/{branch}":
            return place
    return None


def untracked(folder: Path, paths: Sequence[str]) -> list[str]:
    """Return the files at or below `paths` that git neither tracks nor ignores; `git commit -a` omits them."""
    if not paths:
        return []
    listing = git(folder, "ls-files", "--others", "--exclude-standard", "-z", "--", *paths, check=False).stdout
    return sorted(filter(None, listing.split("\0")))


def changed_files(folder: Path) -> list[str]:
    """Return the tracked files that differ from the checkout's commit."""
    return git(folder, "--no-optional-locks", "diff", "--name-only", "-z", "HEAD").stdout.split("\0")[:-1]


def is_result(path: str) -> bool:
    """Return whether `dvc repro` writes a tracked file: dvc.lock, or a file below reports/.

    >>> is_result("reports/drawn/metrics.json"), is_result("params.yaml")
    (True, False)
    """
    return path == LOCK or path.startswith("reports/")


def refuse_dirty(folder: Path) -> None:
    """Raise UsageError (exit 2) if tracked files other than results differ from the checkout's commit.

    The record of a run names its commit, which must contain the code and params that ran.
    """
    changed = [path for path in changed_files(folder) if not is_result(path)]
    if changed:
        more = f" and {len(changed) - SHOWN} more" if len(changed) > SHOWN else ""
        raise UsageError(
            f"the checkout has changes that are not committed: {', '.join(changed[:SHOWN])}{more}; "
            "the record of a run would name a commit that differs from the code that ran",
            file=folder,
            action="commit them (or `git stash`), then run the flow again",
        )


def refuse_conflict(lock: Path) -> None:
    """Raise UsageError (exit 2) if a merge left conflict markers in dvc.lock."""
    try:
        lines = lock.read_text("utf-8", "replace").splitlines()
    except FileNotFoundError:
        return
    for number, line in enumerate(lines, 1):
        if line.startswith(CONFLICT):
            raise UsageError(
                f"line {number} is a conflict marker of an unfinished merge",
                file=lock,
                action="take one side (`git checkout --ours dvc.lock` or --theirs), `dvc repro`, commit",
            )
