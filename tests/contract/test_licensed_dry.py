"""The licensed road, dry: a drawn corpus with IEMOCAP's true structure is counted as IEMOCAP is."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

import pytest

from foalnet.corpora.iemocap import PUBLISHED
from tests.support.projects import change_params, copy_project, verb

# ang, hap + exc, neu, sad of each session, as published code counts them
BY_SESSION = {
    "Session1": (229, 278, 384, 194),
    "Session2": (137, 327, 362, 197),
    "Session3": (240, 286, 320, 305),
    "Session4": (327, 303, 258, 143),
    "Session5": (170, 442, 384, 245),
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return copy_project(tmp_path / "project")


def rows_of(project: Path) -> list[dict[str, object]]:
    text = (project / "data/iemocap/manifest.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.long
def test_all_labels_are_counted_and_every_hole_is_named(project: Path, tmp_path: Path, shared_data: Path) -> None:
    table, corpus = shared_data / "iemocap_utterances.tsv", tmp_path / "corpus"
    verb(project, "draw", "--structure", str(table), "--out", str(corpus), "--media", "0")
    verb(project, "add-corpus", "iemocap", "--root", str(corpus))
    verb(project, "inventory", "iemocap")
    done = verb(project, "manifest", "iemocap", check=False)
    assert done.returncode == 3
    assert "class 'sad': 1084 expected, 0 found (1084 missing)" in done.stderr
    assert "used utterances of 'Session5': 1241 expected, 0 found (1241 missing)" in done.stderr
    with table.open() as lines:
        keys = {row["utterance"] for row in csv.DictReader(lines, delimiter="\t")}
    first = sum(key.startswith("Ses01F_impro01_") for key in keys)
    assert f"Ses01F_impro01, {first} utterances: wav_missing" in done.stderr and "Traceback" not in done.stderr
    counts = json.loads((project / "reports/iemocap/counts.json").read_text())
    actual = counts["counted"]
    assert actual["utterances"] == PUBLISHED.utterances == 10039
    assert actual["dialogues"] == PUBLISHED.dialogues and sum(actual["dialogues"].values()) == 151
    assert actual["raw_labels"] == PUBLISHED.raw_labels
    assert {breach["what"] for breach in counts["breaches"]} == {"class", "used utterances of"}
    assert Counter(entry["reason"] for entry in counts["entries"]) == {"wav_missing": 10039}
    assert {entry["item"] for entry in counts["entries"]} == keys


@pytest.mark.long
def test_one_short_dialogue_a_session_has_media_and_the_rest_is_named(
    project: Path, tmp_path: Path, shared_data: Path
) -> None:
    table, corpus = shared_data / "iemocap_utterances.tsv", tmp_path / "corpus"
    verb(project, "draw", "--structure", str(table), "--out", str(corpus), "--media", "1")
    # No dialogue that has media has a happy utterance, and a class may not be empty.
    verb(project, "add-corpus", "iemocap", "--root", str(corpus), "--classes", "neutral,sad,angry")
    verb(project, "inventory", "iemocap")
    with_media = {path.parent.name for path in corpus.rglob("sentences/wav/*/Ses*.wav")}
    assert len(with_media) == 5
    assert verb(project, "manifest", "iemocap", check=False).returncode == 3
    # The counts of the labels as the contract, the media's holes allowed by name: then the manifest is written.
    stated = PUBLISHED.model_dump() | {"classes": {}, "used_by_session": {}}
    change_params(project, corpora={"iemocap": {"manifest": {"contract": stated, "max_drop_fraction": 1.0}}})
    verb(project, "manifest", "iemocap")
    rows = rows_of(project)
    assert len(rows) == 10039 and all(
        (row["reason"] == "wav_missing") != (row["dialogue"] in with_media) for row in rows
    )
    merged = Counter((row["session"], "hap" if row["raw_label"] == "exc" else row["raw_label"]) for row in rows)
    for session, counts in BY_SESSION.items():
        assert tuple(merged[session, label] for label in ("ang", "hap", "neu", "sad")) == counts
    assert sum(sum(counts) for counts in BY_SESSION.values()) == 5531
