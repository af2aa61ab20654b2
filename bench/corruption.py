"""Damages files at random; each corruption must be refused with the file's name, or change no result.

    python -m bench.corruption [--count 1000] [--seed 1]

`--count` times, the script damages a small project (bench.corruption_place), reads it with every reader that a stage
uses, and restores it. A corruption is
- refused: a reader ends with a typed error whose message names a damaged file,
- reported: the report does not need the file, and one of its sentences names it,
- harmless: every reader returned the same as for the undamaged project, and training resumes from a whole checkpoint,
- unread: no reader opens any of the damaged files,
- misnamed: refused, but the message names none of the damaged files,
- SILENT: a reader returned something else without an error,
- crashed: a reader ended with an error that is not typed.
The last three make the script exit with 1.
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

from bench.corruption_place import Place, Reader, readers_of, stated_gap, write_project
from foalnet.core.errors import FoalnetError

GOOD, BAD = ("refused", "reported", "harmless", "unread"), ("misnamed", "SILENT", "crashed")


@dataclass(frozen=True, kw_only=True, slots=True)
class Hit:
    """One corruption: the kind of file, the operation, the damaged paths (relative to the project), the outcome."""

    kind: str
    operation: str
    touched: tuple[str, ...]
    outcome: str
    said: str = ""


def truncate(random: Random, home: Path, name: str, _: Place) -> tuple[str, ...]:
    """Truncate a file at a random position."""
    path = home / name
    path.write_bytes(path.read_bytes()[: random.randrange(path.stat().st_size)])
    return (name,)


def flip(random: Random, home: Path, name: str, _: Place) -> tuple[str, ...]:
    """Flip one bit of a file."""
    data = bytearray((home / name).read_bytes())
    data[random.randrange(len(data))] ^= 1 << random.randrange(8)
    (home / name).write_bytes(data)
    return (name,)


def swap(random: Random, home: Path, name: str, place: Place) -> tuple[str, ...]:
    """Exchange a file with another one, half of the time of the same kind."""
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
    """Copy a file to a new name in its folder, or over another file."""
    target = random.choice([_free(home, name), random.choice(_others(random, name, place))])
    (home / target).write_bytes((home / name).read_bytes())
    return (target,)


def rename(random: Random, home: Path, name: str, place: Place) -> tuple[str, ...]:
    """Rename a file to a new name, or to that of another file, which is lost."""
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
    """Return an unused name in the same folder; for a shard the next number."""
    path = Path(name)
    if path.suffix == ".tar":
        return path.with_name(f"{len(list((home / name).parent.glob('*.tar'))):06d}.tar").as_posix()
    return path.with_stem(f"{path.stem}-copy").as_posix()


def storm(home: Path, *, count: int, seed: int, operations: Sequence[str] = tuple(OPERATIONS)) -> Iterator[Hit]:
    """Write the project below `home` and yield each corruption's result; each starts from the undamaged project."""
    random = Random(seed)  # noqa: S311  (damage that can be made again, no secret)
    place = write_project(home, seed)
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
    """Record every file that this process opens from now on; Python cannot remove the hook."""
    sys.addaudithook(_note)


@contextmanager
def opening() -> Iterator[set[str]]:
    """Yield the set of paths that are opened for reading while the block runs."""
    _listen()
    _opened.append(set())
    try:
        yield _opened[-1]
    finally:
        _opened.pop()


def judged(
    place: Place, readers: Mapping[str, Reader], expected: Mapping[str, Any], touched: Sequence[str]
) -> tuple[str, str]:
    """Return the worst outcome of all readers on a damaged project, and its message."""
    worst, said = "harmless", ""
    order = ("harmless", "reported", "refused", *BAD)
    for name, read in readers.items():
        outcome, message = _one(place, read, expected[name], touched)
        if order.index(outcome) > order.index(worst):
            worst, said = outcome, f"{name}: {message}"
    return worst, said


def _one(place: Place, read: Reader, expected: Any, touched: Sequence[str]) -> tuple[str, str]:
    try:
        result = read()
    except FoalnetError as error:
        said = str(error)
        return ("refused" if any(named(said, place, name) for name in touched) else "misnamed"), said
    except Exception as error:
        return "crashed", f"{type(error).__name__}: {error}"
    if result == expected:
        return "harmless", ""
    gap = stated_gap(place, result, expected, touched)
    return ("SILENT", "something else was read") if gap is None else ("reported", gap)


def named(said: str, place: Place, name: str) -> bool:
    """Return whether a message names a file by its whole path, or a shard by its path in the shards' folder."""
    paths, shards = [str(place.paths.home / name), name], place.paths.shards.relative_to(place.paths.home)
    if name.endswith(".tar") and Path(name).is_relative_to(shards):
        paths.append(Path(name).relative_to(shards).as_posix())
    return any(re.search(rf"(?<![\w./-]){re.escape(path)}(?![\w/-]|\.\w)", said) for path in paths)


def tally(hits: Sequence[Hit], seed: int) -> str:
    """Return a table of outcomes by kind of file and operation, with a line for each bad one below."""
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
    """Run the corruptions, print seed and table; exit 1 if any was silent, misnamed or crashed."""
    parser = argparse.ArgumentParser(prog="python -m bench.corruption", description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        hits = list(storm(Path(folder), count=args.count, seed=args.seed))
    print(tally(hits, args.seed))
    if any(hit.outcome in BAD for hit in hits):
        sys.exit(1)


if __name__ == "__main__":
    main()
