"""The reader of a table of one's own: its columns, its keys, and what it says of a wrong row."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foalnet.cli.new_entry import parse_classes
from foalnet.core.errors import DataError, UsageError
from foalnet.core.ledger import Ledger
from foalnet.core.records import Utterance
from foalnet.corpora import get_reader
from foalnet.corpora.base import is_role
from foalnet.corpora.table import Table, named
from foalnet.corpora.table.rows import read_rows
from foalnet.media import length_s
from foalnet.stages.manifest.dialogues import with_turns
from tests.support.corpus.trees import write, write_wav
from tests.support.corpus.videos import ffmpeg, write_clip

HEADER = "path,label,speaker\n"


def read(root: Path, table: str | None = "t.csv", ledger: Ledger | None = None) -> list[Utterance]:
    """Read a tree as the stages do."""
    reader = get_reader("table", table=table)
    reader.check_root(root)
    paths = [p.relative_to(root).as_posix() for p in sorted(root.rglob("*")) if p.is_file()]
    files = {path: role for path in paths if is_role(role := reader.wanted(path))}
    return reader.utterances(root, {p: str(r) for p, r in files.items()}, ledger if ledger is not None else Ledger())


def refusal(root: Path, text: str | bytes, name: str = "t.csv") -> str:
    write(root / name, text)
    with pytest.raises(DataError) as caught:
        read_rows(root / name)
    assert name in str(caught.value) and "correct the table" in str(caught.value)
    return caught.value.what


def test_a_row_gives_every_fact(tmp_path: Path) -> None:
    write_clip(tmp_path / "a/one.mp4", seconds=1.0)
    write_wav(tmp_path / "a/one.wav", 0.5)
    write(
        tmp_path / "t.csv",
        "Path;Label;Speaker;session;dialogue;side;text;valence;arousal;dominance;votes;audio;remark\n"
        "a/one.mp4;sad;Ada;s1;d1;left;Well, no.;1,5;2;3;ada=sad;ben=hap;a/one.wav;x\n",
    )
    with pytest.raises(DataError, match="row 2: 14 cells, the header has 13"):
        read(tmp_path)
    text = (tmp_path / "t.csv").read_text().replace("ada=sad;ben=hap", '"ada=sad;ben=hap"')
    write(tmp_path / "t.csv", text)
    assert read(tmp_path) == [
        Utterance(
            key="a_one",
            corpus="table",
            session="s1",
            dialogue="d1",
            speaker="Ada",
            side="left",
            start_s=0.0,
            end_s=pytest.approx(1.0, abs=0.1),  # that of the picture
            raw_label="sad",
            label=None,
            turn=0,
            valence=1.5,
            activation=2.0,
            dominance=3.0,
            votes=(("ada", ("sad",)), ("ben", ("hap",))),
            transcript="Well, no.",
            audio="a/one.wav",
            video="a/one.mp4",
        )
    ]


def test_spans_of_a_recording_are_utterances_of_one_dialogue(tmp_path: Path) -> None:
    write_clip(tmp_path / "talk.mp4", seconds=2.0)
    write(tmp_path / "t.jsonl", "\n".join(
        json.dumps({"path": "talk.mp4", "label": "sad", "speaker": who, "start_s": start, "end_s": start + 0.5})
        for who, start in (("ada", 0.25), ("ben", 1.0))
    ))  # fmt: skip
    first, second = read(tmp_path, "t.jsonl")
    assert (first.key, second.key) == ("talk_0000250", "talk_0001000")
    assert first.dialogue == second.dialogue == "talk" and (first.start_s, first.end_s) == (0.25, 0.75)
    assert first.audio is None and first.dialogue_audio == first.video == "talk.mp4"


def test_a_folder_per_class_needs_no_table(tmp_path: Path) -> None:
    for name in ("sad/1.wav", "sad/2.wav", "glad/deep/1.wav"):
        write_wav(tmp_path / name, 0.5)
    write(tmp_path / "notes.txt", "x")
    assert [(u.key, u.raw_label, u.speaker) for u in read(tmp_path, None)] == [
        ("glad_deep_1", "glad", "unknown"),
        ("sad_1", "sad", "unknown"),
        ("sad_2", "sad", "unknown"),
    ]
    reader = Table()
    reader.check_root(tmp_path)
    assert reader.default_classes == ["glad", "sad"]
    assert "no speaker in every row: scores for people that training did not see cannot be measured" in reader.notes[0]


def test_files_that_are_absent_or_no_media_are_dropped_by_name(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", 0.5)
    write(tmp_path / "b.wav", b"no sound")
    write(tmp_path / "t.csv", HEADER + "a.wav,sad,x\nb.wav,sad,x\nc.wav,sad,x\n")
    ledger = Ledger()
    assert {u.key: u.reason for u in read(tmp_path, ledger=ledger)} == {
        "a": None,
        "b": "wav_unreadable",
        "c": "file_missing",
    }
    assert ledger.counts() == {"dropped/file_missing": 1, "dropped/wav_unreadable": 1, "kept/video_missing": 1}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no column `path`; the columns are none"),
        ("file,label\nx,sad\n", "no column `path`; the columns are file, label"),
        ("path,label,speeker\nx,sad,a\n", "the column `speeker` is not known; did you mean 'speaker'?"),
        ("path,label,label\nx,sad,a\n", "the column `label` stands twice"),
        (HEADER, "it has no row below its header"),
        (HEADER + "a.wav,,x\n", "row 2: no label"),
        (HEADER + "\na.wav,sad,x\n,sad,x\n", "row 4: no path"),
        (HEADER + "/a.wav,sad,x\n", "row 2: path '/a.wav' is absolute"),
        (HEADER + "C:\\a.wav,sad,x\n", "row 2: path 'C:\\a.wav' is absolute"),
        (HEADER + "../a.wav,sad,x\n", "row 2: path '../a.wav' leads out of the corpus' root"),
        (HEADER + "a.wav,sad,x\nb.wav,sad,x\na.wav,hap,x\n", "row 4: path 'a.wav' with this start stands in row 2 too"),
        ("path,label,start_s,end_s\na.wav,sad,2,1\n", "row 2: it starts at 2 s and ends at 1 s"),
        ("path,label,start_s\na.wav,sad,2\n", "row 2: start_s and end_s belong together"),
        ("path,label,start_s,end_s\na.wav,sad,soon,1\n", "row 2: start_s is 'soon', not a number"),
        ("path,label,valence\na.wav,sad,inf\n", "row 2: valence is 'inf', not a number"),
        ("path,label,side\na.wav,sad,up\n", "row 2: side is 'up', not left, right, whole"),
        ("path,label,key\na.wav,sad,a.b\n", "row 2: key 'a.b': use up to 80 of"),
        ('path,label\n"a.wav,sad\n', "it is not CSV"),
        (HEADER + ".,sad,x\n", "row 2: path '.' names no file"),
        ("path,label,key\na.wav,sad,k\nb.wav,sad,k\n", "row 3: key 'k' stands in row 2 too"),
        ('path,label,valence\na.wav,sad,"1,234"\n', "row 2: valence is '1,234', not a number"),
        ("\n\npath,label\na.wav,\n", "row 4: no label"),
        ('path,label,votes\na.wav,sad,"a=sad;a=hap"\n', "a rater stands twice"),
        ("path,label,votes\na.wav,sad,=\n", "write a label for each rater"),
        ("path,label\nä.wav,sad\n".encode("latin-1"), "row 2: it is not UTF-8; save it as “CSV UTF-8”"),
    ],
)
def test_a_wrong_table_is_refused_by_row(tmp_path: Path, text: str | bytes, said: str) -> None:
    assert said in refusal(tmp_path, text)


def test_json_lines_are_refused_by_line(tmp_path: Path) -> None:
    assert "line 2: it is not JSON" in refusal(tmp_path, '{"path": "a", "label": "b"}\n{', "t.jsonl")
    assert "line 1: it is no object" in refusal(tmp_path, "[1]\n", "t.jsonl")
    for line, said in (
        ('{"path": "a", "label": "b", "valence": 1' + "0" * 400 + "}", "row 1: valence is '1000"),
        ('{"path": "a\\ud800", "label": "b"}', "row 1: path holds a character that is not Unicode"),
        ('{"path": "a", "label": NaN}', "row 1: no label"),
        ('{"path": "a", "label": "b", "votes": [["a", "sad"]]}', "row 1: votes are"),
    ):
        assert said in refusal(tmp_path, line, "t.jsonl")
    assert "row 1: label is ['b'], not a text" in refusal(tmp_path, '{"path": "a", "label": ["b"]}\n', "t.jsonl")


def test_every_wrong_row_is_named_up_to_twenty(tmp_path: Path) -> None:
    said = refusal(tmp_path, HEADER + "".join(f"{i}.wav,,x\n" for i in range(30)))
    assert said.count("no label") == 20 and "… and 10 more" in said


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_what_a_spreadsheet_saves_is_read(tmp_path: Path, encoding: str, separator: str) -> None:
    text = f"path{separator} Label {separator}speaker\r\nä b.wav{separator}sad{separator}Å\r\n"
    (tmp_path / "t.csv").write_bytes(text.encode(encoding))
    (row,) = read_rows(tmp_path / "t.csv")
    assert (row.path, row.label, row.speaker) == ("ä b.wav", "sad", "Å")


@pytest.mark.parametrize(
    ("rows", "fold_by"),
    [
        ([("a", "s1"), ("b", "s2"), ("c", "s3")], "session"),
        ([("a", "s1"), ("b", "s2"), ("c", "s2")], "speaker"),
        ([("a", "s1"), ("a", "s2"), ("c", "s3"), ("d", "s4")], "speaker"),
        ([("a", ""), ("b", ""), ("c", "")], "speaker"),
    ],
)
def test_sessions_fold_a_corpus_only_where_they_share_no_speaker(
    tmp_path: Path, rows: list[tuple[str, str]], fold_by: str
) -> None:
    lines = [f"{i}.wav,sad,{speaker},{session}" for i, (speaker, session) in enumerate(rows)]
    write(tmp_path / "t.csv", "path,label,speaker,session\n" + "\n".join(lines))
    reader = Table("t.csv")
    reader.check_root(tmp_path)
    assert reader.entry_preset["train"]["fold_by"] == fold_by and reader.notes == []


def test_a_dialogue_of_several_speakers_stays_together_and_two_of_one_name_are_apart(tmp_path: Path) -> None:
    lines = ["talk.wav,sad,ada,,talk", "talk.wav,sad,ben,,talk", "own.wav,sad,cem,,own"]
    lines += [
        f"talk.wav,sad,{speaker},{session},other" for speaker, session in (("dan", "A"), ("eve", "A"), ("fay", "B"))
    ]
    rows = [line.split(",") for line in lines]
    write(
        tmp_path / "t.csv",
        "path,label,speaker,session,dialogue,start_s,end_s\n"
        + "\n".join(",".join([*row, str(i), str(i + 1)]) for i, row in enumerate(rows)),
    )
    utterances = sorted(read(tmp_path), key=lambda u: u.start_s)
    assert [(u.speaker, u.session, u.dialogue) for u in utterances] == [
        ("ada", "talk", "talk"),
        ("ben", "talk", "talk"),
        ("cem", "cem", "own"),
        ("dan", "A", "A_other"),
        ("eve", "A", "A_other"),
        ("fay", "B", "B_other"),
    ]
    turns = with_turns(utterances, "start", where="", reader="table")
    assert {u.speaker: u.turn for u in turns} == {"ada": 0, "ben": 1, "cem": 0, "dan": 0, "eve": 1, "fay": 0}


@given(st.text(min_size=1, max_size=200), st.text(min_size=1, max_size=200))
def test_names_are_valid_and_differ_where_the_texts_do(one: str, other: str) -> None:
    assert named(one) and all(c.isascii() and (c.isalnum() or c in "_-") for c in named(one)) and len(named(one)) <= 80
    assert (named(one) == named(other)) == (one == other)


def test_another_reader_takes_no_table() -> None:
    with pytest.raises(UsageError, match="reader iemocap takes no table"):
        get_reader("iemocap", table="t.csv")


@given(st.binary(max_size=200))
def test_no_bytes_make_the_reader_fail_otherwise(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    for name in ("fuzz.csv", "fuzz.jsonl"):
        path = write(tmp_path_factory.getbasetemp() / name, b"path,label\n" + data if name == "fuzz.csv" else data)
        try:
            assert all(row.path and row.label for row in read_rows(path))
        except DataError:
            continue


@pytest.mark.parametrize(
    "text",
    [
        "path;label;text\ra.wav;sad;Well, no, no, no\r",
        '"path";"label";"rating (1,2,3)"\r\n"a.wav";"sad";"3"\r\n',
        "\r\npath\tlabel\r\n a.wav \t sad \r\n",
    ],
)
def test_the_separator_is_the_one_that_gives_the_columns(tmp_path: Path, text: str) -> None:
    (tmp_path / "t.csv").write_bytes(text.encode())
    (row,) = read_rows(tmp_path / "t.csv")
    assert (row.path, row.label) == ("a.wav", "sad")


def test_rows_that_would_share_a_key_have_keys_of_their_own(tmp_path: Path) -> None:
    for name in ("sad/a.wav", "sad/a.flac", "sad_a.wav"):
        write_wav(tmp_path / name, 0.5)
    write(tmp_path / "t.csv", HEADER + "sad/a.wav,sad,x\nsad/a.flac,sad,x\nsad_a.wav,glad,y\n")
    keys = [u.key for u in read(tmp_path)]
    assert len(set(keys)) == 3 and all(key.startswith("sad_a-") for key in keys)


def test_a_file_is_read_in_another_case_and_unicode_form(tmp_path: Path) -> None:
    write_wav(tmp_path / unicodedata.normalize("NFD", "Müller.WAV"), 0.5)
    write(tmp_path / "t.csv", HEADER + "müller.wav,sad,x\n")
    (u,) = read(tmp_path)
    assert u.reason is None and u.audio == unicodedata.normalize("NFD", "Müller.WAV")


def test_a_broken_picture_leaves_the_sound(tmp_path: Path) -> None:
    write(tmp_path / "a.mp4", b"xx")
    write_wav(tmp_path / "a.wav", 0.5)
    write(tmp_path / "t.csv", "path,label,speaker,audio\na.mp4,sad,x,a.wav\n")
    (u,) = read(tmp_path)
    assert (u.reason, u.end_s, u.audio, u.video) == (None, 0.5, "a.wav", "a.mp4")


def test_hidden_folders_are_no_classes(tmp_path: Path) -> None:
    for name in ("sad/1.wav", ".trash/1.wav", "@eaDir/1.wav", "sad/.d.wav"):
        write_wav(tmp_path / name, 0.5)
    assert [u.key for u in read(tmp_path, None)] == ["sad_1"]


def test_links_between_folders_give_no_class_and_no_endless_walk(tmp_path: Path) -> None:
    write_wav(tmp_path / "sad" / "1.wav", 0.5)
    (tmp_path / "glad").symlink_to(tmp_path / "sad")
    (tmp_path / "sad" / "again").symlink_to(tmp_path)
    reader = Table()
    reader.check_root(tmp_path)
    assert reader.default_classes == ["sad"]


def test_a_container_without_a_stated_length_is_measured(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", 0.5)
    piped = ffmpeg("-i", str(tmp_path / "a.wav"), "-f", "webm", "pipe:1")
    write(tmp_path / "b.webm", piped)
    assert length_s(tmp_path / "b.webm") == pytest.approx(0.5, abs=0.05)


def test_labels_with_signs_of_the_option_stay_labels() -> None:
    with pytest.raises(UsageError, match="at least two classes"):
        parse_classes(None, {"sad": ["sad"]}, ["sad"])
    assert parse_classes(None, {"a=b+c": ["a=b+c"], "d": ["d"]}, ["a=b+c", "d"]) == {"a=b+c": ["a=b+c"], "d": ["d"]}
