"""What is missing: sound, labels, dialogues, sessions; the count contract says which."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest

from foalnet.artifact.seal import sealed_bytes
from foalnet.core.errors import DataError
from foalnet.core.files import read_json, sha256_file
from foalnet.corpora.iemocap import PUBLISHED
from foalnet.stages.manifest.build import build, read_manifest
from tests.support.corpus.entries import TWO_CLASSES, make_settings
from tests.support.corpus.trees import (
    DIALOGUES,
    FOUR,
    iemocap_tree,
    label_file,
    label_text,
    make_params,
    sound_file,
    stages,
    write,
)
from tests.support.marks import red_when

DIALOGUE = "Ses01F_impro01"
KEY = f"{DIALOGUE}_F001"


def without_line(root: Path, key: str) -> None:
    """Take one utterance's label line (and raters) out of its file."""
    path = label_file(root, key[:-5])
    blocks = path.read_text().split("\n\n")
    path.write_text("\n\n".join(block for block in blocks if f"\t{key}\t" not in block))


@red_when("corpora/iemocap/__init__.py", "the dialogue's recording is no sound")
def test_t43_a_label_without_a_wav_is_cut_from_the_dialogue(tmp_path: Path) -> None:
    tree = iemocap_tree(tmp_path / "tree", dialogues={DIALOGUE: FOUR})
    sound_file(tree, KEY).unlink()
    by_key = {u.key: u for u in stages(tree)[0]}
    assert (by_key[KEY].audio, by_key[KEY].label) == (None, "happy")
    assert by_key[KEY].dialogue_audio == f"Session1/dialog/wav/{DIALOGUE}.wav"


@red_when("corpora/iemocap/__init__.py", "sound that is nowhere is not looked for")
def test_t43_without_the_dialogue_too_it_is_dropped_and_breaks_a_contract_by_name(tmp_path: Path) -> None:
    tree = iemocap_tree(tmp_path / "tree", dialogues={DIALOGUE: FOUR}, dialogue_sound=False)
    sound_file(tree, KEY).unlink()
    rows, counts = stages(tree, classes=TWO_CLASSES)
    assert {u.key: u.reason for u in rows}[KEY] == "wav_missing"
    assert len(rows) == 4
    assert counts == {"kept": 3, "dropped/wav_missing": 1}
    # the label lines are all there, a used utterance is not: n is no longer what the contract says
    with pytest.raises(DataError) as caught:
        stages(tree, contract={"utterances": 4, "used_by_session": {"Session1": 4}})
    assert "used utterances of 'Session1': 4 expected, 3 found (1 missing)" in str(caught.value)
    assert "labelled utterances" not in str(caught.value)
    assert f"{KEY}: wav_missing" in str(caught.value)


@red_when("corpora/iemocap/__init__.py", "an utterance without label line is not named")
def test_t43_a_wav_without_label_line_is_named(tmp_path: Path) -> None:
    tree = iemocap_tree(tmp_path / "tree", dialogues={DIALOGUE: FOUR})
    without_line(tree, KEY)
    rows, counts = stages(tree, classes=TWO_CLASSES)
    assert KEY not in {u.key for u in rows}
    assert counts == {"kept": 3, "dropped/label_missing": 1}
    (entry,) = read_json(tmp_path / "counts.json")["entries"]
    assert (entry["item"], entry["detail"]) == (KEY, "shown by a sound file, a transcript line")


@red_when("stages/manifest/build.py", "what is not there is not counted")
def test_t44_fewer_sessions_than_published_are_named_one_by_one(tmp_path: Path) -> None:
    tree = iemocap_tree(tmp_path / "tree", dialogues={k: v for k, v in DIALOGUES.items() if k[4] in "124"})
    with pytest.raises(DataError) as caught:
        stages(tree, contract="published")
    said = str(caught.value)
    assert caught.value.exit_code == 3
    for session, expected, actual in (("Session1", 28, 1), ("Session3", 32, 0), ("Session5", 31, 0)):
        assert f"dialogues of '{session}': {expected} expected, {actual} found" in said
    assert "labelled utterances: 10039 expected, 15 found (10024 missing)" in said
    assert "class 'angry': 1103 expected, 3 found (1100 missing)" in said
    assert not (tmp_path / "manifest.jsonl").exists()
    assert read_json(tmp_path / "counts.json")["expected"]["utterances"] == 10039
    # a person who knows what is there may say so
    rows, _ = stages(tree, contract={"utterances": 15})
    assert {u.session for u in rows} == {"Session1", "Session2", "Session4"}


