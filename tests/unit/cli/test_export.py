"""`foalnet export`: writes a folder, prints the licence that binds, and refuses a folder with files."""

from __future__ import annotations

from pathlib import Path

import pytest

from foalnet.config.blocks import Shards
from foalnet.corpora import get_reader
from tests.support.corpus.staging import Place, files_for_the_verb
from tests.support.corpus.trees import clips_tree
from tests.support.projects import verb


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a staged corpus."""
    home = tmp_path_factory.mktemp("project")
    place = Place(home=home, root=clips_tree(home / "root"), shards=Shards(detector="fixed"))
    place.stage_paths()
    files_for_the_verb(place, home)
    return home


def test_files_card_and_licence(home: Path) -> None:
    done = verb(home, "export", "tiny", "--format", "folder", "--out", "loose")
    first, second = done.stdout.splitlines()
    assert first.endswith("utterances in loose") and second == f"licence: {get_reader('iemocap').licence}"
    assert {path.name for path in (home / "loose").iterdir()} >= {"LICENCE.txt", "README.md", "metadata.jsonl"}
    again = verb(home, "export", "tiny", "--format", "folder", "--out", "loose", check=False)
    assert again.returncode == 2 and "not empty" in again.stderr


def test_a_repository_is_named(home: Path) -> None:
    (home / ".git").mkdir()
    try:
        done = verb(home, "export", "tiny", "--format", "folder", "--out", "in_git")
    finally:
        (home / ".git").rmdir()
    assert "do not commit" in done.stderr


def test_an_unknown_format_is_refused(home: Path) -> None:
    done = verb(home, "export", "tiny", "--format", "zip", "--out", "zip", check=False)
    assert done.returncode == 2 and not (home / "zip").exists()
