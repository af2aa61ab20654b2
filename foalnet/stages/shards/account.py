"""The account of staging, as aggregates that a report can print: no faces, no voices, no paths outside the corpus."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from foalnet.clips.dialogue import Staged
from foalnet.clips.sides import StagedSides, sides_account
from foalnet.config.blocks import Shards
from foalnet.core.ledger import Ledger

SHARE_DIGITS = 4


def staging_report(
    staged: Sequence[Staged],
    *,
    corpus: str,
    params: Shards,
    tools: Mapping[str, Any],
    side_rule: str,
    licence: str,
    drawn: bool,
    moved: Collection[str],
    not_staged: int,
) -> dict[str, Any]:
    """Return the content of staging.json: equal for equal dialogues, whichever run staged them.

    `coverage` is the mean over utterances of the share of frames with a face (detected or bridged). `not_staged` are
    the manifest's utterances that were not asked for or cannot be used; `moved`: the dialogues whose sides the table
    changed.
    """
    verdicts = [
        StagedSides(dialogue=one.job.dialogue, utterances=one.job.utterances, decision=one.sides) for one in staged
    ]
    sides, side_lines = sides_account(verdicts, params, moved=moved)
    ledger = Ledger([*(line for one in staged for line in one.ledger), *side_lines])
    rate_hz = params.rate_hz
    rows = [row for one in staged for row in one.utterances]
    dropped = sum(line.kind == "dropped" for line in ledger.entries)
    with_pictures = [row for row in rows if "frames" in row]
    report: dict[str, Any] = {
        "corpus": corpus,
        "licence": licence,
        **({"drawn": True} if drawn else {}),
        "side_rule": side_rule,
        "sides": sides,
        "tools": dict(tools),
        "dialogues": len(staged),
        "utterances": {"staged": len(rows), "dropped": dropped, "not_staged": not_staged},
        "sound": {"rate_hz": rate_hz, "seconds": round(sum(row["samples"] for row in rows) / rate_hz, 2)},
        "shards": {
            "count": sum(one.shard is not None for one in staged),
            "bytes": sum(one.shard.size for one in staged if one.shard is not None),
        },
        "frames": None,
        "coverage": None,
        "no_face": [],
        "jumps": None,
        "features": None,
        "ledger": {"counts": ledger.counts(), "entries": ledger.rows()},
    }
    if with_pictures:
        report |= _pictures(with_pictures)
    if params.listener:
        report["listener"] = _listener(with_pictures)
    if params.face != "largest":
        report["faces"] = _faces(with_pictures, params)
    tables = [row for row in rows if "features" in row]
    if tables:
        empty = sum(row["features"] == 0 for row in tables)
        report["features"] = {"frames": sum(row["features"] for row in tables), "utterances_without": empty}
    return report


def _pictures(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    missing: Counter[str] = Counter()
    for row in rows:
        missing.update(row["missing"])
    return {
        "frames": {
            "total": sum(row["frames"] for row in rows),
            "detected": sum(row["detected"] for row in rows),
            "bridged": sum(row["bridged"] for row in rows),
            "missing": dict(sorted(missing.items())),
        },
        "coverage": {
            "overall": _mean(rows),
            "by_session": _by(rows, "session"),
            "by_speaker": _by(rows, "speaker"),
        },
        "no_face": sorted(row["key"] for row in rows if row["detected"] + row["bridged"] == 0),
        "jumps": sum(row["jumps"] for row in rows),
    }


def _listener(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the frames with the listener's face, and which utterances overlap with the other person's."""
    missing: Counter[str] = Counter()
    for row in rows:
        missing.update(row["listener"]["missing"])
    counts = {name: sum(row["listener"][name] for row in rows) for name in ("detected", "bridged")}
    shared = {row["key"]: row["listener"]["overlap_s"] for row in rows if row["listener"]["overlap_s"]}
    return {
        "frames": {"total": sum(row["frames"] for row in rows), **counts, "missing": dict(sorted(missing.items()))},
        "overlap": {"utterances": len(shared), "seconds": round(sum(shared.values()), SHARE_DIGITS)},
        "overlap_s": dict(sorted(shared.items())),
    }


def _faces(rows: Sequence[Mapping[str, Any]], params: Shards) -> dict[str, Any]:
    """Return how the face of each utterance with several was chosen."""
    several = sorted((row for row in rows if row["choice"]["by"] != "alone"), key=lambda row: str(row["key"]))
    by = Counter(row["choice"]["by"] for row in several)
    return {
        "mode": params.face,
        "bound": params.face_confidence,
        "several": len(several),
        "by_sound": by["speaker"],
        "by_table": by["table"],
        "unsure": by["largest"],
        "utterances": [
            {"key": row["key"], **{name: row["choice"][name] for name in ("faces", "by", "confidence")}}
            for row in several
        ],
    }


def _by(rows: Iterable[Mapping[str, Any]], name: str) -> dict[str, float]:
    groups: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[row[name]].append(row)
    return {group: _mean(members) for group, members in sorted(groups.items())}


def _mean(rows: Sequence[Mapping[str, Any]]) -> float:
    shares = [(row["detected"] + row["bridged"]) / row["frames"] for row in rows]
    return round(sum(shares) / len(shares), SHARE_DIGITS)
