"""A corpus with a feature table for pictures: the shard has the unchanged row, and no decoder runs."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from foalnet.config.blocks import Shards
from foalnet.shards import open_shards
from tests.support.corpus.staging import Place
from tests.support.corpus.trees import RATE_HZ, sound

# Emotion, actor of each clip; the last has no row in the table.
CLIPS = [("01", "01"), ("05", "01"), ("01", "02"), ("04", "02")]
COLUMNS = ("AU01", "AU02", "AU12")


def name(modality: str, emotion: str, actor: str) -> str:
    return f"{modality}-01-{emotion}-01-01-01-{actor}"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    root = tmp_path / "root"
    lines = ["\t".join(["clip", *COLUMNS])]
    for number, (emotion, actor) in enumerate(CLIPS):
        path = root / f"Actor_{actor}" / f"{name('03', emotion, actor)}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, sound(number, 0.5), RATE_HZ, subtype="PCM_16")
        if number < 3:
            lines.append("\t".join([name("01", emotion, actor), *(str(number + i / 7) for i in range(3))]))
    (root / "table.tsv").write_text("\n".join(lines) + "\n")
    classes = {"neutral": ["neutral"], "angry": ["angry"], "sad": ["sad"]}
    return Place(home=tmp_path, root=root, reader="ravdess", classes=classes, shards=Shards(detector="none at all"))


def test_rows_come_as_they_stand(place: Place) -> None:
    place.stage()
    got = {s.key: s for s in open_shards(place.out).samples()}
    assert len(got) == 4
    for number, (emotion, actor) in enumerate(CLIPS):
        sample = got[name("03", emotion, actor)]
        assert list(sample.members) == ["flac", "json", "video.npy"]
        features_FD = np.load(io.BytesIO(sample.members["video.npy"]), allow_pickle=False)
        frames = 1 if number < 3 else 0
        assert features_FD.shape == (frames, 3) and features_FD.dtype == np.float32
        assert np.array_equal(features_FD, np.float32([[number + i / 7 for i in range(3)]])[:frames])
        assert json.loads(sample.members["json"])["features"] == {"dims": 3, "frames": frames}


def test_account_names_the_clip_without_a_row(place: Place) -> None:
    place.stage()
    account = json.loads(place.report.read_bytes())
    assert account["features"] == {"frames": 3, "utterances_without": 1}
    assert account["frames"] is None and account["tools"]["ffmpeg"] is None and account["tools"]["detector"] is None
    assert [e["item"] for e in account["ledger"]["entries"]] == [name("03", *CLIPS[3])]


def test_a_new_number_in_the_table_stages_again(place: Place) -> None:
    assert place.stage().staged_now == 2
    table = place.root / "table.tsv"
    table.write_text(table.read_text().replace("2.0\t", "2.5\t"))
    assert place.stage().staged_now == 2
