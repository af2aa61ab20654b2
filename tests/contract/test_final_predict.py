"""From the road's end to a user's clip: the sealed model, README's quick start, and the verb `predict`."""

from __future__ import annotations

import json
import math
import re
import shutil
import statistics
import sys
from pathlib import Path
from typing import Any

import pytest

import foalnet
from foalnet.config import Settings
from foalnet.core.files import read_json
from tests.support.corpus.videos import ffmpeg
from tests.support.projects import REPOSITORY, change_params, repro, run, stages_run, verb

RAW = Path("data/drawn/raw")
MODEL = Path("models/drawn/final")


@pytest.fixture(scope="module")
def model(tiny_project: Path) -> foalnet.Model:
    return foalnet.load(tiny_project / MODEL, settings=Settings(device="cpu", threads=1))


@pytest.fixture(scope="module")
def staged(tiny_project: Path) -> list[tuple[foalnet.Utterance, foalnet.Sample]]:
    """One utterance of each dialogue with its staged sample."""
    table = {u.key: u for u in foalnet.read_manifest(tiny_project / "data/drawn/manifest.jsonl")}
    samples = {table[s.key].dialogue: s for s in foalnet.open_shards(tiny_project / "data/drawn/shards").samples()}
    return [(table[sample.key], sample) for _, sample in sorted(samples.items())]


def cut(project: Path, u: foalnet.Utterance, out: Path, *codec: str, sound: bool = True) -> Path:
    """Cut an utterance out of its dialogue's video, encode it anew, and lay its own sound beside it."""
    picture = out.with_name(f"picture_{out.name}")
    span = ("-ss", str(u.start_s), "-t", str(u.end_s - u.start_s))
    ffmpeg("-i", str(project / RAW / str(u.video)), *span, "-an", *codec, str(picture))
    if not sound:
        return picture
    ffmpeg("-i", str(picture), "-i", str(project / RAW / str(u.audio)), "-c:v", "copy", "-c:a", "pcm_s16le", str(out))
    return out


def test_the_card_quotes_the_folds_and_says_so(tiny_project: Path, model: foalnet.Model) -> None:
    run_metrics = read_json(tiny_project / "reports/drawn/runs/foal-s1/metrics.json")
    train = read_json(tiny_project / "models/drawn/foal-s1/train.json")
    chosen = [fold["chosen_epoch"] for fold in train["folds"].values()]
    card = model.card
    assert card["epochs"]["trained"] == math.ceil(statistics.median(chosen))
    assert card["data"]["utterances"] == 40 and card["data"]["sessions"] == 5
    assert card["out_of_fold"]["ua"] == run_metrics["pooled"]["ua"]
    assert "scored on nothing" in card["out_of_fold"]["note"]
    text = (tiny_project / MODEL / "card.md").read_text()
    assert all(line in text for line in (card["licence"], *card["limits"], *card["not_for"]))
    assert model.sealed.tools == read_json(tiny_project / "reports/drawn/staging.json")["tools"]


def test_a_staged_utterance_and_its_raw_cut_give_equal_probabilities(
    tiny_project: Path, model: foalnet.Model, staged: list[tuple[foalnet.Utterance, foalnet.Sample]]
) -> None:
    assert len(staged) == 5
    for u, sample in staged:
        sound = tiny_project / RAW / str(u.audio)
        [prediction] = model.predict(
            tiny_project / RAW / str(u.video), start_s=u.start_s, end_s=u.end_s, people=2, side=u.side, sound=sound
        )
        expected = model.predict_sample(sample)
        assert prediction.probabilities == expected.probabilities, u.key
        meta = json.loads(sample.members["json"])["video"]
        assert prediction.frames.total == len(meta["times_s"]) and prediction.frames.seen == expected.frames.seen
        assert prediction.preprocessing == "same" and (prediction.sound, prediction.picture) == ("found", "found")


@pytest.mark.parametrize(
    "codec",
    [
        pytest.param(("-c:v", "mpeg4", "-q:v", "2"), id="mpeg4", marks=pytest.mark.long),
        pytest.param(("-c:v", "libx264"), id="h264"),
    ],
)
def test_a_cut_file_gives_nearly_the_same(
    tiny_project: Path,
    model: foalnet.Model,
    staged: list[tuple[foalnet.Utterance, foalnet.Sample]],
    tmp_path: Path,
    codec: tuple[str, ...],
) -> None:
    """The tolerance is for a network of two epochs, sure of little."""
    for u, sample in staged:
        [prediction] = model.predict(cut(tiny_project, u, tmp_path / f"{u.key}.mov", *codec), people=2, side=u.side)
        expected = model.predict_sample(sample)
        for name, probability in expected.probabilities.items():
            assert abs(prediction.probabilities[name] - probability) < 0.03, (u.key, name)


