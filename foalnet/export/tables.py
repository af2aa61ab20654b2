"""Parquet files, by pyarrow: the extra `parquet`. The types of columns are those of the records, not of the values."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from foalnet.core.errors import MachineError
from foalnet.core.files import not_written


def need_parquet() -> None:
    """Raise MachineError (exit 4) without the package of the extra `parquet`."""
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        raise MachineError(
            f"parquet files need the package of the extra `parquet`: {error}",
            action="pip install -e '.[parquet]' (or pip install pyarrow)",
        ) from error


def schema_of(record: type, without: str = "") -> dict[str, Any]:
    """Return name -> Arrow type of the fields of a dataclass, but of those that end with `without`."""
    hints = get_type_hints(record)
    kept = [field.name for field in fields(record) if not (without and field.name.endswith(without))]
    return {name: _arrow(hints[name], without) for name in kept}


def _arrow(kind: Any, without: str) -> Any:
    import pyarrow as pa

    simple = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
    if kind in simple:
        return simple[kind]
    inner = [each for each in get_args(kind) if each is not type(None)]
    if get_origin(kind) in (Union, UnionType) and len(inner) == 1:
        return _arrow(inner[0], without)
    if get_origin(kind) is list:
        return pa.list_(_arrow(inner[0], without))
    if is_dataclass(kind) and isinstance(kind, type):
        return pa.struct(list(schema_of(kind, without).items()))
    raise TypeError(f"no column type for {kind}")


def write_parquet(
    path: Path,
    rows: Sequence[Mapping[str, Any]],
    columns: Mapping[str, Any],
    *,
    features: Mapping[str, Any] | None = None,
    group: int = 1 << 16,
) -> None:
    """Write rows with these columns (name -> Arrow type), `group` of them in a row group; what a row lacks is null.

    `features`: name -> type of some columns as Hugging Face `datasets` describes it, for what Arrow has no type for.
    MachineError (exit 4) if the file cannot be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    metadata = {"huggingface": json.dumps({"info": {"features": features}}, sort_keys=True)} if features else None
    schema = pa.schema(list(columns.items()), metadata=metadata)
    table = pa.Table.from_pylist([dict(row) for row in rows], schema=schema)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, path, row_group_size=group, compression="zstd")
    except OSError as error:
        raise not_written(error, path) from error
