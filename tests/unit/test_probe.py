"""The probe as a whole: the trained runs of a small corpus, the same bytes twice, and what is refused."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from foalnet.artifact.seal import publish_sealed
from foalnet.artifact.table import read_manifest
from foalnet.config import Params, Settings
from foalnet.config.probing import Probe
from foalnet.config.variants import Variant
from foalnet.core.errors import DataError, FoalnetError, MachineError, UsageError
from foalnet.core.files import read_json
from foalnet.core.paths import Paths
from foalnet.probe import run_probe
from foalnet.probe.run import chosen
from foalnet.stages.evaluate.scoring import evaluate_run
from foalnet.stages.train.training import train_run
from tests.support.corpus.stores import DIMS, corpus_params, make_store, write_corpus
from tests.support.sealing import write_manifest

PARAMS = corpus_params(epochs=2).model_copy(update={"seeds": [1, 2]})
RATERS = ["happy", "happy", "sad"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two variants and seeds of a small corpus, trained and evaluated; two speakers in each session, with votes."""
    home = tmp_path_factory.mktemp("probed")
    paths = write_corpus(home, make_store(groups=5, per_group=8))
    rows = [
        replace(
            u, speaker=f"{u.session}{'FM'[place % 2]}",
            votes=tuple((f"E{n}", (vote if place % 4 else str(u.raw_label),)) for n, vote in enumerate(RATERS)),
        )
        for place, u in enumerate(read_manifest(paths.manifest, corpus="drawn"))
    ]  # fmt: skip
    write_manifest(paths.manifest, rows)
    for variant in PARAMS.variants:
        for seed in PARAMS.seeds:
            train_run(PARAMS, settings(home), paths, variant=variant, seed=seed)
            evaluate_run(PARAMS, paths, variant=variant, seed=seed)
    return home


def settings(home: Path) -> Settings:
    return Settings(work=home / "work", workers=1, device="cpu")


def probed(home: Path, params: Params = PARAMS, **block: object) -> str:
    return run_probe(params, Probe.model_validate(block), settings(home), Paths("drawn", home))


@pytest.mark.long
def test_two_probes_give_the_same_bytes_and_the_undisturbed_scores_are_the_stored_ones(trained: Path) -> None:
    paths = Paths("drawn", trained)
    text = probed(trained, permutations=20)
    first = {path.name: path.read_bytes() for path in paths.probe.iterdir()}
    assert first["probe.md"].decode() == text and sorted(first) == ["probe.json", "probe.md"]
    assert probed(trained, permutations=20) == text
    assert {path.name: path.read_bytes() for path in paths.probe.iterdir()} == first
    facts = read_json(paths.probe / "probe.json")
    for variant, row in facts["robustness"]["variants"].items():
        stored = [read_json(paths.run(variant, seed) / "metrics.json")["pooled"]["ua"] for seed in (1, 2)]
        assert row["undisturbed"]["ua"] == pytest.approx(sum(stored) / 2, abs=1e-6)
    # What cannot be applied is named with its reason; what is applied changed every clip of this corpus that it can.
    audio, foal = (facts["robustness"]["variants"][name] for name in ("audio_only", "foal"))
    assert set(audio["reasons"]) == {"picture missing", "50 % of frames missing", "wrong face"}
    assert set(audio["reasons"].values()) == {"it does not read pictures"} and foal["reasons"] == {}
    assert "Not applied to audio\\_only: picture missing; 50 % of frames missing; wrong face: it does not read" in text
    assert foal["wrong face"]["changed"] == foal["noise, SNR 0 dB"]["changed"] == 40
    assert 0 < foal["50 % of frames missing"]["changed"] < 40, "a clip of one frame keeps it"
    # Without its only modality a network gives every clip one answer; the classes are balanced.
    assert audio["sound missing"]["ua"] == 0.25
    gap = facts["robustness"]["differences"]["audio_only: sound missing"]
    assert gap["ua"] == pytest.approx(0.25 - audio["undisturbed"]["ua"], abs=1e-6)
    assert len(facts["robustness"]["differences"]) == 5 + 8
    assert facts["controls"]["blind"]["majority of the training part"] == 0.25
    assert facts["raters"]["unanimous"] == 10 and facts["raters"]["split"] == 30
    for heading in ("## Disturbed clips", "## Answering only where", "## Controls", "## Raters"):
        assert heading in text
    assert facts["learning_curve"] is None and "## Fewer training sessions" not in text


@pytest.mark.long
def test_the_learning_curve_ends_with_the_runs_of_the_report(trained: Path) -> None:
    text = probed(trained, variants=["audio_only"], seeds=[1], permutations=20, learning_curve=True, sessions=[1, 3])
    facts = read_json(Paths("drawn", trained).probe / "probe.json")
    # Three training sessions are all of them.
    assert list(facts["learning_curve"]) == ["1", "all"]
    undisturbed = facts["robustness"]["variants"]["audio_only"]["undisturbed"]
    assert facts["learning_curve"]["all"]["audio_only"] == {**undisturbed, "seed_sd": None}
    assert "## Fewer training sessions" in text and "**One seed was trained**" in text


