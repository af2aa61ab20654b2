"""A key of a sample's metadata has one type, whatever is missing: readers that infer types from a few samples can read.

Hugging Face `datasets` takes the types of a WebDataset from its first samples and casts all others to them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest
import soundfile
from pydantic import TypeAdapter

from foalnet.config.blocks import Shards
from foalnet.shards import SampleMeta, open_shards
from tests.support.corpus.staging import Place
from tests.support.corpus.trees import CLIPS, RATE_HZ, clips_tree, sound

PAGE = Path(__file__).resolve().parents[2] / "docs" / "staging.md"
HOLDS = TypeAdapter(SampleMeta)


def metas(place: Place) -> list[dict[str, Any]]:
    place.stage()
    return [json.loads(sample.members["json"]) for sample in open_shards(place.out).samples()]


def inferred(value: Any) -> Any:
    """Return the type of a JSON value as a reader infers it; a list is of one type."""
    if isinstance(value, dict):
        return {name: inferred(each) for name, each in value.items()}
    if isinstance(value, list):
        kinds = {json.dumps(inferred(each), sort_keys=True) for each in value}
        assert len(kinds) == 1, f"a list of {kinds}"
        return [json.loads(kinds.pop())]
    assert value is not None, "null has no type"
    return type(value).__name__


@pytest.fixture
def pictures(tmp_path: Path) -> Place:
    """Dialogues with and without a picture, with faces and without, sound as filed, cut, resampled and padded."""
    root = clips_tree(tmp_path / "root")
    wavs = root / "Session1" / "sentences" / "wav" / CLIPS[0]
    (wavs / f"{CLIPS[0]}_F000.wav").unlink()
    soundfile.write(wavs / f"{CLIPS[0]}_M000.wav", sound(1, 0.97)[::2], RATE_HZ // 2, subtype="PCM_16")
    (root / "Session1" / "dialog" / "avi" / "DivX" / f"{CLIPS[1]}.avi").unlink()
    return Place(home=tmp_path, root=root, shards=Shards(detector="fixed", utterances="all"))


@pytest.fixture
def tables(tmp_path: Path) -> Place:
    """A corpus with a feature table instead of pictures, and one clip without a row."""
    root = tmp_path / "root"
    for number, (emotion, actor) in enumerate((("01", "01"), ("05", "02"))):
        path = root / f"Actor_{actor}" / f"03-01-{emotion}-01-01-01-{actor}.wav"
        path.parent.mkdir(parents=True)
        soundfile.write(path, sound(number, 0.5), RATE_HZ, subtype="PCM_16")
    (root / "table.tsv").write_text("clip\tAU01\n01-01-01-01-01-01-01\t0.5\n")
    classes = {"neutral": ["neutral"], "angry": ["angry"]}
    return Place(home=tmp_path, root=root, reader="ravdess", classes=classes, shards=Shards(detector="none at all"))


def alike(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        HOLDS.validate_json(json.dumps(row))
    kinds = [inferred(row) for row in rows]
    assert all(kind == kinds[0] for kind in kinds), "no reader can take the types from the first sample"


def test_samples_with_pictures_have_one_type_whatever_they_lack(pictures: Place) -> None:
    rows = metas(pictures)
    alike(rows)
    assert {row["audio"]["reason"] for row in rows} >= {"", "wav_from_dialogue", "audio_resampled"}
    reasons = {reason for row in rows for reason in row["video"]["reasons"]}
    assert reasons >= {"", "video_missing"}
    assert {row["label"] for row in rows} == {"neutral", "angry", ""}, "an utterance in no class has none"


def test_samples_with_features_have_one_type_whatever_they_lack(tables: Place) -> None:
    rows = metas(tables)
    alike(rows)
    assert sorted(row["features"]["frames"] for row in rows) == [0, 1]


@pytest.mark.long
def test_another_class_set_reaches_the_samples(pictures: Place, tmp_path: Path) -> None:
    before = {row["key"]: row["label"] for row in metas(pictures)}
    classes = {"calm": ["neu"], "open": ["xxx"]}
    other = Place(home=tmp_path, root=pictures.root, shards=pictures.shards, classes=classes)
    after = {row["key"]: row["label"] for row in metas(other)}
    same = {"neutral": "calm", "angry": "", "": "open"}
    assert after == {key: same[label] for key, label in before.items()}


def names(kind: Any, prefix: str = "") -> Iterator[str]:
    """Yield every key of the typed model, as `audio.rate_hz`."""
    for field in fields(kind):
        hint = get_type_hints(kind)[field.name]
        inner = next((each for each in (hint, *get_args(hint)) if is_dataclass(each)), None)
        if inner is None:
            yield prefix + field.name
        else:
            yield from names(inner, f"{prefix}{field.name}.")


def test_the_page_names_every_key() -> None:
    keys = PAGE.read_text("utf-8").partition("### Keys of `json`\n")[2].partition("\n## ")[0]
    documented = re.findall(r"^\| `([a-z_.]+)` \| [^|]+ \| [^|]+ \|$", keys, re.MULTILINE)
    assert documented == list(names(SampleMeta))


def test_zeros_of_a_missing_box_are_no_box(pictures: Place) -> None:
    for row in metas(pictures):
        video = row["video"]
        there = [any(box) for box in video["boxes"]]
        assert there == [source != "missing" for source in video["sources"]] == [not r for r in video["reasons"]]
        assert np.array_equal([bool(score) for score in video["scores"]], there)
