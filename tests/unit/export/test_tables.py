"""Types of parquet columns follow from a record, and the extra that writes them is named where it is absent."""

from __future__ import annotations

import sys

import pytest

from foalnet.core.errors import MachineError
from foalnet.export.tables import need_parquet, schema_of
from foalnet.shards import SampleMeta

NEEDED = "needs the extra `parquet`: pip install -e '.[parquet]'"


def test_each_key_of_the_metadata_has_a_type() -> None:
    pytest.importorskip("pyarrow", reason=NEEDED)
    schema = {name: str(kind) for name, kind in schema_of(SampleMeta, without="_offsets").items()}
    assert schema["key"] == "string" and schema["start_s"] == "double"
    assert "boxes: list<item: list<item: double>>" in schema["video"] and "offsets" not in schema["video"]
    assert schema["features"] == "struct<dims: int64, frames: int64>"


def test_an_absent_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MachineError, match="extra `parquet`") as caught:
        need_parquet()
    assert "pip install" in str(caught.value.action)
