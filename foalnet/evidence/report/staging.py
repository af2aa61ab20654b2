"""Section on staging: sound, faces detected, bridged and missing, and the audit of sides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from foalnet.evidence.report.gather import Facts
from foalnet.evidence.report.phrases import MISSING, NOT_AUDITED, hours, listed, number, percent, plural
from foalnet.evidence.report.view import Block, Cell, Note, Paragraph, Section, Table, cells

# Below this mean share of frames with a face, a session gets a note.
LOW_COVERAGE = 0.8
# At most so many doubtful dialogues are listed on the page; staging.json has all of them.
MOST_DOUBTS = 20
MODES = {
    "rule": "The corpus' rule was followed; the audit is for information only.",
    "audit": "Where the audit is sure of the opposite, it was followed instead of the corpus' rule.",
    "table": "The corpus' rule was followed except where the entry's table of sides says otherwise.",
}


def staging(facts: Facts) -> Section | None:
    """Return what staging made of sound and picture; None where staging.json is absent."""
    account = facts.staging
    if account is None:
        return None
    blocks: list[Block] = [Paragraph(text=_sound(account))]
    if account.get("frames") and account.get("coverage"):
        blocks += _pictures(account)
    if account.get("sides"):
        blocks += _sides(account["sides"])
    if account.get("features"):
        table = account["features"]
        blocks.append(
            Paragraph(
                text=(
                    f"The pictures are {plural(table['frames'], 'row')} of precomputed features; "
                    f"{plural(table['utterances_without'], 'utterance has', 'utterances have')} none and are masked."
                )
            )
        )
    return Section(name="staging", title="Staging of sound and picture", blocks=tuple(blocks))


def _sides(sides: Mapping[str, Any]) -> list[Block]:
    """Return the audit of who sits where: counts, and every dialogue where the audit disagrees."""
    left_out = [f"{plural(n, 'dialogue')} ({NOT_AUDITED.get(why, why)})" for why, n in sides["not_audited"].items()]
    if not sides["audited"]:
        return [Paragraph(text=f"Who sits where was not audited: {listed(left_out)}.")]
    text = (
        "Side audit: it compares the motion around the mouth in each half of the picture with the changes of each "
        f"speaker's loudness. It agrees with the sides staged in {number(sides['agree'])} of "
        f"{plural(sides['audited'], 'dialogue')}, and is sure (confidence over {sides['bound']:g}) in "
        f"{number(sides['sure'])}. {MODES[sides['mode']]}"
    )
    blocks: list[Block] = [Paragraph(text=text + (f" Not audited: {listed(left_out)}." if left_out else ""))]
    rows = [row for row in sides["dialogues"] if row["by"] != "rule" or _disagrees(row)]
    if rows:
        blocks.append(
            Table(
                caption="Dialogues where the audit disagrees with the sides staged, or the rule was not followed.",
                head=("Dialogue", "Staged left", "Staged right", "Decided by", "Audit", "Confidence"),
                rows=tuple(cells(_doubt(row)) for row in rows[:MOST_DOUBTS]),
                labels=5,
            )
        )
    if len(rows) > MOST_DOUBTS:
        blocks.append(Paragraph(text=f"{number(len(rows) - MOST_DOUBTS)} more are in staging.json."))
    wrong = sum(_disagrees(row) and row["audit"]["sure"] for row in rows)
    if wrong:
        blocks.append(
            Note(
                text=(
                    f"In {plural(wrong, 'dialogue')} the faces staged are probably the listener's. Look at the page "
                    "that `foalnet sheet` writes, then set shards.sides to audit or table."
                )
            )
        )
    return blocks


def _disagrees(row: Mapping[str, Any]) -> bool:
    return row["audit"] is not None and not row["audit"]["agrees"]


def _doubt(row: Mapping[str, Any]) -> list[str]:
    names = [row["dialogue"], row["left"] or "no one", row["right"] or "no one", row["by"]]
    if row["audit"] is None:
        return [*names, "none", ""]
    return [*names, "disagrees" if _disagrees(row) else "agrees", f"{row['audit']['confidence']:.4f}"]


def _sound(account: Mapping[str, Any]) -> str:
    seen = account["utterances"]
    return (
        f"{plural(seen['staged'], 'utterance')} of {plural(account['dialogues'], 'dialogue')} were staged, "
        f"{number(seen['dropped'])} dropped, {number(seen['not_staged'])} not requested: "
        f"{hours(account['sound']['seconds'])} of sound at {number(account['sound']['rate_hz'])} Hz in "
        f"{plural(account['shards']['count'], 'shard')}."
    )


def _pictures(account: Mapping[str, Any]) -> list[Block]:
    frames, coverage = account["frames"], account["coverage"]
    total = frames["total"]
    detector = (account.get("tools", {}).get("detector") or {}).get("name", "unnamed")
    rows = [
        ("detected by the face detector", frames["detected"]),
        ("bridged between two detections", frames["bridged"]),
        *((f"missing: {MISSING.get(reason, reason)}", count) for reason, count in sorted(frames["missing"].items())),
    ]
    blocks: list[Block] = [
        Paragraph(
            text=(
                f"The detector “{detector}” detected a face in {percent(coverage['overall'])} % of an utterance's "
                "frames on average. A frame without a face keeps its position and is masked, so the timing does not "
                f"change. Who sits where: {account['side_rule'].rstrip('.')}."
            )
        ),
        Table(
            caption="Frames of all staged utterances.",
            head=("Frames", "Count", "Share %"),
            rows=tuple(cells([what, number(count), percent(count / total)]) for what, count in rows),
        ),
        Table(
            caption="Mean share of an utterance's frames that have a face, in percent.",
            head=("Session", "Coverage"),
            rows=tuple((Cell(text=name), Cell(text=percent(share))) for name, share in coverage["by_session"].items()),
        ),
    ]
    low = [name for name, share in coverage["by_session"].items() if share < LOW_COVERAGE]
    if low:
        blocks.append(
            Note(
                text=(
                    f"Coverage is below {percent(LOW_COVERAGE, 0)} % in {', '.join(low)}: scores of the picture may "
                    "depend on the detector more than on the faces."
                )
            )
        )
    empty = len(account["no_face"])
    blocks.append(
        Paragraph(
            text=(
                f"{plural(empty, 'utterance has', 'utterances have')} no face in any frame. Between neighbouring "
                f"frames a face box jumped {plural(account['jumps'] or 0, 'time')}."
            )
        )
    )
    return blocks
