"""What a run made, pushed to DVC's default remote; what could not be pushed is marked until a later run pushes it.

The mark is a git ref that holds the run's commit: it outlives the worktree and the work folder, and it is set before
the push begins, so that a killed push is marked too. Nothing is pushed before every object of it was read: DVC itself
pushes what is altered, and takes for pushed what lies nowhere.
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
from flows.tasks import asked_to_stop, run_logger
from flows.worktree import Tree, beside
from foalnet.artifact.dvcrepo import dvc_config
from foalnet.checks.verify.digests import Reader
from foalnet.checks.verify.graph import stages_of
from foalnet.checks.verify.link import some
from foalnet.checks.verify.objects import Fault, faults
from foalnet.checks.verify.remote import DEFAULT, Remote
from foalnet.config import load_settings
from foalnet.core.errors import DataError, FoalnetError, MachineError, named
from foalnet.core.redact import redact
from foalnet.evidence.champion import UNPUSHED, mark_unpushed, unmark_unpushed, unpushed

FAULTS_SHOWN = 3
Push = Callable[[Path, Sequence[str], Mapping[str, str]], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Pushed:
    """What came of a push: the remote's name (None: the project has none), and why it is unpushed (None: it is not).

    `waiting` are other runs that stay marked, `<corpus>/<run>` -> why; they say nothing of this run.
    """

    remote: str | None
    unpushed: str | None = None
    waiting: Mapping[str, str] = field(default_factory=dict)

    @property
    def says(self) -> str:
        """The same in words, "" where there is nothing to say."""
        own = "" if self.remote is None else f"pushed to {self.remote}"
        if self.unpushed is not None:
            own = f"unpushed: {self.unpushed}"
        return "; ".join(filter(None, (own, self.says_waiting and f"earlier runs wait unpushed: {self.says_waiting}")))

    @property
    def says_waiting(self) -> str:
        """Which other runs wait, and why, those of one reason together; "" where none does."""
        whys = dict.fromkeys(self.waiting.values())
        of = {why: [name for name, each in self.waiting.items() if each == why] for why in whys}
        return "; ".join(f"{some(names)} ({why})" for why, names in of.items())


NO_REMOTE = Pushed(remote=None)


def default_remote(folder: Path) -> tuple[str, str] | None:
    """Return name and address of the folder's default DVC remote; None where there is none."""
    config = dvc_config(folder)
    name = config["core"].get("remote")
    return (name, str(config["remote"][name]["url"])) if name in config["remote"] else None


def push(folder: Path, stages: Sequence[str], env: Mapping[str, str]) -> None:
    """Push the recorded outputs of stages; MachineError (exit 4) with DVC's last words where the remote is down."""
    name, url = _remote_there(folder)
    said: deque[str] = deque(maxlen=SAID_LINES)
    command = [sys.executable, "-m", "dvc", "--wait-for-lock", "push", *stages]
    code = run_command(command, cwd=folder, env=environment() | dict(env), on_line=said.append, stop=asked_to_stop())
    if code != 0:
        errors = [line for line in said if line.startswith("ERROR")] or list(said)[-1:]
        what = redact(" ".join("; ".join(errors).split()))
        raise MachineError(f"remote {name}: {what}", action=f"`dvc push` in a clone says more ({redact(url)})")


def _remote_there(folder: Path) -> tuple[str, str]:
    """Return name and address of the default remote; MachineError (exit 4) where it is none, or its folder is gone."""
    remote = default_remote(folder)
    if remote is None:
        # Taken for pushed, it would lose its mark.
        raise MachineError("no DVC remote is the default one", file=folder, action="dvc remote default --local NAME")
    name, url = remote
    if "://" not in url and not Path(url).is_dir():
        # DVC would make the folder anew, on whatever disk lies below the one that is not mounted.
        raise MachineError(
            f"remote {name}: its folder is not there", file=url, action=f"is its disk mounted? else: mkdir -p {url}"
        )
    return name, url


Remedy = Callable[[Sequence[Fault]], str]


