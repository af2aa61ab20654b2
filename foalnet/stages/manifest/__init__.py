"""Stage `manifest`: labels, transcripts and votes become the checked utterance table; its counts are compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from foalnet.artifact.table import DIGEST
from foalnet.config.blocks import Contract
from foalnet.core.ledger import REASONS
from foalnet.core.paths import Paths
from foalnet.corpora import READERS, reader_of
from foalnet.corpora.inventory import read_inventory, resolve_root
from foalnet.stages.base import Context, Stage
from foalnet.stages.chain import Chain, link, real_names
from foalnet.stages.inventory import NAMED
from foalnet.stages.link import (
    Link,
    differences,
    differs,
    first_difference,
    first_few,
    mismatch,
    ok,
    short_digest,
    shown,
    skipped,
)

# Letters shown of what should be a digest and is none.
DIGITS = 64


def run(context: Context) -> Iterator[str]:
    """Read labels, transcripts and raters into the checked utterance table; hold the counts to their contract."""
    from foalnet.stages.manifest.build import build

    params, paths = context.params, context.paths
    account = build(params, context.settings, paths.inventory, paths.manifest, paths.counts)
    # A drawn corpus is complete as it is drawn.
    drawn = read_inventory(paths.inventory, corpus=params.corpus).facts.drawn
    published = None if drawn else reader_of(params).published
    yield from manifest_lines(account, params.manifest.classes, published, paths.counts)


def manifest_lines(
    account: Mapping[str, Any], classes: Mapping[str, Sequence[str]], published: Contract | None, counts: Path
) -> Iterator[str]:
    """Yield what the account of a manifest (`counts`) says: used by class and session, reasons, what is missing.

    `published`: the counts of the complete corpus, None where they are not known.
    """
    counted = Contract.model_validate(account["counted"])
    by_class = ", ".join(f"{name} {number}" for name, number in counted.classes.items())
    yield f"manifest: {account['used']} of {counted.utterances} utterances are used: {by_class}"
    yield f"used by session: {_by_session(counted.used_by_session)}"
    for name, raws in classes.items():
        if absent := [raw for raw in raws if raw not in counted.raw_labels]:
            yield f"class {name}: no utterance carries {', '.join(absent)}"
    reasons = {key: number for key, number in account["ledger"].items() if "/" in key}
    for key, number in reasons.items():
        kind, _, reason = key.partition("/")
        yield f"{number} {kind}: {reason} ({REASONS[reason]})"
    if published is not None and (missing := list(_missing(counted, published))):
        yield f"missing of the complete corpus: {first_few(missing, NAMED)}"
    if reasons.keys() - {"kept/label_not_used"}:
        yield f"each item: {counts.as_posix()}"


def _by_session(used: Mapping[str, int]) -> str:
    if len(used) <= NAMED:
        return ", ".join(f"{session} {number}" for session, number in used.items())
    few, many = min(used, key=lambda name: used[name]), max(used, key=lambda name: used[name])
    return f"{used[few]} ({few}) to {used[many]} ({many}), {len(used)} sessions"


def _missing(counted: Contract, published: Contract) -> Iterator[str]:
    if (published.utterances or 0) > (counted.utterances or 0):
        yield f"{(published.utterances or 0) - (counted.utterances or 0)} of {published.utterances} utterances"
    for session, number in published.dialogues.items():
        there = counted.dialogues.get(session, 0)
        if there < number:
            yield f"{session} {f'{number - there} of {number} dialogues' if there else 'whole'}"


def check(chain: Chain) -> Iterator[Link]:
    """Compare the manifest with its digest, the inventory, its counts, and with the corpus' labels read again."""
    for name, one in (
        ("digest of the manifest", _digest),
        ("manifest of the inventory", _files),
        ("counts of the manifest", _counts),
        ("manifest of the labels", _labels),
    ):
        yield link(name, chain.stage("manifest"), partial(one, chain, name))


def _digest(chain: Chain, name: str) -> Link:
    """manifest.sha256 is the line that sha256sum writes of the manifest."""
    path, beside = chain.at(chain.paths.manifest), chain.at(chain.paths.manifest_digest)
    actual = chain.outputs.digests([path])[path].sha256
    line = chain.outputs.read(beside).decode(errors="replace")
    file = chain.paths.manifest.name
    if line != f"{actual}  {file}\n":
        stated = DIGEST.fullmatch(line)
        what = mismatch(stated[1] if stated else repr(line[:DIGITS]), actual, by=beside, at=file)
        return differs(name, what, action=chain.again("manifest"))
    return ok(name, f"{file} has the SHA-256 {short_digest(actual)} that {beside} says")


