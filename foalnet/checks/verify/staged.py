"""Links by content from the corpus' files to the shards and features: digests that the files themselves hold."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from foalnet.artifact.provenance import code_digest
from foalnet.artifact.table import DIGEST
from foalnet.checks.verify.anew import first_unlike, manifest_anew, manifest_rows, unlike
from foalnet.checks.verify.anew import told as values
from foalnet.checks.verify.content import Scene, asked
from foalnet.checks.verify.digests import Digest
from foalnet.checks.verify.link import Link, differs, ok, short, skipped, some, two
from foalnet.core.paths import Paths
from foalnet.corpora import get_reader
from foalnet.corpora.base import is_role
from foalnet.corpora.inventory import list_files, resolve_root

INDEX = "index.json"
# What a drawn dialogue's truth says of an utterance, in the order in which `drawn_plan` compares it.
PLANNED = ("raw_label", "kind", "sound", "face", "start_s", "end_s")
# Letters shown of what should be a digest and is none.
DIGITS = 64


def staged_links(scene: Scene, verb: str) -> Iterator[Link]:
    """Yield the links by content of a stage before the training."""
    stage = f"{verb}@{scene.params.corpus}"
    checks = {
        "inventory": [("plan of the drawn corpus", drawn_plan)] * scene.drawn + [("corpus files", corpus_files)],
        "manifest": [("digest of the manifest", manifest_digest), ("manifest of the inventory", manifest_names),
                     ("counts of the manifest", counts), ("manifest of the labels", manifest_labels)],
        "shards": [("shards of the manifest", shard_keys), ("shards by their index", shard_bytes),
                   ("account of staging", account)],
        "features": [("features of the shards", feature_bytes)],
    }  # fmt: skip
    for name, check in checks.get(verb, ()):
        yield asked(name, stage, lambda check=check, name=name: check(scene, name))  # type: ignore[misc]


def rel(paths: Paths, name: str) -> str:
    """Return the path of an output as dvc.yaml has it."""
    found: Any = getattr(paths, name)
    return str(found.relative_to(paths.home).as_posix())


def _compared(
    name: str, told: dict[str, tuple[int, str]], found: dict[str, Digest], *, by: str, action: str, held: str
) -> Link:
    """Compare sizes and SHA-256 that an index tells with those of the files."""
    wrong = [
        f"{path}: "
        + (
            two(digest, found[path].sha256, by=by, at="file")
            if found[path].size == size
            else f"it is {'shorter' if found[path].size < size else 'longer'} than the {by} says: "
            f"{found[path].size:,} of {size:,} bytes"
        )
        for path, (size, digest) in sorted(told.items())
        if (found[path].size, found[path].sha256) != (size, digest)
    ]
    if wrong:
        return differs(name, f"{len(wrong)} of {len(told)} files: {'; '.join(wrong[:3])}", action=action)
    return ok(name, held)


def corpus_files(scene: Scene, name: str) -> Link:
    """Compare the corpus' files with the inventory's digests; a corpus that is not here is skipped."""
    params, store, path = scene.params, scene.store, rel(scene.paths, "inventory")
    listed = store.json(path)["files"]
    told = {one["path"]: (int(one["size"]), str(one["sha256"])) for one in listed}
    action = f"put the files back, or dvc repro inventory@{params.corpus}"
    root = resolve_root(params, scene.settings)
    if scene.drawn:
        # Drawn by a stage: cache and remote have them too.
        found = store.digests(f"{params.source}/{file}" for file in told)
        found = {file.removeprefix(f"{params.source}/"): digest for file, digest in found.items()}
    elif root is None:
        what = "the corpus' files are not on this machine: what lies behind the inventory is verified, they are not"
        mend = f"foalnet add-corpus {params.reader} --name {params.corpus} --root PATH, where they are at hand"
        return skipped(name, what, action=mend)
    else:
        wanted, here = get_reader(params.reader).wanted, list_files(root)
        now = {file for file in here if is_role(wanted(file))}
        for what, names in (("gone", told.keys() - now), ("in no inventory", now - told.keys())):
            if names:
                return differs(name, f"{len(names)} files are {what}: {some(names)}", action=action)
        read = store.reader.digests(root / file for file in told)
        found = {file: read[root / file] for file in told}
    held = f"{len(told)} files, {sum(size for size, _ in told.values()):,} bytes have the SHA-256 that {path} says"
    return _compared(name, told, found, by="inventory", action=action, held=held)


def manifest_digest(scene: Scene, name: str) -> Link:
    """manifest.sha256 is the line that sha256sum writes of the manifest."""
    path, beside = scene.paths.manifest, rel(scene.paths, "manifest_digest")
    found = scene.store.digests([rel(scene.paths, "manifest")])[rel(scene.paths, "manifest")].sha256
    told = scene.store.read(beside).decode(errors="replace")
    if told != f"{found}  {path.name}\n":
        said = DIGEST.fullmatch(told)
        what = two(said[1] if said else repr(told[:DIGITS]), found, by=beside, at=path.name)
        return differs(name, what, action=scene.again(f"manifest@{scene.params.corpus}"))
    return ok(name, f"{path.name} has the SHA-256 {short(found)} that {beside} says")


def counts(scene: Scene, name: str) -> Link:
    """What counts.json counts and expects is counted anew; its ledger of single items is held by its seal alone."""
    from foalnet.stages.manifest import compare, contract_of, count

    params, beside = scene.params, rel(scene.paths, "counts")
    told, listed = scene.store.json(beside), scene.store.json(rel(scene.paths, "inventory"))
    rows = manifest_rows(scene)
    found = count(rows, params.manifest.classes)
    expected = contract_of(params.manifest.contract, get_reader(params.reader), params.manifest.classes)
    anew = {
        "corpus": params.corpus,
        "reader": params.reader,
        "found": found.model_dump(),
        "expected": expected.model_dump() if expected else None,
        "breaches": [asdict(breach) for breach in compare(expected, found)],
        "used": sum(row.used for row in rows),
        "ignored_files": listed["ignored"],
        "ignored_named": listed["named"],
    }
    if differing := list(unlike(anew, {field: told[field] for field in anew})):
        action = scene.again(f"manifest@{params.corpus}")
        return differs(name, values(differing, by="manifest", at=beside), action=action)
    return ok(name, f"{len(rows)} utterances, {anew['used']} with a class: as {beside} says")


def manifest_labels(scene: Scene, name: str) -> Link:
    """Manifest and counts are, byte for byte, what the reader makes of the corpus' files, where they are."""
    made = manifest_anew(scene)
    if made is None:
        return skipped(name, "the corpus' files are not on this machine: its labels cannot be read again")
    action = scene.again(f"manifest@{scene.params.corpus}")
    for what in ("manifest", "counts"):
        path = rel(scene.paths, what)
        found, anew = scene.store.read(path), getattr(made, what).read_bytes()
        if found != anew:
            what = first_unlike(anew.decode(), found.decode(errors="replace"), at="file")
            return differs(name, f"{path}: {what}", action=action)
    return ok(name, "manifest and counts are those that the reader makes of the corpus' files")