@red_when("corpora/iemocap/__init__.py", "dialogues without label file are not looked for")
def test_t44_a_dialogue_without_its_label_file_is_named(tmp_path: Path) -> None:
    tree = iemocap_tree(tmp_path / "tree")
    label_file(tree, "Ses03F_impro01").unlink()
    with pytest.raises(DataError) as caught:
        stages(tree, contract={"dialogues": {f"Session{n}": 1 for n in range(1, 6)}})
    said = str(caught.value)
    assert "dialogues of 'Session3': 1 expected, 0 found (1 missing)" in said
    assert "Ses03F_impro01: dialogue_unlabelled (shown by dialogue_audio, utterances, video)" in said


@red_when("stages/manifest/build.py", "what is lost is not named")
@pytest.mark.parametrize("trace", ["sound and words", "words", "number only"])
def test_t45_a_count_one_short_names_the_missing_utterance(tmp_path: Path, trace: str) -> None:
    tree = iemocap_tree(tmp_path / "tree")
    contract = {"utterances": 25, "classes": {"happy": 5, "neutral": 5, "sad": 5, "angry": 5}}
    stages(tree, contract=contract)
    key = "Ses04M_impro01_F000"
    without_line(tree, key)
    if trace != "sound and words":
        sound_file(tree, key).unlink()
    if trace == "number only":
        path = tree / f"Session4/dialog/transcriptions/{key[:-5]}.txt"
        path.write_text("".join(line for line in path.read_text().splitlines(keepends=True) if key not in line))
    with pytest.raises(DataError) as caught:
        stages(tree, contract=contract)
    said = str(caught.value)
    assert caught.value.exit_code == 3
    assert "labelled utterances: 25 expected, 24 found (1 missing)" in said
    assert "class 'neutral': 5 expected, 4 found (1 missing)" in said
    assert f"{key}: label_missing" in said


def real_project(folder: Path, table: Path) -> None:
    """Write IEMOCAP's real structure: label files only, and an inventory that names the sound as if it were here."""
    lines = [line.split("\t") for line in table.read_text().splitlines()[1:]]
    rows = defaultdict(list)
    for key, label, start, end in lines:
        rows[key[:-5]].append((key, label, float(start), float(end)))
    files = [
        {"path": f"Session{k[4]}/sentences/wav/{k[:-5]}/{k}.wav", "size": 1, "sha256": "0" * 64, "role": "audio"}
        for k, *_ in lines
    ]
    for dialogue, of_dialogue in rows.items():
        path = write(label_file(folder / "tree", dialogue), label_text(of_dialogue))
        relative = path.relative_to(folder / "tree").as_posix()
        files.append({"path": relative, "size": path.stat().st_size, "sha256": sha256_file(path), "role": "labels"})
    files.sort(key=lambda row: str(row["path"]))
    record = {"corpus": "iemocap", "reader": "iemocap", "files": files, "ignored": {"shadow": 0, "other": 0}}
    write(folder / "inventory.json", sealed_bytes("inventory.json", record))


def build_real(folder: Path) -> None:
    settings = make_settings(folder / "work", {"iemocap": folder / "tree"})
    params = make_params(contract="published")
    build(params, settings, folder / "inventory.json", folder / "manifest.jsonl", folder / "counts.json")


@pytest.mark.long
@red_when("stages/manifest/build.py", "what is lost is not named")
def test_t45_one_short_of_5531_on_the_real_list(tmp_path: Path, shared_data: Path) -> None:
    real_project(tmp_path, shared_data / "iemocap_utterances.tsv")
    build_real(tmp_path)
    account = read_json(tmp_path / "counts.json")
    assert account["counted"] == account["expected"] == PUBLISHED.model_dump()
    rows = read_manifest(tmp_path / "manifest.jsonl")
    assert account["used"] == sum(u.used for u in rows) == 5531
    assert (len(rows), sum(u.side == "left" for u in rows), len({u.speaker for u in rows})) == (10039, 5088, 10)
    assert "dropped/label_missing" not in account["ledger"], "a gap in the numbers would name a loss that is none"
    key = "Ses03M_impro07_F023"
    without_line(tmp_path / "tree", key)
    record = read_json(tmp_path / "inventory.json")
    for row in record["files"]:
        if row["role"] == "labels":
            row["sha256"] = sha256_file(tmp_path / "tree" / row["path"])
    write(tmp_path / "inventory.json", sealed_bytes("inventory.json", record))
    with pytest.raises(DataError) as caught:
        build_real(tmp_path)
    said = str(caught.value)
    assert "labelled utterances: 10039 expected, 10038 found (1 missing)" in said
    assert "used utterances of 'Session3': 1151 expected, 1150 found (1 missing)" in said
    assert f"{key}: label_missing (shown by a sound file)" in said
