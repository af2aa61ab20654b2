"""Makes the work cache smaller: least recently used first, never what a process holds or the params still need.

Work holds clips/<key>/ and train/<key>/ (keyed by content: they can be computed again), inventory/ (digests of files),
features/ (vectors of a frozen encoder), tune/ (scores of trials), runs/ (speeds), locks/, and, of killed processes,
temporaries and unfinished dialogues. A folder of any other name is removed only with `--all`.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from foalnet.clips.dialogue import ENTRY
from foalnet.config import Settings, load_settings
from foalnet.config.load import DEFAULT_PARAMS, File, read_file, resolve
from foalnet.core.errors import FoalnetError, MachineError, reason
from foalnet.core.locks import lock
from foalnet.core.paths import Paths
from foalnet.core.temporaries import TEMP_SUFFIX, dead_temporaries, is_held
from foalnet.stages.base import Context
from foalnet.stages.forecast import size
from foalnet.stages.table import STAGES

DAY_S = 86_400.0
# Length of a folder's key, and how many characters of it are shown.
DIGEST, DIGEST_SHOWN = 64, 12
# Prefixes of the locks that protect a folder: while such a stage runs, nothing of the folder is removed.
OTHERS = {"clips": ("clips-",), "train": ("tune-",), "inventory": ("inventory-",)}
KEYED = tuple(dict.fromkeys(stage.cache_kind for stage in STAGES if stage.cache_kind))
HELD_BY = {
    kind: (*(f"{stage.name}-" for stage in STAGES if stage.cache_kind == kind), *OTHERS.get(kind, ()))
    for kind in dict.fromkeys((*KEYED, *OTHERS))
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One thing in the work cache: `used_s` since the epoch, `kept`: why it stays ("" if it may be removed).

    `whole`: False for a temporary, and for a keyed folder in which a killed process finished nothing.
    """

    kind: str
    path: Path
    size_bytes: int
    used_s: float
    kept: str = ""
    whole: bool = True

    @property
    def name(self) -> str:
        """Its place below the work folder, a digest cut short."""
        name = self.path.name
        return f"{self.kind}/{name[:DIGEST_SHOWN] if len(name) >= DIGEST else name}"


def items(work: Path) -> list[Item]:
    """Return everything in the work folder, sorted by path; a temporary is an item of its own only once it is dead."""
    contents = [
        _item(folder.name, path, whole=_is_whole(folder.name, path))
        for folder in (sorted(work.iterdir()) if work.is_dir() else [])
        if folder.is_dir()
        for path in sorted(folder.iterdir())
        if not _is_temporary(path)
    ]
    unfinished = {item.path for item in contents if not item.whole}
    dead = [path for path in dead_temporaries(work) if not unfinished.intersection(path.parents)]
    return [*contents, *(_item("temporary", path, whole=False) for path in dead)]


def _is_whole(kind: str, path: Path) -> bool:
    """Return whether a keyed folder holds something to resume from: a dialogue's entry, a state of training."""
    if kind not in KEYED or not path.is_dir():
        return True
    return (path / ENTRY).is_file() if kind == "clips" else not all(map(_is_temporary, path.iterdir()))


def _has_writer(path: Path) -> bool:
    """Return whether a living process is writing below a folder of the cache."""
    dead = set(dead_temporaries(path))
    return path.is_dir() and any(each not in dead for each in path.rglob(f".*{TEMP_SUFFIX}"))


def _is_temporary(path: Path) -> bool:
    return path.name.startswith(".") and path.name.endswith(TEMP_SUFFIX)


def _item(kind: str, path: Path, *, whole: bool) -> Item:
    total, used = 0, 0.0
    for each in (path, *(path.rglob("*") if path.is_dir() else ())):
        try:
            facts = each.stat()
        except FileNotFoundError:
            continue  # a process at work took it away
        if each.is_file():
            total += facts.st_size
        used = max(used, facts.st_mtime, facts.st_atime if each.is_file() else 0.0)
    return Item(kind=kind, path=path, size_bytes=total, used_s=used, whole=whole)


def needed(file: File, settings: Settings, *, home: Path = Path()) -> tuple[set[Path], dict[str, str]]:
    """Return the keyed folders that the current params' outputs are made from, and kind -> why it is not known.

    A corpus without manifest, inventory or shards on this machine leaves its keys unknown: then all of that kind stay.
    """
    keep: set[Path] = set()
    unknown: dict[str, str] = {}
    for stage in STAGES:
        runs = file.runs.values() if stage.per_run else (None,)
        for corpus, run in ((corpus, run) for corpus in file.corpora for run in runs):
            if stage.cache_kind and (run is None or run.corpus == corpus):
                params, paths = resolve(file, corpus), Paths(corpus, home)
                try:
                    keep |= stage.cached(Context(params=params, settings=settings, paths=paths, run=run))
                except FoalnetError as error:
                    unknown[stage.cache_kind] = (
                        f"what {corpus} needs is not known: {error.what} ({error.file or 'no file'})"
                    )
    return keep, unknown


