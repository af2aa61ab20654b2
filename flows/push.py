"""Pushes a run's outputs to DVC's default remote; an unpushed run keeps a mark until a later run pushes it.

The mark is a git ref to the run's commit: it outlives the worktree and the work folder, and it is set before the push
begins, so that a killed push is marked too. Every object is read before a push: DVC itself pushes altered objects, and
counts missing ones as pushed.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from flows.process import run as run_command
from flows.stages import SAID_LINES, environment, plan
from flows.tasks import run_logger, stop_event
from flows.worktree import Tree, other_checkout
from foalnet.artifact.digests import Reader
from foalnet.artifact.dvcrepo import dvc_config, opened
from foalnet.checks.verify.lock import stages_of
from foalnet.checks.verify.objects import Fault, faults
from foalnet.checks.verify.places import DEFAULT, Remote
from foalnet.config import load_settings
from foalnet.core.errors import DataError, FoalnetError, MachineError, named
from foalnet.core.redact import redact
from foalnet.evidence.champion import UNPUSHED, mark_unpushed, unmark_unpushed, unpushed
from foalnet.stages.link import first_few

FAULTS_SHOWN = 3
Push = Callable[[Path, Sequence[str], Mapping[str, str]], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Pushed:
    """Result of a push: the remote's name (None: the project has none), why the run is unpushed (None: it is pushed).

    `waiting` holds the other runs that stay marked: `<corpus>/<run>` -> why.
    """

    remote: str | None
    unpushed: str | None = None
    waiting: Mapping[str, str] = field(default_factory=dict)

    @property
    def says(self) -> str:
        """The result as a sentence, "" without a remote."""
        own = "" if self.remote is None else f"pushed to {self.remote}"
        if self.unpushed is not None:
            own = f"unpushed: {self.unpushed}"
        return "; ".join(filter(None, (own, self.says_waiting and f"earlier runs wait unpushed: {self.says_waiting}")))

    @property
    def says_waiting(self) -> str:
        """The other unpushed runs, grouped by reason; "" where there is none."""
        whys = dict.fromkeys(self.waiting.values())
        of = {why: [name for name, each in self.waiting.items() if each == why] for why in whys}
        return "; ".join(f"{first_few(names)} ({why})" for why, names in of.items())


NO_REMOTE = Pushed(remote=None)


def default_remote(folder: Path) -> tuple[str, str] | None:
    """Return name and address of the folder's default DVC remote; None where there is none."""
    config = dvc_config(folder)
    name = config["core"].get("remote")
    return (name, str(config["remote"][name]["url"])) if name in config["remote"] else None


def push(folder: Path, stages: Sequence[str], env: Mapping[str, str]) -> None:
    """Push the recorded outputs of stages; MachineError (exit 4) with DVC's last error where the remote is down."""
    name, url = _remote_there(folder)
    said: deque[str] = deque(maxlen=SAID_LINES)
    command = [sys.executable, "-m", "dvc", "--wait-for-lock", "push", *stages]
    code = run_command(command, cwd=folder, env=environment() | dict(env), on_line=said.append, stop=stop_event())
    if code != 0:
        errors = [line for line in said if line.startswith("ERROR")] or list(said)[-1:]
        what = redact(" ".join("; ".join(errors).split()))
        raise MachineError(f"remote {name}: {what}", action=f"`dvc push` in a clone says more ({redact(url)})")


def _remote_there(folder: Path) -> tuple[str, str]:
    """Return name and URL of the default remote; MachineError (exit 4) where there is none, or its folder is gone."""
    remote = default_remote(folder)
    if remote is None:
        # If the run counted as pushed, it would lose its mark.
        raise MachineError("no DVC remote is the default one", file=folder, action="dvc remote default --local NAME")
    name, url = remote
    if "://" not in url and not Path(url).is_dir():
        # DVC would create the folder, on whatever disk holds the mount point of the missing one.
        raise MachineError(
            f"remote {name}: its folder is missing", file=url, action=f"is its disk mounted? else: mkdir -p {url}"
        )
    return name, url


Remedy = Callable[[Sequence[Fault]], str]