def test_readmes_quick_start_runs(tiny_project: Path) -> None:
    code = re.search(r"```python\n(.*?)```", (REPOSITORY / "README.md").read_text(), re.S)
    assert code is not None
    shown = run(tiny_project, sys.executable, "-c", code[1]).stdout
    assert "('happy', 'neutral', 'sad', 'angry')" in shown and "found found" in shown


def test_predict_prints_a_line_per_clip_and_a_bad_clip_stops_no_other(
    tiny_project: Path, staged: list[tuple[foalnet.Utterance, foalnet.Sample]], tmp_path: Path
) -> None:
    u = staged[0][0]
    video = cut(tiny_project, u, tmp_path / "film.mov", "-c:v", "mpeg4")
    silent = cut(tiny_project, u, tmp_path / "silent.mov", "-c:v", "mpeg4", sound=False)
    bad = tmp_path / "bad.mp4"
    bad.write_text("#EXTM3U\n#EXTINF:1,\nfile:film.mov\n")
    voice = Path(shutil.copy(tiny_project / RAW / str(u.audio), tmp_path / "voice.wav"))
    done = verb(
        tmp_path, "predict", *map(str, (bad, video, silent, voice)), "--model", str(tiny_project / MODEL),
        "--people", "2", "--side", u.side, check=False, PYTHONPATH=str(tiny_project),
    )  # fmt: skip
    rows: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 3 and "Traceback" not in done.stderr
    assert [row["clip"] for row in rows] == [str(path) for path in (bad, video, silent, voice)]
    assert rows[0]["error"]["exit_code"] == 3 and "bad.mp4" in rows[0]["error"]["file"] and rows[0]["error"]["next"]
    assert [(row["sound"], row["picture"]) for row in rows[1:]] == [
        ("found", "found"),
        ("none", "found"),
        ("found", "none"),
    ]
    for row in rows[1:]:
        assert math.isclose(sum(row["probabilities"].values()), 1.0, abs_tol=1e-5)
        assert row["side"] == u.side and row["preprocessing"] == "same"


def test_t15_an_altered_model_is_refused_by_name(tiny_project: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_project / MODEL, tmp_path / "altered"))
    file = folder / "model.safetensors"
    data = bytearray(file.read_bytes())
    data[-9] ^= 1
    file.write_bytes(data)
    clip = min((tiny_project / "data/drawn/raw").rglob("sentences/wav/*/Ses*.wav"))
    done = verb(tiny_project, "predict", str(clip), "--model", str(folder), check=False)
    assert done.returncode == 3 and f"file: {file}" in done.stderr and "altered" in done.stderr
    assert "next: copy the model again" in done.stderr and done.stdout == "" and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["a.wav", "b.wav", "--start", "1", "--end", "2"], "belong to one clip"),
        (["a.mp4", "--side", "left"], "one person"),
        ([], "CLIP"),
    ],
)
def test_what_contradicts_itself_ends_with_2_before_anything_is_loaded(
    tmp_path: Path, args: list[str], message: str
) -> None:
    done = verb(tmp_path, "predict", *args, "--model", "nowhere", check=False, PYTHONPATH=str(REPOSITORY))
    assert done.returncode == 2 and message in done.stderr and "Traceback" not in done.stderr


@pytest.mark.long
def test_another_final_trains_that_one_and_nothing_else(tiny_project: Path, tmp_path: Path) -> None:
    project = Path(shutil.copytree(tiny_project, tmp_path / "project", symlinks=True))
    change_params(project, corpora={"drawn": {"final": {"variant": "audio_only", "seed": 1}}})
    assert stages_run(repro(project)) == ["inventory@drawn", "final@drawn"]
    card = foalnet.load(project / MODEL, settings=Settings(device="cpu")).card
    assert card["variant"] == "audio_only" and card["sees"] is None
    change_params(project, corpora={"drawn": {"final": {"variant": "mem", "seed": 1}}})
    done = repro(project, check=False)
    assert "corpora.drawn.final names no run" in done.stdout + done.stderr
