"""The branch `champion`: what was promoted, in order, and the way back. It only ever moves forward.

Each champion is one commit whose first parent is the champion before it, so `git log --first-parent champion` is the
whole record. A rollback is a new commit with the files of an earlier champion: nothing is rewritten, nothing is lost.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import yaml

from foalnet.errors import MachineError, UsageError
from foalnet.files import content_key
from foalnet.gitrepo import checked_out, commit_of, git, has_git, is_ancestor, text_at

BRANCH = "champion"
RUNS = "runs"
STAGE = "champion"
NO_COMMIT = "0" * 40
# A run whose outputs no remote has yet: <corpus>/<run>, holding the run's commit.
UNPUSHED = "refs/foalnet/unpushed"
FIELDS = ("%H", "%cI", "%(trailers:key=Foalnet-Run,valueonly)", "%(trailers:key=Foalnet-Rollback-To,valueonly)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Champion:
    """One commit of the branch: `run` names the run that made its files, `rollback_to` the champion it went back to."""

    commit: str
    date: str
    run: str
    rollback_to: str | None

    @property
    def effective(self) -> str:
        """The commit whose files are in force."""
        return self.rollback_to or self.commit


def history(home: Path) -> list[Champion]:
    """Return the champions, the newest first; [] before the first promotion (UsageError, exit 2, without git)."""
    if not has_git(home):
        raise UsageError("champions are commits, and this folder has no .git", file=home, action="work in a git clone")
    if commit_of(home, f"refs/heads/{BRANCH}") is None:
        return []
    form = "%x1e" + "%x1f".join(FIELDS)
    found = []
    for record in git(home, "log", "--first-parent", f"--format={form}", BRANCH).stdout.split("\x1e")[1:]:
        commit, date, run, target = (part.strip() for part in record.split("\x1f"))
        if not run:
            break  # below the first champion lies the history of the project
        found.append(Champion(commit=commit, date=date, run=run, rollback_to=target or None))
    return found


def message(title: str, run: str, *, reasons: Iterable[str] = (), rollback_to: str | None = None) -> str:
    """Return a commit message that `history` can read."""
    trailers = [f"Foalnet-Run: {run}", *([f"Foalnet-Rollback-To: {rollback_to}"] if rollback_to else [])]
    return "\n\n".join([title, *reasons, "\n".join(trailers)])


def commit_tree(home: Path, tree: str, parents: Iterable[str], text: str) -> str:
    """Make a commit of a tree, on no branch yet, and return it."""
    given = [part for parent in dict.fromkeys(parents) for part in ("-p", parent)]
    return git(home, "commit-tree", tree, *given, "-m", text).stdout.strip()


def promote(home: Path, commit: str) -> None:
    """Move the branch forward to `commit`, and only forward.

    UsageError (exit 2) where that would lose a champion (another run was promoted meanwhile) or where somebody has
    the branch checked out: their files would no longer be those of their branch.
    """
    before = commit_of(home, f"refs/heads/{BRANCH}")
    if before is not None and not is_ancestor(home, before, commit):
        raise UsageError(
            f"{commit[:10]} does not follow the champion {before[:10]}: another run was promoted meanwhile",
            file=home,
            stage=STAGE,
            action="run the flow again: it compares with the new champion",
        )
    place = checked_out(home, BRANCH)
    if place is not None:
        raise UsageError(
            f"branch {BRANCH} is checked out; moving it would leave that folder with files of another commit",
            file=place,
            stage=STAGE,
            action=f"`git switch` to another branch there (or `git switch --detach {BRANCH}`), then try again",
        )
    done = git(
        home, "update-ref", "-m", "foalnet champion", f"refs/heads/{BRANCH}", commit, before or NO_COMMIT, check=False
    )
    if done.returncode != 0:
        raise MachineError(
            f"branch {BRANCH} could not be moved: {done.stderr.strip()}",
            file=home,
            stage=STAGE,
            action="somebody else moved it at the same moment, or the disk refuses; run it again",
        )


def rollback(home: Path, to: str | None = None) -> tuple[Champion, Champion, str]:
    """Bring back the files of an earlier champion: (the one in force until now, the one in force again, new commit).

    Without `to` that is the champion before the one in force; a second rollback goes one further back. UsageError
    (exit 2) where there is none, or where `to` never was a champion.
    """
    champions = history(home)
    if not champions:
        raise UsageError("there is no champion yet", file=home, stage=STAGE, action="run the flow `retrain` first")
    now = champions[0]
    order = [each.commit for each in champions]
    if to is None:
        older = champions[order.index(now.effective) + 1 :]
        if not older:
            raise UsageError(
                f"{now.effective[:10]} ({now.run}) is the first champion: there is none before it",
                file=home,
                stage=STAGE,
                action="name one with --to; `foalnet champion` lists them",
            )
        target = older[0]
    else:
        named = commit_of(home, to)
        if named not in order:
            raise UsageError(
                f"'{to}' never was a champion", file=home, stage=STAGE, action="`foalnet champion` lists them"
            )
        target = champions[order.index(named)]
    source = champions[order.index(target.effective)]
    if source.commit == now.effective:
        raise UsageError(f"{source.commit[:10]} is in force already", file=home, stage=STAGE, action="nothing to do")
    title = f"rollback: {source.run} instead of {now.run}"
    tree = git(home, "rev-parse", f"{source.commit}^{{tree}}").stdout.strip()
    commit = commit_tree(home, tree, [now.commit], message(title, source.run, rollback_to=source.commit))
    promote(home, commit)
    return now, source, commit


def results_key(lock_text: str | None, corpus: str) -> str | None:
    """Return a digest of what `evaluate` made of a corpus' runs, by dvc.lock; None where it names nothing."""
    stages = (yaml.safe_load(lock_text) or {}).get("stages", {}) if lock_text else {}
    outs = {
        out["path"]: out.get("md5")
        for name, stage in stages.items()
        if name.startswith("evaluate@")
        for out in stage.get("outs", [])
        if out["path"].startswith(f"reports/{corpus}/runs/")
    }
    return content_key(outs) if outs else None


