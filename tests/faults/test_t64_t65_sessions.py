"""T64: fewer shards than workers times processes. T65: a session without utterances."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from foalnet.config import Settings
from foalnet.core.errors import DataError
from foalnet.core.files import read_json
from foalnet.shards import open_shards, read_index
from foalnet.stages.train.training import train_run
from foalnet.train import ranks
from foalnet.train.batches import load_store
from tests.support.corpus.entries import TWO_CLASSES
from tests.support.corpus.staging import Place, other_dialogue_is_untouched
from tests.support.corpus.stores import corpus_params, make_store, write_corpus
from tests.support.corpus.trees import iemocap_tree, stages
from tests.support.marks import red_when
from tests.support.sealing import write_index


@red_when("train/ranks.py", "every process takes a floor's share, the rest is nobody's")
def test_t64_three_shards_feed_eight_processes_each_utterance_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every process reads all shards and takes its part of each batch by key: no shard is dealt to anybody."""
    synthetic = make_store(groups=3, per_group=8)
    paths = write_corpus(tmp_path, synthetic)
    assert len(open_shards(paths.shards).entries) == 3
    store = load_store(open_shards(paths.shards), synthetic.labels, corpus_params().train)
    assert list(store.clips) == sorted(synthetic.labels)
    keys, seen = list(store.clips), Counter()
    monkeypatch.setattr(ranks, "count", lambda: 8)
    for place in range(8):
        monkeypatch.setattr(ranks, "rank", lambda place=place: place)
        parts = [ranks.share(keys[start : start + 12]) for start in (0, 12)]
        assert all(parts), "none is idle"
        seen.update(key for part in parts for key in part)
    assert seen == Counter(keys)


@red_when("stages/shards/staging.py", "as many workers start as the settings allow")
def test_t64_more_workers_than_dialogues_stage_the_same_bytes(whole: Place, sound_tree: Path, tmp_path: Path) -> None:
    many = Place(home=tmp_path, root=sound_tree, workers=6, with_pool=True)
    many.stage()
    assert many.bytes() == whole.bytes() and other_dialogue_is_untouched(whole, many)
    note = read_json(many.settings.work / "runs" / f"shards-{many.corpus}.json")
    assert (note["workers"], len(note["dialogues"])) == (2, 2), "two dialogues keep two workers busy, no more"


@red_when("stages/manifest/build.py", "sessions are counted over used utterances only")
def test_t65_a_session_without_a_usable_utterance_is_counted(tmp_path: Path) -> None:
    lines = [("F000", "neu"), ("F001", "ang"), ("M000", "sad")]
    dialogues = {f"Ses0{n}F_impro01": lines for n in (1, 2, 3)} | {"Ses04F_impro01": [("F000", "xxx")]}
    rows, ledger = stages(iemocap_tree(tmp_path / "tree", dialogues=dialogues), classes=TWO_CLASSES)
    assert ledger["kept/label_not_used"] == 1 and not [u for u in rows if u.used and u.session == "Session4"]
    counts = read_json(tmp_path / "counts.json")["counted"]
    assert counts["used_by_session"] == {"Session1": 3, "Session2": 3, "Session3": 3, "Session4": 0}


@red_when("stages/manifest/build.py", "only what was found is compared with the contract")
def test_t65_a_session_that_the_contract_knows_and_that_is_empty_is_named(tmp_path: Path) -> None:
    lines = [("F000", "neu"), ("F001", "ang"), ("M000", "sad")]
    dialogues = {f"Ses0{n}F_impro01": lines for n in (1, 2, 3)}
    contract = {"dialogues": {f"Session{n}": 1 for n in (1, 2, 3, 4)}}
    with pytest.raises(DataError, match="dialogues of 'Session4': 1 expected, 0 found") as caught:
        stages(iemocap_tree(tmp_path / "tree", dialogues=dialogues), contract=contract)
    assert caught.value.exit_code == 3


@red_when("train/plan.py", "an empty part of a fold is let pass")
@pytest.mark.parametrize("split", ["dev", "four"])
def test_t65_a_session_that_staging_lost_whole_is_named_and_nothing_is_trained(tmp_path: Path, split: str) -> None:
    paths = write_corpus(tmp_path, make_store(per_group=4))
    entries = [entry for entry in read_index(paths.shards).shards if entry.session != "Session3"]
    write_index(paths.shards, "drawn", [replace(entry) for entry in entries])
    (paths.shards / "Session3" / "000000.tar").unlink()
    settings = Settings(work=tmp_path / "work", device="cpu", threads=1, workers=1)
    with pytest.raises(DataError, match=r"part \(Session3\) has no utterance") as caught:
        train_run(corpus_params(), settings, paths, variant="audio_only", seed=1, split=split)  # type: ignore[arg-type]
    assert "staging.json" in str(caught.value.action) and not paths.model("audio_only", 1, split).exists()
