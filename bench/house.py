"""Prints the size of the code: lines, rooms, imports between rooms, circles, the largest files and functions.

`python -m bench.house [FOLDER]`: FOLDER is a checkout, by default this one.
"""

from __future__ import annotations

import argparse
import ast
import statistics
from collections.abc import Iterator
from pathlib import Path


def main() -> None:
    """Print the measures of a checkout."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=Path(__file__).parents[1])
    folder = parser.parse_args().folder
    for name, value in measures(folder).items():
        print(f"{name:<34} {value}")


def measures(folder: Path) -> dict[str, str]:
    """Return name -> value; `drawn` is the room of the drawn corpus, wherever a checkout has it."""
    files = {path: path.read_text() for path in sorted((folder / "foalnet").rglob("*.py"))}
    lines = {path: text.count("\n") for path, text in files.items()}
    drawn = sum(count for path, count in lines.items() if "drawn" in path.parts)
    graph = room_graph(folder, files)
    functions = [
        ((node.end_lineno or 0) - node.lineno + 1, f"{path.relative_to(folder / 'foalnet')}:{node.name}")
        for path, text in files.items()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    largest, name = max(functions)
    count, file = max((count, path.relative_to(folder / "foalnet").as_posix()) for path, count in lines.items())
    return {
        "lines of the library": f"{sum(lines.values()):,}",
        "lines of the library without drawn": f"{sum(lines.values()) - drawn:,}",
        "files": str(len(files)),
        "rooms": str(len(graph)),
        "arrows between rooms": str(sum(map(len, graph.values()))),
        "circles between rooms": str(len(circles(graph))),
        "lines of a file, median": f"{statistics.median(lines.values()):.0f}",
        "lines of the largest file": f"{count} ({file})",
        "lines of a function, median": f"{statistics.median(length for length, _ in functions):.0f}",
        "lines of the largest function": f"{largest} ({name})",
        "lines of flows": f"{lines_below(folder / 'flows'):,}",
        "lines of tests": f"{lines_below(folder / 'tests'):,}",
    }


def lines_below(folder: Path) -> int:
    """Return the lines of a folder's Python files."""
    return sum(path.read_text().count("\n") for path in folder.rglob("*.py"))


def room_graph(folder: Path, files: dict[Path, str]) -> dict[str, set[str]]:
    """Return room -> the rooms that it imports from; a room is a folder or module at the top of the package."""
    package = folder / "foalnet"
    graph: dict[str, set[str]] = {}
    for path, text in files.items():
        room = path.relative_to(package).parts[0].removesuffix(".py")
        if not room.startswith("__"):
            graph.setdefault(room, set()).update(imported_rooms(text))
    return {room: (others & graph.keys()) - {room} for room, others in graph.items()}


def imported_rooms(text: str) -> Iterator[str]:
    """Yield the rooms that a file names in its imports, at the top or inside functions."""
    for node in ast.walk(ast.parse(text)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        yield from (name.split(".")[1] for name in names if name.startswith("foalnet."))


def circles(graph: dict[str, set[str]]) -> list[set[str]]:
    """Return the groups of rooms that reach each other by imports."""
    reach = {room: reached(room, graph) for room in graph}
    groups = {frozenset({room, *(other for other in reach[room] if room in reach[other])}) for room in graph}
    return [set(group) for group in groups if len(group) > 1]


def reached(room: str, graph: dict[str, set[str]]) -> set[str]:
    """Return every room that a room reaches by imports."""
    seen: set[str] = set()
    todo = set(graph[room])
    while todo:
        other = todo.pop()
        seen.add(other)
        todo |= graph[other] - seen
    return seen


if __name__ == "__main__":
    main()
