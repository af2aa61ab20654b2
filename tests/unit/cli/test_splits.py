"""The verb `splits`: folds, speakers and counts of a corpus' manifest, by any way of folding."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from foalnet.cli.entries import check_runs
from foalnet.core.errors import UsageError
from foalnet.core.paths import Paths
from foalnet.corpora.named import NAMED
from tests.support.corpus.entries import entry_params
from tests.support.corpus.rows import make_parts, make_utterances
from tests.support.projects import change_params, verb
from tests.support.sealing import write_manifest


@pytest.fixture
def folder(repository: Path, tmp_path: Path) -> Path:
    """A project folder with a corpus drawn that has 420 used utterances in a manifest."""
    shutil.copy(repository / "params.yaml", tmp_path)
    rows = [replace(u, session=f"Session{u.session[-1]}") for u in make_utterances(entry_params())]
    write_manifest(Paths("drawn", tmp_path).manifest, rows)
    return tmp_path


def test_it_prints_the_folds_that_params_choose(folder: Path) -> None:
    lines = verb(folder, "splits", "drawn").stdout.splitlines()
    assert lines[0] == "drawn: 420 utterances with a class, 5 folds by session"
    head = ["fold", "and", "part", "utterances", "happy", "neutral", "sad", "angry", "speakers", "dialogues"]
    assert lines[2].split() == head
    assert lines[3].split() == ["Session1", "train", "252", "72", "72", "54", "54", "6", "18"]
    assert lines[5].split() == ["Session1", "test", "84", "24", "24", "18", "18", "2", "6"]
    assert lines[19:21] == ["test speakers: none trains too", "dev speakers: none trains too"]
    assert "  iemocap4-loso: {happy: [hap, exc], neutral: [neu], sad: [sad], angry: [ang]}" in lines


def test_it_compares_the_counts_with_those_of_a_named_split(folder: Path) -> None:
    lines = verb(folder, "splits", "drawn", "--fold-by", "iemocap4-loso").stdout.splitlines()
    assert lines[1].endswith(f"digest {NAMED['iemocap4-loso'].digest[:16]}")
    assert "counts: 20 differ from those of iemocap4-loso:" in lines
    assert "  Session1 happy: 278 expected, 24 here" in lines
    change_params(folder, corpora={"drawn": {"train": {"fold_by": "iemocap4-loso"}}})
    assert verb(folder, "splits", "drawn").stdout.splitlines() == lines


def test_it_says_which_speakers_train_and_are_tested(folder: Path) -> None:
    classes = {label: list(raws) for label, raws in NAMED["meld-official"].classes.items()}
    change_params(folder, corpora={"drawn": {"reader": "meld", "train": {"fold_by": "meld-official"}}})
    params = yaml.safe_load((folder / "params.yaml").read_text())
    params["corpora"]["drawn"]["manifest"]["classes"] = classes
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    rows = make_parts(entry_params(manifest={"classes": classes}))
    write_manifest(Paths("drawn", folder).manifest, rows)
    lines = verb(folder, "splits", "drawn").stdout.splitlines()
    assert lines[0] == "drawn: 1,260 utterances with a class, 1 fold by meld-official"
    assert lines[4].split()[:2] == ["train", "420"]
    assert "test speakers: 3 of 3 train too: Speaker0, Speaker1, Speaker2" in lines


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("gban-4490", "has the classes {happy: [hap], neutral: [neu], sad: [sad], angry: [ang]}"),
        ("meld-official", "is of corpora of the reader meld"),
        ("gban", "'gban' is not one of"),
    ],
)
def test_a_split_that_does_not_fit_ends_with_2(folder: Path, how: str, says: str) -> None:
    done = verb(folder, "splits", "drawn", "--fold-by", how, check=False)
    assert done.returncode == 2 and says in done.stderr and "Traceback" not in done.stderr


def test_without_a_manifest_it_names_the_next_command(folder: Path) -> None:
    shutil.rmtree(folder / "data")
    done = verb(folder, "splits", "drawn", check=False)
    assert done.returncode == 3 and "manifest.jsonl" in done.stderr and "next:" in done.stderr


def test_a_split_that_does_not_fit_is_refused_before_anything_is_staged(folder: Path) -> None:
    change_params(folder, corpora={"drawn": {"train": {"fold_by": "ravdess-luna5"}}})
    with pytest.raises(UsageError, match="the split ravdess-luna5 is of corpora of the reader ravdess"):
        check_runs(folder / "params.yaml")
