"""Builds the manifest: every labelled utterance with its class, or the reason why it has none; checks the counts.

An utterance that cannot be used stays in with a reason, so that what is missing can be seen and counted.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from foalnet.artifact.seal import publish_sealed, sealed_bytes
from foalnet.artifact.table import KEY, digest_file, manifest_files, read_manifest
from foalnet.config import Params, Settings
from foalnet.config.blocks import Contract
from foalnet.config.load import DEFAULT_PARAMS
from foalnet.core.errors import DataError, UsageError
from foalnet.core.files import Content, publish_together
from foalnet.core.labels import NOT_USED, class_of
from foalnet.core.ledger import Ledger
from foalnet.core.records import LedgerEntry, Utterance
from foalnet.corpora import Reader, reader_of
from foalnet.corpora.inventory import checked_inventory, need_root, refuse_changed
from foalnet.corpora.lengths import remembered_lengths
from foalnet.stages.manifest.dialogues import with_overlaps, with_turns

__all__ = ["build", "read_manifest"]

NAMED_IN_ERROR = 20
MANY = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Breach:
    """One count that differs from its contract: `what` is counted, `name` is which (a session, a label, a class)."""

    what: str
    name: str
    expected: int
    counted: int

    def __str__(self) -> str:
        """Return it with the difference: "raw label 'sad': 1084 expected, 1083 found (1 missing)"."""
        difference = self.counted - self.expected
        said = f"{difference} too many" if difference > 0 else f"{-difference} missing"
        name = f" '{self.name}'" if self.name else ""
        return f"{self.what}{name}: {self.expected} expected, {self.counted} found ({said})"


def build(params: Params, settings: Settings, inventory_path: Path, out: Path, counts_path: Path) -> dict[str, Any]:
    """Write the manifest with its digest to `out` and the account of it to `counts_path`; return the account.

    The account is written also where the contract fails. Raises UsageError (exit 2): a raw label that the corpus cannot
    have; DataError (exit 3): a breach of the count contract with each missing or extra count by name, too many lines
    that cannot be used, a class without an utterance, files that changed since the inventory; MachineError (exit 4):
    the corpus is not on this machine.
    """
    reader = reader_of(params)
    here = f"{DEFAULT_PARAMS} (corpora.{params.corpus})"
    check_classes(params.manifest.classes, reader, params.manifest.contract, file=here)
    inventory = checked_inventory(inventory_path, params)
    root = need_root(params, settings)
    refuse_changed(inventory, root, reader.reads, settings)
    ledger = Ledger()
    with remembered_lengths(settings, params.corpus, root, inventory.digests()):
        rows = reader.utterances(root, inventory.roles(), ledger)
    rows = with_turns(rows, params.manifest.turns, where=f"corpora.{params.corpus}.manifest.turns", reader=reader.name)
    utterances = with_overlaps(classify(rows, params.corpus, params.manifest.classes, ledger))
    expected = contract_of(params.manifest.contract, reader, params.manifest.classes)
    counted = count(utterances, params.manifest.classes)
    breaches = compare(expected, counted)
    account = {
        "corpus": params.corpus,
        "reader": params.reader,
        "counted": counted.model_dump(),
        "expected": expected.model_dump() if expected else None,
        "breaches": [asdict(breach) for breach in breaches],
        "used": sum(u.used for u in utterances),
        "ignored_files": inventory.ignored,
        "ignored_named": inventory.named,
        "ledger": ledger.counts(),
        "entries": [row for row in ledger.rows() if row["reason"] != NOT_USED],
    }
    try:
        unfilled = unfilled_classes(counted, params.manifest.classes, reader)
        _refuse(breaches, unfilled, utterances, params, ledger, counts_path)
    except DataError:
        publish_sealed(counts_path, account)
        raise
    files: dict[Path, Content] = {counts_path: sealed_bytes(counts_path.name, account)}
    publish_together(files | manifest_files(out, utterances), marker=digest_file(out))
    return account


def check_classes(
    classes: Mapping[str, Sequence[str]],
    reader: Reader,
    contract: Contract | str | None = None,
    *,
    file: object | None = None,
    action: str = "correct these names",
) -> None:
    """Raise UsageError (exit 2) for a raw label that the corpus cannot have, or a count of a label or class it lacks.

    Where the reader has no list of all raw labels, any may stand here: `build` sees whether an utterance carries it.
    """
    known = all_raw_labels(reader)
    counted = contract if isinstance(contract, Contract) else Contract()
    wanted = [(f"manifest.classes.{name}", raw) for name, raws in classes.items() for raw in raws]
    wanted += [("manifest.contract.raw_labels", raw) for raw in counted.raw_labels]
    wrong = [f"{key}: no raw label '{raw}'{_meant(raw, known)}" for key, raw in wanted if known and raw not in known]
    if wrong:
        wrong.append(f"the raw labels of {reader.name}: {', '.join(known)}")
    named = [name for name in counted.classes if name not in classes]
    wrong += [f"manifest.contract.classes: no class '{name}'{_meant(name, classes)}" for name in named]
    if wrong:
        raise UsageError("\n".join(wrong), file=file, action=action)


def all_raw_labels(reader: Reader) -> list[str]:
    """Return every raw label that a corpus can have, sorted; [] where its reader has no list of them."""
    return sorted(reader.published.raw_labels) if reader.published else []


def _meant(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean '{close[0]}'?" if close else ""


def unfilled_classes(counted: Contract, classes: Mapping[str, Sequence[str]], reader: Reader) -> list[str]:
    """Return a line for each class without an utterance, and at the end the raw labels that the corpus has.

    A raw label that no utterance carries is named too where its reader has no list of all: it may be a slip.
    """
    lines = []
    for name, raws in classes.items():
        absent = [raw for raw in raws if raw not in counted.raw_labels]
        if not counted.classes[name]:
            lines.append(f"class '{name}' ({', '.join(raws)}): no utterance that can be used")
        elif absent and not all_raw_labels(reader):
            lines.append(f"class '{name}': no utterance carries the raw label {', '.join(absent)}")
    if lines:
        there = ", ".join(f"{raw} {number}" for raw, number in counted.raw_labels.items())
        lines.append(f"raw labels that utterances carry: {there or 'none'}")
    return lines


def classify(rows: Iterable[Utterance], corpus: str, classes: dict[str, list[str]], ledger: Ledger) -> list[Utterance]:
    """Return the utterances sorted by key, each with its class or with a reason; raw labels of no class are kept.

    DataError (exit 3) for a key that a shard could not carry, or that stands twice.
    """
    inverse = class_of(classes)
    utterances: list[Utterance] = []
    for row in sorted(rows, key=lambda u: u.key):
        if not KEY.fullmatch(row.key) or (utterances and utterances[-1].key == row.key):
            raise DataError(
                "the utterance's key stands twice" if KEY.fullmatch(row.key) else "a key may hold A-Z a-z 0-9 _ - only",
                utterance=row.key,
                action="mend the corpus' reader: its keys must be unique and follow this rule",
            )
        reason, label = row.reason, inverse.get(row.raw_label)
        if reason is None and not 0 <= row.start_s < row.end_s:
            reason = "segment_invalid"
            ledger.drop(row.key, reason, f"from {row.start_s} s to {row.end_s} s")
        elif reason is None and label is None:
            reason = NOT_USED
            ledger.keep(row.key, reason, row.raw_label)
        elif reason is None:
            ledger.keep(row.key)
        utterances.append(replace(row, corpus=corpus, label=None if reason else label, reason=reason))
    return utterances


def count(utterances: Iterable[Utterance], classes: Iterable[str]) -> Contract:
    """Count what a contract can hold: dialogues, utterances and raw labels of all; classes and sessions of the used."""
    rows = list(utterances)
    used = [u for u in rows if u.used]
    sessions = {u.session for u in rows}
    per_class = Counter(u.label for u in used)
    per_session = Counter(u.session for u in used)
    return Contract(
        dialogues=dict(sorted(Counter(session for session, _ in {(u.session, u.dialogue) for u in rows}).items())),
        utterances=len(rows),
        raw_labels=dict(sorted(Counter(u.raw_label for u in rows).items())),
        classes={name: per_class[name] for name in classes},
        used_by_session={session: per_session[session] for session in sorted(sessions)},
    )


def contract_of(wanted: Contract | str | None, reader: Reader, classes: dict[str, list[str]]) -> Contract | None:
    """Return the expected counts; "published" is the reader's own, put under this experiment's classes.

    The published counts by session are for the reader's default classes: with other raw labels they say nothing and
    are left out, and a class is expected to have the sum of its raw labels. UsageError (exit 2) where there is none.
    """
    if wanted is None or isinstance(wanted, Contract):
        return wanted
    if reader.published is None:
        raise UsageError(
            f"reader '{reader.name}' has no published counts",
            action="set manifest.contract to null, or spell the counts",
        )
    raw_labels = reader.published.raw_labels
    used = {raw for raws in classes.values() for raw in raws}
    same = used == {raw for name in reader.default_classes for raw in reader.class_presets[name]}
    return reader.published.model_copy(
        update={
            "classes": {name: sum(raw_labels.get(raw, 0) for raw in raws) for name, raws in classes.items()},
            "used_by_session": reader.published.used_by_session if same else {},
        }
    )


def compare(expected: Contract | None, counted: Contract) -> list[Breach]:
    """Return every count that differs, by name; an empty mapping or None in `expected` is not checked.

    >>> expected = Contract(raw_labels={"sad": 1084, "neu": 1708})
    >>> [breach.name for breach in compare(expected, Contract(raw_labels={"sad": 1083, "neu": 1708}))]
    ['sad']
    """
    breaches = []
    if expected is not None and expected.utterances not in (None, counted.utterances):
        breaches.append(
            Breach(
                what="labelled utterances", name="", expected=expected.utterances or 0, counted=counted.utterances or 0
            )
        )
    for field, what in (
        ("dialogues", "dialogues of"),
        ("raw_labels", "raw label"),
        ("classes", "class"),
        ("used_by_session", "used utterances of"),
    ):
        wanted: dict[str, int] = getattr(expected, field, {})
        there: dict[str, int] = getattr(counted, field)
        breaches += [
            Breach(what=what, name=name, expected=wanted.get(name, 0), counted=there.get(name, 0))
            for name in sorted({*wanted, *there} if wanted else ())
            if wanted.get(name, 0) != there.get(name, 0)
        ]
    return breaches


def _refuse(
    breaches: Sequence[Breach],
    unfilled: Sequence[str],
    utterances: Sequence[Utterance],
    params: Params,
    ledger: Ledger,
    counts_path: Path,
) -> None:
    """Raise DataError where the contract or the drop limit is broken, or a class has nothing to learn from."""
    lost = [entry for entry in ledger.entries if entry.kind == "dropped" and entry.reason not in _NO_LOSS]
    unparsed = sum(entry.reason == "label_unparsed" for entry in lost)
    unusable = unparsed + sum(u.reason is not None and u.reason != NOT_USED for u in utterances)
    lines, limit = len(utterances) + unparsed, params.manifest.max_drop_fraction
    faults = [str(breach) for breach in breaches]
    if unusable > limit * lines:
        faults.append(f"{unusable} of {lines} label lines cannot be used, manifest.max_drop_fraction allows {limit:g}")
    if not faults and not unfilled:
        return
    named = _named(lost, {u.key: u.dialogue for u in utterances})
    what = ["the corpus breaks its count contract:", *(f"  {fault}" for fault in faults)] if faults else []
    what += ["classes do not fit the corpus:", *(f"  {line}" for line in unfilled)] if unfilled else []
    if named:
        what += ["what is lost, as far as the files tell:", *named[:NAMED_IN_ERROR]]
    if len(named) > NAMED_IN_ERROR:
        what.append(f"  … and {len(named) - NAMED_IN_ERROR} more, all in the file below")
    block = f"corpora.{params.corpus}.manifest"
    ways = [f"correct {block}.classes"] if unfilled else []
    ways += [f"state the counts that you have as {block}.contract"] if faults else []
    raise DataError(
        "\n".join(what),
        file=counts_path,
        action=f"complete or mend the corpus (was its archive unpacked whole?), or {' and '.join(ways)} in params.yaml",
    )


def _named(lost: Sequence[LedgerEntry], dialogue_of: Mapping[str, str]) -> list[str]:
    """Return a line per lost item; many of one dialogue and reason are one line."""
    groups: dict[tuple[str, str], list[LedgerEntry]] = {}
    for entry in lost:
        groups.setdefault((dialogue_of.get(entry.item, entry.item), entry.reason), []).append(entry)
    lines = []
    for (dialogue, reason), entries in groups.items():
        if len(entries) >= MANY:
            lines.append(f"  {dialogue}, {len(entries)} utterances: {reason}")
        else:
            lines += [f"  {e.item}: {reason}{f' ({e.detail})' if e.detail else ''}" for e in entries]
    return lines


# Dropped without the loss of a labelled utterance.
_NO_LOSS = ("features_unpaired", "transcript_unparsed", "vote_unparsed")
