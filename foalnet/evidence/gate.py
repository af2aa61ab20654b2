"""Decides whether a new run may replace the champion, and states every number that the decision rests on.

It compares two sides of the same corpus: the challenger (all its files are present) and the champion (its predictions,
from DVC's cache or remote, and its aggregate metrics). A check that cannot be made is reported, never skipped; without
the champion's predictions nothing is promoted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import hypot
from pathlib import Path
from typing import Any

import numpy as np

from foalnet.artifact.results import METRICS, read_results
from foalnet.artifact.seal import ALTERED, read_sealed, refused
from foalnet.config import blocks
from foalnet.config.variants import VARIANTS
from foalnet.core.errors import DataError, named
from foalnet.core.markdown import escape, table
from foalnet.core.paths import Paths
from foalnet.evidence.crossed import over_people, unit_of
from foalnet.evidence.metrics import rounded

Rows = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Side:
    """Challenger or champion: `metrics` is reports/<c>/metrics.json; `runs` is variant -> per seed, key -> prediction.

    `staged` and `dropped` count utterances (manifest and staging together); None where they were not recorded.
    `unsealed` names files of a champion that is older than seals, `lost` its runs without predictions.
    """

    metrics: Mapping[str, Any]
    runs: Mapping[str, Sequence[Rows]]
    cluster: str | None
    staged: int | None
    dropped: int | None
    unsealed: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()

    @property
    def utterances(self) -> int:
        """Number of utterances that were predicted."""
        return int(self.metrics["data"]["utterances"])

    @property
    def drop_share(self) -> float | None:
        """Dropped utterances as a share of all usable ones; None where the counts were not recorded."""
        if self.staged is None or self.dropped is None:
            return None
        return self.dropped / max(1, self.staged + self.dropped)

    def as_json(self) -> dict[str, Any]:
        """Return this side's entry of gate.json; a later gate reads the champion's counts from it."""
        share = self.drop_share
        return {
            "utterances": self.utterances,
            "staged": self.staged,
            "dropped": self.dropped,
            "drop_share": None if share is None else rounded(share),
            "ua": {name: row["ua"] for name, row in sorted(self.metrics["variants"].items())},
        }


def read_side(
    paths: Paths,
    *,
    metrics: Mapping[str, Any] | None = None,
    recorded: Mapping[str, Any] | None = None,
    champion: bool = False,
    lost: Sequence[str] = (),
) -> Side:
    """Read one side from a project's folder; `metrics` and `recorded` (from gate.json) replace files that are gone.

    A `champion` may be older than seals: its unsealed files are accepted and named in `unsealed`. `lost` names its runs
    with predictions in neither DVC's cache nor its remote.
    DataError (exit 3) for a file that exists but is unreadable or altered, for a run with one of its two files, and
    where there are no metrics at all.
    """
    runs: dict[str, list[Rows]] = {}
    cluster = None
    unsealed: list[str] | None = [] if champion else None

    def sealed(path: Path, by: str) -> dict[str, Any]:
        return read_sealed(path, again=f"{by}@{paths.corpus}", corpus=paths.corpus, unsealed=unsealed)

    for folder in sorted((paths.reports / "runs").glob("*-s*")):
        results = read_results(paths, folder, unsealed=unsealed)
        if results is None:
            continue
        with _shaped(folder / METRICS, "evaluate", paths):
            cluster = results.metrics["cluster"]
            runs.setdefault(results.metrics["variant"], []).append(results.rows)
    staged, dropped = (recorded or {}).get("staged"), (recorded or {}).get("dropped")
    there = [path.is_file() for path in (paths.counts, paths.staging)]
    # One of a champion's two files may be gone from DVC's cache; a new run has both.
    if all(there) or (any(there) and not champion):
        counts, staging = sealed(paths.counts, "manifest"), sealed(paths.staging, "shards")
        with _shaped(paths.staging, "shards", paths):
            staged, dropped = int(staging["utterances"]["staged"]), int(staging["utterances"]["dropped"])
        with _shaped(paths.counts, "manifest", paths):
            dropped += sum(int(count) for name, count in counts["ledger"].items() if name.startswith("dropped/"))
    if metrics is None:
        metrics = sealed(paths.metrics, "report")
        with _shaped(paths.metrics, "report", paths):
            _ = int(metrics["data"]["utterances"]), [float(row["ua"]) for row in metrics["variants"].values()]
    return Side(
        metrics=metrics,
        runs={name: tuple(tables) for name, tables in runs.items()},
        cluster=cluster,
        staged=staged,
        dropped=dropped,
        unsealed=tuple(Path(name).relative_to(paths.home).as_posix() for name in unsealed or ()),
        lost=tuple(lost),
    )


@contextmanager
def _shaped(path: Path, by: str, paths: Paths) -> Iterator[None]:
    """Raise DataError (exit 3) for a file that lacks what is read from it: an unsealed file may hold anything."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"{ALTERED}: what the gate reads from it is missing ({named(error)})"
        raise refused(what, path, again=f"{by}@{paths.corpus}") from error


