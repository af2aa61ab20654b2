"""Staging: the correct frames of the correct half, exact sound, the same bytes, no repeated work."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import soundfile

from foalnet import media
from foalnet.config.blocks import Shards
from foalnet.core.errors import DataError, MachineError
from foalnet.shards import Sample, open_shards
from tests.support.corpus.rows import utterance
from tests.support.corpus.staging import Place
from tests.support.corpus.trees import CLIPS, RATE_HZ, TURNS, clips_tree, sound
from tests.support.corpus.videos import FPS, level, picture, write_avi


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clips_tree(tmp_path_factory.mktemp("tree"))


@pytest.fixture(scope="module")
def staged(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Place:
    place = Place(home=tmp_path_factory.mktemp("home"), root=tree)
    place.stage()
    return place


def samples(place: Place) -> dict[str, tuple[dict[str, Any], Sample]]:
    return {s.key: (json.loads(s.members["json"]), s) for s in open_shards(place.out).samples()}


def greys(sample: Sample, stream: Literal["face", "half"]) -> list[float]:
    return [float(np.mean(media.read_jpeg(j))) for j in sample.pictures(stream)]


def test_every_utterance_has_its_own_frames_only(staged: Place) -> None:
    got = samples(staged)
    assert len(got) == len(CLIPS) * len(TURNS)
    for key, (meta, sample) in got.items():
        _, start, end = next(turn for turn in TURNS if key.endswith(turn[0]))
        indices = [i for i in range(200) if start <= i / FPS < end]
        video = meta["video"]
        assert len(video["times_s"]) == len(indices)
        assert np.allclose(video["times_s"], np.array(indices) / FPS, atol=1e-5)
        # The woman is left where she wears the markers (her letter is in the dialogue's name).
        side = "left" if key[5] == key.split("_")[-1][0] else "right"
        assert meta["side"] == side
        for stream in ("face", "half"):
            shown = greys(sample, stream)
            # A picture one frame off would be 2 grey levels off; the codec's own error is at most 1.
            error = np.array(shown) - [level(i, side) for i in indices]
            assert np.abs(error).max() < 1.5 and abs(error.mean()) < 0.7, (key, stream)


def test_pictures_have_their_size_and_the_bars_are_cut(staged: Place) -> None:
    meta, sample = samples(staged)["Ses01F_impro01_F000"]
    half = media.read_jpeg(sample.pictures("half")[0])
    face = media.read_jpeg(sample.pictures("face")[0])
    assert half.shape == (96, 128, 3) and face.shape == (64, 64, 3)
    assert half.min() > 30
    assert meta["video"]["area"] == [0, 120, 360, 480 - 120]
    # `fixed` returns the middle of the cropped half; boxes are in pixels of the source picture.
    assert meta["video"]["boxes"][0] == [120.0, 180.0, 240.0, 300.0]


def test_without_letterbox_the_half_keeps_its_rows(tree: Path, tmp_path: Path) -> None:
    place = Place(home=tmp_path, root=tree, shards=Shards(detector="fixed", letterbox=False))
    place.stage()
    meta, _ = samples(place)["Ses01F_impro01_M000"]
    assert meta["video"]["area"] == [360, 0, 720, 480]


def test_sound_is_the_sentence_to_the_sample(staged: Place) -> None:
    for number, dialogue in enumerate(CLIPS):
        for turn, (suffix, start, end) in enumerate(TURNS):
            meta, sample = samples(staged)[f"{dialogue}_{suffix}"]
            wave_N, rate_hz = media.read_flac(sample.members["flac"])
            assert rate_hz == RATE_HZ and meta["audio"] == {"rate_hz": 16000, "samples": wave_N.size, "reason": ""}
            assert np.array_equal(wave_N, sound(10 * number + turn, end - start))


def test_nothing_that_only_the_manifest_knows_is_in_a_shard(staged: Place) -> None:
    meta, _ = samples(staged)["Ses01F_impro01_F000"]
    assert (meta["raw_label"], meta["label"]) == ("neu", "neutral")
    assert not {"votes", "transcript", "valence"} & set(meta)


def test_the_detector_runs_at_every_stride_and_at_the_last_frame(staged: Place) -> None:
    for meta, _ in samples(staged).values():
        sources = meta["video"]["sources"]
        looked = {i for i in range(len(sources)) if i % 6 == 0 or i == len(sources) - 1}
        assert {i for i, source in enumerate(sources) if source == "detected"} == looked


def test_account_is_complete(staged: Place) -> None:
    account = json.loads(staged.report.read_bytes())
    assert account["utterances"] == {"staged": 9, "dropped": 0, "not_staged": 0}
    assert account["coverage"]["overall"] == 1.0 and set(account["coverage"]["by_speaker"]) == {
        "Ses01F", "Ses01M", "Ses02F", "Ses02M",
    }  # fmt: skip
    assert account["frames"]["total"] == sum(len(m["video"]["times_s"]) for m, _ in samples(staged).values())
    assert account["ledger"] == {"counts": {"kept": 9}, "entries": []}
    assert str(staged.root) not in staged.report.read_text()


def test_another_machine_s_order_and_work_give_the_same_bytes(
    staged: Place, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.rglob
    monkeypatch.setattr(Path, "rglob", lambda self, pattern: sorted(real(self, pattern), reverse=True))
    other = Place(home=tmp_path, root=tree)
    other.stage()
    assert other.bytes() == staged.bytes()


def test_two_workers_give_the_bytes_of_one(staged: Place, tree: Path, tmp_path: Path) -> None:
    two = Place(home=tmp_path, root=tree, workers=2, with_pool=True)
    assert two.stage().staged_now == len(CLIPS)
    assert two.bytes() == staged.bytes()


def again(staged: Place, tmp_path: Path, **changes: Any) -> tuple[Place, int]:
    """Stage in a place that shares `staged`'s work cache; return how many dialogues were worked on."""
    (tmp_path / "work").symlink_to(staged.home / "work")
    place = replace(staged, home=tmp_path, **changes)
    return place, place.stage().staged_now


