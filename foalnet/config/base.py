"""The base class of params blocks: immutable, without unknown keys; errors name the nearest valid key."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError

from foalnet.config.yamls import json_like, line_of
from foalnet.core.errors import UsageError

M = TypeVar("M", bound=BaseModel)


class Frozen(BaseModel):
    """A params block: immutable; rejects unknown keys, and values such as `true` or "3" for a number."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)


def nearest(name: str, valid: Iterable[str]) -> str:
    """Return a hint for an unknown name: "did you mean 'epochs'?", or the list of all valid names.

    >>> nearest("epoch", ["epochs", "lr"]), nearest("zzz", ["epochs", "lr"])
    ("did you mean 'epochs'?", 'valid: epochs, lr')
    """
    names = sorted(valid)
    close = difflib.get_close_matches(name, names, n=1)
    return f"did you mean '{close[0]}'?" if close else f"valid: {', '.join(names)}"


def leaves(model: type[BaseModel], path: str = "") -> Iterator[tuple[str, str]]:
    """Yield (dotted path, description in the code or "") for every param of a block."""
    for name, field in model.model_fields.items():
        here = f"{path}.{name}" if path else name
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, Frozen):
            yield from leaves(inner, here)
        else:
            yield here, field.description or ""


def _fields_at(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    """Return the valid keys of the block at `path`; [] if no block is there."""
    current: Any = model
    inside_mapping = False
    for step in path:
        if inside_mapping:
            inside_mapping = False
            continue
        fields = getattr(current, "model_fields", {})
        if step not in fields:
            return []
        annotation = fields[step].annotation
        current = _model_in(annotation)
        inside_mapping = get_origin(annotation) is dict
    return sorted(getattr(current, "model_fields", {}))


def _model_in(annotation: Any) -> Any:
    """Return the params model inside an annotation such as `dict[str, Block]` or `Block | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for part in getattr(annotation, "__args__", ()):
        inner = _model_in(part)
        if inner is not None:
            return inner
    return None


# Booleans in YAML 1.1 but strings in YAML 1.2, which DVC and foalnet read.
OLD_BOOLEANS = {"yes", "no", "on", "off", "y", "n"}


def validated(
    model: type[M], data: Any, *, file: object, text: str | None = None, below: Sequence[Sequence[str]] = ((),)
) -> M:
    """Return `data` as a validated `model`; raises UsageError (exit 2) with one line per fault.

    `text`: the YAML that `data` was read from, so that faults name their line. `below`: the paths in it from which
    `data` may come, the strongest first.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        action = "correct these keys and run the same command again"
        raise UsageError("\n".join(faults(model, error, text, below)), file=file, action=action) from error


def faults(
    model: type[BaseModel], error: ValidationError, text: str | None, below: Sequence[Sequence[str]] = ((),)
) -> Iterator[str]:
    """Yield one text per fault: the key, its line in the file, what is wrong with it."""
    for fault in error.errors(include_url=False):
        path = ".".join(str(step) for step in fault["loc"])
        if text is not None:
            path += f" (line {line_in(text, fault['loc'], below)})"
        if fault["type"] == "extra_forbidden":
            valid = _fields_at(model, fault["loc"][:-1])
            yield f"{path}: unknown key; {nearest(str(fault['loc'][-1]), valid)}"
        elif fault["type"] in ("missing", "value_error"):
            yield f"{path}: {fault['msg'].removeprefix('Value error, ')}"
        else:
            given = fault["input"]
            yield f"{path}: {fault['msg']} (got {'the text ' if isinstance(given, str) else ''}{json_like(given)})" + (
                "; write true or false" if str(given).lower() in OLD_BOOLEANS and "bool" in fault["type"] else ""
            )


def line_in(text: str, path: Sequence[int | str], below: Sequence[Sequence[str]]) -> int:
    """Return the line of a key, from the place that has the longest part of its path; the first of equal places."""
    matches = [(deep - len(outer), line) for outer in below for deep, line in [line_of(text, (*outer, *path))]]
    return max(matches, key=lambda each: each[0])[1]