def decide(
    challenger: Side,
    champion: Side | None,
    *,
    corpus: str,
    commit: str | None,
    params: blocks.Gate,
    rolled_back: str | None = None,
) -> dict[str, Any]:
    """Return the decision as gate.json holds it: `promote`, every check with its numbers, every reason.

    `commit` is the champion's; `rolled_back` is a champion with the same results that a person rolled back. Without a
    champion the challenger is promoted.
    """
    checks: list[dict[str, Any]] = []
    if champion is not None:
        checks = [_loss(challenger, champion, corpus, params), _shrink(challenger, champion, params)]
        checks.append(_drops(challenger, champion, params))
        if champion.unsealed:
            checks.append(_seals(champion))
    if rolled_back is not None:
        what = f"the same results were in force as {rolled_back[:10]} and were rolled back by `foalnet rollback`"
        checks.append({"check": "rolled_back", "passed": False, "says": what})
    refused = [check["says"] for check in checks if not check["passed"]]
    first = "no champion yet: this run becomes the first"
    return {
        "schema": 1,
        "corpus": corpus,
        "promote": not refused,
        "reasons": refused or [check["says"] for check in checks] or [first],
        "checks": checks,
        "challenger": challenger.as_json(),
        "champion": None if champion is None else champion.as_json() | {"commit": commit},
        "params": params.model_dump(mode="json"),
    }


def _loss(challenger: Side, champion: Side, corpus: str, params: blocks.Gate) -> dict[str, Any]:
    """Compare UA of one variant: paired over shared utterances, or from the two intervals where none is shared.

    The check fails where predictions of the champion are lost: a loss cannot be ruled out then.
    """
    now, before = challenger.metrics["variants"], champion.metrics["variants"]
    shared = [name for name in dict.fromkeys((*VARIANTS, *now)) if name in now and name in before]
    if not shared:
        says = "UA: no variant was trained on both sides, so a loss cannot be ruled out"
        return {"check": "loss_ua", "passed": False, "says": says}
    variant = params.variant if params.variant in shared else shared[-1]
    a, b = challenger.runs.get(variant, ()), champion.runs.get(variant, ())
    lost = [name for name in champion.lost if re.fullmatch(rf"{variant}-s\d+", name)]
    if lost or not b:
        says = (
            f"UA of {variant}: cannot be compared, the champion's predictions are in neither DVC's cache nor a remote "
            f"({', '.join(lost) or variant}); `foalnet champion {corpus}` names what is lost and how to restore it"
        )
        return {"check": "loss_ua", "passed": False, "says": says, "variant": variant}
    keys = _common(a, b)
    if keys:
        gap = _paired(a, b, keys, challenger.cluster or "dialogue", params)
    else:
        gap = _unpaired(now[variant], before[variant])
    passed = gap["ua_low"] >= -params.max_loss_ua
    says = (
        f"UA of {variant}: {_points(gap['ua'])} points against the champion, at worst {_points(gap['ua_low'])} "
        f"({gap['how']}); a loss of {100 * params.max_loss_ua:.1f} is allowed"
    )
    if "refuses_equal" in gap:
        says += (
            f". By this spread the gate refuses {100 * gap['refuses_equal']:.0f} % of challengers that are as good and "
            f"passes {100 * gap['passes_worse']:.0f} % of those that are worse by {100 * params.max_loss_ua:.1f} points"
        )
    numbers = {"variant": variant, "allowed": params.max_loss_ua, **gap}
    return {"check": "loss_ua", "passed": passed, "says": says, **numbers}


def _common(a: Sequence[Rows], b: Sequence[Rows]) -> list[str]:
    """Return the sorted utterances that every run of both sides predicted, with the same label on both sides."""
    if not a or not b:
        return []
    keys = set.intersection(*(set(rows) for rows in (*a, *b)))
    return sorted(key for key in keys if a[0][key]["label"] == b[0][key]["label"])


