"""A lock has equal bytes for equal shards, names what differs, and tells an outsider nothing."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from safetensors.numpy import save

from foalnet.checks.lock import EXTRA, MISSING, Held, compare, lock_bytes, lock_of, read_lock
from foalnet.config.blocks import Features, Shards
from foalnet.core.errors import DataError
from foalnet.core.files import publish_bytes, sha256_bytes
from foalnet.core.paths import Paths
from foalnet.shards import open_shards
from foalnet.shards.features import INDEX, MASK, SCHEMA, FeatureFile, FeatureIndex, file_of, index_bytes
from tests.support.corpus.staging import Place
from tests.support.corpus.trees import CLIPS, RATE_HZ, clips_tree, sound, write, write_wav

DIGEST = re.compile(r"[0-9a-f]{32}")


def pictures(home: Path, **shards: Any) -> tuple[Place, Paths]:
    """Stage a small corpus in IEMOCAP's layout."""
    root = home / "root"
    if not root.exists():
        clips_tree(root)
    place = Place(home=home, root=root, shards=Shards(detector="fixed", **shards))
    return place, place.stage_paths()


def held(staged: tuple[Place, Paths]) -> Held:
    place, paths = staged
    return lock_of(place.params, paths)


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Place, Paths]:
    return pictures(tmp_path_factory.mktemp("staged"))


def test_the_same_shards_give_the_same_bytes_and_no_difference(staged: tuple[Place, Paths], tmp_path: Path) -> None:
    one, other = held(staged), held(pictures(tmp_path))
    assert lock_bytes(one.lock) == lock_bytes(other.lock)
    renamed = write(tmp_path / "lock (1).json", lock_bytes(one.lock))
    result = compare(read_lock(renamed), other)
    assert (result.differing, result.why, list(result.lines(3))) == ({}, [], [])
    assert result.utterances == len(open_shards(staged[1].shards).keys)


def test_each_sample_has_its_sound_and_pictures(staged: tuple[Place, Paths]) -> None:
    assert {tuple(sorted(parts)) for parts in held(staged).lock.utterances.values()} == {("face", "half", "sound")}


def test_other_params_are_the_reason_that_is_given(staged: tuple[Place, Paths], tmp_path: Path) -> None:
    result = compare(held(staged).lock, held(pictures(tmp_path, face_px=32)))
    assert set(result.differing) == {"face differs"}
    assert ("shards.face_px", staged[0].params.shards.face_px, 32) in result.why
    first, *rest = result.lines(2)
    assert re.fullmatch(r"face differs: \d+: \w+, \w+ and \d+ more", first)
    assert any(line.startswith("shards.face_px: expected ") and line.endswith("found 32 (here)") for line in rest)


def test_other_versions_are_named_and_are_no_difference_by_themselves(staged: tuple[Place, Paths]) -> None:
    mine = held(staged)
    packages = {**mine.lock.tools["packages"], "numpy": "1.0"}
    other = replace(mine.lock, tools={**mine.lock.tools, "packages": packages})
    result = compare(other, mine)
    assert not result.differing and [where for where, *_ in result.why] == ["tools.packages.numpy"]


def test_a_picture_that_differs_is_named(staged: tuple[Place, Paths], tmp_path: Path) -> None:
    root = clips_tree(tmp_path / "root")
    (root / "Session1" / "dialog" / "avi" / "DivX" / f"{CLIPS[0]}.avi").unlink()
    result = compare(held(staged).lock, held(pictures(tmp_path)))
    keys = [key for key in open_shards(staged[1].shards).keys if key.startswith(CLIPS[0])]
    assert result.differing == {"face differs": keys, "half differs": keys}


def test_an_utterance_of_another_sound_file_is_missing_and_extra(staged: tuple[Place, Paths], tmp_path: Path) -> None:
    root = clips_tree(tmp_path / "root")
    key = f"{CLIPS[0]}_F000"
    soundfile.write(
        root / "Session1" / "sentences" / "wav" / CLIPS[0] / f"{key}.wav", sound(99, 0.9), RATE_HZ, subtype="PCM_16"
    )
    result = compare(held(staged).lock, held(pictures(tmp_path)))
    assert result.differing[EXTRA] == [key]
    (unknown,) = result.differing[MISSING]
    assert re.fullmatch(r"[0-9a-f]{12}…", unknown), "its name is not in the lock"


