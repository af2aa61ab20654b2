"""The inventory of a corpus: path, size, SHA-256 and role of each file used; the only stage that knows a root.

Later stages depend on this file, so no machine path reaches an output, and copies with different roots agree.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from foalnet.artifact.dvcrepo import cache_links
from foalnet.artifact.seal import publish_sealed, read_sealed, refused, sealed_bytes
from foalnet.config import Params, Settings
from foalnet.core.errors import DataError, MachineError, printable, reason
from foalnet.core.files import not_read, publish_bytes, sha256_file, sorted_files
from foalnet.core.ledger import IGNORED, OTHER, UNNAMED
from foalnet.core.progress import counted
from foalnet.corpora import Reader, get_reader
from foalnet.corpora.base import used

STAGE = "inventory"
# a file changed this short before it was hashed may change again within one tick of its clock: it is hashed anew
RACY_NS = 2_000_000_000
# So many files that are not used are named, of each kind.
NAMED = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class FileEntry:
    """One file used: path relative to the root with `/` between parts, size in bytes, hex digest, role."""

    path: str
    size: int
    sha256: str
    role: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Inventory:
    """The files of one corpus, sorted by path; `ignored` counts the others by kind (`corpora.base.IGNORED`).

    `named`: the first names of each kind but shadow files and those that are no part of the layout.
    """

    corpus: str
    reader: str
    files: tuple[FileEntry, ...]
    ignored: dict[str, int]
    named: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def roles(self) -> dict[str, str]:
        """Return path -> role."""
        return {entry.path: entry.role for entry in self.files}

    def digests(self) -> dict[str, str]:
        """Return path -> SHA-256."""
        return {entry.path: entry.sha256 for entry in self.files}


def resolve_root(params: Params, settings: Settings) -> Path | None:
    """Return the folder that relative paths start from, None where this machine does not have it.

    It is the root that the settings give the corpus, else the params' `source` where that is a folder. DataError
    (exit 3) where the folder is there but is not laid out as the corpus.
    """
    given = settings.roots.get(params.corpus)
    root = Path(given).expanduser() if given else Path(params.source)
    return get_reader(params.reader).check_root(root) if root.is_dir() else None


def need_root(params: Params, settings: Settings, *, stage: str) -> Path:
    """Return what `resolve_root` does, or say (MachineError, exit 4) where it looked and how to give the root."""
    root = resolve_root(params, settings)
    if root is not None:
        return root
    given = settings.roots.get(params.corpus)
    looked = f"the root in the settings, {given}, is not a folder here" if given else "the settings name no root for it"
    raise MachineError(
        f"the files of corpus '{params.corpus}' are not on this machine: {looked}, and '{params.source}' is no folder",
        stage=stage,
        action=(
            "run `dvc repro`, which draws it first"
            if params.corpus == "drawn"
            else f"mount it, or `foalnet add-corpus {params.reader} --name {params.corpus} --root PATH`, or set "
            f"FOALNET_ROOTS__{params.corpus.upper()}=PATH; what `dvc repro` makes itself, it makes before this stage"
        ),
    )


def inventory(params: Params, settings: Settings, out: Path) -> dict[str, Any]:
    """Write the inventory of one corpus to `out` and return a summary; equal files give equal bytes.

    Where the root is not on this machine but `out` is recorded, it is kept and the summary's `note` says so. A file
    is hashed again only where its size, times or inode changed. `out` is not touched where its bytes stay the same.

    Raises MachineError (exit 4): no root and no record, or a file that cannot be read; DataError (exit 3): another
    layout than the corpus', a link that leads out of the root, a record of another corpus.
    """
    root = resolve_root(params, settings)
    if root is None and out.exists():
        kept = read_inventory(out, corpus=params.corpus)
        _same_corpus(kept, params, out)
        return _summary(kept, hashed=0, changed=False, note="its files are not on this machine; the record is kept")
    root = root or need_root(params, settings, stage=STAGE)
    reader = get_reader(params.reader)
    listed = survey(root, reader)
    cache = DigestCache(settings, params.corpus)
    digests = cache.digests(root, listed.roles)
    found = Inventory(
        corpus=params.corpus,
        reader=params.reader,
        files=tuple(
            FileEntry(path=path, size=digests[path][0], sha256=digests[path][1], role=role)
            for path, role in sorted(listed.roles.items())
        ),
        ignored=listed.ignored(),
        named=listed.named(),
    )
    data = sealed_bytes(out.name, asdict(found))
    changed = not out.exists() or out.read_bytes() != data
    if changed:
        publish_bytes(out, data)
    return _summary(found, hashed=cache.hashed, changed=changed, note=None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Survey:
    """The files below a root: those used by path -> role, the others by kind -> paths; nothing was opened."""

    roles: dict[str, str]
    unused: dict[str, list[str]]

    def ignored(self) -> dict[str, int]:
        """Return kind -> count: of the kinds that are not named always, of the others where there are any."""
        return {kind: len(self.unused.get(kind, ())) for kind in IGNORED if kind in self.unused or kind in UNNAMED}

    def named(self) -> dict[str, tuple[str, ...]]:
        """Return kind -> first names, of the kinds whose count alone is not enough."""
        return {
            kind: tuple(printable(path) for path in paths[:NAMED])
            for kind, paths in sorted(self.unused.items())
            if kind not in UNNAMED
        }


def survey(root: Path, reader: Reader) -> Survey:
    """Sort the files below `root` into those that the reader uses and the others.

    DataError (exit 3) where a role that the reader needs has no file, or two used names differ in case alone.
    """
    special: dict[str, str] = {}
    roles: dict[str, str] = {}
    unused: dict[str, list[str]] = {}
    for path in files_of(root, special):
        role = reader.wanted(path)
        if used(role):
            roles[path] = str(role)
        else:
            unused.setdefault(role or OTHER, []).append(path)
    for path, kind in sorted(special.items()):
        unused.setdefault(kind, []).append(path)
    _refuse_twins(root, roles)
    found = Survey(roles=roles, unused=unused)
    missing = [role for role in reader.needs if role not in roles.values()]
    if missing:
        raise DataError(
            "\n".join(
                [
                    f"no file with the role {', '.join(missing)}: looked for {reader.layout}; "
                    f"{len(roles)} files are used, {sum(found.ignored().values())} are not",
                    *unused_lines(found.ignored(), found.named()),
                ]
            ),
            file=root,
            stage=STAGE,
            action="complete the corpus (was its archive unpacked whole?), or give another root",
        )
    return found


def unused_lines(ignored: Mapping[str, int], named: Mapping[str, Sequence[str]]) -> list[str]:
    """Return a line for each kind of unused file that is named: its first names, how many more, its meaning."""
    lines = []
    for kind, names in named.items():
        more = ignored[kind] - len(names)
        lines.append(f"not used: {', '.join(names)}{f' and {more} more' if more else ''} ({IGNORED[kind]})")
    return lines


def _refuse_twins(root: Path, paths: Iterable[str]) -> None:
    """Refuse two used files whose names differ in case alone: a reader that takes both cases would use either."""
    first: dict[str, str] = {}
    for path in sorted(paths):
        if (twin := first.setdefault(path.casefold(), path)) != path:
            raise DataError(
                f"two names differ in case alone: {twin} and {path}",
                file=root / path,
                stage=STAGE,
                action="remove one of the two, then run the same command again",
            )


def files_of(root: Path, special: dict[str, str] | None = None) -> list[str]:
    """List the files of a corpus as `sorted_files` does; DVC's own links into this project's cache are no escape."""
    try:
        return sorted_files(root, special, allowed=cache_links(Path(), root))
    except RuntimeError as error:
        raise DataError(
            f"a link leads in a circle: {reason(error)}",
            file=root,
            stage=STAGE,
            action="remove it, or lay its file in its place",
        ) from error


def _summary(found: Inventory, *, hashed: int, changed: bool, note: str | None) -> dict[str, Any]:
    by_role: dict[str, int] = {}
    for entry in found.files:
        by_role[entry.role] = by_role.get(entry.role, 0) + 1
    return {
        "corpus": found.corpus,
        "files": len(found.files),
        "bytes": sum(entry.size for entry in found.files),
        "by_role": dict(sorted(by_role.items())),
        "ignored": found.ignored,
        "named": found.named,
        "hashed": hashed,
        "changed": changed,
        "note": note,
    }


def read_inventory(path: Path, *, corpus: str = "CORPUS", stage: str = STAGE) -> Inventory:
    """Read a recorded inventory (DataError, exit 3, where it is absent, altered or not one)."""
    again = f"{STAGE}@{corpus}"
    data = read_sealed(path, again=again, stage=stage)
    try:
        return TypeAdapter(Inventory).validate_python(data)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        where = ".".join(str(step) for step in fault["loc"])
        raise refused(f"is no inventory: {where}: {fault['msg']}", path, again=again, stage=stage) from error


def _same_corpus(found: Inventory, params: Params, path: Path, *, stage: str = STAGE) -> None:
    if (found.corpus, found.reader) != (params.corpus, params.reader):
        raise DataError(
            f"the inventory is of corpus '{found.corpus}' (reader {found.reader}), "
            f"not of '{params.corpus}' (reader {params.reader})",
            file=path,
            stage=stage,
            action="remove it and run `dvc repro` where the corpus is at hand",
        )


def checked_inventory(path: Path, params: Params, *, stage: str) -> Inventory:
    """Read the inventory of this corpus and reader (DataError, exit 3, where it is of another)."""
    found = read_inventory(path, corpus=params.corpus, stage=stage)
    _same_corpus(found, params, path, stage=stage)
    return found


class DigestCache:
    """SHA-256 of files, each hashed once for a state (size, modification and change time, inode) of it.

    Lives in the work folder as `inventory/<corpus>.json`; losing it costs time only. `hashed` counts real work.
    """

    def __init__(self, settings: Settings, corpus: str) -> None:
        self.path = settings.work / "inventory" / f"{corpus}.json"
        self.workers = settings.workers
        self.hashed = 0
        self._known = self._load()

    def digests(self, root: Path, paths: Iterable[str]) -> dict[str, tuple[int, str]]:
        """Return path -> (size in bytes, hex digest); MachineError (exit 4) names a file that cannot be read."""
        wanted, before = sorted(paths), dict(self._known)
        pool = ThreadPoolExecutor(max_workers=self.workers)
        try:
            rows = []
            with counted(STAGE, len(wanted), "files") as one_more:
                for row in pool.map(lambda path: self._digest(root, path), wanted):
                    rows.append(row)
                    one_more()
        finally:
            # what is hashed stays known after an interrupt, and what waits is not begun
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
            raise not_read(error, root / path, stage=STAGE) from error
        if (after.st_size, after.st_mtime_ns) != (stat.st_size, stat.st_mtime_ns):
            raise MachineError(
                "the file changed while it was read",
                file=root / path,
                stage=STAGE,
                action="let what writes it end, then run the same command again",
            )
        if max(stat.st_mtime_ns, stat.st_ctime_ns) + RACY_NS < now_ns:
            self._known[path] = [state, digest]
        return stat.st_size, digest, True


def hold_to(found: Inventory, root: Path, roles: Collection[str], settings: Settings, *, stage: str) -> None:
    """Refuse (DataError, exit 3) a root whose files of these roles are gone or differ from the inventory."""
    digests = {entry.path: entry.sha256 for entry in found.files if entry.role in roles}
    gone = [path for path in sorted(digests) if not (root / path).is_file()]
    now = {} if gone else DigestCache(settings, found.corpus).digests(root, digests)
    changed = gone or [path for path in sorted(digests) if now[path][1] != digests[path]]
    if changed:
        raise DataError(
            f"{len(changed)} file(s) {'are gone' if gone else 'changed'} since the inventory: {', '.join(changed[:8])}",
            file=root / changed[0],
            stage=stage,
            action="run `dvc repro`: its first stage takes the inventory anew",
        )
