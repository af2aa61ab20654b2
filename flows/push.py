"""What a run made, pushed to DVC's default remote; what could not be pushed is marked until a later run pushes it.

The mark is a git ref that holds the run's commit: it outlives the worktree and the work folder, and it is set before
the push begins, so that a killed push is marked too.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from flows.process import run as run_command
from flows.stages import SAID_LINES, environment, plan
from flows.tasks import asked_to_stop, run_logger
from flows.worktree import Tree, beside
from foalnet.champion import mark_unpushed, unmark_unpushed, unpushed
from foalnet.discreet import discreet
from foalnet.errors import FoalnetError, MachineError
from foalnet.verify.remote import config_of

Push = Callable[[Path, Sequence[str], Mapping[str, str]], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Pushed:
    """What came of a push: the remote's name (None: the project has none), and why it is unpushed (None: it is not)."""

    remote: str | None
    unpushed: str | None = None

    @property
    def says(self) -> str:
        """The same in words, "" where there is nothing to say."""
        if self.unpushed is not None:
            return f"unpushed: {self.unpushed}"
        return "" if self.remote is None else f"pushed to {self.remote}"


NO_REMOTE = Pushed(remote=None)


def default_remote(folder: Path) -> tuple[str, str] | None:
    """Return name and address of the folder's default DVC remote; None where there is none."""
    config = config_of(folder)
    name = config["core"].get("remote")
    return (name, str(config["remote"][name]["url"])) if name in config["remote"] else None


def push(folder: Path, stages: Sequence[str], env: Mapping[str, str]) -> None:
    """Push the recorded outputs of stages; MachineError (exit 4) with DVC's last words where the remote is down."""
    remote = default_remote(folder)
    if remote is None:
        return
    name, url = remote
    if "://" not in url and not Path(url).is_dir():
        # DVC would make the folder anew, on whatever disk lies below the one that is not mounted.
        raise MachineError(
            f"remote {name}: its folder is not there", file=url, action=f"is its disk mounted? else: mkdir -p {url}"
        )
    said: deque[str] = deque(maxlen=SAID_LINES)
    command = [sys.executable, "-m", "dvc", "--wait-for-lock", "push", *stages]
    code = run_command(command, cwd=folder, env=environment() | dict(env), on_line=said.append, stop=asked_to_stop())
    if code != 0:
        errors = [line for line in said if line.startswith("ERROR")] or list(said)[-1:]
        what = discreet(" ".join("; ".join(errors).split()))
        raise MachineError(f"remote {name}: {what}", action=f"`dvc push` in a clone says more ({discreet(url)})")


def push_runs(tree: Tree, corpus: str, branch: str | None, *, send: Push = push) -> Pushed:
    """Push what lies in the run's checkout, then every run that is marked; return what came of it.

    `branch` is the new run's, None where nothing changed. Nothing fails here: the data is in DVC's cache, the commit on
    its branch, and the mark stays.
    """
    remote = default_remote(tree.folder)
    if remote is None:
        return NO_REMOTE
    home, waiting = tree.home, unpushed(tree.home)
    if branch is not None:
        mark_unpushed(home, corpus, branch)
    try:
        send(tree.folder, _names(tree.folder, corpus), tree.env)
        if branch is not None:
            unmark_unpushed(home, corpus, branch)
        for name, commit in waiting.items():
            earlier, run = name.split("/", 1)
            with beside(tree, commit) as folder:
                send(folder, _names(folder, earlier), tree.env)
            unmark_unpushed(home, earlier, run)
            run_logger().info("pushed %s, which was unpushed", name)
    except FoalnetError as error:
        return _kept(remote[0], error, ", ".join(unpushed(home)) or "what lies in the cache")
    return Pushed(remote=remote[0])


def push_here(home: Path, corpus: str, *, send: Push = push) -> Pushed:
    """Do what `push_runs` does for a folder without git: nothing is marked there, every run pushes all there is."""
    remote = default_remote(home)
    if remote is None:
        return NO_REMOTE
    try:
        send(home, _names(home, corpus), {})
    except FoalnetError as error:
        return _kept(remote[0], error, "what lies in the cache")
    return Pushed(remote=remote[0])


def _kept(remote: str, error: FoalnetError, what: str) -> Pushed:
    run_logger().warning("unpushed: %s: %s", what, error)
    why = f"{' '.join(error.what.split())}; the data is kept here, the next run pushes it"
    return Pushed(remote=remote, unpushed=why)


def _names(folder: Path, corpus: str) -> list[str]:
    return [stage.name for stage in plan(folder, corpus)]
