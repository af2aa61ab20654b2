"""Finds a champion's lost outputs, and removes from DVC's cache what no champion, branch or unpushed run needs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foalnet.artifact.digests import parse_listing
from foalnet.artifact.dvcrepo import dvc_cache, dvc_config, opened
from foalnet.artifact.gitrepo import git, has_git, text_at
from foalnet.checks.verify.places import DEFAULT, Remote
from foalnet.checks.work import holding
from foalnet.config import load_settings
from foalnet.config.load import DEFAULT_PARAMS, read_file
from foalnet.core.errors import DataError, MachineError, UsageError, reason
from foalnet.evidence.champion import LOCK, branch_of, corpora_of, history, is_of, unpushed
from foalnet.stages.forecast import size

SHOWN = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Loss:
    """Outputs of a champion that are absent from DVC's cache, or incomplete there.

    `lost`: no remote has them either. `away`: the remote was not contacted or does not answer (`why`).
    """

    lost: tuple[str, ...] = ()
    away: tuple[str, ...] = ()
    why: str = ""

    def __str__(self) -> str:
        """Return one line, "" where nothing is missing."""
        lost = f"neither in DVC's cache nor in a remote: {_some(self.lost)}" if self.lost else ""
        away = f"not in DVC's cache: {_some(self.away)} ({self.why})" if self.away else ""
        return "; ".join(filter(None, (lost, away)))


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def loss_of(home: Path, corpus: str, commit: str, *, network: bool = True) -> Loss:
    """Return which outputs of a corpus' champion are lost; objects are looked up by name and not read.

    Objects that the cache lacks are looked up in DVC's default remote; without `network` only if it is a folder.
    """
    cache, outs = dvc_cache(home), _outs(home, corpus, commit)
    missing, unlisted = _missing(cache, outs)
    if not missing and not unlisted:
        return Loss()
    names = tuple(sorted({*missing, *unlisted}))
    config = dvc_config(home)
    url = str(config["remote"].get(config["core"].get("remote"), {}).get("url", ""))
    if not url:
        return Loss(lost=names)
    if "://" in url and not network:
        return Loss(away=names, why="its remote was not contacted")
    try:
        with opened(home) as repo:
            remote = Remote(repo, DEFAULT)
            for path, md5 in unlisted.items():
                listed = remote.read(md5)
                missing[path] = [md5]
                if listed is not None:
                    objects = parse_listing(listed).values()
                    missing[path] = [each for each in objects if not _object(cache, each).is_file()]
            there = remote.has(sorted({md5 for wanted in missing.values() for md5 in wanted}))
    except (MachineError, ValueError) as error:
        return Loss(away=names, why=reason(error).splitlines()[0])
    return Loss(lost=tuple(sorted(path for path, wanted in missing.items() if not all(there[md5] for md5 in wanted))))


def refuse_lost(home: Path, corpus: str, commit: str) -> None:
    """Raise DataError (exit 3) for a champion with lost outputs.

    MachineError (exit 4) where the cache lacks some and the remote does not answer.
    """
    loss = loss_of(home, corpus, commit)
    what = f"outputs of {commit[:10]} are missing: {loss}; nothing was changed"
    if loss.lost:
        raise DataError(what, file=home, action=remedy(corpus, commit))
    if loss.away:
        raise MachineError(what, file=home, action="see `dvc status --cloud`, then run it again")


def remedy(corpus: str, commit: str) -> str:
    """Return the remedy for lost outputs: rebuild them at that commit, or give up the champions of the corpus."""
    give_up = f"git branch -m {branch_of(corpus)} lost/{corpus} (the next run becomes the first champion)"
    return f"git switch --detach {commit[:10]} && dvc repro && git switch - rebuilds them; or give up: {give_up}"


def _outs(home: Path, corpus: str, commit: str) -> dict[str, str]:
    """Return path -> digest of a corpus' outputs in DVC's cache, from a commit's dvc.lock."""
    from dvc.utils.serialize import loads_yaml

    stages = (loads_yaml(text_at(home, commit, LOCK) or "") or {}).get("stages", {})
    in_git = set(git(home, "ls-tree", "-r", "-z", "--name-only", commit).stdout.split("\0"))
    return {
        out["path"]: out["md5"]
        for name, stage in stages.items()
        if is_of(corpus, name)
        for out in stage.get("outs", ())
        if out["path"] not in in_git and out.get("md5")
    }


