"""Every raw label that params name is one that the corpus has, and every class has utterances to learn from."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from foalnet.core.errors import DataError
from foalnet.core.files import read_json
from foalnet.corpora import READERS
from foalnet.corpora.inventory import inventory
from foalnet.corpora.ravdess import Ravdess
from foalnet.stages.manifest.build import build, read_manifest
from tests.support.corpus.entries import make_settings
from tests.support.corpus.trees import FOUR, iemocap_tree, make_params, ravdess_tree
from tests.support.projects import verb

LINE = "happy: [hap, exc]"


def edit(project: Path, old: str, new: str) -> None:
    text = (project / "params.yaml").read_text()
    assert old in text
    (project / "params.yaml").write_text(text.replace(old, new, 1))


@pytest.mark.parametrize("command", ["config", "manifest"])
def test_a_slip_in_a_raw_label_is_refused_with_the_label_that_was_meant(project: Path, command: str) -> None:
    edit(project, LINE, "happy: [hpa, exc]")
    done = verb(project, command, "drawn", check=False)
    assert done.returncode == 2
    for part in ("manifest.classes.happy: no raw label 'hpa'; did you mean 'hap'?", "neu, oth, sad", "corpora.drawn"):
        assert part in done.stderr


def test_counts_of_no_label_and_of_no_class_are_refused_by_config(project: Path) -> None:
    edit(project, "      contract:\n", "      contract: {raw_labels: {hpa: 1}, classes: {hapy: 1}}\n")
    done = verb(project, "config", "drawn", check=False)
    assert done.returncode == 2
    assert "contract.raw_labels: no raw label 'hpa'; did you mean 'hap'?" in done.stderr
    assert "contract.classes: no class 'hapy'; did you mean 'happy'?" in done.stderr


@pytest.mark.parametrize(
    ("reader", "classes", "says"),
    [
        ("iemocap", "happy=hpa+exc,sad", "no raw label 'hpa'; did you mean 'hap'?"),
        ("ravdess", "glad=hapy,sad", "no raw label 'hapy'; did you mean 'happy'?"),
    ],
)
def test_add_corpus_refuses_it_too_and_writes_nothing(project: Path, reader: str, classes: str, says: str) -> None:
    before = (project / "params.yaml").read_bytes()
    done = verb(project, "add-corpus", reader, "--root", ".", "--name", "mine", "--classes", classes, check=False)
    assert done.returncode == 2 and says in done.stderr and "--classes" in done.stderr
    assert (project / "params.yaml").read_bytes() == before and not (project / "settings.yaml").exists()


def made(folder: Path, tree: Path, **block: Any) -> list[str | None]:
    """Take inventory and manifest of a tree; return the class of each utterance that is used."""
    params = make_params(corpus="mine", **block)
    settings, files = make_settings(folder / "work", {"mine": tree}), folder / "inventory.json"
    inventory(params, settings, files)
    build(params, settings, files, folder / "manifest.jsonl", folder / "counts.json")
    return [u.label for u in read_manifest(folder / "manifest.jsonl") if u.used]


def test_a_class_without_an_utterance_is_refused_with_the_labels_that_there_are(tmp_path: Path) -> None:
    tree = iemocap_tree(tmp_path / "tree")
    with pytest.raises(DataError) as caught:
        made(tmp_path, tree, classes={"happy": ["hap"], "sad": ["sad"], "afraid": ["fea", "sur"]})
    assert caught.value.exit_code == 3
    assert "class 'afraid' (fea, sur): no utterance that can be used" in str(caught.value)
    assert "raw labels that utterances carry: ang 5, hap 5, neu 5, sad 5, xxx 5" in str(caught.value)
    assert "corpora.mine.manifest.classes" in str(caught.value.action)
    assert read_json(tmp_path / "counts.json")["counted"]["classes"]["afraid"] == 0, "the account is there to look at"
    assert not (tmp_path / "manifest.jsonl").exists()


def test_a_class_of_lost_utterances_alone_is_refused(tmp_path: Path) -> None:
    tree = iemocap_tree(tmp_path / "tree", dialogues={"Ses01F_impro01": FOUR}, dialogue_sound=False)
    (tree / "Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_M000.wav").unlink()
    with pytest.raises(DataError, match=r"class 'sad' \(sad\): no utterance that can be used"):
        made(tmp_path, tree, max_drop_fraction=1.0)


def test_a_known_label_that_a_small_corpus_lacks_is_no_fault_where_its_class_has_others(tmp_path: Path) -> None:
    assert made(tmp_path, iemocap_tree(tmp_path / "tree")).count("happy") == 5, "of hap, none of exc"


def test_where_any_label_may_be_one_that_no_utterance_carries_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Open(Ravdess):
        name, published = "open", None

    monkeypatch.setitem(READERS, "open", "Open")
    monkeypatch.setitem(sys.modules, "foalnet.corpora.open", SimpleNamespace(Open=Open))
    tree = ravdess_tree(tmp_path / "tree")
    with pytest.raises(DataError) as caught:
        made(tmp_path, tree, reader="open", classes={"good": ["happy", "glad"], "bad": ["sad"]})
    assert "class 'good': no utterance carries the raw label glad" in str(caught.value)
    assert "raw labels that utterances carry: angry 3, happy 3, neutral 3, sad 3" in str(caught.value)
    assert made(tmp_path, tree, reader="open", classes={"good": ["happy"], "bad": ["sad"]}).count("good") == 3
