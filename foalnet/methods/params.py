"""The params of all methods as paths below `train`, `methods.NAME.PARAM`: their meanings, values and search spaces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic.fields import FieldInfo

from foalnet.config.blocks import Choice, Train
from foalnet.config.space import METHODS as BELOW
from foalnet.config.space import number_kinds, refuse_space
from foalnet.config.tuning import Tune
from foalnet.methods.build import method_config
from foalnet.methods.registry import METHODS


def fields() -> Iterator[tuple[str, FieldInfo]]:
    """Yield (path, field) of every param of every method, in the order of the registry."""
    for name, method in METHODS.items():
        for param, field in method.config_type.model_fields.items():
            yield f"{BELOW}{name}.{param}", field


def mark(field: FieldInfo, name: str) -> Any:
    """Return `unit`, `source` or `losses` of a method's param (foalnet.methods.base.param)."""
    extra = field.json_schema_extra
    return extra[name] if isinstance(extra, Mapping) else ""


def value_of(train: Train, path: str) -> Choice:
    """Return the value of a dotted param below `train`."""
    value: Any = train
    steps = path.split(".")
    if path.startswith(BELOW):
        _, name, *steps = steps
        value = method_config(name, METHODS[name], train)
    for step in steps:
        value = getattr(value, step)
    return value  # type: ignore[no-any-return]


def kinds_of(path: str) -> set[type]:
    """Return the number types (int, float) that a dotted param below `train` accepts; empty if it is not a number."""
    if not path.startswith(BELOW):
        return number_kinds(path, Train)
    _, name, param = path.split(".")
    return number_kinds(param, METHODS[name].config_type)


def check_method_space(tune: Tune, train: Train, *, file: object) -> None:
    """Raise UsageError (exit 2) if the space has params that no method has, or values that a method does not accept."""
    space = {path: dimension for path, dimension in tune.space.items() if path.startswith(BELOW)}
    known = [path for path, _ in fields()]

    def accepted(path: str, value: Choice) -> None:
        _, name, param = path.split(".")
        METHODS[name].config_type.model_validate({**train.methods.get(name, {}), param: value})

    for path, dimension in space.items():
        name = path.split(".")[1] if path.count(".") == 2 else ""
        model = METHODS[name].config_type if name in METHODS else Train
        refuse_space({path: dimension}, known, model, accepted, file=file, below=f"{BELOW}{name}.")
