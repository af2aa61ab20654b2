"""The branches `champions/<corpus>`: what was promoted for each corpus, in order, and the way back; only ever forward.

Each champion is one commit whose first parent is the champion before it, so `git log --first-parent champions/<corpus>`
is the whole record. Its params.yaml and dvc.lock hold that corpus alone: `dvc repro` there makes what was promoted, and
nothing of another corpus. A rollback is a new commit with the files of an earlier champion: nothing is rewritten.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from foalnet.artifact.gitrepo import LOCK, checked_out, commit_of, git, has_git, is_ancestor, text_at
from foalnet.config.yamls import parse_yaml
from foalnet.core.errors import MachineError, UsageError
from foalnet.core.files import content_key

BRANCHES = "champions"
# The remote that `git clone` names; a clone has its champions there alone until they are adopted.
ORIGIN = "origin"
# In older versions all corpora shared this branch.
SHARED = "champion"
RUNS = "runs"
STAGE = "champion"
NO_COMMIT = "0" * 40
PARAMS = "params.yaml"
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
    def corpus(self) -> str:
        """The corpus of the run."""
        return self.run.partition("-")[0]

    @property
    def effective(self) -> str:
        """The commit whose files are in force."""
        return self.rollback_to or self.commit


def branch_of(corpus: str) -> str:
    """Return the branch of a corpus' champions."""
    return f"{BRANCHES}/{corpus}"


def champion_of(home: Path, corpus: str) -> str | None:
    """Return the commit at the tip of a corpus' branch; None before the first promotion."""
    return commit_of(home, f"refs/heads/{branch_of(corpus)}")


def corpora_of(home: Path) -> list[str]:
    """Return the corpora that have a champion, sorted; [] without git."""
    if not has_git(home):
        return []
    form = "--format=%(refname:lstrip=3)"
    return sorted(git(home, "for-each-ref", form, f"refs/heads/{BRANCHES}/").stdout.split())


def history(home: Path, corpus: str) -> list[Champion]:
    """Return a corpus' champions, the newest first; [] before the first promotion (UsageError, exit 2, without git)."""
    if not has_git(home):
        raise UsageError("champions are commits, and this folder has no .git", file=home, action="work in a git clone")
    # Below an adopted champion lie those of all corpora.
    return [each for each in _log(home, branch_of(corpus)) if each.corpus == corpus]


def _log(home: Path, branch: str) -> list[Champion]:
    """Return the champions of a branch, the newest first; [] without the branch."""
    if commit_of(home, f"refs/heads/{branch}") is None:
        return []
    form = "%x1e" + "%x1f".join(FIELDS)
    found = []
    for record in git(home, "log", "--first-parent", f"--format={form}", f"refs/heads/{branch}").stdout.split("\x1e")[
        1:
    ]:
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


def promote(home: Path, corpus: str, commit: str) -> None:
    """Move a corpus' branch forward to `commit`, and only forward.

    UsageError (exit 2) where that would lose a champion (another run was promoted meanwhile) or where somebody has
    the branch checked out: their files would no longer be those of their branch.
    """
    branch, before = branch_of(corpus), champion_of(home, corpus)
    if before is not None and not is_ancestor(home, before, commit):
        raise UsageError(
            f"{commit[:10]} does not follow the champion {before[:10]}: another run was promoted meanwhile",
            file=home,
            stage=STAGE,
            action="run the flow again: it compares with the new champion",
        )
    place = checked_out(home, branch)
    if place is not None:
        raise UsageError(
            f"branch {branch} is checked out; moving it would leave that folder with files of another commit",
            file=place,
            stage=STAGE,
            action=f"`git switch` to another branch there (or `git switch --detach {branch}`), then try again",
        )
    done = git(
        home, "update-ref", "-m", "foalnet champion", f"refs/heads/{branch}", commit, before or NO_COMMIT, check=False
    )
    if done.returncode != 0:
        raise MachineError(
            f"branch {branch} could not be moved: {done.stderr.strip()}",
            file=home,
            stage=STAGE,
            action="somebody else moved it at the same moment, or the disk refuses; run it again",
        )


def one_corpus(home: Path, tree: str, corpus: str) -> str:
    """Return a tree (or a commit's) as a tree in which params.yaml and dvc.lock hold one corpus alone."""
    rows = git(home, "ls-tree", "-z", tree).stdout.rstrip("\0").split("\0")
    for name in (PARAMS, LOCK):
        text = text_at(home, tree, name)
        if text is not None:
            alone = _of_corpus(text, corpus)
            blob = git(home, "hash-object", "-w", "--stdin", given=alone).stdout.strip()
            rows = [f"100644 blob {blob}\t{name}" if row.endswith(f"\t{name}") else row for row in rows]
    return git(home, "mktree", "-z", given="\0".join([*rows, ""])).stdout.strip()


def _of_corpus(text: str, corpus: str) -> str:
    """Return a YAML text without what it has of other corpora; the same text where it has nothing of them."""
    from dvc.utils.serialize import dumps_yaml, parse_yaml_for_update

    document = parse_yaml_for_update(text, "")
    others = [
        (block, name)
        for block in ("corpora", "runs", "stages")
        for name in document.get(block, ())
        # A stage of no corpus stays: `draw`.
        if not is_of(corpus, name) and (block != "stages" or "@" in name)
    ]
    for block, name in others:
        del document[block][name]
    return str(dumps_yaml(document)) if others else text


