"""Writes params.yaml in the form of DVC's own editor, so that `dvc exp run --set-param` changes only the set value.

That editor writes null as an empty value and every list in block style, and breaks lines after 80 characters.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq

WIDTH = 80


def params_document(path: Path) -> Any:
    """Return params.yaml as an editable document with its comments, for `params_bytes`."""
    return YAML().load(path.read_text("utf-8"))


def params_bytes(document: Any) -> bytes:
    """Return the bytes of params.yaml: lists in block style, a flow mapping only if it fits on one line."""
    plain = YAML().load(_text(document))
    _in_blocks(plain, 0)
    return _text(plain).encode()


def _in_blocks(node: Any, indent: int) -> None:
    if isinstance(node, CommentedSeq):
        node.fa.set_block_style()
        for each in node:
            _in_blocks(each, indent + 2)
    elif isinstance(node, CommentedMap):
        for key, value in node.items():
            if not (_in_flow(value) and indent + _line_length(key, value) <= WIDTH):
                if isinstance(value, CommentedMap):
                    value.fa.set_block_style()
                _in_blocks(value, indent if isinstance(value, CommentedSeq) else indent + 2)


def _in_flow(value: Any) -> bool:
    return isinstance(value, CommentedMap) and bool(value.fa.flow_style())


def _line_length(key: str, value: CommentedMap) -> int:
    return len(_text({key: value}, width=4096).partition(" #")[0].rstrip())


def _text(document: Any, width: int = WIDTH) -> str:
    stream, yaml = io.StringIO(), YAML()
    yaml.width = width
    yaml.dump(document, stream)
    return stream.getvalue()