def test_an_utterance_that_is_not_staged_here_is_missing_by_its_name(
    staged: tuple[Place, Paths], tmp_path: Path
) -> None:
    everything, few = held(staged), held(pictures(tmp_path, utterances="used"))
    more = set(everything.lock.utterances) - set(few.lock.utterances)
    assert more
    assert compare(everything.lock, few).differing == {MISSING: sorted(few.keys[each] for each in more)}
    assert compare(few.lock, everything).differing == {EXTRA: sorted(few.keys[each] for each in more)}


def texts(value: Any) -> Iterator[str]:
    """Yield every text and every key of a JSON value."""
    if isinstance(value, dict):
        for name, each in value.items():
            yield name
            yield from texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from texts(each)
    elif isinstance(value, str):
        yield value


def table(home: Path) -> tuple[Place, Paths]:
    """Stage a table of which paths, labels, speakers and words are easy to guess; one clip is silent."""
    root = home / "root"
    lines = ["path,label,speaker,start_s,end_s,text"]
    for number, (label, speaker) in enumerate((("sad", "ada"), ("glad", "ben"))):
        write_wav(root / label / f"{speaker}.wav", 1.0 + number, seed=number)
        lines.append(f"{label}/{speaker}.wav,{label},{speaker},0.25,0.75,No.")
    soundfile.write(root / "silence.wav", sound(1, 0.5) * 0, RATE_HZ, subtype="PCM_16")
    lines.append("silence.wav,sad,ada,0.0,0.5,No.")
    write(root / "clips.csv", "\n".join(lines) + "\n")
    classes = {"sad": ["sad"], "glad": ["glad"]}
    place = Place(home=home, root=root, reader="table", table="clips.csv", classes=classes)
    return place, place.stage_paths()


def test_it_holds_digests_and_ids_alone(tmp_path: Path) -> None:
    staged = table(tmp_path)
    data = lock_bytes(held(staged).lock)
    facts = json.loads(data)
    assert set(facts) == {"schema", "reader", "shards", "tools", "features", "utterances", "seal"}
    for identity, parts in facts["utterances"].items():
        assert DIGEST.fullmatch(identity) and all(DIGEST.fullmatch(digest) for digest in parts.values())
    assert facts["shards"] == staged[0].params.shards.model_dump(mode="json")
    assert set(texts(facts["tools"])) & {"code", "packages", "ffmpeg", "detector"} == {
        "code",
        "packages",
        "ffmpeg",
        "detector",
    }
    assert str(tmp_path) not in data.decode()


def test_no_guess_of_an_outsider_can_be_confirmed(tmp_path: Path) -> None:
    """Every field, word and member, digested with what is no secret, is not in the file: not even silence is."""
    place, paths = table(tmp_path)
    data = lock_bytes(lock_of(place.params, paths).lock).decode()
    samples = list(open_shards(paths.shards).samples())
    assert any(sample.meta.audio.reason == "sound_silent" for sample in samples)
    guesses = {b"", b"No."}
    for sample in samples:
        meta = json.loads(sample.members["json"])
        guesses |= {str(value).encode() for value in meta.values()} | {json.dumps(meta).encode()}
        guesses |= {str(meta[name]).encode() for name in ("start_s", "end_s")} | set(sample.members.values())
    open_keys = [b"", b"key", b"table", b"tiny", hashlib.sha256(b"").digest()]
    parts = [b"", b"key\0", b"sound\0", b"face\0", b"half\0"]
    for guess in guesses:
        for part in parts:
            tried = [hashlib.sha256(part + guess).hexdigest(), hashlib.md5(part + guess).hexdigest()]
            tried += [hmac.new(key, part + guess, "sha256").hexdigest() for key in open_keys]
            assert not any(digest[:32] in data for digest in tried)
    for sample in samples:
        for word in (sample.key, sample.meta.dialogue, sample.meta.text):
            assert word not in data
        assert f'"{sample.meta.label}"' not in data and f'"{sample.meta.speaker}"' not in data


def test_two_equal_members_of_two_utterances_do_not_look_equal(tmp_path: Path) -> None:
    """All samples of a table of sounds have empty pictures; a digest that repeats would say so."""
    every = [digest for parts in held(table(tmp_path)).lock.utterances.values() for digest in parts.values()]
    assert len(set(every)) == len(every)


