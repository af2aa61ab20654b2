"""Label files as they come: stray bytes, marks, line ends, duplicates, labels of no class."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from foalnet.core.errors import DataError
from foalnet.core.files import read_json
from tests.support.corpus.entries import TWO_CLASSES
from tests.support.corpus.trees import FOUR, iemocap_tree, label_file, stages
from tests.support.marks import red_when

DIALOGUE = "Ses01F_impro01"
KEY = f"{DIALOGUE}_F000"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """One dialogue of four utterances."""
    return iemocap_tree(tmp_path / "tree", dialogues={DIALOGUE: FOUR})


# what a label file's bytes suffer -> repairs counted
SUFFERED: dict[str, tuple[Callable[[bytes], bytes], int]] = {
    "byte-order mark": (lambda data: b"\xef\xbb\xbf" + data, 0),
    "CRLF": (lambda data: data.replace(b"\n", b"\r\n"), 0),
    "CR alone": (lambda data: data.replace(b"\n", b"\r"), 0),
    "trailing spaces": (lambda data: data.replace(b"\n", b" \t \n"), 0),
    "leading spaces": (lambda data: data.replace(b"\n[", b"\n  ["), 0),
    "no line end at the end": (lambda data: data.rstrip(b"\n"), 0),
    "not UTF-8": (lambda data: data.replace(b"(a word)", b"(caf\xe9)"), 1),
    "byte 0x85, a line end to some": (lambda data: data.replace(b"(a word)", b"(so\x85 so)"), 1),
    "mark and not UTF-8": (lambda data: b"\xef\xbb\xbf" + data.replace(b"(a word)", b"(\xff)"), 1),
    "UTF-16 with its mark": (lambda data: data.decode().encode("utf-16"), 1),
    "UTF-16 with its mark, big end first": (lambda data: b"\xfe\xff" + data.decode().encode("utf-16-be"), 1),
    "all at once": (
        lambda data: b"\xef\xbb\xbf" + data.replace(b"(a word)", b"(\xe9)").replace(b"\n", b"  \r\n"),
        1,
    ),
}


@red_when("corpora/iemocap/text.py", "the mark of UTF-8 is taken for text")
@red_when("corpora/iemocap/text.py", "the mark of UTF-16 is not looked for")
@pytest.mark.parametrize("name", sorted(SUFFERED))
def test_t40_stray_bytes_marks_line_ends_and_spaces_change_no_utterance(tree: Path, name: str) -> None:
    clean, counts = stages(tree)
    assert counts == {"kept": 4}
    suffer, repairs = SUFFERED[name]
    data = label_file(tree, DIALOGUE).read_bytes()
    assert suffer(data) != data
    label_file(tree, DIALOGUE).write_bytes(suffer(data))
    rows, counts = stages(tree)
    assert rows == clean
    assert counts == {"kept": 4} | ({"repaired/encoding_repaired": repairs} if repairs else {})


@red_when("corpora/iemocap/text.py", "stray bytes become question marks")
def test_t40_a_transcript_that_is_not_utf8_keeps_its_words(tree: Path) -> None:
    path = tree / f"Session1/dialog/transcriptions/{DIALOGUE}.txt"
    path.write_bytes(path.read_bytes().replace(b"Words of", b"Caf\xe9 of"))
    rows, counts = stages(tree)
    assert rows[0].transcript == f"Café of {KEY}."
    assert counts["repaired/encoding_repaired"] == 1


@red_when("corpora/iemocap/__init__.py", "utterances without a label line are not named")
@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32", "cp037"])
def test_t40_an_encoding_without_a_mark_is_refused_by_file_and_line(tree: Path, encoding: str) -> None:
    path = label_file(tree, DIALOGUE)
    path.write_bytes(path.read_text().encode(encoding))
    with pytest.raises(DataError) as caught:
        stages(tree)
    said = str(caught.value)
    assert caught.value.exit_code == 3 and not (tree.parent / "manifest.jsonl").exists()
    assert f"label_unparsed (Session1/dialog/EmoEvaluation/{DIALOGUE}.txt, line " in said or "10 utterances" in said
    # No utterance is lost in silence: transcript and sound still show which line is missing.
    lost = {e["item"] for e in read_json(tree.parent / "counts.json")["entries"] if e["reason"] == "label_missing"}
    assert lost == {f"{DIALOGUE}_{suffix}" for suffix, _ in FOUR}


@red_when("corpora/iemocap/text.py", "a line is believed in any dialogue's file")
def test_t41_a_line_in_another_dialogue_s_file_is_not_believed_and_named(tmp_path: Path) -> None:
    other = "Ses01M_impro02"
    tree = iemocap_tree(tmp_path / "two", dialogues={DIALOGUE: FOUR, other: FOUR})
    clean, _ = stages(tree)
    line = next(line for line in label_file(tree, DIALOGUE).read_text().splitlines() if KEY in line)
    path = label_file(tree, other)
    path.write_text(path.read_text() + line.replace("\tneu\t", "\tsad\t") + "\n")
    rows, counts = stages(tree)
    assert rows == clean and counts == {"kept": 8, "dropped/label_unparsed": 1}
    (entry,) = read_json(tree.parent / "counts.json")["entries"]
    assert entry["item"] == KEY and f"another dialogue than {other}" in entry["detail"]


@red_when("corpora/iemocap/__init__.py", "a second line that agrees is not counted")
def test_t41_two_lines_that_agree_give_one_utterance_and_are_counted(tree: Path) -> None:
    clean, _ = stages(tree)
    path = label_file(tree, DIALOGUE)
    path.write_text(path.read_text() + next(line for line in path.read_text().splitlines() if KEY in line) + "\n")
    rows, counts = stages(tree)
    assert rows == clean
    assert counts == {"kept": 4, "repaired/duplicate_label": 1}


@red_when("corpora/iemocap/__init__.py", "the first of two lines is believed")
@pytest.mark.parametrize(("old", "new"), [("\tneu\t", "\tsad\t"), ("[0.5000", "[0.6000"), ("[2.5000,", "[3.5000,")])
def test_t41_two_lines_that_disagree_are_not_used_and_named(tree: Path, old: str, new: str) -> None:
    path = label_file(tree, DIALOGUE)
    line = next(line for line in path.read_text().splitlines() if KEY in line)
    path.write_text(path.read_text() + line.replace(old, new) + "\n")
    rows, counts = stages(tree, classes=TWO_CLASSES)
    assert (rows[0].key, rows[0].label, rows[0].reason) == (KEY, None, "duplicate_label_conflict")
    assert len(rows) == 4
    assert counts == {"kept": 3, "dropped/duplicate_label_conflict": 1}
    (entry,) = read_json(tree.parent / "counts.json")["entries"]
    assert entry["detail"] == "lines 3, 31 of its label file"


@red_when("stages/manifest/build.py", "an utterance of no class is left out")
@pytest.mark.parametrize("raw", ["xxx", "oth", "fru", "zzz"])
def test_t42_a_label_of_no_class_stays_in_with_its_reason(tree: Path, raw: str) -> None:
    path = label_file(tree, DIALOGUE)
    path.write_text(path.read_text().replace("\tneu\t", f"\t{raw}\t"))
    rows, counts = stages(tree, classes=TWO_CLASSES)
    assert (rows[0].raw_label, rows[0].label, rows[0].reason) == (raw, None, "label_not_used")
    assert counts == {"kept": 3, "kept/label_not_used": 1}
