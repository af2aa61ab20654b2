"""The inventory of a corpus: relative path, size, SHA-256 and role of each file used.

Later stages depend on this file and not on the root, so no absolute path reaches an output, and copies of a corpus in
different folders give the same results.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from foalnet.artifact.dvcrepo import cache_links
from foalnet.artifact.seal import open_sealed, publish_sealed, read_sealed, sealed_bytes, typed
from foalnet.config import Params, Settings
from foalnet.core.errors import DataError, MachineError, printable, reason
from foalnet.core.files import not_read, publish_bytes, read_json, sha256_file, sorted_files
from foalnet.core.ledger import IGNORED, OTHER, UNNAMED
from foalnet.core.paths import FACTS
from foalnet.core.progress import counted
from foalnet.corpora import Reader, reader_of
from foalnet.corpora.base import CorpusFacts, is_role, role_of

STAGE = "inventory"
# A digest is cached only if the file is at least this old: a later change could leave the same time stamp.
RACY_NS = 2_000_000_000
# Number of unused files of each kind that are listed by name.
NAMED = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class FileEntry:
    """One file used: posix path relative to the root, size in bytes, hex digest, role."""

    path: str
    size: int
    sha256: str
    role: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Inventory:
    """The files of one corpus, sorted by path.

    `ignored`: kind of unused file (`core.ledger.IGNORED`) -> count. `named`: kind -> first names, without the kinds in
    `core.ledger.UNNAMED`.
    """

    corpus: str
    reader: str
    files: tuple[FileEntry, ...]
    ignored: dict[str, int]
    named: dict[str, tuple[str, ...]] = field(default_factory=dict)
    facts: CorpusFacts = field(default_factory=CorpusFacts)

    def roles(self) -> dict[str, str]:
        """Return path -> role of the files that the reader uses."""
        return {entry.path: entry.role for entry in self.files if entry.path != FACTS}

    def digests(self) -> dict[str, str]:
        """Return path -> SHA-256."""
        return {entry.path: entry.sha256 for entry in self.files}


def resolve_root(params: Params, settings: Settings) -> Path | None:
    """Return the folder that relative paths start from; None if this machine does not have it.

    It is the corpus' root in the settings, else the params' `source` if that is a folder. Raises DataError (exit 3) if
    the folder exists but does not have the layout of the corpus.
    """
    given = settings.roots.get(params.corpus)
    root = Path(given).expanduser() if given else Path(params.source)
    return reader_of(params).check_root(root) if root.is_dir() else None


def need_root(params: Params, settings: Settings) -> Path:
    """Return the folder from `resolve_root`; raises MachineError (exit 4) with advice if there is none."""
    root = resolve_root(params, settings)
    if root is not None:
        return root
    given = settings.roots.get(params.corpus)
    looked = f"the root in the settings, {given}, is not a folder here" if given else "the settings name no root for it"
    raise MachineError(
        f"the files of corpus '{params.corpus}' are not on this machine: {looked}, "
        f"and '{params.source}' is not a folder",
        action=(
            "run `dvc repro`, which draws it first"
            if params.drawn_here
            else f"mount it, or `foalnet add-corpus {params.reader} --name {params.corpus} --root PATH`, or set "
            f"FOALNET_ROOTS__{params.corpus.upper()}=PATH; if a stage of dvc.yaml makes them, run `dvc repro`"
        ),
    )


def inventory(params: Params, settings: Settings, out: Path) -> dict[str, Any]:
    """Write the inventory of one corpus to `out` and return a summary; the same files give the same bytes.

    If the root is not on this machine but `out` exists, it is kept and the summary's `note` says so. A file is hashed
    again only if its size, times or inode changed. `out` is written only if its bytes change.

    Raises MachineError (exit 4) if there is neither a root nor an inventory, or if a file cannot be read; DataError
    (exit 3) for another layout, a link that leads out of the root, or the inventory of another corpus.
    """
    root = resolve_root(params, settings)
    if root is None and out.exists():
        kept = read_inventory(out, corpus=params.corpus)
        _same_corpus(kept, params, out)
        return _summary(kept, hashed=0, changed=False, note="its files are not on this machine; the record is kept")
    root = root or need_root(params, settings)
    reader = reader_of(params)
    listed = survey(root, reader)
    cache = DigestCache(settings, params.corpus)
    digests = cache.digests(root, listed.roles)
    record = Inventory(
        corpus=params.corpus,
        reader=params.reader,
        files=tuple(
            FileEntry(path=path, size=digests[path][0], sha256=digests[path][1], role=role)
            for path, role in sorted(listed.roles.items())
        ),
        ignored=listed.ignored(),
        named=listed.named(),
        facts=_facts(root) if FACTS in listed.roles else CorpusFacts(),
    )
    content = asdict(record)
    stated = {name: value for name, value in content.pop("facts").items() if value}
    data = sealed_bytes(out.name, content | ({"facts": stated} if stated else {}))
    changed = not out.exists() or out.read_bytes() != data
    if changed:
        publish_bytes(out, data)
    return _summary(record, hashed=cache.hashed, changed=changed, note=None)


def _facts(root: Path) -> CorpusFacts:
    """Read what the corpus states of itself (DataError, exit 3, where the file is not of that form)."""
    file = root / FACTS
    return typed(
        CorpusFacts,
        read_json(file),
        lambda fault: DataError(
            f"the facts of the corpus are invalid: {fault}", file=file, action="correct the file, or remove it"
        ),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Survey:
    """The files below a root; `roles`: path -> role of the used ones, `unused`: kind -> paths of the others."""

    roles: dict[str, str]
    unused: dict[str, list[str]]

    def ignored(self) -> dict[str, int]:
        """Return kind -> number of unused files: always for the kinds in UNNAMED, for others only if there are any."""
        return {kind: len(self.unused.get(kind, ())) for kind in IGNORED if kind in self.unused or kind in UNNAMED}

    def named(self) -> dict[str, tuple[str, ...]]:
        """Return kind -> first names, without the kinds in UNNAMED."""
        return {
            kind: tuple(printable(path) for path in paths[:NAMED])
            for kind, paths in sorted(self.unused.items())
            if kind not in UNNAMED
        }


def survey(root: Path, reader: Reader) -> Survey:
    """List the files below `root` that the reader uses, and the others; opens none of them.

    Raises DataError (exit 3) if a role that the reader needs has no file, or if two used names differ only in case.
    """
    special: dict[str, str] = {}
    roles: dict[str, str] = {}
    unused: dict[str, list[str]] = {}
    for path in list_files(root, special):
        role = role_of(reader, path)
        if is_role(role):
            roles[path] = str(role)
        else:
            unused.setdefault(role or OTHER, []).append(path)
    for path, kind in sorted(special.items()):
        unused.setdefault(kind, []).append(path)
    _refuse_twins(root, roles)
    listing = Survey(roles=roles, unused=unused)
    missing = [role for role in reader.needs if role not in roles.values()]
    if missing:
        raise DataError(
            "\n".join(
                [
                    f"no file with the role {', '.join(missing)}: looked for {reader.layout}; "
                    f"{len(roles)} files are used, {sum(listing.ignored().values())} are not",
                    *unused_lines(listing.ignored(), listing.named()),
                ]
            ),
            file=root,
            action="complete the corpus (was its archive unpacked whole?), or give another root",
        )
    return listing


def unused_lines(ignored: Mapping[str, int], named: Mapping[str, Sequence[str]]) -> list[str]:
    """Return one line per kind of named unused files: the first names, how many more, the meaning of the kind."""
    lines = []
    for kind, names in named.items():
        more = ignored[kind] - len(names)
        lines.append(f"not used: {', '.join(names)}{f' and {more} more' if more else ''} ({IGNORED[kind]})")
    return lines


def _refuse_twins(root: Path, paths: Iterable[str]) -> None:
    """Raise DataError if the names of two used files differ only in case: a reader could not tell which one to use."""
    first: dict[str, str] = {}
    for path in sorted(paths):
        if (twin := first.setdefault(path.casefold(), path)) != path:
            raise DataError(
                f"two names differ only in case: {twin} and {path}",
                file=root / path,
                action="remove one of the two, then run the same command again",
            )


def list_files(root: Path, special: dict[str, str] | None = None) -> list[str]:
    """List the files of a corpus as `sorted_files` does; accepts DVC's own links into this project's cache."""
    try:
        return sorted_files(root, special, allowed=cache_links(Path(), root))
    except RuntimeError as error:
        raise DataError(
            f"a link leads in a circle: {reason(error)}",
            file=root,
            action="remove it, or replace it by the file",
        ) from error


def _summary(record: Inventory, *, hashed: int, changed: bool, note: str | None) -> dict[str, Any]:
    by_role: dict[str, int] = {}
    for entry in record.files:
        by_role[entry.role] = by_role.get(entry.role, 0) + 1
    return {
        "corpus": record.corpus,
        "files": len(record.files),
        "bytes": sum(entry.size for entry in record.files),
        "by_role": dict(sorted(by_role.items())),
        "ignored": record.ignored,
        "named": record.named,
        "hashed": hashed,
        "changed": changed,
        "note": note,
    }


def read_inventory(path: Path, *, corpus: str = "CORPUS") -> Inventory:
    """Read an inventory (DataError, exit 3, if it is absent, altered or invalid)."""
    return open_sealed(path, Inventory, again=f"{STAGE}@{corpus}")


def _same_corpus(record: Inventory, params: Params, path: Path) -> None:
    if (record.corpus, record.reader) != (params.corpus, params.reader):
        raise DataError(
            f"the inventory is of corpus '{record.corpus}' (reader {record.reader}), "
            f"not of '{params.corpus}' (reader {params.reader})",
            file=path,
            action="remove it and run `dvc repro` on a machine that has the corpus",
        )


def checked_inventory(path: Path, params: Params) -> Inventory:
    """Read the inventory of this corpus and reader (DataError, exit 3, if it is of another one)."""
    record = read_inventory(path, corpus=params.corpus)
    _same_corpus(record, params, path)
    return record


class DigestCache:
    """Caches the SHA-256 of files; a file is hashed again only if its size, times or inode changed.

    The cache is `inventory/<corpus>.json` in the work folder; its loss costs only time. `hashed` counts hashed files.
    """

    def __init__(self, settings: Settings, corpus: str) -> None:
        self.path = settings.work / "inventory" / f"{corpus}.json"
        self.workers = settings.workers
        self.hashed = 0
        self._known = self._load()

    def digests(self, root: Path, paths: Iterable[str]) -> dict[str, tuple[int, str]]:
        """Return path -> (size in bytes, hex digest); raises MachineError (exit 4) if a file cannot be read."""
        wanted, before = sorted(paths), dict(self._known)
        pool = ThreadPoolExecutor(max_workers=self.workers)
        try:
            rows = []
            with counted(STAGE, len(wanted), "files") as one_more:
                for row in pool.map(lambda path: self._digest(root, path), wanted):
                    rows.append(row)
                    one_more()
        finally:
            # After an interrupt: drop the waiting files, keep the finished digests.
            pool.shutdown(wait=True, cancel_futures=True)
            if self._known != before:
                publish_sealed(self.path, {"files": self._known})
        self.hashed += sum(fresh for _, _, fresh in rows)
        return {path: (size, digest) for path, (size, digest, _) in zip(wanted, rows, strict=True)}

    def _load(self) -> dict[str, list[Any]]:
        try:
            known = read_sealed(self.path, again=STAGE).get("files") if self.path.exists() else {}
        except DataError:
            return {}
        return known if isinstance(known, dict) else {}

    def _digest(self, root: Path, path: str) -> tuple[int, str, bool]:
        now_ns = time.time_ns()
        try:
            stat = (root / path).stat()
            state = [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
            known = self._known.get(path)
            if isinstance(known, list) and known[:1] == [state]:
                return stat.st_size, str(known[-1]), False
            digest = sha256_file(root / path)
            after = (root / path).stat()
        except OSError as error:
            raise not_read(error, root / path) from error
        if (after.st_size, after.st_mtime_ns) != (stat.st_size, stat.st_mtime_ns):
            raise MachineError(
                "the file changed while it was read",
                file=root / path,
                action="wait until its writer has finished, then run the same command again",
            )
        if max(stat.st_mtime_ns, stat.st_ctime_ns) + RACY_NS < now_ns:
            self._known[path] = [state, digest]
        return stat.st_size, digest, True


def refuse_changed(record: Inventory, root: Path, roles: Collection[str], settings: Settings) -> None:
    """Raise DataError (exit 3) if files of these roles are missing in `root` or differ from the inventory."""
    digests = {entry.path: entry.sha256 for entry in record.files if entry.role in roles}
    gone = [path for path in sorted(digests) if not (root / path).is_file()]
    now = {} if gone else DigestCache(settings, record.corpus).digests(root, digests)
    changed = gone or [path for path in sorted(digests) if now[path][1] != digests[path]]
    if changed:
        raise DataError(
            f"{len(changed)} file(s) {'are gone' if gone else 'changed'} since the inventory: {', '.join(changed[:8])}",
            file=root / changed[0],
            action="run `dvc repro`: its first stage renews the inventory",
        )