def manifest_names(scene: Scene, name: str) -> Link:
    """Every file that the manifest names is one of the inventory; every utterance is of this corpus."""
    rows = scene.store.rows(rel(scene.paths, "manifest"))
    inventory = scene.store.json(rel(scene.paths, "inventory"))
    files = {one["path"] for one in inventory["files"]}
    named = {row[field] for row in rows for field in ("audio", "dialogue_audio", "video")} - {None}
    action = scene.again(f"manifest@{scene.params.corpus}")
    corpora = {inventory["corpus"], *(row["corpus"] for row in rows)}
    if corpora != {scene.params.corpus}:
        return differs(
            name, two(scene.params.corpus, some(corpora), by="params", at="manifest, inventory"), action=action
        )
    if named - files:
        what = f"{len(named - files)} files that the manifest names are not in the inventory: {some(named - files)}"
        return differs(name, what, action=action)
    return ok(name, f"{len(rows)} utterances of {len(named)} files, all of the inventory")


def entries(scene: Scene) -> list[dict[str, Any]]:
    """Return the shards' entries of their index."""
    return list(scene.store.json(f"{rel(scene.paths, 'shards')}/{INDEX}")["shards"])


def shard_keys(scene: Scene, name: str) -> Link:
    """Every key of the shards' index is an utterance of the manifest, of that session and dialogue."""
    told = {row["key"]: row for row in scene.store.rows(rel(scene.paths, "manifest"))}
    action = scene.again(f"shards@{scene.params.corpus}")
    keys = [(key, shard) for shard in entries(scene) for key in shard["keys"]]
    strange = {key for key, shard in keys if key not in told or told[key]["session"] != shard["session"]}
    if strange:
        what = f"{len(strange)} keys of the index are none of the manifest's, or of another session: {some(strange)}"
        return differs(name, what, action=action)
    return ok(name, f"{len(keys)} keys in {len(entries(scene))} shards, all of the manifest")


def shard_bytes(scene: Scene, name: str) -> Link:
    """Every shard has the size and SHA-256 of the index; none is missing, none is extra."""
    folder = rel(scene.paths, "shards")
    told = {shard["path"]: (int(shard["size"]), str(shard["sha256"])) for shard in entries(scene)}
    return _folder(scene, name, folder, told, stage="shards")