def is_of(corpus: str, name: str) -> bool:
    """Tell whether a stage (`report@drawn`, `train@drawn-foal-s1`) or a run (`drawn-foal-s1`) is of a corpus."""
    return name.rpartition("@")[2].partition("-")[0] == corpus


def adopt(home: Path) -> list[str]:
    """Give each corpus its branch, once, where it has champions elsewhere; return a line for each.

    In a clone they are those of the remote `origin`. On the branch that all corpora shared in older versions, the new
    champion has the files of the corpus' run that was in force there, and that branch below it.
    """
    said = []
    for corpus, commit in remote_champions(home).items():
        promote(home, corpus, commit)
        said.append(f"{corpus}: champion {commit[:10]} adopted from {ORIGIN}/{branch_of(corpus)}")
    shared = _log(home, SHARED) if has_git(home) else []
    for corpus in sorted({each.corpus for each in shared}):
        found = _in_force(shared, corpus)
        if found is None or champion_of(home, corpus) is not None:
            continue
        text = message(f"{corpus}: adopted from the branch {SHARED}", found.run, rollback_to=found.commit)
        commit = commit_tree(home, one_corpus(home, found.commit, corpus), [shared[0].commit], text)
        promote(home, corpus, commit)
        whence = f"{found.commit[:10]} ({found.run}) adopted from the branch {SHARED}"
        said.append(f"{corpus}: champion {whence} as {branch_of(corpus)}")
    return said


def remote_champions(home: Path) -> dict[str, str]:
    """Return corpus -> commit of the champions that `origin` had at the last fetch and this repository has not."""
    if not has_git(home):
        return {}
    form = "--format=%(objectname) %(refname:lstrip=4)"
    lines = git(home, "for-each-ref", form, f"refs/remotes/{ORIGIN}/{BRANCHES}/").stdout.splitlines()
    found = {corpus: commit for commit, _, corpus in (line.partition(" ") for line in lines)}
    return {corpus: commit for corpus, commit in found.items() if champion_of(home, corpus) is None}


def _in_force(shared: Sequence[Champion], corpus: str) -> Champion | None:
    """Return the run of a corpus that is in force on a branch of all corpora; None where all were taken back."""
    order = {each.commit: place for place, each in enumerate(shared)}
    place = 0
    while place < len(shared):
        each = shared[place]
        if each.rollback_to is not None:
            place = order[each.rollback_to]  # what lies between was taken back, whatever corpus it was of
        elif each.corpus == corpus:
            return each
        else:
            place += 1
    return None


def rollback_target(home: Path, corpus: str, to: str | None = None) -> tuple[Champion, Champion]:
    """Return the champion in force and the one that a rollback would put in force.

    Without `to` that is the champion before the one in force; a second rollback goes one further back. With `to` it may
    be the one in force. UsageError (exit 2) where there is none, or where `to` never was a champion of the corpus.
    """
    champions = history(home, corpus)
    if not champions:
        raise UsageError(
            f"{corpus} has no champion yet",
            file=home,
            stage=STAGE,
            action="run the flow `retrain` first; `foalnet champion` lists what there is",
        )
    now = champions[0]
    order = [each.commit for each in champions]
    if to is None:
        older = champions[order.index(now.effective) + 1 :]
        if not older:
            raise UsageError(
                f"{now.effective[:10]} ({now.run}) is the first champion of {corpus}: there is none before it",
                file=home,
                stage=STAGE,
                action="name one with --to; `foalnet champion` lists them",
            )
        target = older[0]
    else:
        named = commit_of(home, to)
        if named not in order:
            raise UsageError(
                f"'{to}' never was a champion of {corpus}",
                file=home,
                stage=STAGE,
                action="`foalnet champion` lists them",
            )
        target = champions[order.index(named)]
    return now, champions[order.index(target.effective)]


def rollback(home: Path, corpus: str, to: str | None = None) -> tuple[Champion, Champion, str]:
    """Bring back the files of an earlier champion: (the one in force until now, the one in force again, new commit).

    UsageError as `rollback_target` has it, and where the branch cannot be moved.
    """
    now, source = rollback_target(home, corpus, to)
    title = f"rollback: {source.run} instead of {now.run}"
    tree = one_corpus(home, source.commit, corpus)
    commit = commit_tree(home, tree, [now.commit], message(title, source.run, rollback_to=source.commit))
    promote(home, corpus, commit)
    return now, source, commit


def results_key(lock_text: str | None, corpus: str) -> str | None:
    """Return a digest of what `evaluate` made of a corpus' runs, by dvc.lock; None where it names nothing."""
    stages = (parse_yaml(lock_text, Path(LOCK)) or {}).get("stages", {}) if lock_text else {}
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
    champions = history(home, corpus)
    order = {each.commit: place for place, each in enumerate(champions)}
    if key is None or not champions:
        return None
    in_force = results_key(text_at(home, champions[0].commit, LOCK), corpus)
    for place, each in enumerate(champions):
        if each.rollback_to is None:
            continue
        # What lay between the rollback and the champion it returned to was taken back.
        for gone in champions[place + 1 : order[each.rollback_to]]:
            found = results_key(text_at(home, gone.commit, LOCK), corpus)
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
