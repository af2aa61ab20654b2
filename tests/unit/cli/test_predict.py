"""`foalnet predict`: windows, CSV and the timeline from the shell, many clips at a time, and how far it is."""

from __future__ import annotations

import csv
import io
import json
import math
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner, Result

from foalnet.cli.main import cli
from foalnet.cli.predict import each_clip
from foalnet.core import progress
from foalnet.predict import Request
from tests.support.corpus.stores import RATE_HZ
from tests.support.models import sealed_model


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a model, a voice of 3 s and a clip that is none."""
    folder = tmp_path_factory.mktemp("predict")
    sealed_model(folder / "model")
    wave_N = 0.1 * np.random.default_rng(1).standard_normal(3 * RATE_HZ)
    soundfile.write(folder / "voice.wav", wave_N, RATE_HZ)
    soundfile.write(folder / "=1+1.wav", wave_N, RATE_HZ)
    (folder / "bad.mp4").write_text("no clip")
    return folder


def predict(home: Path, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["predict", "--model", str(home / "model"), *arguments], standalone_mode=False)


def test_windows_are_lines(home: Path) -> None:
    done = predict(home, str(home / "voice.wav"), "--window", "2")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(row["start_s"], row["end_s"]) for row in rows] == [(0.0, 2.0), (1.0, 3.0)] and done.return_value == 0
    for row in rows:
        assert math.isclose(sum(row["probabilities"].values()), 1.0, abs_tol=1e-5)
    alone = json.loads(predict(home, str(home / "voice.wav"), "--start", "1", "--end", "3").stdout)
    assert alone == rows[1]


def test_csv_has_a_line_for_every_window_and_bad_clip(home: Path) -> None:
    done = predict(home, *(str(home / name) for name in ("bad.mp4", "voice.wav")), "--window", "2", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(done.stdout), strict=True))
    assert [row["start_s"] for row in rows] == ["", "0.0", "1.0"] and done.return_value == 3
    assert rows[0]["notes"].startswith("error: ") and rows[1]["label"] and "no answer for 1 of 2 clips" in done.stderr


def test_a_name_that_is_a_formula_is_quoted(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    done = predict(home, "=1+1.wav", "--format", "csv")
    assert done.stdout.splitlines()[1].startswith("'=1+1.wav,whole,0.0,3.0,")


def test_the_timeline_has_every_clip(home: Path, tmp_path: Path) -> None:
    clips = [str(home / name) for name in ("bad.mp4", "voice.wav")]
    done = predict(home, *clips, "--window", "2", "--timeline", str(tmp_path / "t.html"))
    text = (tmp_path / "t.html").read_text()
    assert len(done.stdout.splitlines()) == 3 and all(clip in text for clip in clips) and "cannot be read" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--timeline", "t.html"], "shows windows"),
        (["--step", "1"], "no window"),
        (["--window", "0"], "a window of 0 s"),
    ],
)
def test_what_contradicts_itself_is_refused(home: Path, arguments: list[str], message: str) -> None:
    done = predict(home, str(home / "voice.wav"), *arguments)
    assert message in str(done.exception) and done.stdout == ""


def test_a_thousand_clips_take_the_memory_of_one_and_stderr_says_how_far(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "EVERY_S", 0.001)
    requests = [Request(clip=home / "voice.wav") for _ in range(1000)]

    def answer(_: Request) -> Iterator[dict[str, Any]]:
        yield {"notes": ["x" * 10_000]}

    tracemalloc.start()
    try:
        count = sum(1 for _ in each_clip(requests, lambda: answer))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 1000 and peak < 2_000_000, "the rows alone are 10 MB"
    err = capsys.readouterr().err
    assert "of 1000 clips, about" in err and "1000 of 1000 clips in" in err


def test_of_one_clip_stderr_says_how_many_windows_are_done(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "EVERY_S", 1e-9)
    assert "2 of 2 windows in" in predict(home, str(home / "voice.wav"), "--window", "2").stderr
