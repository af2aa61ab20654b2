"""A storm of corruptions: files cut, flipped, exchanged, lost; each must be refused by name or change nothing.

    python -m bench.corruption [--count 1000] [--seed 1]

A small project (bench.corruption_place) is damaged once, every reader that a stage uses reads it, and it is made whole
again; so many times. A corruption is
- refused: a reader ends with a typed error whose message names a file that was touched,
- told: the report can do without the file, and a sentence of its own names it,
- harmless: every reader gave what it gives of the whole project, and training goes on from a state as it was written,
- unread: no reader opens any of the files that were touched, so nothing was asked of them,
- misnamed: refused, and the message names none of the files touched,
- SILENT: a reader gave something else and said nothing,
- crashed: a reader ended with an error that is not typed.
The last three end the bench with 1.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from bench.corruption_place import Place, Reader, lay, readers_of, told_by
from foalnet.core.errors import FoalnetError

GOOD, BAD = ("refused", "told", "harmless", "unread"), ("misnamed", "SILENT", "crashed")


@dataclass(frozen=True, kw_only=True, slots=True)
class Hit:
    """One corruption: the kind of file and the operation, the paths touched (relative to the project), the outcome."""

    kind: str
    operation: str
    touched: tuple[str, ...]
    outcome: str
    said: str = ""


def truncate(random: Random, home: Path, name: str, _: Place) -> tuple[str, ...]:
    """Cut a file anywhere before its end."""
    path = home / name
    path.write_bytes(path.read_bytes()[: random.randrange(path.stat().st_size)])
    return (name,)


def flip(random: Random, home: Path, name: str, _: Place) -> tuple[str, ...]:
    """Turn one bit of a file."""
    data = bytearray((home / name).read_bytes())
    data[random.randrange(len(data))] ^= 1 << random.randrange(8)
    (home / name).write_bytes(data)
    return (name,)


def swap(random: Random, home: Path, name: str, place: Place) -> tuple[str, ...]:
    """Exchange a file with another, of its kind as often as not."""
    other = random.choice(_others(random, name, place))
    one, two = (home / name).read_bytes(), (home / other).read_bytes()
    (home / name).write_bytes(two)
    (home / other).write_bytes(one)
    return name, other


def delete(_: Random, home: Path, name: str, __: Place) -> tuple[str, ...]:
    """Remove a file."""
    (home / name).unlink()
    return (name,)


def duplicate(random: Random, home: Path, name: str, place: Place) -> tuple[str, ...]:
    """Copy a file to a name of its own beside it, or over another one."""
    target = random.choice([_free(home, name), random.choice(_others(random, name, place))])
    (home / target).write_bytes((home / name).read_bytes())
    return (target,)


def rename(random: Random, home: Path, name: str, place: Place) -> tuple[str, ...]:
    """Give a file a name of its own, or that of another one, which is lost."""
    target = random.choice([_free(home, name), random.choice(_others(random, name, place))])
    (home / name).replace(home / target)
    return name, target


Operation = Callable[[Random, Path, str, Place], tuple[str, ...]]
OPERATIONS: dict[str, Operation] = {each.__name__: each for each in (truncate, flip, swap, delete, duplicate, rename)}


def _others(random: Random, name: str, place: Place) -> list[str]:
    alike = [other for other, kind in place.kinds.items() if kind == place.kinds[name] and other != name]
    anything = [other for other in place.kinds if other != name]
    return alike if alike and random.random() < 0.5 else anything


def _free(home: Path, name: str) -> str:
    """Return a name in the same folder that nothing has: a shard's is the next number."""
    path = Path(name)
    if path.suffix == ".tar":
        return path.with_name(f"{len(list((home / name).parent.glob('*.tar'))):06d}.tar").as_posix()
    return path.with_stem(f"{path.stem}-copy").as_posix()


