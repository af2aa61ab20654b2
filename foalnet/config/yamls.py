"""The only reader of YAML: version 1.2 as in DVC, with the line of every value."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from foalnet.core.errors import UsageError

# A params file has a few hundred values, a dvc.lock of many corpora and seeds some ten thousand.
MAX_NODES = 1_000_000


def read_yaml(path: Path) -> Any:
    """Return the content of a YAML file; raises UsageError (exit 2) if it cannot be read, FileNotFoundError if absent.

    `yes`, `on` and `1:30` are strings, `1e-3` is a number, and a duplicate key is an error.
    """
    return parse_yaml(read_text(path), path)


def read_text(path: Path) -> str:
    """Return the text of a file (UsageError, exit 2, if it is not UTF-8)."""
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(
            f"the file cannot be read: byte {error.start} is not UTF-8", file=path, action="save it as UTF-8"
        ) from error


def parse_yaml(text: str, path: Path) -> Any:
    """Return the content of a YAML text: strings, numbers, booleans and null, in lists and mappings with string keys.

    Raises UsageError (exit 2) for anything that JSON cannot represent, and for aliases that expand to too many values
    or to themselves.

    >>> parse_yaml("lr: 1e-3, name: yes".replace(", ", chr(10)), Path("params.yaml"))  # YAML 1.2, as DVC reads it
    {'lr': 0.001, 'name': 'yes'}
    """
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        return copy.deepcopy(_plain(text))
    except _NotPlainError as error:
        what = f"line {line_of(text, error.steps)[1]}: {'.'.join(map(str, error.steps))}: {error}"
    except MarkedYAMLError as error:
        at = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        what = at + (error.problem or str(error))
    # ruamel's constructors of numbers, dates and tags do not wrap these errors.
    except (YAMLError, ValueError, LookupError, AttributeError, TypeError, ArithmeticError) as error:
        what = str(error)
    except RecursionError:
        what = "it is nested too deeply, or contains itself"
    raise UsageError(f"the file cannot be read: {what}", file=path, action="correct the YAML")


@lru_cache(maxsize=4)
def _plain(text: str) -> Any:
    """Return the content, parsed once: a verb reads params.yaml several times, and each parse takes 0.1 s."""
    from ruamel.yaml import YAML

    # The C parser that DVC uses crashes the process on deeply nested lists; the pure parser raises an error.
    data = YAML(typ="safe", pure=True).load(text)
    if _size(data, {}, ()) > MAX_NODES:
        raise ValueError(f"it expands to more than {MAX_NODES:,} values")
    return data


def line_of(text: str, steps: Sequence[int | str]) -> tuple[int, int]:
    """Return how many of `steps` exist in a valid YAML text, and the line (from 1) of the last existing one.

    >>> text = chr(10).join(["train:", "  lr: 1", "  epochs: 2"])
    >>> line_of(text, ["train", "epochs"]), line_of(text, ["train", "seed"])
    ((2, 3), (1, 1))
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.nodes import MappingNode, SequenceNode

    node, deep, line = YAML(typ="safe", pure=True).compose(text), 0, 1
    for step in steps:
        if isinstance(node, MappingNode):
            here = next(((key, value) for key, value in node.value if key.value == step), None)
        elif isinstance(node, SequenceNode) and isinstance(step, int) and step < len(node.value):
            here = (node.value[step], node.value[step])
        else:
            here = None
        if here is not None:
            deep, line, node = deep + 1, here[0].start_mark.line + 1, here[1]
    return deep, line


class _NotPlainError(ValueError):
    """A value or key that JSON cannot represent; `steps` is the path to it."""

    def __init__(self, steps: tuple[int | str, ...], what: str) -> None:
        super().__init__(f"{what}; put it in quotes to make it a text")
        self.steps = steps


def _size(data: Any, known: dict[int, int], steps: tuple[int | str, ...]) -> int:
    """Return the number of values in nested data; `known`: id -> number of the parts that are already counted.

    Raises _NotPlainError for a date, bytes, a set or a key that is not a string; ValueError for a string with a lone
    surrogate, which YAML's escapes can produce.
    """
    if isinstance(data, str):
        data.encode()
    elif not isinstance(data, bool | int | float | dict | list | None):
        raise _NotPlainError(steps, f"{data} is a {type(data).__name__}")
    if not isinstance(data, dict | list):
        return 1
    if id(data) not in known:
        total = 1
        for name, value in data.items() if isinstance(data, dict) else enumerate(data):
            if isinstance(data, dict) and not isinstance(name, str):
                raise _NotPlainError(steps, f"the key {json_like(name)} is not a string")
            total += _size(value, known, (*steps, name)) + isinstance(data, dict)
        known[id(data)] = total
    return known[id(data)]


def json_like(value: Any) -> str:
    """Return a value as YAML writes it on one line: true, null, "a string"."""
    return json.dumps(value, ensure_ascii=False, default=str)
