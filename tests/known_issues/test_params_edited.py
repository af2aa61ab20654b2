"""DVC's own editor (`dvc exp run --set-param`) changes one value of params.yaml and nothing else."""

from __future__ import annotations

import difflib
import shutil
from pathlib import Path

import pytest
from dvc.utils.hydra import apply_overrides
from dvc.utils.serialize import modify_yaml

from tests.support.corpus.trees import iemocap_tree, ravdess_tree
from tests.support.projects import REPOSITORY, verb


def changed(path: Path, *overrides: str) -> list[str]:
    """Return the lines that DVC's editor removes and adds."""
    before = path.read_text("utf-8").splitlines()
    with modify_yaml(path):
        pass
    assert path.read_text("utf-8").splitlines() == before
    apply_overrides(path, list(overrides))
    rows = list(difflib.ndiff(before, path.read_text("utf-8").splitlines()))
    return [row for row in rows if row[0] in "-+"]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with the committed params."""
    shutil.copy(REPOSITORY / "params.yaml", tmp_path)
    return tmp_path


def test_one_committed_value_changes(project: Path) -> None:
    removed, added = changed(project / "params.yaml", "train.warmup=0.2")
    assert removed.startswith("-   warmup: 0.1  # ")
    assert added == "+" + removed[1:].replace("0.1", "0.2", 1)


@pytest.mark.long
def test_one_value_changes_where_a_corpus_was_added(project: Path) -> None:
    iemocap_tree(project / "tree")
    options = ("--preset", "iemocap", "--seeds", "1,2,3", "--variants", "audio_only,video_only,foal")
    verb(project, "add-corpus", "iemocap", "--root", "tree", *options, PYTHONPATH=str(REPOSITORY))
    ravdess_tree(project / "actors")
    options = ("--name", "ravdess8", "--classes", "all")
    verb(project, "add-corpus", "ravdess", "--root", "actors", *options, PYTHONPATH=str(REPOSITORY))
    rows = changed(project / "params.yaml", "corpora.iemocap.train.epochs=3")
    assert [row.split(":")[1] for row in rows if row[0] == "+"] == [" 3"]
    assert len([row for row in rows if row[0] == "+"]) == 1


def test_one_value_changes_after_a_sync(project: Path) -> None:
    """By hand lists are written on a line; `config --sync` puts them into the form that stays."""
    params = project / "params.yaml"
    text = params.read_text("utf-8")
    params.write_text(text.replace("    seeds:\n    - 1\n    - 2\n    - 3\n", "    seeds: [1, 2]\n"), "utf-8")
    verb(project, "config", "--sync", PYTHONPATH=str(REPOSITORY))
    assert len(changed(params, "corpora.drawn.final.seed=2")) == 2
