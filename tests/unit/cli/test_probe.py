"""The verb `probe`: what it says of runs that are not here, and that it prints the page."""

from __future__ import annotations

from pathlib import Path

import pytest

from foalnet.core.paths import Paths
from tests.support.corpus.stores import make_store, write_corpus, write_params
from tests.support.projects import change_params, verb


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project folder with a small corpus that trains one variant."""
    write_corpus(tmp_path, make_store(groups=5, per_group=8))
    write_params(tmp_path, epochs=1)
    change_params(tmp_path, corpora={"drawn": {"variants": ["audio_only"], "seeds": [1]}})
    return tmp_path


def test_runs_that_are_not_here_are_named_with_the_command_that_makes_them(folder: Path) -> None:
    done = verb(folder, "probe", "drawn", check=False)
    assert done.returncode == 4 and "the run has no results here" in done.stderr
    assert "dvc repro evaluate@drawn-audio_only-s1" in done.stderr
    done = verb(folder, "probe", "drawm", check=False)
    assert done.returncode == 2 and "did you mean 'drawn'" in done.stderr


@pytest.mark.long
def test_it_prints_the_page_that_it_writes(folder: Path) -> None:
    change_params(folder, runs={"drawn-audio_only-s1": {"corpus": "drawn", "variant": "audio_only", "seed": 1}})
    for name in ("train", "evaluate"):
        verb(folder, name, "drawn", "--variant", "audio_only", "--seed", "1")
    page = verb(folder, "probe", "drawn", "--learning-curve").stdout
    assert page.strip() == (Paths("drawn", folder).probe / "probe.md").read_text().strip()
    assert "| audio\\_only | 2 |" in page
