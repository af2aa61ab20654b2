"""Compares a report with an earlier one of the same corpus, which the param `report.previous` names by its git commit.

Of the earlier report it reads what git holds: metrics.json and params.yaml of that commit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foalnet.artifact.gitrepo import commit_of, has_git, text_at
from foalnet.artifact.seal import unseal
from foalnet.config import Params
from foalnet.config.load import merge
from foalnet.config.yamls import parse_yaml
from foalnet.core.errors import UsageError
from foalnet.core.paths import Paths
from foalnet.evidence.report.phrases import listed, percent, plural
from foalnet.evidence.report.tables import in_order

PARAMS = Path("params.yaml")
# The blocks that can change a result; `report.previous` itself is left out.
BLOCKS = ("shards", "features", "train", "evaluate", "report")
OWN = ("variants", "seeds", "protocols", "manifest")
# What metrics.json records of training under `origin`, by name. Not the kind of processor: git tracks the file, and its
# bytes are those of every processor with the same instructions.
ORIGIN = {"instructions": "instructions", "device": "device", "code": "training code"}
COMMIT_SHOWN = 10
# Changed params that the page names.
NAMED = 6


@dataclass(frozen=True, kw_only=True)
class Earlier:
    """An earlier report: its commit, metrics.json, and the value of each param by its dotted name."""

    commit: str
    metrics: Mapping[str, Any]
    params: Mapping[str, Any]


def earlier(params: Params, home: Path) -> Earlier | None:
    """Return the report that `report.previous` names; None without one.

    `home`: a git checkout. UsageError (exit 2) where it lacks the commit, or the commit a report of the corpus;
    DataError (exit 3) where the commit's metrics.json is damaged.
    """
    name, corpus = params.report.previous, params.corpus
    if name is None:
        return None
    commit = commit_of(home, name) if has_git(home) else None
    if commit is None:
        raise UsageError(
            f"report.previous names commit {name}, which this folder's git does not have",
            file=home / PARAMS,
            action="`git fetch` it, or set report.previous to null",
        )
    path = Paths(corpus).metrics
    texts = [text_at(home, commit, each.as_posix()) for each in (path, PARAMS)]
    if texts[0] is None or texts[1] is None:
        raise UsageError(
            f"report.previous names commit {name}, which has no {path if texts[0] is None else PARAMS}",
            file=home / PARAMS,
            action=f"name a commit with a report of {corpus}: `foalnet champion` lists them",
        )
    metrics = unseal(texts[0].encode(), path, again=f"report@{corpus}", unsealed=[])
    return Earlier(commit=commit, metrics=metrics, params=dict(_of_yaml(parse_yaml(texts[1], PARAMS), corpus)))


def changes(before: Earlier, now: Mapping[str, Any], params: Params) -> list[str]:
    """Return in two sentences what changed: scores and data; params, machine and training code."""
    old, new = before.metrics["variants"], now["variants"]
    both = [name for name in in_order(new) if name in old]
    scores = [f"{name} {_pair(old[name])} \N{RIGHTWARDS ARROW} {_pair(new[name])}" for name in both]
    scores += [f"{name} is new" for name in in_order(new) if name not in old]
    scores += [f"{name} is gone" for name in in_order(old) if name not in new]
    counts = [int(each["data"]["utterances"]) for each in (before.metrics, now)]
    size = plural(counts[1], "utterance")
    data = f"{size}, as before" if counts[0] == counts[1] else f"{size}, {counts[0]:,} before"
    since = f"Since the report of commit {before.commit[:COMMIT_SHOWN]}, UA % (WA %): {', '.join(scores)}; {data}."
    return [since, _causes(before, now, params)]


def _pair(row: Mapping[str, Any]) -> str:
    return f"{percent(row['ua'])} ({percent(row['wa'])})"


def _causes(before: Earlier, now: Mapping[str, Any], params: Params) -> str:
    """Return the sentence on what could have changed the scores."""
    changed = list(_changed(before.params, dict(_of_params(params))))
    more = [f"{len(changed) - NAMED} more params"] if len(changed) > NAMED else []
    recorded, origin = before.metrics.get("origin", {}), now["origin"]
    others = [
        f"{title} {_text(recorded[name])} \N{RIGHTWARDS ARROW} {_text(origin.get(name, []))}"
        for name, title in ORIGIN.items()
        if name in recorded and recorded[name] != origin.get(name, [])
    ]
    unknown = "" if recorded else " That report does not record device and training code."
    causes = [*changed[:NAMED], *more, *others]
    if causes:
        return f"Changed: {listed(causes)}.{unknown}"
    return f"No param{'' if unknown else ', device or training code'} changed.{unknown}"


def _text(value: object) -> str:
    """Return a param's value, or what several trainings recorded, as text."""
    if isinstance(value, list):
        return listed([_text(one) for one in value])
    return "null" if value is None else str(value)


def _changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    """Yield each param of both with two values, as text; one that only one version has changes no result by itself."""
    for name in sorted(old.keys() & new.keys()):
        if old[name] != new[name]:
            yield f"{name} {_text(old[name])} \N{RIGHTWARDS ARROW} {_text(new[name])}"


def _of_yaml(file: Mapping[str, Any], corpus: str) -> Iterator[tuple[str, Any]]:
    """Yield a corpus' params of a params.yaml of any version, by dotted name."""
    entry = file.get("corpora", {}).get(corpus) or {}
    blocks = {name: merge(file.get(name) or {}, entry.get(name) or {}) for name in BLOCKS}
    blocks["train"] |= {"methods": merge(file.get("methods") or {}, entry.get("methods") or {})}
    yield from _leaves(blocks | {name: entry[name] for name in OWN if name in entry})


def _of_params(params: Params) -> Iterator[tuple[str, Any]]:
    """Yield the params of this report under the same names."""
    values = params.model_dump(mode="json")
    yield from _leaves({name: values[name] for name in (*BLOCKS, *OWN)})


def _leaves(value: Mapping[str, Any], at: str = "") -> Iterator[tuple[str, Any]]:
    for name, each in value.items():
        place = f"{at}.{name}".lstrip(".")
        if isinstance(each, Mapping):
            yield from _leaves(each, place)
        elif place != "report.previous":
            yield place.replace("train.methods.", "methods."), each
