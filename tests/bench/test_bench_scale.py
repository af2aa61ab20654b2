"""The bench of scale: which dialogues a part has, and that a run says what it says."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from bench.scale import joined, main, part_of, session_of


def table(path: Path) -> Path:
    rows = [
        ("Ses01F_impro01_F000", 0.5, 1.0),
        ("Ses01F_impro01_F001", 1.0, 1.5),
        ("Ses01F_impro01b_M000", 0.5, 1.25),
        ("Ses01F_impro01b_M001", 1.25, 2.0),
        ("Ses02F_impro01_F000", 0.5, 9.0),
    ]
    with path.open("w", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(["utterance", "label", "start_s", "end_s"])
        writer.writerows([name, "neu", start_s, end_s] for name, start_s, end_s in rows)
    return path


def test_a_part_has_its_dialogues_files_and_those_of_no_other(tmp_path: Path) -> None:
    chosen = session_of(table(tmp_path / "t.tsv"), "Ses01")
    assert chosen.names == ("Ses01F_impro01", "Ses01F_impro01b") and chosen.video_s == 3.5 and chosen.speech_s == 2.5
    source = tmp_path / "whole" / "corpus"
    for name in ("wav/Ses01F_impro01.wav", "wav/Ses01F_impro01b.wav", "a/Ses01F_impro01/Ses01F_impro01_F000.wav", "x"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(name)
    (source.parent / "params.yaml").write_text("{}")
    root = part_of(tmp_path, source, chosen, 1)
    files = sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
    assert files == ["a/Ses01F_impro01/Ses01F_impro01_F000.wav", "wav/Ses01F_impro01.wav", "x"]
    with pytest.raises(SystemExit, match="no utterance whose name begins with Ses09"):
        session_of(tmp_path / "t.tsv", "Ses09")


def test_joined_a_session_is_one_dialogue_with_all_its_speech(tmp_path: Path) -> None:
    session = joined(session_of(table(tmp_path / "t.tsv"), "Ses01"))
    assert session.names == ("Ses01F_impro01",) and session.video_s == 3.5 and session.speech_s == 2.5
    assert [(row["utterance"], row["start_s"], row["end_s"]) for row in session.rows] == [
        ("Ses01F_impro01_F000", "0.5000", "1.0000"),
        ("Ses01F_impro01_F001", "1.0000", "1.5000"),
        ("Ses01F_impro01_M000", "2.0000", "2.7500"),
        ("Ses01F_impro01_M001", "2.7500", "3.5000"),
    ]


@pytest.mark.long
def test_a_run_says_what_a_session_a_part_and_a_change_cost(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOALNET_WORKERS", "1")
    main(["--table", str(table(tmp_path / "t.tsv")), "--detector", "haar", "--counts", "1", "--workers", "1"])
    said = capsys.readouterr().out
    assert "Ses01: 2 dialogues, 0.00 h of video, 4 utterances; haar, stride 12, 1 workers" in said
    assert "75 frames cut" in said  # 30 and 45 frames: 1 s and 1.5 s at 29.97
    assert "a corpus of 10,000 hours, 10,000.0 h of video" in said
    assert "the video of Ses01F_impro01b changed (2 s)" in said
