"""Every format gives the same audit; what cannot be read ends with an error of its kind."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from foalnet.audit import audit, of_file, read
from foalnet.audit.read import read_columns
from foalnet.core.errors import DataError, FoalnetError, MachineError, UsageError
from tests.support.audits import CLASSES, checked, flat, manifest, rows, text_of, write

FORMATS = (".csv", ".tsv", ".jsonl", ".npz", ".parquet")


def figures(folder: Path, file: Path) -> dict[str, object]:
    """Return what an audit says apart from the file itself."""
    facts = audit([file], reference=of_file(manifest(folder)), classes=CLASSES)["files"][0]
    return {name: facts[name] for name in ("checks", "scores", "intervals", "calibration", "folds")}


@pytest.mark.parametrize("form", [str, flat], ids=["lists", "columns"])
def test_every_format_gives_the_same_audit(tmp_path: Path, form: object) -> None:
    of = [flat(row) for row in rows()] if form is flat else rows()
    audits = {suffix: figures(tmp_path, write(tmp_path / f"mine{suffix}", of)) for suffix in FORMATS}
    for suffix in FORMATS:
        assert audits[suffix] == audits[".jsonl"], suffix
    (tmp_path / "mine.json").write_text(json.dumps(of))
    assert figures(tmp_path, tmp_path / "mine.json") == audits[".jsonl"]
    keyed = {row["key"]: {name: value for name, value in row.items() if name != "key"} for row in of}
    (tmp_path / "mine.json").write_text(json.dumps(keyed))
    assert figures(tmp_path, tmp_path / "mine.json") == audits[".jsonl"]


def test_marks_line_ends_separators_and_encodings_change_nothing(tmp_path: Path) -> None:
    plain = write(tmp_path / "mine.csv", [flat(row) for row in rows()]).read_text()
    expected = figures(tmp_path, tmp_path / "mine.csv")
    decimal_commas = plain.replace(",", ";").replace(".", ",")
    for text in ("\ufeff" + plain, plain.replace("\n", "\r\n") + "\r\n\r\n", decimal_commas, plain.replace(",", "|")):
        (tmp_path / "mine.csv").write_bytes(text.encode())
        assert figures(tmp_path, tmp_path / "mine.csv") == expected
    (tmp_path / "mine.csv").write_bytes(plain.encode("utf-16"))
    assert figures(tmp_path, tmp_path / "mine.csv") == expected


def test_file_names_are_keys_by_their_stem(tmp_path: Path) -> None:
    for name in ("a/b/{}.wav", r"C:\x\{}.mp4", "{}.npy"):
        facts = checked(tmp_path, [row | {"key": name.format(row["key"])} for row in rows()])
        assert text_of(facts, "missing") == "all 160 utterances of manifest.jsonl have a row"


@pytest.mark.parametrize(
    ("name", "data", "error"),
    [
        ("a.csv", b"", DataError),
        ("a.csv", b"key,label,pred\n", DataError),
        ("a.csv", b"key,label,pred\na,sad\n", DataError),
        ("a.csv", b'key,label,pred\n"a,sad,sad\n', DataError),
        ("a.csv", b"key,label,label,pred\na,sad,sad,sad\n", DataError),
        ("a.csv", b"key,label,p0,p1\na,0,x,1\n", DataError),
        ("a.csv", b"key,pred\na,sad\n", UsageError),
        ("a.csv", b"key,label\na,sad\n", UsageError),
        ("a.csv", b"key,label,p0,p1,p2\na,sad,0,0,1\nb,happy,0,0,1\n", UsageError),
        ("a.jsonl", b'{"key": 1}\n{bad\n', DataError),
        ("a.jsonl", b"[1]\n", DataError),
        ("a.json", b"[" * 100_000, DataError),
        ("a.json", b'{"a": 1}', DataError),
        ("a.npz", b"no", DataError),
        ("a.parquet", b"PAR1no", DataError),
        ("a.xlsx", b"", UsageError),
    ],
)
def test_what_is_no_table_of_predictions_ends_with_its_error(
    tmp_path: Path, name: str, data: bytes, error: type[FoalnetError]
) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(error):
        audit([tmp_path / name])


def test_npz_is_read_without_pickle_and_within_the_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez(tmp_path / "a.npz", key=np.array(["a", None], dtype=object))
    with pytest.raises(DataError, match="allow_pickle=False"):
        read_columns(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", key=np.array(["a", "b", "c"]), label=np.array([0, 1]), probs=np.eye(2))
    with pytest.raises(DataError, match="the array `key` has 3 entries, most others 2"):
        audit([tmp_path / "b.npz"])
    np.savez_compressed(tmp_path / "c.npz", a=np.zeros(10_000))
    monkeypatch.setattr(read, "MOST_BYTES", 10_000)
    with pytest.raises(DataError, match="the limit is 10,000"):
        read_columns(tmp_path / "c.npz")


def test_the_list_of_classes_in_an_npz_file_is_their_order(tmp_path: Path) -> None:
    arrays = {
        "key": np.array(["a", "b", "c"]),
        "label": np.array([0, 1, 1]),
        "probs": np.array([[9, 1], [2, 8], [3, 7]]),
    }
    np.savez(tmp_path / "a.npz", **arrays, classes=np.array(["sad", "happy"]))
    facts = audit([tmp_path / "a.npz"])["files"][0]
    assert (facts["classes"], facts["scores"]["ua"]) == (["sad", "happy"], 1.0)


def test_only_plain_files_within_the_limits_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "folder.csv").mkdir()
    for name in ("pipe.csv", "folder.csv"):
        with pytest.raises(DataError):
            read_columns(tmp_path / name)
    with pytest.raises(UsageError, match="file not found"):
        read_columns(tmp_path / "absent.csv")
    write(tmp_path / "a.csv", rows())
    monkeypatch.setattr(read, "MOST_ROWS", 100)
    with pytest.raises(DataError, match="more than 100 rows"):
        read_columns(tmp_path / "a.csv")


def test_parquet_without_its_package_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    write(tmp_path / "a.parquet", rows())
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(MachineError, match="extra `parquet`"):
        read_columns(tmp_path / "a.parquet")


def test_a_table_without_a_header_and_turns_of_dialogues_have_keys(tmp_path: Path) -> None:
    lines = [f"{row['key']}.wav {row['predicted']}\n" for row in rows()]
    (tmp_path / "fold.txt").write_text("".join(lines))
    roles = {"predicted": "column 2"}
    facts = audit([tmp_path / "fold.txt"], reference=of_file(manifest(tmp_path)), columns=roles)["files"][0]
    assert facts["scores"]["ua"] == 0.75 and text_of(facts, "missing").startswith("all 160")
    of = [{"Dialogue_ID": at // 4, "Utterance_ID": at % 4, "Utterance": "Yes.", "Emotion": "joy", "pred": "joy"}
          for at in range(12)]  # fmt: skip
    facts = checked(tmp_path, of, against=False, name="mine.csv")
    assert text_of(facts, "doubled").startswith("each utterance stands once")