def _missing(cache: Path, outs: Mapping[str, str]) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Return output -> its objects that the cache lacks, and output -> digest of folders without a listing there."""
    missing, unlisted = {}, {}
    for path, md5 in outs.items():
        wanted = [md5]
        if md5.endswith(".dir"):
            try:
                wanted = list(parse_listing(_object(cache, md5).read_bytes()).values())
            except (OSError, ValueError):
                unlisted[path] = md5
                continue
        gone = [each for each in wanted if not _object(cache, each).is_file()]
        if gone:
            missing[path] = gone
    return missing, unlisted


def _object(cache: Path, md5: str) -> Path:
    return cache / md5[:2] / md5[2:]


def clean_lines(home: Path, others: Sequence[Path], *, write: bool) -> Iterator[str]:
    """Remove objects that nothing needs from DVC's cache; yield the size freed, and lost outputs of champions.

    Needed by: the working tree, every branch and tag, `dvc exp`, every champion and every unpushed run, here and in
    `others`, the other projects that share the cache. UsageError (exit 2) for a cache outside the project if `others`
    is empty; MachineError (exit 4) while a stage or a flow is running.
    """
    cache, homes = dvc_cache(home), list(dict.fromkeys([home.resolve(), *(each.resolve() for each in others)]))
    if not others and not cache.is_relative_to(home.resolve()):
        raise UsageError(
            "DVC's cache is outside this project: other projects may need what it holds",
            file=cache,
            action="name each of them: --project PATH (`--project .` if there is no other)",
        )
    for each in homes:
        if dvc_cache(each).resolve() != cache.resolve():
            raise UsageError(
                f"another cache than this project's ({cache})", file=dvc_cache(each), action="leave it out"
            )
    with ExitStack() as stack:
        for each in homes if write else ():
            stack.enter_context(_at_rest(each))
        freed = _clean(homes, cache, write=write)
    yield f"{'freed' if write else 'would free'} {size(sum(freed))} of DVC's cache, {len(freed)} objects"
    for corpus in corpora_of(home):
        loss = loss_of(home, corpus, history(home, corpus)[0].effective, network=False)
        if str(loss):
            yield f"champion of {corpus}: {loss}"


@contextmanager
def _at_rest(home: Path) -> Iterator[None]:
    """Hold the locks of stages and flows: their outputs are on no branch yet.

    MachineError (exit 4) where one is running.
    """
    work = (home / load_settings(home).work).resolve()
    (work / "locks").mkdir(parents=True, exist_ok=True)
    for corpus in read_file(home / DEFAULT_PARAMS).corpora:
        (work / "locks" / f"retrain-{corpus}").touch()
    with holding(work, take=True) as busy:
        if busy:
            name, why = next(iter(busy.items()))
            raise MachineError(why, file=work / "locks" / name, action="wait for it to end, or cancel it")
        yield


def _clean(homes: Sequence[Path], cache: Path, *, write: bool) -> list[int]:
    """Remove a cache's objects that no project needs, through DVC; return the sizes of the removed objects."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo
    from dvc_data.hashfile.gc import gc

    with ExitStack() as stack:
        repos = [stack.enter_context(Repo(str(home))) for home in homes]
        try:
            for repo in repos:
                stack.enter_context(repo.lock)
            # `force`: a folder with a lost listing must not prevent the removal of other objects.
            needed = {
                obj
                for repo, home in zip(repos, homes, strict=True)
                for objects in repo.used_objs(force=True, **_revisions(home)).values()
                for obj in objects
            }
        except DvcException as error:
            why = ": ".join(map(reason, filter(None, (error, error.__cause__))))
            raise DataError(
                f"DVC cannot determine what is needed, so nothing was removed: {why}",
                file=cache,
                action="repair what is named, or remove that branch (git branch -D NAME), then run it again",
            ) from error
        names = {obj.value for obj in needed}
        gone = [path for path in cache.glob("[0-9a-f][0-9a-f]/*") if path.parent.name + path.name not in names]
        sizes = [path.stat().st_size for path in gone]
        if write and gone:
            gc(repos[0].cache.local, needed)
    return sizes


def _revisions(home: Path) -> dict[str, Any]:
    """Return DVC's arguments that select the commits of which a project needs the outputs, besides the working tree."""
    if not has_git(home):
        return {}
    champions = [each.commit for corpus in corpora_of(home) for each in history(home, corpus)]
    revisions = list(dict.fromkeys([*champions, *unpushed(home).values()]))
    return {"revs": revisions, "all_branches": True, "all_tags": True, "all_experiments": True}