def _folder(scene: Scene, name: str, folder: str, told: dict[str, tuple[int, str]], *, stage: str) -> Link:
    action = scene.again(f"{stage}@{scene.params.corpus}")
    here = set(scene.store.names(folder)) - {INDEX}
    for what, names in (("missing", told.keys() - here), ("in no index", here - told.keys())):
        if names:
            return differs(name, f"{len(names)} files are {what}: {some(names)}", action=action)
    read = scene.store.digests(f"{folder}/{file}" for file in told)
    found = {file: read[f"{folder}/{file}"] for file in told}
    held = f"{len(told)} files have the size and SHA-256 that {folder}/{INDEX} says"
    return _compared(name, told, found, by="index", action=action, held=held)


def account(scene: Scene, name: str) -> Link:
    """Every utterance of the manifest is in the shards, or dropped or left out with a reason; the staging code is this.

    The account says which utterances were dropped, params and manifest which were not to be staged.
    """
    from foalnet.clips.plan import chosen
    from foalnet.stages.shards import CODE

    account, shards, rows = scene.store.json(rel(scene.paths, "staging")), entries(scene), manifest_rows(scene)
    action = scene.again(f"shards@{scene.params.corpus}")
    staged = {key for shard in shards for key in shard["keys"]}
    wanted = {row.key for row in chosen(rows, scene.params.shards.utterances)}
    dropped = {one["item"] for one in account["ledger"]["entries"] if one["kind"] == "dropped"}
    if strange := staged ^ (wanted - dropped):
        what = f"{len(strange)} utterances are neither in the shards nor dropped with a reason: {some(strange)}"
        return differs(name, what, action=action)
    counted = {"staged": len(staged), "dropped": len(dropped), "not_staged": len(rows) - len(wanted)}
    expected = {
        "corpus": scene.params.corpus,
        "shards": {"count": len(shards), "bytes": sum(shard["size"] for shard in shards)},
        "utterances": counted,
    }
    for what, value in expected.items():
        if account[what] != value:
            return differs(name, f"{what}: {two(value, account[what], by='index', at='staging.json')}", action=action)
    code = code_digest(CODE)
    if account["tools"]["code"] != code:
        what = two(account["tools"]["code"], code, by="staging.json", at="code here")
        return differs(name, f"staging code: {what}", action=action)
    count = " + ".join(f"{value} {what.replace('_', ' ')}" for what, value in counted.items())
    return ok(name, f"{count} = {len(rows)} utterances of the manifest; staging code {short(code)}")


def drawn_plan(scene: Scene, name: str) -> Link:
    """The drawn files are of the plan that the params of `draw` make: every utterance, its label, sound and face."""
    from foalnet.drawn.plan import plan
    from foalnet.drawn.write import TRUTH

    made: dict[str, list[Any]] = {}
    for dialogue in plan(scene.params.draw):
        drawn = json.loads(scene.store.read(f"{scene.params.source}/{TRUTH}/{dialogue.name}.json"))
        made |= {turn["key"]: [turn[field] for field in PLANNED] for turn in drawn["utterances"]}
    planned = {
        turn.key: [turn.raw_label, turn.cell and turn.cell.kind, turn.sound, turn.face, turn.start_s, turn.end_s]
        for dialogue in plan(scene.params.draw)
        for turn in dialogue.turns
    }
    strange = {key for key in planned.keys() | made.keys() if planned.get(key) != made.get(key)}
    if strange:
        what = f"{len(strange)} utterances are not those that the block `draw` of params.yaml plans: {some(strange)}"
        return differs(name, what, action=scene.again("draw"))
    return ok(name, f"{len(planned)} utterances, labels, cues and times: those that the block `draw` plans")


def feature_bytes(scene: Scene, name: str) -> Link:
    """Every file of features has the SHA-256 of its index and names the shard that it was computed from."""
    folder = rel(scene.paths, "features")
    index = scene.store.json(f"{folder}/{INDEX}")
    if index["encoder"] is None:
        return ok(name, "none asked for (features.encoder)")
    shards = {shard["sha256"] for shard in entries(scene)}
    action = scene.again(f"features@{scene.params.corpus}")
    strange = {one["path"] for one in index["files"] if one["shard"] not in shards}
    if strange or len(index["files"]) != len(shards):
        what = f"{len(index['files'])} files of {len(shards)} shards, computed from others: {some(strange) or 'none'}"
        return differs(name, what, action=action)
    told = {one["path"]: str(one["sha256"]) for one in index["files"]}
    read = scene.store.digests(f"{folder}/{file}" for file in told)
    found = {file: read[f"{folder}/{file}"].sha256 for file in told}
    wrong = [
        f"{file}: {two(told[file], found[file], by='index', at='file')}" for file in told if told[file] != found[file]
    ]
    if wrong:
        return differs(name, "; ".join(wrong[:3]), action=action)
    return ok(name, f"{len(told)} files of {index['encoder']}, computed from these shards")
