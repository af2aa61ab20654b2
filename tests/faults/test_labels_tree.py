"""The tree around the labels: shadow files, speakers, the order of files, links."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import foalnet.core.files
from foalnet.core.errors import DataError
from foalnet.core.ledger import Ledger
from foalnet.corpora import get_reader
from foalnet.corpora.inventory import inventory, read_inventory
from tests.support.corpus.entries import make_settings
from tests.support.corpus.trees import FOUR, iemocap_tree, make_params, stages
from tests.support.marks import red_when


@red_when("corpora/iemocap/__init__.py", "neither files nor utterances are sorted")
@pytest.mark.parametrize("permutations", [10, pytest.param(100, marks=pytest.mark.long)])
def test_t47_the_order_in_which_files_are_listed_changes_no_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, permutations: int
) -> None:
    tree = iemocap_tree(tmp_path / "tree")
    stages(tree)
    outputs = [tmp_path / name for name in ("inventory.json", "manifest.jsonl", "counts.json")]
    first = [path.read_bytes() for path in outputs]
    roles = read_inventory(outputs[0]).roles()
    expected = get_reader("iemocap").utterances(tree, roles, Ledger())
    walk, shuffler, orders = os.walk, random.Random(47), set()

    def shuffled(*args: Any, **more: Any) -> Iterator[tuple[str, list[str], list[str]]]:
        for folder, folders, names in walk(*args, **more):
            shuffler.shuffle(folders)
            shuffler.shuffle(names)
            orders.add((folder, tuple(folders), tuple(names)))
            yield folder, folders, names

    monkeypatch.setattr(foalnet.core.files.os, "walk", shuffled)
    for _ in range(permutations):
        for path in outputs:
            path.unlink()
        stages(tree)
        assert [path.read_bytes() for path in outputs] == first
        # the reader alone, without the listing that sorts for it
        mixed = shuffler.sample(sorted(roles), len(roles))
        assert get_reader("iemocap").utterances(tree, {path: roles[path] for path in mixed}, Ledger()) == expected
    assert len(orders) > permutations, "the shuffle shuffled nothing"


@red_when("core/files.py", "a link may lead anywhere")
@red_when("core/files.py", "a link may lead nowhere, or to itself")
@pytest.mark.parametrize("link", ["file", "folder", "circle", "session", "nowhere", "climbing", "by another link"])
def test_t49_a_link_that_leads_out_or_in_a_circle_is_refused_by_name(tmp_path: Path, link: str) -> None:
    tree = iemocap_tree(tmp_path / "tree", dialogues={"Ses01F_impro01": FOUR})
    wavs = tree / "Session1/sentences/wav"
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "Ses01F_impro02_F000.wav").write_bytes(b"not of the corpus")
    if link == "folder":
        name, target = wavs / "Ses01F_impro02", secret
    elif link == "file":
        name, target = wavs / "Ses01F_impro01/Ses01F_impro01_F009.wav", secret / "Ses01F_impro02_F000.wav"
    elif link == "session":
        name, target = tree / "Session2", secret
    else:
        name = target = wavs / "Ses01F_impro01/Ses01F_impro01_F009.wav"
    if link == "nowhere":
        target = wavs / "not here"
    elif link == "climbing":
        target = Path("../../../../../secret/Ses01F_impro02_F000.wav")
    elif link == "by another link":
        name, target = wavs / "a", Path("b")
        (wavs / "b").symlink_to(secret / "Ses01F_impro02_F000.wav")
    name.symlink_to(target)
    settings = make_settings(tmp_path / "work", {"iemocap": tree})
    with pytest.raises(DataError) as caught:
        inventory(make_params(), settings, tmp_path / "inventory.json")
    assert caught.value.file == str(name) and caught.value.exit_code == 3
    assert caught.value.action
    assert not (tmp_path / "inventory.json").exists()


@red_when("core/files.py", "every link is refused")
def test_t49_a_link_that_stays_in_the_tree_is_the_file_it_leads_to(tmp_path: Path) -> None:
    tree = iemocap_tree(tmp_path / "tree", dialogues={"Ses01F_impro01": FOUR})
    plain = stages(tree)
    files = read_inventory(tmp_path / "inventory.json").files
    wav = tree / "Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav"
    wav.rename(tree / "kept elsewhere.wav")
    wav.symlink_to("../../../../kept elsewhere.wav")
    assert stages(tree) == plain
    assert read_inventory(tmp_path / "inventory.json").files == files


@red_when("core/files.py", "folders that links lead to are listed too")
def test_t49_a_link_back_up_the_tree_neither_hangs_nor_counts_twice(tmp_path: Path) -> None:
    tree = iemocap_tree(tmp_path / "tree", dialogues={"Ses01F_impro01": FOUR})
    plain, files = stages(tree), (tmp_path / "inventory.json").read_bytes()
    (tree / "Session1/again").symlink_to(tree, target_is_directory=True)
    assert stages(tree) == plain and (tmp_path / "inventory.json").read_bytes() == files