def test_a_table_of_features_is_a_part(tmp_path: Path) -> None:
    root = tmp_path / "root"
    for emotion, actor in (("01", "01"), ("05", "02")):
        write_wav(root / f"Actor_{actor}" / f"03-01-{emotion}-01-01-01-{actor}.wav", 0.5)
    write(root / "table.tsv", "clip\tAU01\n01-01-01-01-01-01-01\t0.5\n")
    classes = {"neutral": ["neutral"], "angry": ["angry"]}
    place = Place(home=tmp_path, root=root, reader="ravdess", classes=classes, shards=Shards(detector="none at all"))
    before = lock_of(place.params, place.stage_paths())
    assert {tuple(sorted(parts)) for parts in before.lock.utterances.values()} == {("sound", "table")}
    write(root / "table.tsv", "clip\tAU01\n01-01-01-01-01-01-01\t0.25\n")
    after = lock_of(place.params, place.stage_paths())
    assert {kind: len(names) for kind, names in compare(before.lock, after).differing.items()} == {"table differs": 1}


def test_vectors_of_pictures_are_a_part_and_their_encoder_is_named(staged: tuple[Place, Paths], tmp_path: Path) -> None:
    place, paths = staged
    features = Features(encoder="clip_vit_b32", picture="face", frame_step=1)
    params = place.params.model_copy(update={"features": features})
    before = lock_of(params, write_features(paths, features, fill=0.0)).lock
    assert {tuple(sorted(parts)) for parts in before.utterances.values()} == {("face", "features", "half", "sound")}
    assert before.features is not None and before.features["encoder"] == "clip_vit_b32"
    after = lock_of(params, write_features(paths, features, fill=1.0))
    assert {*compare(before, after).differing} == {"features differs"}


def write_features(paths: Paths, features: Features, *, fill: float) -> Paths:
    """Write vectors of all samples as the stage `features` does; they go when the module's tests end."""
    files = []
    for entry in open_shards(paths.shards).entries:
        tensors: dict[str, np.ndarray] = {}
        for key in entry.keys:
            tensors |= {key: np.full((2, 3), fill, np.float32), key + MASK: np.ones(2, bool)}
        data = save(tensors)
        publish_bytes(paths.features / file_of(entry.path), data)
        files.append(
            FeatureFile(path=file_of(entry.path), sha256=sha256_bytes(data), shard=entry.sha256, utterances=entry.count)
        )
    facts = {"encoder": features.encoder, "picture": features.picture, "frame_step": features.frame_step}
    index = FeatureIndex(schema=SCHEMA, corpus=paths.corpus, files=files, weights="0" * 64, dims=3, **facts)  # type: ignore[arg-type]
    publish_bytes(paths.features / INDEX, index_bytes(index))
    return paths


def test_words_alone_are_in_no_lock(staged: tuple[Place, Paths], monkeypatch: pytest.MonkeyPatch) -> None:
    def without(key: str) -> None:
        monkeypatch.setattr(
            "foalnet.checks.lock._parts",
            lambda sample, _: [] if sample.key.startswith(key) else [("sound", sample.members["flac"])],
        )

    without(CLIPS[0])
    some, keys = held(staged), open_shards(staged[1].shards).keys
    assert some.words_only == sum(key.startswith(CLIPS[0]) for key in keys) > 0
    assert len(some.lock.utterances) == len(keys) - some.words_only
    without("")
    with pytest.raises(DataError, match="words can be guessed") as caught:
        held(staged)
    assert "sha256sum" in str(caught.value.action)


@pytest.mark.parametrize("damage", ["absent", "cut", "edited", "other", "folder"])
def test_a_file_that_is_no_lock_is_refused_by_its_name(
    staged: tuple[Place, Paths], tmp_path: Path, damage: str
) -> None:
    data = lock_bytes(held(staged).lock)
    path = tmp_path / "theirs.json"
    if damage == "folder":
        path.mkdir()
    elif damage != "absent":
        changed = {"cut": data[:-9], "edited": data.replace(b'"sound"', b'"sonud"', 1), "other": b'{"seal": "x"}'}
        write(path, changed[damage])
    with pytest.raises(Exception) as caught:
        read_lock(path)
    assert getattr(caught.value, "exit_code", 70) in (3, 4) and str(path) in str(caught.value)


def test_params_changed_after_staging_are_refused(staged: tuple[Place, Paths], tmp_path: Path) -> None:
    place, paths = staged
    lock, params = paths.home / "dvc.lock", paths.home / "params.yaml"
    try:
        write(params, "shards: {margin: 0.5}\ncorpora: {tiny: {}}\n")
        write(lock, "stages: {shards@tiny: {params: {params.yaml: {shards: {margin: 0.2}}}}}\n")
        with pytest.raises(DataError, match=r"shards\.margin 0\.2, params\.yaml has 0\.5") as caught:
            lock_of(place.params, paths)
        assert "dvc repro shards@tiny" in str(caught.value.action)
    finally:
        lock.unlink()
        params.unlink()
