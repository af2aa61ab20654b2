"""`foalnet extract`: a line and a folder for each person, errors by clip, and one source of staging."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.support.corpus.trees import write, write_wav
from tests.support.models import sealed_model
from tests.support.projects import verb


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, a recording and a file that is no media."""
    home = tmp_path_factory.mktemp("project")
    sealed_model(home / "model")
    write_wav(home / "voice.wav", 1.0)
    write(home / "text.mp4", "no media")
    return home


def test_a_bad_clip_is_a_line_and_does_not_stop_the_others(home: Path) -> None:
    done = verb(home, "extract", "text.mp4", "voice.wav", "--out", "out", "--model", "model", check=False)
    bad, good = (json.loads(line) for line in done.stdout.splitlines())
    assert done.returncode == 3 and bad["clip"] == "text.mp4" and bad["error"]["exit_code"] == 3
    assert (good["clip"], good["folder"]) == ("voice.wav", "out/voice")
    assert {path.name for path in (home / "out" / "voice").iterdir()} >= {"sound.npy", "facts.json"}
    assert not (home / "out" / "text").exists()
    again = verb(home, "extract", "voice.wav", "--out", "out", "--model", "model", check=False)
    assert again.returncode == 2 and "the folder of this clip exists" in again.stderr


@pytest.mark.parametrize("options", [(), ("--model", "model", "--corpus", "drawn")])
def test_one_source_of_staging_is_needed(home: Path, options: tuple[str, ...]) -> None:
    done = verb(home, "extract", "voice.wav", "--out", "other", *options, check=False)
    assert done.returncode == 2 and "one of --model and --corpus" in done.stderr


def test_an_absent_extra_is_named_before_any_work(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    done = verb(home, "extract", "voice.wav", "--out", "tables", "--model", "model", "--parquet", check=False)
    assert done.returncode == 4 and "extra `parquet`" in done.stderr and not (home / "tables").exists()
