"""Files: canonical bytes, atomic publishing, locks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foalnet.core.errors import DataError, MachineError
from foalnet.core.files import (
    content_key,
    json_bytes,
    jsonl_bytes,
    need_free,
    publish_bytes,
    publishing,
    read_json,
    read_jsonl,
    sorted_files,
)
from foalnet.core.locks import lock
from foalnet.core.temporaries import remove_temporaries

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(JSON)
def test_json_round_trip_and_key_do_not_depend_on_insertion_order(value: object) -> None:
    assert json.loads(json_bytes(value)) == value
    if isinstance(value, dict):
        turned = dict(reversed(list(value.items())))
        assert json_bytes(turned) == json_bytes(value)
        assert content_key(turned) == content_key(value)


def test_nan_is_refused() -> None:
    with pytest.raises(ValueError, match="Out of range float"):
        json_bytes({"ua": float("nan")})


@given(st.lists(st.dictionaries(st.text(max_size=5), st.integers(), max_size=3), max_size=5))
def test_jsonl_round_trip(rows: list[dict[str, int]]) -> None:
    assert [json.loads(line) for line in jsonl_bytes(rows).split(b"\n")[:-1]] == rows


def test_publish_leaves_the_old_content_when_the_writer_fails(tmp_path: Path) -> None:
    target = tmp_path / "a.json"
    publish_bytes(target, b"old")
    with pytest.raises(RuntimeError), publishing(target) as temp:
        temp.write_bytes(b"half")
        raise RuntimeError
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.json"]


def test_publish_into_a_file_used_as_folder_is_an_environment_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises((MachineError, NotADirectoryError, FileExistsError)):
        publish_bytes(tmp_path / "file" / "x", b"")


def test_temporaries_of_dead_writers_go_and_of_live_ones_stay(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    (tmp_path / f".a.{dead.pid}.part").write_text("")
    (tmp_path / f".b.{os.getpid()}.part").write_text("")
    assert remove_temporaries(tmp_path) == 1
    assert os.listdir(tmp_path) == [f".b.{os.getpid()}.part"]


def test_sorted_files_lists_by_name_and_refuses_a_link_that_escapes(tmp_path: Path) -> None:
    root = tmp_path / "root"
    for name in ("b/2", "b/1", "a/3"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("")
    (root / "a" / "loop").symlink_to(root)
    assert sorted_files(root) == ["a/3", "b/1", "b/2"]
    (tmp_path / "secret").write_text("")
    (root / "a" / "out").symlink_to(tmp_path / "secret")
    with pytest.raises(DataError, match="leads out"):
        sorted_files(root)
    (root / "a" / "out").unlink()
    (root / "a" / "self").symlink_to(root / "a" / "self")
    with pytest.raises(DataError, match="to itself"):
        sorted_files(root)


def test_lock_names_its_holder_and_dies_with_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    code = (
        "import sys, time; from pathlib import Path; from foalnet.core.locks import lock\n"
        f"with lock(Path({str(path)!r})):\n print('held', flush=True); time.sleep(60)"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None and child.stdout.readline() == "held\n"
    try:
        with pytest.raises(MachineError, match=f"pid {child.pid}"), lock(path):
            pass
    finally:
        child.kill()
        child.wait()
    with lock(path):
        assert path.exists()


def test_need_free_says_needed_and_free(tmp_path: Path) -> None:
    need_free(tmp_path / "not" / "there", 1)
    with pytest.raises(MachineError, match=f"{10**18:,} are needed"):
        need_free(tmp_path, 10**18)


def test_broken_json_is_a_data_error_that_names_the_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not found"):
        read_json(tmp_path / "none.json")
    (tmp_path / "a").write_text('{"a": 1}\n{"a":\n')
    with pytest.raises(DataError, match="line 2"):
        read_jsonl(tmp_path / "a")
    with pytest.raises(DataError, match="not valid JSON"):
        read_json(tmp_path / "a")
