"""The base of every params block: frozen, no unknown keys, errors that name the nearest valid key."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from foalnet.errors import UsageError

M = TypeVar("M", bound=BaseModel)
# A params file of every corpus that there is has some thousands.
MAX_NODES = 100_000


class Frozen(BaseModel):
    """A params block: immutable, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def nearest(word: str, valid: Iterable[str]) -> str:
    """Say which valid word was probably meant: "; did you mean 'epochs'?", or list them all."""
    names = sorted(valid)
    close = difflib.get_close_matches(word, names, n=1)
    return f"did you mean '{close[0]}'?" if close else f"valid: {', '.join(names)}"


def leaves(model: type[BaseModel], path: str = "") -> Iterator[tuple[str, str]]:
    """Yield (dotted path, description in the code, "" where it has none) of every param below a block."""
    for name, field in model.model_fields.items():
        here = f"{path}.{name}" if path else name
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, Frozen):
            yield from leaves(inner, here)
        else:
            yield here, field.description or ""


def _fields_at(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    """Return the valid keys of the block that `path` leads to, [] where it leads out of the models."""
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
    """Find the params model inside an annotation such as `dict[str, Block]` or `Block | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for part in getattr(annotation, "__args__", ()):
        found = _model_in(part)
        if found is not None:
            return found
    return None


def read_yaml(path: Path) -> Any:
    """Return what a YAML file says (UsageError, exit 2, where it cannot be read); a missing file is left to the caller.

    Aliases are resolved, so a few lines may stand for more than any machine holds, or for themselves: refused.
    """
    try:
        data = yaml.safe_load(path.read_text("utf-8"))
        if _size(data, {}) <= MAX_NODES:
            return data
        what = f"it stands for more than {MAX_NODES:,} values"
    # The constructors of PyYAML let such errors through for a number, a date or a tag that they cannot make.
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, TypeError, ArithmeticError) as error:
        what = str(error)
    except RecursionError:
        what = "it is nested too deeply, or holds itself"
    raise UsageError(f"the file cannot be read: {what}", file=path, action="correct the YAML")


def _size(data: Any, known: dict[int, int]) -> int:
    """Return how many values a nest stands for; `known` has those of the parts that were counted already.

    ValueError where a text is none that can be written: YAML's escapes make halves of characters.
    """
    if isinstance(data, str):
        data.encode()
    if not isinstance(data, dict | list | set | tuple):
        return 1
    if id(data) not in known:
        inside = [*data, *data.values()] if isinstance(data, dict) else data
        known[id(data)] = 1 + sum(_size(each, known) for each in inside)
    return known[id(data)]


def validated(model: type[M], data: Any, *, file: object) -> M:
    """Validate `data` as `model`; every fault becomes one line of a UsageError (exit 2)."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        lines = []
        for fault in error.errors(include_url=False):
            path = ".".join(str(step) for step in fault["loc"])
            if fault["type"] == "extra_forbidden":
                valid = _fields_at(model, fault["loc"][:-1])
                lines.append(f"{path}: unknown key; {nearest(str(fault['loc'][-1]), valid)}")
            else:
                lines.append(f"{path}: {fault['msg']} (got {fault.get('input')!r})")
        raise UsageError(
            "\n".join(lines), file=file, action="correct these keys and run the same command again"
        ) from error
