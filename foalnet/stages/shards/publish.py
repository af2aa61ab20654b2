"""Publishes finished dialogues: shards and account first, the index last."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from foalnet.clips.dialogue import SHARD, Staged
from foalnet.core.files import Content, need_free, others_below, publish_together, sha256_file
from foalnet.shards import INDEX, ShardEntry, index_bytes


def publish_shards(
    staged: Sequence[Staged], corpus: str, work: Path, out: Path, *, report: Path, account: bytes
) -> list[ShardEntry]:
    """Publish the shards, numbered by dialogue within their session, and their account; the index is last.

    Shards that are already there whole are left; what does not belong is removed. Nothing of the earlier generation
    goes before all of this one is on the disk (MachineError, exit 4, where that does not hold both). Without its index
    the folder is no data set, so a kill in between shows nothing half.
    """
    entries: list[tuple[Path, ShardEntry]] = []
    numbers: dict[str, int] = {}
    for one in staged:
        if one.shard is None:
            continue
        number = numbers[one.job.session] = numbers.get(one.job.session, -1) + 1
        name = f"{one.job.session}/{number:06d}.tar"
        entries.append((one.job.folder(work) / SHARD, replace(one.shard, path=name)))
    belongs = {INDEX, *(entry.path for _, entry in entries)}
    index = index_bytes(out, corpus, [entry for _, entry in entries])
    todo = [(source, entry) for source, entry in entries if not _in_place(out / entry.path, entry)]
    needed = sum(entry.size for _, entry in todo) + len(index) + len(account)
    need_free(out, needed)
    files: dict[Path, Content] = {out / entry.path: partial(shutil.copyfile, source) for source, entry in todo}
    files |= {report: account, out / INDEX: index}
    publish_together(files, marker=out / INDEX, stale=others_below(out, belongs), needed_bytes=needed)
    return [entry for _, entry in entries]


def _in_place(target: Path, entry: ShardEntry) -> bool:
    try:
        return target.is_file() and target.stat().st_size == entry.size and sha256_file(target) == entry.sha256
    except OSError:
        return False  # it cannot be read: it is replaced