@contextmanager
def holding(work: Path, *, take: bool) -> Iterator[dict[str, str]]:
    """Yield what is at work: kind of folder, and name of lock file, -> who holds it; with `take`, hold the free locks.

    While they are held, a stage that starts says that another run is at work.
    """
    busy: dict[str, str] = {}
    with ExitStack() as stack:
        for path in sorted((work / "locks").glob("*")) if (work / "locks").is_dir() else []:
            try:
                if take:
                    stack.enter_context(lock(path))
                elif is_held(path):
                    raise MachineError("a stage is at work")
            except MachineError as error:
                kinds = [kind for kind, prefix in HELD_BY.items() if path.name.startswith(prefix)]
                busy |= dict.fromkeys([path.name, *kinds], error.what)
        yield busy


def judged(
    contents: Iterable[Item],
    *,
    busy: dict[str, str],
    keep: set[Path],
    unknown: dict[str, str],
    everything: bool,
) -> list[Item]:
    """Return the items with the reason why each stays, "" if it may be removed."""

    def why(item: Item) -> str:
        if item.kind == "temporary":
            return ""
        if item.kind == "locks":
            return "held" if item.path.name in busy else ""
        if item.kind in busy or _has_writer(item.path):
            return "in use"
        if not item.whole:
            return ""
        if everything:
            return "in use" if busy and item.kind not in HELD_BY else ""
        if item.kind in unknown:
            return "perhaps needed"
        return "" if item.kind in KEYED and item.path not in keep else "needed"

    return [replace(item, kept=why(item)) for item in contents]


def to_remove(
    contents: Iterable[Item], *, older_than_days: float | None, max_bytes: int | None, now_s: float | None = None
) -> list[Item]:
    """Return the items to remove, least recently used first.

    With `older_than_days` only what was unused for longer goes; with `max_bytes` only so much that the rest is no
    larger. What dead processes left unfinished, and their locks, go in any case.

    >>> used_s = {"old": 1.0, "new": 9.0}
    >>> clips = [Item(kind="clips", path=Path(name), size_bytes=5, used_s=at) for name, at in used_s.items()]
    >>> [item.path.name for item in to_remove(clips, older_than_days=None, max_bytes=5, now_s=10.0)]
    ['old']
    """
    everything = list(contents)
    now_s = time.time() if now_s is None else now_s
    free = sorted((item for item in everything if not item.kept), key=lambda item: (item.used_s, item.path))
    # Lock files go last: until then they keep stages from starting.
    dead = [item for item in free if not item.whole]
    locks = [item for item in free if item.kind == "locks"]
    litter = dead + locks
    rest = sum(item.size_bytes for item in everything) - sum(item.size_bytes for item in litter)
    chosen = []
    for item in free:
        if item in litter or (older_than_days is not None and now_s - item.used_s < older_than_days * DAY_S):
            continue
        if max_bytes is not None and rest <= max_bytes:
            break
        chosen.append(item)
        rest -= item.size_bytes
    return [*dead, *chosen, *locks]


def remove(gone: Iterable[Item]) -> int:
    """Remove items and return the bytes freed (MachineError, exit 4, where one cannot be removed)."""
    freed = 0
    for item in gone:
        try:
            if item.path.is_dir():
                shutil.rmtree(item.path)
            else:
                item.path.unlink()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise MachineError(
                f"cannot remove: {reason(error)}",
                file=item.path,
                action="mend its permissions, then run the same command again",
            ) from error
        freed += item.size_bytes
    return freed


def sweep_lines(
    *, older_than_days: float | None, max_gb: float | None, everything: bool, write: bool, home: Path = Path()
) -> Iterator[str]:
    """Sweep the work cache of the current folder's project; yield a table of it and what was freed."""
    settings, file = load_settings(), read_file(home / DEFAULT_PARAMS)
    keep, unknown = (set[Path](), dict[str, str]()) if everything else needed(file, settings, home=home)
    with holding(settings.work, take=write) as busy:
        contents = judged(items(settings.work), busy=busy, keep=keep, unknown=unknown, everything=everything)
        limit = None if max_gb is None else round(max_gb * 1e9)
        gone = to_remove(contents, older_than_days=older_than_days, max_bytes=limit)
        yield from _table(contents, gone)
        yield from (f"{kind} stay: {why} (--all removes them)" for kind, why in unknown.items())
        freed = remove(gone) if write else sum(item.size_bytes for item in gone)
    total = sum(item.size_bytes for item in contents)
    verb = "freed" if write else "would free"
    yield f"{verb} {size(freed)} of {size(total)} in {settings.work}" + ("" if write else "; nothing was removed")


def _table(contents: Iterable[Item], gone: Iterable[Item]) -> Iterator[str]:
    goes = {item.path for item in gone}
    now_s = time.time()
    rows = [
        (item.name, size(item.size_bytes), f"{max(0.0, now_s - item.used_s) / DAY_S:.1f}", _fate(item, goes))
        for item in sorted(contents, key=lambda item: (item.used_s, item.path))
    ]
    head = ("what", "size", "days unused", "")
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(3)]
    for row in (head, *rows):
        line = f"{row[0]:<{widths[0]}}  {row[1]:>{widths[1]}}  {row[2]:>{widths[2]}}  {row[3]}"
        yield line.rstrip()


def _fate(item: Item, goes: set[Path]) -> str:
    return "goes" if item.path in goes else f"stays: {item.kept or 'young or small enough'}"
