"""Arguments and files are checked before anything that takes seconds is imported, and a message says what a path is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROBE = (
    "import sys\n"
    "from foalnet.cli.main import main\n"
    "try:\n    main()\n"
    "finally:\n    print('torch' in sys.modules, file=sys.stderr)\n"
)


def _predict(folder: Path, *arguments: str) -> tuple[int, str, str, bool]:
    """Run `foalnet predict` and return its code, what it printed, its errors, and whether torch was imported."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE, "predict", *arguments], cwd=folder, capture_output=True, text=True, timeout=120
    )
    errors, _, torch = done.stderr.strip().rpartition("\n")
    return done.returncode, done.stdout, errors, torch == "True"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.safetensors").write_bytes(b"never read")
    (tmp_path / "clips").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("clip", "says", "next_says"),
    [
        ("nofile.mp4", "there is no such file", "that plays"),
        ("clips", "it is a folder", "predict clips/*"),
        ("/dev/zero", "it is no plain file", "that plays"),
    ],
)
def test_a_clip_that_cannot_be_opened_is_answered_without_torch(
    folder: Path, clip: str, says: str, next_says: str
) -> None:
    code, printed, _, torch = _predict(folder, clip, "--model", "model")
    error = json.loads(printed)["error"]
    assert (code, error["exit_code"], torch) == (3, 3, False)
    assert error["what"] == f"the clip cannot be read: {says}" and next_says in error["next"]


def test_a_sound_that_cannot_be_opened_is_answered_without_torch(folder: Path) -> None:
    (folder / "clip.avi").write_bytes(b"RIFF\0\0\0\0AVI ")
    code, printed, _, torch = _predict(folder, "clip.avi", "--model", "model", "--sound", "no.wav")
    assert (code, torch) == (3, False)
    assert json.loads(printed)["error"]["what"] == "the sound cannot be read: there is no such file"


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("nowhere", "there is no such model"),
        ("clips", "this folder holds no model.safetensors"),
        ("/dev/zero", "this is not a plain file"),
    ],
)
def test_a_model_that_is_not_there_is_refused_without_torch(folder: Path, model: str, says: str) -> None:
    code, _, errors, torch = _predict(folder, "nofile.mp4", "--model", model)
    assert (code, torch) == (3, False) and says in errors and "next:" in errors


def test_arguments_that_contradict_each_other_are_refused_without_torch(folder: Path) -> None:
    code, _, errors, torch = _predict(folder, "nofile.mp4", "--model", "model", "--start", "2", "--end", "1")
    assert (code, torch) == (2, False) and "not a span of time" in errors
