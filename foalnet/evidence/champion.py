"""Reads and moves the branches `champions/<corpus>`: every promoted run of a corpus in order, and rollbacks.

Each champion is one commit; its first parent is the champion before it, so `git log --first-parent champions/<corpus>`
is the whole record. Its params.yaml and dvc.lock hold that corpus alone: `dvc repro` there rebuilds what was promoted
and nothing else. A rollback adds a commit with the files of an earlier champion. No commit is ever rewritten.
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
# The remote that `git clone` creates; until a clone adopts its champions, only this remote has them.
ORIGIN = "origin"
# In older versions all corpora shared this branch.
SHARED = "champion"
RUNS = "runs"
NO_COMMIT = "0" * 40
PARAMS = "params.yaml"
# A ref <corpus>/<run> below this name points to the commit of a run with outputs that no remote has yet.
UNPUSHED = "refs/foalnet/unpushed"
FIELDS = ("%H", "%cI", "%(trailers:key=Foalnet-Run,valueonly)", "%(trailers:key=Foalnet-Rollback-To,valueonly)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Champion:
    """One commit of the branch: `run` made its files; `rollback_to` is the champion that a rollback returned to."""

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
        """The commit of the files in force."""
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
    # The commits below an adopted champion belong to all corpora.
    return [each for each in _log(home, branch_of(corpus)) if each.corpus == corpus]


def _log(home: Path, branch: str) -> list[Champion]:
    """Return the champions of a branch, the newest first; [] without the branch."""
    if commit_of(home, f"refs/heads/{branch}") is None:
        return []
    form = "%x1e" + "%x1f".join(FIELDS)
    champions = []
    for record in git(home, "log", "--first-parent", f"--format={form}", f"refs/heads/{branch}").stdout.split("\x1e")[
        1:
    ]:
        commit, date, run, target = (part.strip() for part in record.split("\x1f"))
        if not run:
            break  # older commits are the project's own history
        champions.append(Champion(commit=commit, date=date, run=run, rollback_to=target or None))
    return champions


def message(title: str, run: str, *, reasons: Iterable[str] = (), rollback_to: str | None = None) -> str:
    """Return a commit message that `history` can read."""
    trailers = [f"Foalnet-Run: {run}", *([f"Foalnet-Rollback-To: {rollback_to}"] if rollback_to else [])]
    return "\n\n".join([title, *reasons, "\n".join(trailers)])


def commit_tree(home: Path, tree: str, parents: Iterable[str], text: str) -> str:
    """Create a commit of a tree on no branch and return its hash."""
    given = [part for parent in dict.fromkeys(parents) for part in ("-p", parent)]
    return git(home, "commit-tree", tree, *given, "-m", text).stdout.strip()


def promote(home: Path, corpus: str, commit: str) -> None:
    """Move a corpus' branch forward to `commit`, and only forward.

    UsageError (exit 2) where that would lose a champion (another run was promoted in the meantime) or where a worktree
    has the branch checked out: its files would no longer match the branch.
    """
    branch, before = branch_of(corpus), champion_of(home, corpus)
    if before is not None and not is_ancestor(home, before, commit):
        raise UsageError(
            f"{commit[:10]} does not descend from the champion {before[:10]}: another run was promoted in the meantime",
            file=home,
            action="run the flow again: it compares the run with the new champion",
        )
    place = checked_out(home, branch)
    if place is not None:
        raise UsageError(
            f"branch {branch} is checked out there; if it moved, the folder's files would be those of another commit",
            file=place,
            action=f"`git switch` to another branch there (or `git switch --detach {branch}`), then try again",
        )
    done = git(
        home, "update-ref", "-m", "foalnet champion", f"refs/heads/{branch}", commit, before or NO_COMMIT, check=False
    )
    if done.returncode != 0:
        raise MachineError(
            f"branch {branch} could not be moved: {done.stderr.strip()}",
            file=home,
            action="another process moved it at the same moment, or the disk failed; run it again",
        )


def one_corpus(home: Path, tree: str, corpus: str) -> str:
    """Return a copy of a tree (or of a commit's tree) with one corpus alone in params.yaml and dvc.lock."""
    rows = git(home, "ls-tree", "-z", tree).stdout.rstrip("\0").split("\0")
    for name in (PARAMS, LOCK):
        text = text_at(home, tree, name)
        if text is not None:
            alone = _of_corpus(text, corpus)
            blob = git(home, "hash-object", "-w", "--stdin", given=alone).stdout.strip()
            rows = [f"100644 blob {blob}\t{name}" if row.endswith(f"\t{name}") else row for row in rows]
    return git(home, "mktree", "-z", given="\0".join([*rows, ""])).stdout.strip()


def _of_corpus(text: str, corpus: str) -> str:
    """Return a YAML text without the entries of other corpora; the text unchanged where it has none."""
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
    """Return whether a stage (`report@drawn`, `train@drawn-foal-s1`) or a run (`drawn-foal-s1`) belongs to a corpus.

    >>> is_of("drawn", "train@drawn-foal-s1"), is_of("drawn", "report@ravdess")
    (True, False)
    """
    return name.rpartition("@")[2].partition("-")[0] == corpus


def adopt(home: Path) -> list[str]:
    """Create the branch of each corpus that has champions only elsewhere; return one line per branch.

    In a clone, the champions come from the remote `origin`. Older versions kept all corpora on one shared branch: the
    new champion then has the files of the corpus' run in force on it, and the shared branch as its parent.
    """
    said = []
    for corpus, commit in remote_champions(home).items():
        promote(home, corpus, commit)
        said.append(f"{corpus}: champion {commit[:10]} adopted from {ORIGIN}/{branch_of(corpus)}")
    shared = _log(home, SHARED) if has_git(home) else []
    for corpus in sorted({each.corpus for each in shared}):
        source = _in_force(shared, corpus)
        if source is None or champion_of(home, corpus) is not None:
            continue
        text = message(f"{corpus}: adopted from the branch {SHARED}", source.run, rollback_to=source.commit)
        commit = commit_tree(home, one_corpus(home, source.commit, corpus), [shared[0].commit], text)
        promote(home, corpus, commit)
        whence = f"{source.commit[:10]} ({source.run}) adopted from the branch {SHARED}"
        said.append(f"{corpus}: champion {whence} as {branch_of(corpus)}")
    return said


def remote_champions(home: Path) -> dict[str, str]:
    """Return corpus -> commit of the champions that `origin` had at the last fetch and this repository lacks."""
    if not has_git(home):
        return {}
    form = "--format=%(objectname) %(refname:lstrip=4)"
    lines = git(home, "for-each-ref", form, f"refs/remotes/{ORIGIN}/{BRANCHES}/").stdout.splitlines()
    remote = {corpus: commit for commit, _, corpus in (line.partition(" ") for line in lines)}
    return {corpus: commit for corpus, commit in remote.items() if champion_of(home, corpus) is None}


def _in_force(shared: Sequence[Champion], corpus: str) -> Champion | None:
    """Return a corpus' run in force on a branch shared by all corpora; None where all its runs were rolled back."""
    order = {each.commit: place for place, each in enumerate(shared)}
    place = 0
    while place < len(shared):
        each = shared[place]
        if each.rollback_to is not None:
            place = order[each.rollback_to]  # the rollback removed every champion in between, of whatever corpus
        elif each.corpus == corpus:
            return each
        else:
            place += 1
    return None


def rollback_target(home: Path, corpus: str, to: str | None = None) -> tuple[Champion, Champion]:
    """Return the champion in force and the one that a rollback would put in force.

    Without `to`, the target is the champion before the one in force, so a second rollback goes one further back. With
    `to`, the target may be the one in force. UsageError (exit 2) where there is no target, or where `to` never was a
    champion of the corpus.
    """
    champions = history(home, corpus)
    if not champions:
        raise UsageError(
            f"{corpus} has no champion yet",
            file=home,
            action="run the flow `retrain` first; `foalnet champion` lists the champions",
        )
    now = champions[0]
    order = [each.commit for each in champions]
    if to is None:
        older = champions[order.index(now.effective) + 1 :]
        if not older:
            raise UsageError(
                f"{now.effective[:10]} ({now.run}) is the first champion of {corpus}: there is none before it",
                file=home,
                action="name one with --to; `foalnet champion` lists them",
            )
        target = older[0]
    else:
        named = commit_of(home, to)
        if named not in order:
            raise UsageError(
                f"'{to}' never was a champion of {corpus}",
                file=home,
                action="`foalnet champion` lists them",
            )
        target = champions[order.index(named)]
    return now, champions[order.index(target.effective)]


def rollback(home: Path, corpus: str, to: str | None = None) -> tuple[Champion, Champion, str]:
    """Put an earlier champion back in force; return (champion until now, champion in force again, new commit).

    UsageError as in `rollback_target`, and where the branch cannot be moved.
    """
    now, source = rollback_target(home, corpus, to)
    title = f"rollback: {source.run} instead of {now.run}"
    tree = one_corpus(home, source.commit, corpus)
    commit = commit_tree(home, tree, [now.commit], message(title, source.run, rollback_to=source.commit))
    promote(home, corpus, commit)
    return now, source, commit


def results_key(lock_text: str | None, corpus: str) -> str | None:
    """Return a digest of the `evaluate` outputs that dvc.lock records for a corpus; None where it records none."""
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
    """Return the champion that had the same results of a corpus and was removed by a rollback; else None.

    Without this check the next scheduled run would promote again what a person just rolled back.
    """
    champions = history(home, corpus)
    order = {each.commit: place for place, each in enumerate(champions)}
    if key is None or not champions:
        return None
    in_force = results_key(text_at(home, champions[0].commit, LOCK), corpus)
    for place, each in enumerate(champions):
        if each.rollback_to is None:
            continue
        # The rollback removed every champion between itself and the one it returned to.
        for gone in champions[place + 1 : order[each.rollback_to]]:
            results = results_key(text_at(home, gone.commit, LOCK), corpus)
            if results == key and results != in_force:
                return gone.commit
    return None


def unpushed(home: Path) -> dict[str, str]:
    """Return `<corpus>/<run>` -> commit of the runs that are not pushed to DVC's remote; {} without git."""
    if not has_git(home):
        return {}
    form = "--format=%(refname:lstrip=3) %(objectname)"
    return dict(line.split() for line in git(home, "for-each-ref", form, f"{UNPUSHED}/").stdout.splitlines())


def mark_unpushed(home: Path, corpus: str, branch: str) -> None:
    """Mark the run of a branch `runs/<run>` as unpushed: no remote has its outputs yet."""
    name = branch.removeprefix(f"{RUNS}/")
    git(home, "update-ref", f"{UNPUSHED}/{corpus}/{name}", f"refs/heads/{branch}")


def unmark_unpushed(home: Path, corpus: str, branch: str) -> None:
    """Remove the unpushed mark of a run: the remote has its outputs."""
    git(home, "update-ref", "-d", f"{UNPUSHED}/{corpus}/{branch.removeprefix(f'{RUNS}/')}")
