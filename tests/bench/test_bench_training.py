"""The bench of training: its arms are what they say, its table adds up, and it runs on a tiny network."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import iemocap, training
from bench.workload import RATE_HZ, batches, made_up
from foalnet.config.blocks import Train
from foalnet.config.load import merge
from foalnet.config.quirks import reading
from tests.support.hub import needs_transformers


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Utterances of one to twelve seconds; the last has none of the four classes."""
    path = tmp_path / "table.tsv"
    rows = [f"u{n}\t{'neu' if n < 12 else 'xxx'}\t{n}.5\t{2 * n + 0.5}" for n in range(1, 13)]
    path.write_text("\n".join(["utterance\tlabel\tstart_s\tend_s", *rows]) + "\n")
    return path


def test_the_arms_lead_from_the_released_reading_to_the_corrected_one() -> None:
    block = merge(training.NET, reading(released=True))
    for arm in training.arms("cuda"):
        block = merge(block, arm.change)
    expected = merge(training.NET, reading(released=False)) | {"max_s": training.CROP_S}
    assert Train.model_validate(block) == Train.model_validate(expected)
    assert [arm.compiled for arm in training.arms("cuda")][-2:] == [False, True]
    assert {"bf16", "compile"}.isdisjoint(arm.name.split()[-1] for arm in training.arms("cpu"))


def test_both_arms_see_the_same_utterances_and_differ_in_padding(table: Path) -> None:
    store = made_up(table, utterances=12, crop_s=6.0, dims=4, seed=0)
    assert max(store.samples(key) for key in store.clips) == 6 * RATE_HZ
    released, bucketed = (
        list(batches(store, Train.model_validate(over | {"max_s": 6.0}), size=3))
        for over in ({"pad_to": "max_s"}, {"buckets": 4})
    )
    assert (
        sorted(k for b in released for k in b.keys) == sorted(k for b in bucketed for k in b.keys) == list(store.clips)
    )
    assert {b.wave_BN.shape[1] for b in released} == {6 * RATE_HZ}
    # Lengths 1 2 3, 4 5 6, and twice 6 6 6: 9 + 18 + 18 + 18 of 4 x 18 seconds are laid out.
    assert sum(b.wave_BN.numel() for b in bucketed) == 63 * RATE_HZ


@pytest.mark.long
def test_it_runs_and_prints_a_row_per_arm(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    needs_transformers()
    arguments = ["--table", str(table), "--encoder", "tiny", "--batch", "2", "--batches", "2", "--rounds", "1"]
    training.main(arguments)
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "WavLM-tiny, batch 2, 4 utterances, 2 threads"
    assert [line[:24].strip() for line in said[2:]] == [arm.name for arm in training.arms("cpu")]
    assert all("x" in line for line in said[2:])


def test_gains_multiply_out_to_the_whole() -> None:
    rows = [{"arm": name, "rate": rate, "padding": 0.25} for name, rate in (("a", 2.0), ("b", 3.0), ("c", 6.0))]
    lines = training.table(rows).splitlines()[1:]
    assert [line.split()[-4:-2] for line in lines] == [["1.00x", "1.00x"], ["1.50x", "1.50x"], ["2.00x", "3.00x"]]


def test_seconds_of_a_corpus_by_hand(table: Path) -> None:
    # Lengths 1 to 12 s; the last is of no class. Cut at 10 s: 1 + ... + 10 + 10.
    assert iemocap.size_of(table, 10.0) == iemocap.Size(all_s=78.0, used_s=65.0)