def storm(home: Path, *, count: int, seed: int, operations: Sequence[str] = tuple(OPERATIONS)) -> Iterator[Hit]:
    """Lay the project below `home` and yield what came of each corruption; each starts from the whole project."""
    random = Random(seed)  # noqa: S311  (damage that can be made again, no secret)
    place = lay(home, seed)
    whole = {name: (home / name).read_bytes() for name in place.kinds}
    readers = readers_of(place)
    with opening() as reached:
        expected = {name: read() for name, read in readers.items()}
    kinds = sorted(set(place.kinds.values()))
    for _ in range(count):
        kind, operation = random.choice(kinds), random.choice(operations)
        name = random.choice([each for each, its in place.kinds.items() if its == kind])
        touched = OPERATIONS[operation](random, home, name, place)
        with opening() as now:
            outcome, said = judged(place, readers, expected, touched)
        if outcome == "harmless" and not any(str(home / each) in reached | now for each in touched):
            outcome = "unread"
        yield Hit(kind=kind, operation=operation, touched=touched, outcome=outcome, said=said)
        for each in touched:
            if each in whole:
                (home / each).write_bytes(whole[each])
            else:
                (home / each).unlink(missing_ok=True)


_opened: list[set[str]] = []


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if _opened and event == "open" and isinstance(arguments[0], str) and arguments[1] in ("r", "rb", None):
        _opened[-1].add(arguments[0])


@cache
def _listen() -> None:
    """Hear of every file that is opened in this process from now on: Python has no way to end it."""
    sys.addaudithook(_note)


@contextmanager
def opening() -> Iterator[set[str]]:
    """Give the set of the paths that are opened to be read meanwhile."""
    _listen()
    _opened.append(set())
    try:
        yield _opened[-1]
    finally:
        _opened.pop()


def judged(
    place: Place, readers: Mapping[str, Reader], expected: Mapping[str, Any], touched: Sequence[str]
) -> tuple[str, str]:
    """Return what all readers together make of a damaged project: the worst of their outcomes, and what was said."""
    worst, words = "harmless", ""
    order = ("harmless", "told", "refused", *BAD)
    for name, read in readers.items():
        outcome, said = _one(place, read, expected[name], touched)
        if order.index(outcome) > order.index(worst):
            worst, words = outcome, f"{name}: {said}"
    return worst, words


def _one(place: Place, read: Reader, expected: Any, touched: Sequence[str]) -> tuple[str, str]:
    try:
        found = read()
    except FoalnetError as error:
        said = str(error)
        return ("refused" if any(named(said, place, name) for name in touched) else "misnamed"), said
    except Exception as error:
        return "crashed", f"{type(error).__name__}: {error}"
    if found == expected:
        return "harmless", ""
    words = told_by(place, found, expected, touched)
    return ("SILENT", "something else was read") if words is None else ("told", words)


def named(said: str, place: Place, name: str) -> bool:
    """Tell whether words name a file: by its whole path, or, a shard, by that below the folder of the shards."""
    paths, shards = [str(place.paths.home / name), name], place.paths.shards.relative_to(place.paths.home)
    if name.endswith(".tar") and Path(name).is_relative_to(shards):
        paths.append(Path(name).relative_to(shards).as_posix())
    return any(re.search(rf"(?<![\w./-]){re.escape(path)}(?![\w/-]|\.\w)", said) for path in paths)


def tally(hits: Sequence[Hit], seed: int) -> str:
    """Return a table of outcomes: a row for each kind of file and operation, its bad ones in words below."""
    counts = Counter((hit.kind, hit.operation, hit.outcome) for hit in hits)
    total = Counter(hit.outcome for hit in hits)
    outcomes = (*GOOD, *BAD)
    lines = [f"seed {seed}, {len(hits)} corruptions", "", _row("kind", "operation", *outcomes)]
    for kind, operation in sorted({(hit.kind, hit.operation) for hit in hits}):
        lines.append(_row(kind, operation, *(str(counts[kind, operation, each]) for each in outcomes)))
    lines.append(_row("all", "", *(str(total[each]) for each in outcomes)))
    for number, hit in enumerate(hits):
        if hit.outcome in BAD:
            lines += ["", f"{hit.outcome}: number {number}, {hit.operation} of {', '.join(hit.touched)}", hit.said]
    return "\n".join(lines)


def _row(*cells: str) -> str:
    first, second, *others = cells
    return f"{first:<12}{second:<11}" + "".join(f"{cell:>10}" for cell in others)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the storm, print seed and tally, exit 1 where anything was silent, misnamed or crashed."""
    parser = argparse.ArgumentParser(prog="python -m bench.corruption", description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        hits = list(storm(Path(folder), count=asked.count, seed=asked.seed))
    print(tally(hits, asked.seed))
    if any(hit.outcome in BAD for hit in hits):
        sys.exit(1)


if __name__ == "__main__":
    main()
