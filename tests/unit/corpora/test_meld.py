"""MELD's tables and clips: every field, the official counts, and what is counted of its broken rows and clips."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foalnet.config.blocks import Contract
from foalnet.core.errors import DataError
from foalnet.core.files import read_json
from foalnet.core.ledger import Ledger
from foalnet.core.records import Utterance
from foalnet.corpora import get_reader
from foalnet.corpora.base import is_role
from foalnet.corpora.meld import PUBLISHED, Meld
from foalnet.corpora.meld.rows import EMOTIONS, read_part, speaker_of, time_s
from foalnet.stages.manifest.build import count, read_manifest
from foalnet.stages.manifest.dialogues import with_turns
from tests.support.corpus.public import COLUMNS, meld_rows, meld_tree, table
from tests.support.corpus.trees import write, write_wav
from tests.support.corpus.videos import write_clip
from tests.support.projects import verb

CLIP = "train_splits/dia0_utt1.mp4"


def read(root: Path, ledger: Ledger | None = None) -> list[Utterance]:
    """Read a tree as the stages do, without their checks."""
    reader = get_reader("meld")
    root = reader.check_root(root)
    paths = [p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file()]
    files = {path: role for path in paths if is_role(role := reader.wanted(path))}
    return reader.utterances(root, {path: str(role) for path, role in files.items()}, ledger or Ledger())


@pytest.mark.parametrize(
    ("path", "role"),
    [
        ("train_sent_emo.csv", "labels"),
        ("MELD.Raw/train/train_sent_emo.csv", "labels"),
        ("data/MELD/dev_sent_emo.csv", "labels"),
        ("train_splits/dia0_utt0.mp4", "video"),
        ("MELD.Raw/train/train_splits/dia0_utt0.mp4", "video"),
        ("dev/dev_splits_complete/dia0_utt0.mp4", "video"),
        ("test/output_repeated_splits_test/final_videos_testdia93_utt5.mp4", "video"),
        ("audio/dev/dia3_utt1.wav", "audio"),
        ("test_splits_wav/dia3_utt1.wav", "audio"),
        ("train_splits/._dia0_utt0.mp4", "shadow"),
        ("__MACOSX/train_splits/dia0_utt0.mp4", "shadow"),
        ("clips/dia0_utt0.mp4", "misfiled"),
        ("dia0_utt0.mp4", "misfiled"),
        ("train_splits/dia0_utt0 (1).mp4", "misfiled"),
        ("train_splits/dia0_utt0.txt", "misfiled"),
        ("data/MELD_Dyadic/train_sent_emo_dya.csv", "misfiled"),
        ("README.txt", None),
        ("emorynlp_train_final.csv", None),
    ],
)
def test_roles_of_paths(path: str, role: str | None) -> None:
    assert Meld().wanted(path) == role


@given(st.text(max_size=40))
def test_no_other_name_is_wanted(text: str) -> None:
    assert Meld().wanted(text) in (None, "shadow", "misfiled")


def test_a_clip_gives_every_fact(tmp_path: Path) -> None:
    ledger = Ledger()
    rows = {u.key: u for u in read(meld_tree(tmp_path), ledger)}
    assert len(rows) == 11 and ledger.counts() == {}
    assert rows["train_dia0_utt1"] == Utterance(
        key="train_dia0_utt1",
        corpus="meld",
        session="train",
        dialogue="train_dia0",
        speaker="Joey",
        side="whole",
        start_s=0.0,
        end_s=pytest.approx(1.2, abs=0.1),
        raw_label="anger",
        label=None,
        turn=1,
        transcript="Hey, that’s mine!",
        audio="train_splits/dia0_utt1.mp4",
        video="train_splits/dia0_utt1.mp4",
    )
    assert rows["train_dia1_utt1"].speaker == "Phoebe-Sr"


def test_the_tables_alone_are_a_corpus_of_text(tmp_path: Path) -> None:
    rows = {u.key: u for u in read(meld_tree(tmp_path, clips=False))}
    first, second = rows["train_dia1_utt0"], rows["train_dia1_utt1"]
    assert (first.start_s, first.end_s, second.start_s, second.end_s) == (0.0, 1.2, 2.0, 3.2)
    assert all(u.audio is u.video is u.reason is None and u.transcript for u in rows.values())


def changed(root: Path, part: str, **cells: object) -> Path:
    """Write a tree of tables, with other cells in row 2 of one part (dialogue 0, utterance 0)."""
    meld_tree(root, clips=False)
    rows = meld_rows([[("Joey", "joy", "One."), ("Ross", "neutral", "Two."), ("Joey", "joy", "Three.")]])
    rows[0] |= cells
    return write(root / f"{part}_sent_emo.csv", table(COLUMNS, rows))


@pytest.mark.parametrize(
    ("times", "span"),
    [
        ({"EndTime": "00:01:00,000"}, (0.0, 1.0)),
        ({"EndTime": "00:00:50,000"}, (0.0, 1.0)),
        ({"StartTime": ""}, (0.0, 1.0)),
        ({"StartTime": "0:01:04,5", "EndTime": "0:01:05"}, (2.5, 3.0)),
    ],
)
def test_times_that_are_broken_are_repaired_and_counted(
    tmp_path: Path, times: dict[str, str], span: tuple[float, float]
) -> None:
    changed(tmp_path, "dev", **times)
    ledger = Ledger()
    rows = [u for u in read(tmp_path, ledger) if u.session == "dev"]
    assert (rows[0].start_s, rows[0].end_s) == span and all(0 <= u.start_s < u.end_s for u in rows)
    repaired = [e.item for e in ledger.entries if e.reason == "times_repaired"]
    assert repaired == ([] if span[0] else ["dev_dia0_utt0"])


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ({"Emotion": "happy"}, "row 2: Emotion is 'happy', not one of neutral, joy"),
        ({"Emotion": ""}, "row 2: Emotion is ''"),
        ({"Dialogue_ID": "x"}, "row 2: Dialogue_ID is 'x', not a number"),
        ({"Utterance_ID": "-1"}, "row 2: Utterance_ID is '-1', not a number"),
        ({"Utterance_ID": "1"}, "row 3: dev_dia0_utt1 is in row 2 too"),
        ({"Dialogue_ID": "../../etc"}, "row 2: Dialogue_ID is '../../etc', not a number"),
    ],
)
def test_a_wrong_row_is_refused_by_its_number(tmp_path: Path, cells: dict[str, str], said: str) -> None:
    changed(tmp_path, "dev", **cells)
    with pytest.raises(DataError) as caught:
        read(tmp_path)
    assert said in str(caught.value) and "dev_sent_emo.csv" in str(caught.value)


def test_a_table_without_a_column_is_refused(tmp_path: Path) -> None:
    meld_tree(tmp_path, clips=False)
    text = (tmp_path / "train_sent_emo.csv").read_text().replace("Emotion", "Feeling", 1)
    write(tmp_path / "train_sent_emo.csv", text)
    with pytest.raises(DataError, match=r"no column `Emotion`; the columns are Sr No\., Utterance, Speaker, Feeling"):
        read(tmp_path)


def test_characters_of_a_wrong_encoding_are_repaired_and_counted(tmp_path: Path) -> None:
    ledger = Ledger()
    file = changed(tmp_path, "dev", Utterance="I\x92m   fine\x85", Speaker="Richard\x92s Date")
    [first, *_] = read_part(file, "dev", ledger)
    assert (first.text, first.speaker) == ("I’m fine…", "Richards-Date")
    assert ledger.counts() == {"repaired/text_repaired": 1}
    write(file, file.read_text().replace("\x92", "’").replace("\x85", "…").encode("cp1252"))
    ledger = Ledger()
    assert read_part(file, "dev", ledger)[0] == first
    assert ledger.counts() == {"repaired/encoding_repaired": 1}


def test_clips_that_are_missing_broken_or_of_another_length_are_counted_by_name(tmp_path: Path) -> None:
    root = meld_tree(tmp_path)
    train, test = root / "train_splits", root / "output_repeated_splits_test"
    (train / "dia0_utt0.mp4").unlink()
    write(train / "dia0_utt1.mp4", b"no media")
    write(train / "dia0_utt2.mp4", b"")
    write_clip(train / "dia1_utt0.mp4", seconds=0.2)
    write_clip(train / "dia1_utt1.mp4", seconds=12.0, size="160x120")
    write(train / "dia7_utt0.mp4", b"a clip without a row")
    write(train / "._dia1_utt0.mp4", b"shadow")
    write_clip(test / "final_videos_testdia0_utt0.mp4", seconds=1.0)
    ledger = Ledger()
    rows = {u.key: u for u in read(root, ledger)}
    assert {key: u.reason for key, u in rows.items() if u.reason} == {
        "train_dia0_utt0": "file_missing",
        "train_dia0_utt1": "wav_unreadable",
        "train_dia0_utt2": "wav_unreadable",
    }
    assert rows["test_dia0_utt0"].video == "output_repeated_splits_test/final_videos_testdia0_utt0.mp4"
    assert {(e.item, e.reason) for e in ledger.entries if e.kind != "dropped"} == {
        ("train_dia1_utt0", "length_doubted"),
        ("train_dia1_utt1", "length_doubted"),
        ("test_dia0_utt0", "duplicate_sound"),
    }
    short, long = (e.detail for e in ledger.entries if e.reason == "length_doubted")
    assert short.endswith(" s, in the table 1.20 s, for 5 words") and long.endswith(", for 2 words")
    assert [e.item for e in ledger.entries if e.reason == "label_missing"] == ["train_dia7_utt0"]


def test_sound_files_alone_or_with_clips_are_read(tmp_path: Path) -> None:
    root = meld_tree(tmp_path, clips=False)
    write_wav(root / "audio/train/dia0_utt0.wav", 1.2)
    ledger = Ledger()
    rows = {u.key: u for u in read(root, ledger)}
    assert rows["train_dia0_utt0"].audio == "audio/train/dia0_utt0.wav" and rows["train_dia0_utt0"].video is None
    assert ledger.counts() == {"dropped/file_missing": 10, "kept/video_missing": 1}
    write_clip(root / "train_splits/dia0_utt0.mp4", seconds=1.2)
    [both] = [u for u in read(root) if u.key == "train_dia0_utt0"]
    assert both.audio == "audio/train/dia0_utt0.wav" and both.video == "train_splits/dia0_utt0.mp4"


@pytest.mark.parametrize("place", ["", "MELD.Raw", "data/MELD", "train"])
def test_the_tables_are_recognised_in_each_layout(tmp_path: Path, place: str) -> None:
    root = tmp_path / "download"
    meld_tree(root / place, clips=False)
    assert len(read(root)) == 11


def test_copies_of_a_table_agree_or_are_refused(tmp_path: Path) -> None:
    root = meld_tree(tmp_path, clips=False)
    copy = write(root / "train/train_sent_emo.csv", (root / "train_sent_emo.csv").read_bytes())
    assert len(read(root)) == 11
    copy.write_text(copy.read_text().replace("Joey", "Ross"))
    with pytest.raises(DataError, match=r"two tables of this part differ: train_sent_emo\.csv and train/train_sent"):
        read(root)


def test_another_folder_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "music/a.wav", b"")
    with pytest.raises(DataError, match=r"looked here and one level below for train_sent_emo\.csv"):
        Meld().check_root(tmp_path)


@given(st.text(max_size=60))
def test_every_speaker_has_a_name_that_is_stable(text: str) -> None:
    name = speaker_of(text)
    assert name and name.isascii() and speaker_of(name) == name
    assert all(c.isalnum() or c == "-" for c in name)


@given(st.text(max_size=20))
def test_no_text_makes_a_time_fail(text: str) -> None:
    seconds = time_s(text)
    assert seconds is None or seconds >= 0


@given(st.binary(max_size=200))
def test_no_bytes_make_the_reader_fail_otherwise(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    head = b"Utterance,Speaker,Emotion,Dialogue_ID,Utterance_ID,StartTime,EndTime\n"
    file = write(tmp_path_factory.getbasetemp() / "fuzz_sent_emo.csv", head + data)
    try:
        assert all(row.emotion in EMOTIONS for row in read_part(file, "train", Ledger()))
    except DataError:
        return


@pytest.fixture
def project(repository: Path, tmp_path: Path) -> Path:
    for name in ("params.yaml", "prefect.yaml", "dvc.yaml"):
        shutil.copy(repository / name, tmp_path)
    return tmp_path


CLASSES = ("--classes", "neutral,joy,sadness,anger")


@pytest.mark.long
def test_a_downloaded_tree_travels_to_its_shards(project: Path) -> None:
    meld_tree(project / "tree/MELD.Raw")
    official = verb(project, "add-corpus", "meld", "--root", "tree", "--dry-run").stdout
    assert "fold_by: meld-official" in official and "turns: transcript" in official
    own = verb(project, "add-corpus", "meld", "--root", "tree", *CLASSES).stdout
    assert "fold_by: speaker" in own, "a named split has its own classes"
    verb(project, "inventory", "meld")
    said = verb(project, "manifest", "meld").stdout
    assert "11 of 11 utterances are used: neutral 3, joy 3, sadness 3, anger 2" in said
    verb(project, "shards", "meld")
    index = read_json(project / "data/meld/shards/index.json")
    assert sorted(len(shard["keys"]) for shard in index["shards"]) == [2, 3, 3, 3]


def test_tables_alone_are_added_as_a_corpus_of_text(project: Path) -> None:
    meld_tree(project / "tree", clips=False)
    said = verb(project, "add-corpus", "meld", "--root", "tree", *CLASSES).stdout
    assert "neither sound nor pictures here: only text_only is trained" in said and "- text_only" in said
    refused = verb(project, "add-corpus", "meld", "--root", "tree", "--variants", "audio_only", check=False)
    assert refused.returncode == 2 and "audio_only: no sound here" in refused.stderr
    verb(project, "inventory", "meld")
    assert "11 of 11 utterances are used" in verb(project, "manifest", "meld").stdout
    rows = read_manifest(project / "data/meld/manifest.jsonl")
    assert [(u.key, u.turn) for u in rows if u.dialogue == "train_dia0"] == [
        (f"train_dia0_utt{number}", number) for number in range(3)
    ]


def test_the_official_tables_have_the_published_counts(shared_data: Path) -> None:
    ledger = Ledger()
    rows = read(shared_data / "meld", ledger)
    assert count([replace(u, label=u.raw_label) for u in rows], EMOTIONS) == PUBLISHED
    assert ledger.counts() == {"repaired/times_repaired": 1}, "test_dia155_utt3 ends where it starts"
    assert len({u.speaker for u in rows}) == 303
    assert Counter(u.session for u in rows) == PUBLISHED.used_by_session
    assert all(0 <= u.start_s < u.end_s for u in rows)
    ordered = with_turns(rows, "transcript", where="", reader="meld")
    first = [u.key for u in ordered if u.dialogue == "train_dia111"]
    assert first == [f"train_dia111_utt{number}" for number in range(18)], "six of its rows start before the first"
    by_part = {part: Counter(u.raw_label for u in rows if u.session == part) for part in ("train", "dev", "test")}
    assert by_part["test"] == Counter(neutral=1256, joy=402, anger=345, surprise=281, sadness=208, disgust=68, fear=50)
    assert by_part["dev"] == Counter(neutral=470, joy=163, anger=153, surprise=150, sadness=111, fear=40, disgust=22)


def test_published_counts_add_up() -> None:
    assert isinstance(PUBLISHED, Contract)
    assert sum(PUBLISHED.raw_labels.values()) == sum(PUBLISHED.used_by_session.values()) == PUBLISHED.utterances
