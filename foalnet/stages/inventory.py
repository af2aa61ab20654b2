"""Stage `inventory`: path, size and digest of each file that is used; the only stage that reads where a corpus is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

from foalnet.corpora import READERS, Reader, reader_of
from foalnet.corpora.base import is_role, role_of
from foalnet.corpora.inventory import inventory as take
from foalnet.corpora.inventory import list_files, read_inventory, resolve_root, unused_lines
from foalnet.stages.base import Context, Stage
from foalnet.stages.chain import Chain, link
from foalnet.stages.link import Link, compare_files, differs, first_few, skipped

# So many sessions or parts are named one by one.
NAMED = 8


def run(context: Context) -> Iterator[str]:
    """List path, size and digest of each file used; the only verb that reads where the corpus is."""
    params, paths = context.params, context.paths
    summary = take(params, context.settings, paths.inventory)
    roles = read_inventory(paths.inventory, corpus=params.corpus).roles()
    note = f"; {summary['note']}" if summary["note"] else ""
    of_roles = ", ".join(f"{role} {number}" for role, number in summary["by_role"].items())
    yield (
        f"inventory: {summary['files']} files ({of_roles}), {summary['bytes']:,} bytes, "
        f"{summary['hashed']} hashed now{note}"
    )
    yield from absent_parts(roles, reader_of(params))
    yield from unused_lines(summary["ignored"], summary["named"])


def absent_parts(roles: Mapping[str, str], reader: Reader) -> Iterator[str]:
    """Yield a line for sessions of the published corpus without a file, and for each role that some of them lack.

    `roles`: relative path -> role. No line for a corpus that has no folder of a session's name.
    """
    sessions = list(reader.published.dialogues) if reader.published else []
    there: dict[str, set[str]] = {}
    for path, role in roles.items():
        there.setdefault(path.partition("/")[0].casefold(), set()).add(role)
    present = [name for name in sessions if name.casefold() in there]
    if present and (gone := [name for name in sessions if name not in present]):
        yield f"absent: {first_few(gone, NAMED)} ({len(present)} of {len(sessions)} are here)"
    for role in sorted({role for name in present for role in there[name.casefold()]}):
        if lacking := [name for name in present if role not in there[name.casefold()]]:
            yield f"absent: files of the role {role} in {first_few(lacking, NAMED)}, which others have"


def check(chain: Chain) -> Iterator[Link]:
    """Compare the corpus' files with the digests of the inventory."""
    yield link("corpus files", chain.stage("inventory"), partial(_files, chain, "corpus files"))


def _files(chain: Chain, name: str) -> Link:
    """Every file has the listed SHA-256; a corpus that is not on this machine is skipped."""
    params, outputs, path = chain.params, chain.outputs, chain.at(chain.paths.inventory)
    listed = {one["path"]: (int(one["size"]), str(one["sha256"])) for one in outputs.json(path)["files"]}
    action = f"put the files back, or dvc repro inventory@{params.corpus}"
    root = resolve_root(params, chain.settings)
    if chain.made_by_stage:
        # A stage drew them: cache and remote have them too.
        read = outputs.digests(f"{params.source}/{file}" for file in listed)
        actual = {file: read[f"{params.source}/{file}"] for file in listed}
    elif root is None:
        what = "the corpus' files are not on this machine; only the stages after the inventory are verified"
        mend = f"foalnet add-corpus {params.reader} --name {params.corpus} --root PATH, on the machine that has them"
        return skipped(name, what, action=mend)
    else:
        reader = reader_of(params)
        now = {file for file in list_files(root) if is_role(role_of(reader, file))}
        for what, names in (("gone", listed.keys() - now), ("in no inventory", now - listed.keys())):
            if names:
                return differs(name, f"{len(names)} files are {what}: {first_few(names)}", action=action)
        of_root = outputs.reader.digests(root / file for file in listed)
        actual = {file: of_root[root / file] for file in listed}
    total = sum(size for size, _ in listed.values())
    held = f"{len(listed)} files, {total:,} bytes have the SHA-256 that {path} says"
    return compare_files(name, listed, actual, by="inventory", action=action, held=held)


STAGE = Stage(
    name="inventory",
    short="path, size, digest of each file of the corpus",
    code=("foalnet.corpora.inventory", *(f"foalnet.corpora.{name}" for name in READERS)),
    folders=lambda context: [context.paths.data],
    run=run,
    check=check,
)
