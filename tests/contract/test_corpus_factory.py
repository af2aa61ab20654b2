"""The factory of fake corpora (tests/support/corpus): the product reads what each call makes; same call, same bytes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from foalnet.artifact.table import read_manifest
from foalnet.corpora import get_reader
from foalnet.evidence.report import headline
from foalnet.media import probe_times
from foalnet.shards import open_shards
from tests.support.corpus import results, rows, staging, stores, trees, videos


def raw_iemocap(home: Path) -> None:
    utterances, counts = trees.stages(trees.iemocap_tree(home / "tree"))
    assert len(utterances) == 25 and counts == {"kept": 20, "kept/label_not_used": 5}


def raw_ravdess(home: Path) -> None:
    reader = get_reader("ravdess")
    assert reader.check_root(trees.ravdess_tree(home / "tree")) == home / "tree"


def staged(home: Path) -> None:
    place = staging.Place(home=home, root=trees.clips_tree(home / "tree", trees.CLIPS[:1]))
    assert place.stage().staged_now == 1
    assert [key for key, _ in staging.samples(place).items()] == open_shards(place.out).keys


def store(home: Path) -> None:
    synthetic = stores.make_store(per_group=4)
    paths = stores.write_corpus(home, synthetic)
    assert open_shards(paths.shards).keys == sorted(synthetic.labels)
    assert {u.key: u.label for u in read_manifest(paths.manifest)} == synthetic.labels


def report(home: Path) -> None:
    params = results.make_params(variants=["audio_only", "foal"], report={"bootstrap": 50})
    assert "audio_only" in headline(results.write_report(home, params))


@pytest.mark.parametrize("make", [raw_iemocap, raw_ravdess, staged, store, report])
def test_the_product_reads_what_a_call_makes_and_the_same_call_gives_the_same_bytes(
    make: Callable[[Path], None], tmp_path: Path
) -> None:
    made = []
    for name in ("one", "two"):
        home = tmp_path / name
        make(home)
        paths = [path for path in sorted(home.rglob("*")) if path.is_file() and "work" not in path.parts]
        made.append({path.relative_to(home): path.read_bytes() for path in paths})
    assert made[0] == made[1]


def test_an_utterance_follows_from_its_key() -> None:
    one = rows.utterance("Ses03M_impro01_F002")
    assert (one.session, one.dialogue, one.speaker, one.side) == ("Session3", "Ses03M_impro01", "Ses03F", "right")
    params = results.make_params()
    assert {u.label for u in rows.make_speakers(params)} == set(params.manifest.classes)
    assert sum(u.used for u in rows.make_utterances(params)) == 5 * 6 * 14


def test_a_numbered_video_shows_its_numbers(tmp_path: Path) -> None:
    assert len(probe_times(videos.numbered_video(tmp_path / "a.avi", 5)).times_s) == 5
    assert len(probe_times(videos.packed_video(tmp_path / "b.avi", 6)).times_s) == 6