def push_runs(tree: Tree, corpus: str, branch: str | None, *, send: Push = push) -> Pushed:
    """Push what lies in the run's checkout, then every run that is marked; return what came of it.

    `branch` is the new run's, None where nothing changed. Nothing fails here: the commit is on its branch, and the mark
    stays. A run that is not whole holds up no other; where the machine or the remote fails the new one, the others
    are not tried.
    """
    remote = default_remote(tree.folder)
    if remote is None:
        return NO_REMOTE
    home, earlier = tree.home, unpushed(tree.home)
    reader = Reader(load_settings(home).workers)
    if branch is not None:
        mark_unpushed(home, corpus, branch)

    def own() -> None:
        _send_whole(tree.folder, corpus, tree.env, send, reader, lambda found: _run_again(found, home))
        if branch is not None:
            unmark_unpushed(home, corpus, branch)

    def other(name: str) -> None:
        of, run = name.split("/", 1)
        with beside(tree, earlier[name]) as folder:
            _send_whole(folder, of, tree.env, send, reader, lambda found: _bring_back(found, home, name, earlier[name]))
        unmark_unpushed(home, of, run)
        run_logger().info("pushed %s, which was unpushed", name)

    why, is_down = _tried(own, branch or "what lies in the cache")
    tried = {name: why if is_down else _tried(partial(other, name), name)[0] for name in earlier}
    return Pushed(remote=remote[0], unpushed=why, waiting={name: each for name, each in tried.items() if each})


def push_here(home: Path, corpus: str, *, send: Push = push) -> Pushed:
    """Do what `push_runs` does for a folder without git: nothing is marked there, every run pushes all there is."""
    remote = default_remote(home)
    if remote is None:
        return NO_REMOTE
    reader = Reader(load_settings(home).workers)

    def own() -> None:
        _send_whole(home, corpus, {}, send, reader, lambda found: _lay_anew(found, home, corpus))

    return Pushed(remote=remote[0], unpushed=_tried(own, "what lies in the cache")[0])


def _tried(do: Callable[[], None], what: str) -> tuple[str | None, bool]:
    """Do it; return why it failed, None where it did not, and whether machine or remote did. A cancel passes."""
    from dvc.exceptions import DvcException

    try:
        do()
    except FoalnetError as error:
        run_logger().warning("unpushed: %s: %s", what, error)
        kept = "what is here stays here, the next run tries again"
        after = kept if isinstance(error, MachineError) or not error.action else f"next: {error.action}"
        return redact(f"{' '.join(error.what.split())}; {after}"), isinstance(error, MachineError)
    except (OSError, DvcException, ValueError, KeyError, TypeError, AttributeError) as error:
        # A commit that cannot be laid out, or that DVC does not take for a project: an old mark, or a broken one.
        run_logger().warning("unpushed: %s: %s", what, error)
        return redact(" ".join(named(error).split())), False
    return None, False


def _send_whole(folder: Path, corpus: str, env: Mapping[str, str], send: Push, reader: Reader, remedy: Remedy) -> None:
    """Send what a corpus' stages recorded, once each object was read (DataError, exit 3, where one is not whole)."""
    _remote_there(folder)  # before all data is read for nothing
    names = [stage.name for stage in plan(folder, corpus)]
    stages = [stage for stage in stages_of(folder, corpus) if stage.name in names]
    found = faults(folder, stages, reader=reader, remote=lambda: Remote(folder, DEFAULT))
    if found:
        told = [f"{fault.path} (stage {fault.stage}): {fault.found}" for fault in found[:FAULTS_SHOWN]]
        more = f"; and {len(found) - FAULTS_SHOWN} more" if len(found) > FAULTS_SHOWN else ""
        raise DataError(
            f"nothing of it is pushed: {'; '.join(told)}{more}",
            file=found[0].path,
            stage=found[0].stage,
            action=remedy(found),
        )
    send(folder, names, env)


def _removal(found: Sequence[Fault], home: Path) -> str:
    """Return which objects must go before whole ones can take their places, "" where none lies there."""
    objects = dict.fromkeys(each for fault in found[:FAULTS_SHOWN] for each in fault.remove)
    shown = [each.removeprefix(f"{home.resolve()}/") for each in objects]
    return f"remove {' and '.join(shown)}, then " if shown else ""


def _of(found: Sequence[Fault]) -> str:
    return " ".join(dict.fromkeys(fault.stage for fault in found))


def _run_again(found: Sequence[Fault], home: Path) -> str:
    return f"{_removal(found, home)}run the flow again: it makes the outputs of {_of(found)} anew"


def _bring_back(found: Sequence[Fault], home: Path, name: str, commit: str) -> str:
    again = f"git switch --detach {commit[:10]}, dvc repro {_of(found)}, git switch -"
    return f"{_removal(found, home)}{again}; or give it up: git update-ref -d {UNPUSHED}/{name}"


def _lay_anew(found: Sequence[Fault], home: Path, corpus: str) -> str:
    again = f"dvc commit --force {_of(found)}"
    return f"{_removal(found, home)}{again} (foalnet verify {corpus} before it: are the files in the folder whole?)"