def rolled_back(home: Path, corpus: str, key: str | None) -> str | None:
    """Return the champion that had these very results of a corpus and was taken back by a rollback; else None.

    Without this the next scheduled run would promote again what a person just took back.
    """
    champions = history(home)
    order = {each.commit: place for place, each in enumerate(champions)}
    if key is None or not champions:
        return None
    in_force = results_key(text_at(home, champions[0].commit, "dvc.lock"), corpus)
    for place, each in enumerate(champions):
        if each.rollback_to is None:
            continue
        # What lay between the rollback and the champion it returned to was taken back.
        for gone in champions[place + 1 : order[each.rollback_to]]:
            found = results_key(text_at(home, gone.commit, "dvc.lock"), corpus)
            if found == key and found != in_force:
                return gone.commit
    return None


def unpushed(home: Path) -> dict[str, str]:
    """Return `<corpus>/<run>` -> commit of the runs that could not be pushed to DVC's remote; {} without git."""
    if not has_git(home):
        return {}
    form = "--format=%(refname:lstrip=3) %(objectname)"
    return dict(line.split() for line in git(home, "for-each-ref", form, f"{UNPUSHED}/").stdout.splitlines())


def mark_unpushed(home: Path, corpus: str, branch: str) -> None:
    """Mark the run of a branch `runs/<run>`: no remote has its outputs yet."""
    name = branch.removeprefix(f"{RUNS}/")
    git(home, "update-ref", f"{UNPUSHED}/{corpus}/{name}", f"refs/heads/{branch}")


def unmark_unpushed(home: Path, corpus: str, branch: str) -> None:
    """Take the mark of a run back: the remote has its outputs."""
    git(home, "update-ref", "-d", f"{UNPUSHED}/{corpus}/{branch.removeprefix(f'{RUNS}/')}")