@pytest.mark.long
def test_a_network_that_does_not_give_the_stored_logits_is_refused(trained: Path, tmp_path: Path) -> None:
    home = Path(shutil.copytree(trained, tmp_path / "copy"))
    paths = Paths("drawn", home)
    shutil.rmtree(paths.probe, ignore_errors=True)
    model, other = paths.model("audio_only", 1), paths.model("audio_only", 2)
    file = model / "fold-Session2.safetensors"
    shutil.copyfile(other / file.name, file)
    with pytest.raises(DataError, match="digest mismatch"):
        probed(home, variants=["audio_only"], seeds=[1], permutations=20)
    train = read_json(model / "train.json")
    train["files"][file.name] = read_json(other / "train.json")["files"][file.name]
    publish_sealed(model / "train.json", {name: value for name, value in train.items() if name != "seal"})
    with pytest.raises(DataError, match="fold Session2: the network does not give the logits that are stored") as error:
        probed(home, variants=["audio_only"], seeds=[1], permutations=20)
    assert "dvc repro -f -s train@drawn-audio_only-s1" in str(error.value.action)
    assert not paths.probe.exists()


@pytest.mark.long
def test_a_feature_table_and_a_method_over_turns_are_probed_too(tmp_path: Path) -> None:
    paths = write_corpus(tmp_path, make_store(groups=5, per_group=8, frame=(DIMS,)))
    rows = [
        replace(u, speaker=f"{u.session}{'FM'[place % 2]}", start_s=float(place), end_s=place + 1.0, turn=place % 8)
        for place, u in enumerate(read_manifest(paths.manifest, corpus="drawn"))
    ]
    write_manifest(paths.manifest, rows)
    both = Variant(method="bc_lstm", inputs=["audio", "video"])
    params = corpus_params(epochs=1, picture="features", video={"encoder": "linear"})
    train = params.train.model_copy(update={"variants": {**params.train.variants, "turns": both}})
    params = params.model_copy(update={"variants": ["video_only", "turns"], "seeds": [1], "train": train})
    for variant in params.variants:
        train_run(params, settings(tmp_path), paths, variant=variant, seed=1)
        evaluate_run(params, paths, variant=variant, seed=1)
    probed(tmp_path, params, permutations=20)
    robust = read_json(paths.probe / "probe.json")["robustness"]["variants"]
    # The sound of such a corpus is a waveform, its pictures are rows of a table: all can be disturbed.
    assert robust["turns"]["reasons"] == {} and robust["turns"]["noise, SNR 0 dB"]["changed"] == 40
    assert robust["video_only"]["picture missing"]["ua"] == 0.25 and robust["video_only"]["wrong face"]["changed"] == 40


def test_without_votes_there_is_no_section_of_raters_and_other_inputs_are_refused(
    trained: Path, tmp_path: Path
) -> None:
    home = Path(shutil.copytree(trained, tmp_path / "copy"))
    paths = Paths("drawn", home)
    rows = [replace(u, votes=()) for u in read_manifest(paths.manifest, corpus="drawn")]
    write_manifest(paths.manifest, rows)
    with pytest.raises(DataError, match="trained on another manifest"):
        probed(home, seeds=[1], permutations=20)
    for variant in PARAMS.variants:
        train = read_json(paths.model(variant, 1) / "train.json")
        train = {name: value for name, value in train.items() if name not in ("seal", "inputs")}
        publish_sealed(paths.model(variant, 1) / "train.json", train)
    text = probed(home, seeds=[1], permutations=20)
    assert "## Raters" not in text and json.loads((paths.probe / "probe.json").read_text())["raters"] is None


@pytest.mark.parametrize(
    ("block", "kind", "says"),
    [
        ({"variants": ["fool"]}, UsageError, r"probe.drawn.variants: fool .*did you mean 'foal'"),
        ({"seeds": [7]}, UsageError, "probe.drawn.seeds: 7 is not among"),
        ({}, MachineError, "the run has no results here"),
    ],
)
def test_what_is_not_trained_is_named(
    tmp_path: Path, block: dict[str, object], kind: type[FoalnetError], says: str
) -> None:
    paths = write_corpus(tmp_path, make_store(groups=5, per_group=8))
    with pytest.raises(kind, match=says):
        run_probe(PARAMS, Probe.model_validate(block), settings(tmp_path), paths)


def test_all_variants_and_seeds_are_probed_unless_params_name_some() -> None:
    assert chosen(PARAMS, Probe()) == (["audio_only", "foal"], [1, 2])
    assert chosen(PARAMS, Probe(variants=["foal"], seeds=[2, 2])) == (["foal"], [2])
