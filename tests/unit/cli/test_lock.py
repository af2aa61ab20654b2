"""`foalnet lock`: writes a file, compares one, and ends with 3 if an utterance differs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from foalnet.config.blocks import Shards
from tests.support.corpus.staging import Place, files_for_the_verb
from tests.support.corpus.trees import clips_tree
from tests.support.projects import verb
from tests.support.sealing import reseal


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a staged corpus."""
    home = tmp_path_factory.mktemp("project")
    place = Place(home=home, root=clips_tree(home / "root"), shards=Shards(detector="fixed"))
    place.stage_paths()
    files_for_the_verb(place, home)
    return home


def test_a_written_file_is_equal_and_may_have_any_name(home: Path) -> None:
    written = verb(home, "lock", "tiny").stdout
    assert written.endswith("utterances in reports/tiny/lock.json\n")
    (home / "reports" / "tiny" / "lock.json").rename(home / "from a paper.json")
    checked = verb(home, "lock", "tiny", "--check", "from a paper.json").stdout
    assert checked.endswith("utterances have the bytes of from a paper.json\n")
    assert not (home / "reports" / "tiny" / "lock.json").exists(), "a check writes nothing"


def test_what_differs_is_named_and_the_code_is_3(home: Path) -> None:
    verb(home, "lock", "tiny", "--out", "foalnet-lock.json")

    def change(facts: dict[str, object]) -> None:
        utterances = facts["utterances"]
        assert isinstance(utterances, dict)
        for parts in utterances.values():
            parts["face"] = "0" * 32

    reseal(home / "foalnet-lock.json", change)
    done = verb(home, "lock", "tiny", "--check", "foalnet-lock.json", "--most", "2", check=False)
    count = len(json.loads((home / "foalnet-lock.json").read_bytes())["utterances"])
    assert done.returncode == 3
    assert done.stdout.startswith(f"face differs: {count}: ") and f" and {count - 2} more" in done.stdout
    assert "not those of this file" in done.stderr and "foalnet-lock.json" in done.stderr


def test_two_tasks_at_once_are_refused(home: Path) -> None:
    done = verb(home, "lock", "tiny", "--out", "a.json", "--check", "b.json", check=False)
    assert done.returncode == 2 and "do not go together" in done.stderr


def test_an_unstaged_corpus_is_refused(home: Path, tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_bytes((home / "params.yaml").read_bytes())
    done = verb(tmp_path, "lock", "tiny", check=False)
    assert done.returncode == 3 and "these shards have no index" in done.stderr
