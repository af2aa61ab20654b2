"""Checks a search space: its params must exist below `train`, which must accept their values."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from foalnet.config.base import leaves, nearest
from foalnet.config.blocks import Choice, Train
from foalnet.config.tuning import Dimension, Tune
from foalnet.core.errors import UsageError

# Param -> why a search must not change it.
NOT_SEARCHED = {
    "fold_by": "it changes the dev parts, so that their scores could not be compared",
    "determinism": "it affects how a run repeats, not how well it learns",
    "max_bad_steps": "it affects when a run counts as failed, not how well it learns",
}


METHODS = "methods."


def check_space(tune: Tune, train: Train, *, file: object) -> None:
    """Raise UsageError (exit 2) if the space has params unknown to `train`, or values that it does not accept.

    Params of methods are checked where the methods are known (foalnet.methods.params).
    """

    def accepted(path: str, value: Choice) -> None:
        with_values(train, {path: value})

    space = {path: dimension for path, dimension in tune.space.items() if not path.startswith(METHODS)}
    refuse_space(space, dict.fromkeys(path for path, _ in leaves(Train)), Train, accepted, file=file)


def refuse_space(
    space: Mapping[str, Dimension],
    known: Collection[str],
    model: type[BaseModel],
    accepted: Callable[[str, Choice], None],
    *,
    file: object,
    below: str = "",
) -> None:
    """Raise UsageError (exit 2) if a path of the space is not known, cannot be searched, or its values are refused.

    `below`: the prefix of all paths that `model` does not have. `accepted` raises ValidationError for a value that the
    param refuses.
    """
    faults = []
    for path, dimension in space.items():
        here = f"tune.space.{path}"
        if path not in known:
            faults.append(f"{here}: no such param below train; {nearest(path.removeprefix('train.'), known)}")
        elif path in NOT_SEARCHED:
            faults.append(f"{here}: it cannot be searched: {NOT_SEARCHED[path]}")
        elif dimension.choices is None and not number_kinds(path.removeprefix(below), model):
            faults.append(f"{here}: it is not a number; write choices")
        else:
            faults += [f"{here}: {says}" for says in _refused(path, dimension, accepted)]
    if faults:
        raise UsageError("\n".join(faults), file=file, action="correct the space and run the same command again")


def _refused(path: str, dimension: Dimension, accepted: Callable[[str, Choice], None]) -> Iterator[str]:
    ends = (dimension.low, dimension.high) if dimension.choices is None else tuple(dimension.choices)
    for value in ends:
        try:
            accepted(path, value)
        except ValidationError as error:
            yield f"{error.errors(include_url=False)[0]['msg']} (got {value!r})"


def number_kinds(path: str, model: type[BaseModel]) -> set[type]:
    """Return the number types (int, float) that a param of a block accepts; empty if it is not a number."""
    *outer, name = path.split(".")
    for step in outer:
        inner = model.model_fields[step].annotation
        assert isinstance(inner, type) and issubclass(inner, BaseModel)
        model = inner
    return set(_plain(model.model_fields[name].annotation)) & {int, float}


def _plain(annotation: Any) -> Iterator[Any]:
    """Yield the types that an annotation consists of."""
    if get_origin(annotation) is Annotated:
        yield from _plain(get_args(annotation)[0])
    elif get_origin(annotation) in (Union, UnionType):
        for part in get_args(annotation):
            yield from _plain(part)
    else:
        yield annotation


def nested(values: Mapping[str, Choice]) -> dict[str, Any]:
    """Return dotted params as a nested mapping, as in params.yaml.

    >>> nested({"lr": 0.1, "audio.width": 8})
    {'lr': 0.1, 'audio': {'width': 8}}
    """
    tree: dict[str, Any] = {}
    for path, value in values.items():
        *outer, name = path.split(".")
        place = tree
        for step in outer:
            place = place.setdefault(step, {})
        place[name] = value
    return tree


def with_values(train: Train, values: Mapping[str, Choice]) -> Train:
    """Return the block with new values of some params (ValidationError of pydantic if it refuses one).

    >>> with_values(Train(), {"audio.width": 8}).audio.width
    8
    """
    tree = train.model_dump()
    for path, value in values.items():
        *outer, name = path.split(".")
        place = tree
        for step in outer:
            place = place.setdefault(step, {})
        place[name] = value
    return Train.model_validate(tree)