def test_the_account_names_the_detector_and_the_files_it_learnt_from(tree: Path, tmp_path: Path) -> None:
    from foalnet.faces import get_detector

    place = Place(home=tmp_path, root=tree, shards=Shards(detector="haar"))
    place.stage()
    detector = get_detector(place.shards, place.settings)
    facts = json.loads(place.report.read_bytes())["tools"]["detector"]
    assert facts == {"name": "haar", "digest": detector.digest(), "weights": detector.weights()}
    assert all(len(digest) == 64 for digest in facts["weights"].values()) and facts["weights"]


def test_a_detector_with_another_digest_stages_everything_again(
    staged: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    shutil.copytree(staged.home / "work", tmp_path / "work")
    monkeypatch.setattr("foalnet.faces.FixedDetector.digest", lambda _: "1" * 64)
    assert replace(staged, home=tmp_path).stage().staged_now == len(CLIPS)


def test_a_search_around_the_last_face_gives_the_same_bytes_every_time(tree: Path, tmp_path: Path) -> None:
    shards = Shards(detector="fixed", roi=1.5, stride=3)
    one, other = (Place(home=tmp_path / name, root=tree, shards=shards) for name in "ab")
    one.stage()
    other.stage()
    assert one.bytes() == other.bytes()


def test_nothing_is_staged_twice(staged: Place, tmp_path: Path) -> None:
    place, worked = again(staged, tmp_path)
    assert worked == 0 and place.bytes() == staged.bytes()


def test_other_classes_stage_again_the_dialogues_that_they_concern(staged: Place, tmp_path: Path) -> None:
    place, worked = again(staged, tmp_path, classes={"quiet": ["neu"], "loud": ["ang"]})
    assert worked == len(CLIPS)
    assert {meta["label"] for meta, _ in samples(place).values()} == {"quiet", "loud", ""}


def test_other_params_stage_everything_again(staged: Place, tmp_path: Path) -> None:
    _, worked = again(staged, tmp_path, shards=Shards(detector="fixed", stride=5))
    assert worked == len(CLIPS)


def test_a_limit_that_shapes_no_byte_stages_nothing_again(staged: Place, tmp_path: Path) -> None:
    _, worked = again(staged, tmp_path, shards=Shards(detector="fixed", max_drop_fraction=0.5))
    assert worked == 0


def test_used_alone_leaves_the_others_out(staged: Place, tmp_path: Path) -> None:
    place, _ = again(staged, tmp_path, shards=Shards(detector="fixed", utterances="used"))
    assert all(not key.endswith("F001") for key in samples(place)) and len(samples(place)) == 6
    assert json.loads(place.report.read_bytes())["utterances"]["not_staged"] == 3


def test_touching_one_dialogue_stages_that_one_only(tree: Path, tmp_path: Path) -> None:
    import shutil

    root = tmp_path / "root"
    shutil.copytree(tree, root)
    place = Place(home=tmp_path / "home", root=root)
    assert place.stage().staged_now == 3
    wav = root / "Session1/sentences/wav/Ses01M_impro02/Ses01M_impro02_F001.wav"
    before = place.bytes()
    soundfile.write(wav, sound(77, 0.5), RATE_HZ, subtype="PCM_16")
    assert place.stage().staged_now == 1
    changed = {name for name, data in place.bytes().items() if data != before[name]}
    # In the staging report too: the sides of that dialogue are audited again.
    assert changed == {"Session1/000001.tar", "index.json", "staging.json"}


def test_without_the_corpus_finished_dialogues_are_enough(staged: Place, tmp_path: Path) -> None:
    (tmp_path / "work").symlink_to(staged.home / "work")
    for name in ("inventory.json", "manifest.jsonl", "manifest.sha256"):
        (tmp_path / name).write_bytes((staged.home / name).read_bytes())
    place = replace(staged, home=tmp_path, root=tmp_path / "not-mounted")
    assert place.stage(listed=True, root=None).staged_now == 0
    assert place.bytes() == staged.bytes()
    changed = replace(place, shards=Shards(detector="fixed", stride=4))
    with pytest.raises(MachineError, match="not on this machine"):
        changed.stage(listed=True, root=None)


def test_shards_are_numbered_by_dialogue_within_their_session(staged: Place) -> None:
    entries = open_shards(staged.out).entries
    assert [(e.path, e.group) for e in entries] == [
        ("Session1/000000.tar", "Ses01F_impro01"),
        ("Session1/000001.tar", "Ses01M_impro02"),
        ("Session2/000000.tar", "Ses02F_script01_1"),
    ]


def test_what_does_not_belong_is_cleared_away(staged: Place, tmp_path: Path) -> None:
    (tmp_path / "data/shards/Session9").mkdir(parents=True)
    (tmp_path / "data/shards/Session9/000000.tar").write_bytes(b"of an older run")
    place, _ = again(staged, tmp_path)
    assert place.bytes() == staged.bytes()


def test_a_damaged_shard_in_the_work_cache_is_made_again(staged: Place, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(staged.home / "work", tmp_path / "work")
    data = bytearray((staged.out / "Session1/000001.tar").read_bytes())
    shard = next(p for p in (tmp_path / "work" / "clips").glob("*/shard.tar") if p.read_bytes() == data)
    data[5000] ^= 1
    shard.write_bytes(bytes(data))
    place = replace(staged, home=tmp_path)
    assert place.stage().staged_now == 1
    assert place.bytes() == staged.bytes()


def test_an_input_that_changed_since_the_inventory_is_refused(tree: Path, tmp_path: Path) -> None:
    import shutil

    root = tmp_path / "root"
    shutil.copytree(tree, root)
    place = Place(home=tmp_path / "home", root=root)
    place.list_files()
    wav = root / "Session2/sentences/wav/Ses02F_script01_1/Ses02F_script01_1_F000.wav"
    data = bytearray(wav.read_bytes())
    data[-1] ^= 1
    wav.write_bytes(bytes(data))
    with pytest.raises(DataError, match="differs from the inventory") as caught:
        place.stage(listed=True)
    assert "Ses02F_script01_1" in str(caught.value) and "dvc repro" in str(caught.value.action)
    wav.unlink()
    with pytest.raises(DataError, match="is gone since the inventory"):
        place.stage(listed=True)


def test_speeds_are_kept_out_of_the_outputs(staged: Place) -> None:
    speeds = json.loads((staged.home / "work/runs/shards-tiny.json").read_bytes())
    assert set(speeds["dialogues"]) == set(CLIPS) and speeds["wall_s"] > 0


def test_one_person_videos_use_the_whole_picture(tmp_path: Path) -> None:
    from foalnet.clips.pictures import cut_pictures
    from foalnet.faces import FixedDetector

    write_avi(tmp_path / "a.avi", [picture(i) for i in range(20)], rate="25")
    u = utterance("a", side="whole", end_s=0.8)
    cut = cut_pictures(tmp_path / "a.avi", [u], params=Shards(stride=1), detector=FixedDetector(), timeout_s=60.0)["a"]
    assert cut.area == (0, 120, 720, 360) and len(cut.faces) == 20


def test_a_dialogue_too_large_for_memory_gives_the_same_shards(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = Place(home=tmp_path / "plain", root=tree)
    plain.stage()
    monkeypatch.setattr("foalnet.clips.spool.IN_MEMORY_BYTES", 1)
    spooled = Place(home=tmp_path / "spooled", root=tree)
    spooled.stage()
    assert spooled.bytes() == plain.bytes()
    assert not list((spooled.home / "work").rglob("tmp*"))
