"""The one reader of YAML: version 1.2, as DVC reads it, with the line of every value."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from foalnet.core.errors import UsageError

# A params file has some hundreds, dvc.lock of many corpora and seeds some ten thousands.
MAX_NODES = 1_000_000


def read_yaml(path: Path) -> Any:
    """Return what a YAML file says (UsageError, exit 2, where it cannot be read); a missing file is left to the caller.

    `yes` and `on` are texts, `1:30` is a text, `1e-3` is a number, and a key that stands twice is an error.
    """
    return parse_yaml(read_text(path), path)


def read_text(path: Path) -> str:
    """Return the text of a file (UsageError, exit 2, where it is not UTF-8)."""
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(
            f"the file cannot be read: byte {error.start} is not UTF-8", file=path, action="save it as UTF-8"
        ) from error


def parse_yaml(text: str, path: Path) -> Any:
    """Return what a YAML text says: texts, numbers, truths and nothing, in lists and in mappings with texts as keys.

    Aliases are resolved, so a few lines may stand for more than any machine holds, or for themselves: refused
    (UsageError, exit 2), as is all that cannot be written as JSON.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        # DVC has the C parser, which ends the process on lists that are nested too deeply; this one raises.
        data = YAML(typ="safe", pure=True).load(text)
        if _size(data, {}, ()) <= MAX_NODES:
            return data
        what = f"it stands for more than {MAX_NODES:,} values"
    except _NotPlainError as error:
        what = f"line {line_of(text, error.steps)[1]}: {'.'.join(map(str, error.steps))}: {error}"
    except MarkedYAMLError as error:
        at = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        what = at + (error.problem or str(error))
    # The constructors of a number, a date or a tag let such errors through.
    except (YAMLError, ValueError, LookupError, AttributeError, TypeError, ArithmeticError) as error:
        what = str(error)
    except RecursionError:
        what = "it is nested too deeply, or holds itself"
    raise UsageError(f"the file cannot be read: {what}", file=path, action="correct the YAML")


def line_of(text: str, steps: Sequence[int | str]) -> tuple[int, int]:
    """Return how many of `steps` lead into a YAML text that can be read, and the line (from 1) of the last one."""
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
    """A value or a key that JSON does not have; `steps` lead to it."""

    def __init__(self, steps: tuple[int | str, ...], what: str) -> None:
        super().__init__(f"{what}; put it in quotes to make it a text")
        self.steps = steps


def _size(data: Any, known: dict[int, int], steps: tuple[int | str, ...]) -> int:
    """Return how many values a nest stands for; `known` has those of the parts that were counted already.

    _NotPlainError for a date, bytes, a set or a key that is no text; ValueError where a text is none that can be
    written: YAML's escapes make halves of characters.
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
                raise _NotPlainError(steps, f"the key {json_like(name)} is no text")
            total += _size(value, known, (*steps, name)) + isinstance(data, dict)
        known[id(data)] = total
    return known[id(data)]


def json_like(value: Any) -> str:
    """Return a value as YAML writes it on one line: true, null, "a text"."""
    return json.dumps(value, ensure_ascii=False, default=str)
