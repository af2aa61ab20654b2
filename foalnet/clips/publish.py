"""Finished dialogues into their place: shards first, the index last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from foalnet.clips.dialogue import SHARD, Staged
from foalnet.clips.plan import STAGE
from foalnet.files import need_free, publish_file, sha256_file
from foalnet.shards import INDEX, ShardEntry, write_index


def publish_shards(staged: Sequence[Staged], corpus: str, work: Path, out: Path) -> list[ShardEntry]:
    """Copy the shards into place, numbered by dialogue within their session, and write the index last.

    Shards that are already there whole are left; everything that does not belong is removed. Without its index the
    folder is no data set, so a kill in between shows nothing half.
    """
    entries: list[tuple[Path, ShardEntry]] = []
    numbers: dict[str, int] = {}
    for one in staged:
        if one.shard is None:
            continue
        number = numbers[one.job.session] = numbers.get(one.job.session, -1) + 1
        name = f"{one.job.session}/{number:06d}.tar"
        entries.append((one.job.folder(work) / SHARD, replace(one.shard, path=name)))
    (out / INDEX).unlink(missing_ok=True)
    belongs = {entry.path for _, entry in entries}
    for path in sorted(out.rglob("*")) if out.is_dir() else []:
        if (path.is_file() or path.is_symlink()) and path.relative_to(out).as_posix() not in belongs:
            path.unlink()
    need_free(out, sum(entry.size for _, entry in entries), stage=STAGE)
    for source, entry in entries:
        target = out / entry.path
        if not (target.is_file() and target.stat().st_size == entry.size and sha256_file(target) == entry.sha256):
            publish_file(source, target)
    write_index(out, corpus, [entry for _, entry in entries])
    return [entry for _, entry in entries]