def _files(chain: Chain, name: str) -> Link:
    """Every file that the manifest names is one of the inventory; every utterance is of this corpus."""
    rows = chain.outputs.rows(chain.at(chain.paths.manifest))
    inventory = chain.outputs.json(chain.at(chain.paths.inventory))
    files = {one["path"] for one in inventory["files"]}
    named = {row[field] for row in rows for field in ("audio", "dialogue_audio", "video")} - {None}
    action, corpora = chain.again("manifest"), {inventory["corpus"], *(row["corpus"] for row in rows)}
    if corpora != {chain.params.corpus}:
        what = mismatch(chain.params.corpus, first_few(corpora), by="params", at="manifest, inventory")
        return differs(name, what, action=action)
    if named - files:
        what = (
            f"{len(named - files)} files that the manifest names are not in the inventory: {first_few(named - files)}"
        )
        return differs(name, what, action=action)
    return ok(name, f"{len(rows)} utterances of {len(named)} files, all of the inventory")


def _counts(chain: Chain, name: str) -> Link:
    """What counts.json counts and expects is counted again; its ledger of single items is held by its seal alone."""
    from foalnet.stages.manifest.build import compare, contract_of, count

    params, path = chain.params, chain.at(chain.paths.counts)
    stated, listed = chain.outputs.json(path), chain.outputs.json(chain.at(chain.paths.inventory))
    rows = chain.manifest()
    counted = count(rows, params.manifest.classes)
    contract = contract_of(params.manifest.contract, reader_of(params), params.manifest.classes)
    expected = {
        "corpus": params.corpus,
        "reader": params.reader,
        "counted": counted.model_dump(),
        "expected": contract.model_dump() if contract else None,
        "breaches": [asdict(breach) for breach in compare(contract, counted)],
        "used": sum(row.used for row in rows),
        "ignored_files": listed["ignored"],
        "ignored_named": listed["named"],
    }
    if differing := list(differences(expected, {field: stated[field] for field in expected})):
        return differs(name, shown(differing, by="manifest", at=path), action=chain.again("manifest"))
    return ok(name, f"{len(rows)} utterances, {expected['used']} with a class: as {path} says")


def _labels(chain: Chain, name: str) -> Link:
    """Manifest and counts are, byte for byte, what the reader makes of the corpus' files, where they are."""
    again = _read_again(chain)
    if again is None:
        return skipped(name, "the corpus' files are not on this machine: its labels cannot be read again")
    for what in ("manifest", "counts"):
        path = chain.at(getattr(chain.paths, what))
        stored, made = chain.outputs.read(path), getattr(again, what).read_bytes()
        if stored != made:
            what = first_difference(made.decode(), stored.decode(errors="replace"), at="file")
            return differs(name, f"{path}: {what}", action=chain.again("manifest"))
    return ok(name, "manifest and counts are those that the reader makes of the corpus' files")


def _read_again(chain: Chain) -> Paths | None:
    """Read the corpus' labels once more; return where manifest and counts are (Absent, DataError).

    None where the corpus' files are not on this machine; those that a stage draws, cache and remote have too.
    """
    from foalnet.stages.manifest.build import build

    params, folder = chain.params, chain.scratch / "labels"
    paths = Paths(params.corpus, folder)
    root = folder / params.source if chain.made_by_stage else resolve_root(params, chain.settings)
    if root is None:
        return None
    if chain.made_by_stage:
        reads = reader_of(params).reads
        listed = chain.outputs.json(chain.at(chain.paths.inventory))["files"]
        raw = chain.paths.home / params.source
        chain.copy(folder, [raw / one["path"] for one in listed if one["role"] in reads])
    chain.copy(folder, [chain.paths.inventory])
    own = {"work": folder / "work", "roots": {params.corpus: str(root.resolve())}}
    with real_names(folder):
        build(params, chain.settings.model_copy(update=own), paths.inventory, paths.manifest, paths.counts)
    return paths


STAGE = Stage(
    name="manifest",
    short="labels, transcripts, votes to a checked table",
    code=("foalnet.stages.manifest.build", *(f"foalnet.corpora.{name}" for name in READERS)),
    folders=lambda context: [context.paths.data, context.paths.reports],
    run=run,
    check=check,
)