def _paired(a: Sequence[Rows], b: Sequence[Rows], keys: list[str], cluster: str, params: blocks.Gate) -> dict[str, Any]:
    """Return challenger minus champion over the same utterances, over people and seeds, and the gate's error rates.

    The bound is one-sided. `refuses_equal`: the share of equally good challengers that the gate refuses;
    `passes_worse`: the share of those that are worse by the allowed loss that it passes. The bound is zero where no
    utterance changed its correctness.
    """
    if cluster not in a[0][keys[0]]:
        raise DataError(f"a prediction has no '{cluster}'", utterance=keys[0], action="run `dvc repro` again")
    right = [
        [[float(rows[key]["label"] == rows[key]["predicted"]) for key in keys] for rows in side] for side in (a, b)
    ]
    if len(a) == len(b):
        values = [np.subtract(one, other).tolist() for one, other in zip(*right, strict=True)]
    else:
        values = [np.subtract(np.mean(right[0], axis=0), np.mean(right[1], axis=0)).tolist()]
    rows = [a[0][key] for key in keys]
    folds, sessions = {row.get("fold") for row in rows}, {str(row.get("session")) for row in rows}
    unit = unit_of(cluster, folds=len(folds), sessions=sessions)
    labels = [str(row["label"]) for row in rows]
    gap = over_people(values, [str(row[unit]) for row in rows], labels, metric="ua", level=params.level)
    changed = bool(np.any(values))
    low = gap.at_least() if changed else 0.0
    return {
        "how": f"paired over {len(keys)} utterances, {gap.units} {unit}s, {gap.seeds} seed{'s' * (gap.seeds > 1)}",
        "n": len(keys),
        "level": params.level,
        "ua": rounded(gap.estimate),
        "ua_low": rounded(max(-1.0, low)),
        "refuses_equal": rounded(gap.refused(params.max_loss_ua, 0.0)) if changed else 0.0,
        "passes_worse": rounded(1 - gap.refused(params.max_loss_ua, -params.max_loss_ua)) if changed else 0.0,
    }


def _unpaired(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, Any]:
    """Return the difference of two scores that share no utterance: squares of the half intervals add up."""
    gap = a["ua"] - b["ua"]
    return {
        "how": "not paired: no utterance has the same label on both sides",
        "ua": rounded(gap),
        "ua_low": rounded(gap - hypot(a["ua"] - a["ua_low"], b["ua_high"] - b["ua"])),
        "ua_high": rounded(gap + hypot(a["ua_high"] - a["ua"], b["ua"] - b["ua_low"])),
    }


def _shrink(challenger: Side, champion: Side, params: blocks.Gate) -> dict[str, Any]:
    lost = 1 - challenger.utterances / max(1, champion.utterances)
    says = (
        f"data: {challenger.utterances} utterances, the champion had {champion.utterances}; "
        f"{100 * params.max_shrink:.1f} % fewer are allowed"
    )
    numbers = {"actual": rounded(max(0.0, lost)), "allowed": params.max_shrink}
    return {"check": "shrink", "passed": lost <= params.max_shrink, "says": says, **numbers}


def _drops(challenger: Side, champion: Side, params: blocks.Gate) -> dict[str, Any]:
    now, before = challenger.drop_share, champion.drop_share
    if now is None or before is None:
        says = "drops: not compared, not recorded for " + ("the champion" if now is not None else "this run")
        return {"check": "drops", "passed": now is not None, "says": says, "actual": None, "allowed": None}
    says = (
        f"drops: {100 * now:.1f} % of the utterances, the champion had {100 * before:.1f} %; "
        f"{100 * params.max_more_drops:.1f} points more are allowed"
    )
    numbers = {"actual": rounded(now - before), "allowed": params.max_more_drops}
    return {"check": "drops", "passed": now - before <= params.max_more_drops, "says": says, **numbers}


def _seals(champion: Side) -> dict[str, Any]:
    """Report that the champion's files have no seals to check; the challenger is not blamed for it."""
    says = (
        f"seals: {len(champion.unsealed)} of the champion's files are older than seals and were read unchecked, "
        f"the first is {champion.unsealed[0]}"
    )
    return {"check": "seals", "passed": True, "says": says, "actual": len(champion.unsealed)}


def _points(share: float) -> str:
    return f"{100 * share:+.1f}"


def markdown(decision: Mapping[str, Any]) -> str:
    """Return the decision as Markdown: the verdict, the reasons, and a table of both sides."""
    champion = decision["champion"]
    verdict = "promoted" if decision["promote"] else "refused: the champion stays"
    rows = [
        (name.replace("_", " "), decision["challenger"][name], (champion or {}).get(name))
        for name in ("utterances", "staged", "dropped", "drop_share")
    ]
    rows += [
        (f"UA of {variant.replace('_', ' ')}", ua, (champion or {"ua": {}})["ua"].get(variant))
        for variant, ua in decision["challenger"]["ua"].items()
    ]
    lines = [f"# {escape(decision['corpus'])}: {verdict}", ""]
    lines += [f"- {'passed' if c['passed'] else '**refused**'}: {escape(c['says'])}" for c in decision["checks"]]
    lines += [f"- {escape(reason)}" for reason in decision["reasons"]] if not decision["checks"] else []
    known = [["not known" if cell is None else cell for cell in cells] for cells in rows]
    lines += ["", *table(("", "challenger", "champion"), known)]
    if champion is not None:
        lines += ["", f"The champion is commit {escape(champion['commit'])}."]
    return "\n".join(lines) + "\n"
