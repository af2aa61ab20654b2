"""In a project in which all stages ran: its lock is equal, a changed param is refused, a clip's features are staged."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np

from foalnet.artifact.table import read_manifest
from foalnet.shards import open_shards
from tests.support.projects import change_params, verb


def test_a_lock_of_the_project_is_equal_and_belongs_to_the_recorded_params(tiny_project: Path, tmp_path: Path) -> None:
    lock = tmp_path / "drawn.lock.json"
    verb(tiny_project, "lock", "drawn", "--out", str(lock))
    assert "utterances have the bytes of" in verb(tiny_project, "lock", "drawn", "--check", str(lock)).stdout
    params = tiny_project / "params.yaml"
    kept = params.read_bytes()
    try:
        change_params(tiny_project, shards={"face_px": 32})
        done = verb(tiny_project, "lock", "drawn", "--check", str(lock), check=False)
    finally:
        params.write_bytes(kept)
    assert done.returncode == 3 and "the shards were staged with shards.face_px 64, params.yaml has 32" in done.stderr


def test_features_of_an_utterances_raw_files_are_those_of_its_shard(tiny_project: Path, tmp_path: Path) -> None:
    data = tiny_project / "data" / "drawn"
    sample = next(open_shards(data / "shards").samples())
    utterance = {u.key: u for u in read_manifest(data / "manifest.jsonl")}[sample.key]
    assert utterance.video is not None and utterance.audio is not None
    done = verb(
        tiny_project, "extract", str(data / "raw" / utterance.video), "--model", "models/drawn/final", "--people", "2",
        "--side", utterance.side, "--start", str(utterance.start_s), "--end", str(utterance.end_s), "--sound",
        str(data / "raw" / utterance.audio), "--out", str(tmp_path / "out"),
    )  # fmt: skip
    folder = Path(json.loads(done.stdout)["folder"])
    assert np.array_equal(np.load(folder / "sound.npy"), sample.sound()[0])
    assert sample.meta.video is not None
    assert np.load(folder / "boxes.npy").tolist() == sample.meta.video.boxes
    assert (folder / "audio_vectors.npy").is_file() and (folder / "video_vectors.npy").is_file()


def test_an_export_of_a_drawn_corpus_says_that_no_person_is_in_it(tiny_project: Path) -> None:
    try:
        done = verb(tiny_project, "export", "drawn", "--format", "folder", "--out", "loose")
        assert "do not commit" in done.stderr
        assert "no person" in (tiny_project / "loose" / "LICENCE.txt").read_text("utf-8")
    finally:
        shutil.rmtree(tiny_project / "loose", ignore_errors=True)
