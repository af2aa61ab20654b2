"""The lines that `inventory` and `manifest` print about a corpus: used, unused with reasons, absent parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from foalnet.config.blocks import Contract
from foalnet.core.ledger import REASONS
from foalnet.corpora import Reader

# At most so many sessions or parts are listed by name.
NAMED = 8


def absent_parts(roles: Mapping[str, str], reader: Reader) -> Iterator[str]:
    """Yield a line on published sessions without a file, and one for each role that some sessions lack.

    `roles`: relative path -> role. Yields nothing for a corpus without a folder named like a session.
    """
    sessions = list(reader.published.dialogues) if reader.published else []
    there: dict[str, set[str]] = {}
    for path, role in roles.items():
        there.setdefault(path.partition("/")[0].casefold(), set()).add(role)
    present = [name for name in sessions if name.casefold() in there]
    if present and (gone := [name for name in sessions if name not in present]):
        yield f"absent: {_some(gone)} ({len(present)} of {len(sessions)} are here)"
    for role in sorted({role for name in present for role in there[name.casefold()]}):
        if lacking := [name for name in present if role not in there[name.casefold()]]:
            yield f"absent: files of the role {role} in {_some(lacking)}, which others have"


def manifest_lines(
    account: Mapping[str, Any], classes: Mapping[str, Sequence[str]], published: Contract | None, counts: Path
) -> Iterator[str]:
    """Yield the lines on a manifest's account (path `counts`): used by class and session, reasons, what is missing.

    `published`: the counts of the complete corpus, None where they are unknown.
    """
    actual = Contract.model_validate(account["found"])
    by_class = ", ".join(f"{name} {number}" for name, number in actual.classes.items())
    yield f"manifest: {account['used']} of {actual.utterances} utterances are used: {by_class}"
    yield f"used by session: {_by_session(actual.used_by_session)}"
    for name, raws in classes.items():
        if absent := [raw for raw in raws if raw not in actual.raw_labels]:
            yield f"class {name}: no utterance carries {', '.join(absent)}"
    reasons = {key: number for key, number in account["ledger"].items() if "/" in key}
    for key, number in reasons.items():
        kind, _, reason = key.partition("/")
        yield f"{number} {kind}: {reason} ({REASONS[reason]})"
    if published is not None and (missing := list(_missing(actual, published))):
        yield f"missing of the complete corpus: {_some(missing)}"
    if reasons.keys() - {"kept/label_not_used"}:
        yield f"each item: {counts.as_posix()}"


def _by_session(used: Mapping[str, int]) -> str:
    if len(used) <= NAMED:
        return ", ".join(f"{session} {number}" for session, number in used.items())
    few, many = min(used, key=lambda name: used[name]), max(used, key=lambda name: used[name])
    return f"{used[few]} ({few}) to {used[many]} ({many}), {len(used)} sessions"


def _missing(actual: Contract, published: Contract) -> Iterator[str]:
    if (published.utterances or 0) > (actual.utterances or 0):
        yield f"{(published.utterances or 0) - (actual.utterances or 0)} of {published.utterances} utterances"
    for session, number in published.dialogues.items():
        there = actual.dialogues.get(session, 0)
        if there < number:
            yield f"{session} {f'{number - there} of {number} dialogues' if there else 'whole'}"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