def push_runs(tree: Tree, corpus: str, branch: str | None, *, send: Push = push) -> Pushed:
    """Push the outputs in the run's checkout, then every marked run; return the result.

    `branch` is the new run's, None where nothing changed. A failed push raises nothing: the commit stays on its branch
    and keeps its mark. A run with a damaged object does not hold up the others; where machine or remote fail for the
    new run, the others are not tried.
    """
    remote = default_remote(tree.folder)
    if remote is None:
        return NO_REMOTE
    home, earlier = tree.home, unpushed(tree.home)
    reader = Reader(load_settings(home).workers)
    if branch is not None:
        mark_unpushed(home, corpus, branch)

    def own() -> None:
        _send_whole(tree.folder, corpus, tree.env, send, reader, lambda broken: _run_again(broken, home))
        if branch is not None:
            unmark_unpushed(home, corpus, branch)

    def other(name: str) -> None:
        of, run = name.split("/", 1)
        remedy = partial(_bring_back, home=home, name=name, commit=earlier[name])
        with other_checkout(tree, earlier[name]) as folder:
            _send_whole(folder, of, tree.env, send, reader, remedy)
        unmark_unpushed(home, of, run)
        run_logger().info("pushed %s, which was unpushed", name)

    why, is_down = _tried(own, branch or "the outputs in the cache")
    tried = {name: why if is_down else _tried(partial(other, name), name)[0] for name in earlier}
    return Pushed(remote=remote[0], unpushed=why, waiting={name: each for name, each in tried.items() if each})


def push_here(home: Path, corpus: str, *, send: Push = push) -> Pushed:
    """Push the outputs of a folder without git; there are no marks, so every run pushes everything."""
    remote = default_remote(home)
    if remote is None:
        return NO_REMOTE
    reader = Reader(load_settings(home).workers)

    def own() -> None:
        _send_whole(home, corpus, {}, send, reader, lambda broken: _commit_again(broken, home, corpus))

    return Pushed(remote=remote[0], unpushed=_tried(own, "the outputs in the cache")[0])


def _tried(do: Callable[[], None], what: str) -> tuple[str | None, bool]:
    """Call `do`; return why it failed (None: it did not) and whether machine or remote failed. A cancel propagates."""
    from dvc.exceptions import DvcException

    try:
        do()
    except FoalnetError as error:
        run_logger().warning("unpushed: %s: %s", what, error)
        kept = "the outputs stay here, the next run tries again"
        after = kept if isinstance(error, MachineError) or not error.action else f"next: {error.action}"
        return redact(f"{' '.join(error.what.split())}; {after}"), isinstance(error, MachineError)
    except (OSError, DvcException, ValueError, KeyError, TypeError, AttributeError) as error:
        # The commit of an old or broken mark: git cannot check it out, or it is no DVC project.
        run_logger().warning("unpushed: %s: %s", what, error)
        return redact(" ".join(named(error).split())), False
    return None, False


def _send_whole(folder: Path, corpus: str, env: Mapping[str, str], send: Push, reader: Reader, remedy: Remedy) -> None:
    """Read every object that a corpus' stages recorded, then push (DataError, exit 3, where one is damaged)."""
    _remote_there(folder)  # before reading all data for nothing
    names = [stage.name for stage in plan(folder, corpus)]
    with opened(folder) as repo:
        stages = [stage for stage in stages_of(repo, corpus) if stage.name in names]
        broken = faults(repo, stages, reader=reader, remote=lambda: Remote(repo, DEFAULT))
    if broken:
        shown = [f"{fault.path} (stage {fault.stage}): {fault.result}" for fault in broken[:FAULTS_SHOWN]]
        more = f"; and {len(broken) - FAULTS_SHOWN} more" if len(broken) > FAULTS_SHOWN else ""
        raise DataError(
            f"nothing is pushed: {'; '.join(shown)}{more}",
            file=broken[0].path,
            stage=broken[0].stage,
            action=remedy(broken),
        )
    send(folder, names, env)


def _removal(broken: Sequence[Fault], home: Path) -> str:
    """Return which damaged objects to remove before whole ones can replace them; "" where there is none."""
    objects = dict.fromkeys(each for fault in broken[:FAULTS_SHOWN] for each in fault.remove)
    shown = [each.removeprefix(f"{home.resolve()}/") for each in objects]
    return f"remove {' and '.join(shown)}, then " if shown else ""


def _of(broken: Sequence[Fault]) -> str:
    return " ".join(dict.fromkeys(fault.stage for fault in broken))


def _run_again(broken: Sequence[Fault], home: Path) -> str:
    return f"{_removal(broken, home)}run the flow again: it makes the outputs of {_of(broken)} again"


def _bring_back(broken: Sequence[Fault], home: Path, name: str, commit: str) -> str:
    again = f"git switch --detach {commit[:10]}, dvc repro {_of(broken)}, git switch -"
    return f"{_removal(broken, home)}{again}; or give it up: git update-ref -d {UNPUSHED}/{name}"


def _commit_again(broken: Sequence[Fault], home: Path, corpus: str) -> str:
    again = f"dvc commit --force {_of(broken)}"
    return f"{_removal(broken, home)}{again} (foalnet verify {corpus} first: are the files in the folder whole?)"
