"""The inventory: used files, digests, the cache, a missing root."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import pytest

import foalnet.corpora.inventory as module
from foalnet.artifact.seal import sealed_bytes
from foalnet.config import Settings
from foalnet.core.errors import DataError, MachineError
from foalnet.core.files import read_json, sha256_file
from foalnet.core.paths import FACTS
from foalnet.corpora.base import CorpusFacts
from foalnet.corpora.inventory import inventory, need_root, read_inventory, refuse_changed, resolve_root
from tests.support.corpus.entries import make_settings
from tests.support.corpus.trees import FOUR, iemocap_tree, make_params, ravdess_tree, sound_file, write

TWO = {"Ses01F_impro01": FOUR, "Ses02F_impro01": FOUR}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree of two dialogues."""
    return iemocap_tree(tmp_path / "IEMOCAP_full_release", dialogues=TWO)


@pytest.fixture
def settings(tmp_path: Path, tree: Path) -> Settings:
    """Settings that know the tree."""
    return make_settings(tmp_path / "work", {"iemocap": tree})


def test_it_lists_what_is_used_and_counts_the_rest(tmp_path: Path, tree: Path, settings: Settings) -> None:
    out = tmp_path / "data/inventory.json"
    summary = inventory(make_params(), settings, out)
    assert summary["by_role"] == {"audio": 8, "dialogue_audio": 2, "labels": 2, "transcript": 2, "video": 2}
    assert summary["ignored"] == {"shadow": 6, "other": 2}
    assert (summary["files"], summary["hashed"], summary["changed"], summary["note"]) == (16, 16, True, None)
    record = read_inventory(out)
    assert [entry.path for entry in record.files] == sorted(entry.path for entry in record.files)
    for entry in record.files:
        assert entry.sha256 == sha256_file(tree / entry.path)
        assert entry.size == (tree / entry.path).stat().st_size
    assert str(tmp_path).encode() not in out.read_bytes()
    assert set(json.loads(out.read_bytes())) == {"corpus", "reader", "files", "ignored", "named", "seal"}


def test_what_a_corpus_states_of_itself_is_recorded(tmp_path: Path, tree: Path, settings: Settings) -> None:
    out, file = tmp_path / "inventory.json", tree / FACTS
    inventory(make_params(), settings, out)
    assert "facts" not in read_json(out) and read_inventory(out).facts == CorpusFacts()
    file.write_text('{"drawn": true, "licence": "mine"}')
    assert inventory(make_params(), settings, out)["by_role"]["facts"] == 1
    assert read_inventory(out).facts == CorpusFacts(drawn=True, licence="mine")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"drawn": "yes"}', "invalid: drawn"),
        ("[]", "invalid: Input should be"),
        ('{"best_scores": {"sund": 0.5}}', "invalid: best_scores.sund"),
        ('{"best_scores": {"sound": 0.5}}', "best scores without both, late_average, picture"),
        (
            '{"best_scores": {"sound": 7, "picture": 0.5, "both": 0.5, "late_average": 0.5}}',
            "invalid: best_scores.sound",
        ),
        ('{"kinds": {"a": "odd"}}', "invalid: kinds.a"),
    ],
)
def test_wrong_facts_of_a_corpus_are_refused(
    tmp_path: Path, tree: Path, settings: Settings, text: str, says: str
) -> None:
    (tree / FACTS).write_text(text)
    with pytest.raises(DataError, match=re.escape(says)):
        inventory(make_params(), settings, tmp_path / "inventory.json")


def test_a_copy_elsewhere_gives_the_same_bytes(tmp_path: Path, tree: Path, settings: Settings) -> None:
    inventory(make_params(), settings, tmp_path / "a" / "inventory.json")
    shutil.copytree(tree, tmp_path / "elsewhere" / "IEMOCAP_full_release")
    other = make_settings(tmp_path / "work2", {"iemocap": tmp_path / "elsewhere"})
    inventory(make_params(), other, tmp_path / "b" / "inventory.json")
    assert (tmp_path / "a/inventory.json").read_bytes() == (tmp_path / "b/inventory.json").read_bytes()


def test_a_second_run_hashes_nothing_and_touches_nothing(
    tmp_path: Path, tree: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RACY_NS", -(10**12))
    out = tmp_path / "inventory.json"
    inventory(make_params(), settings, out)
    before = out.stat().st_mtime_ns, out.stat().st_ino
    second = inventory(make_params(), settings, out)
    assert (second["hashed"], second["changed"]) == (0, False)
    assert (out.stat().st_mtime_ns, out.stat().st_ino) == before
    # one file other: that one is hashed, and only its line differs
    old = read_inventory(out).digests()
    wav = sound_file(tree, "Ses01F_impro01_F000")
    wav.write_bytes(wav.read_bytes()[:-1] + b"\x01")
    third = inventory(make_params(), settings, out)
    assert (third["hashed"], third["changed"]) == (1, True)
    new = read_inventory(out).digests()
    assert [path for path in new if new[path] != old[path]] == [wav.relative_to(tree).as_posix()]


def test_a_file_written_just_now_is_not_trusted_to_the_cache(tmp_path: Path, settings: Settings) -> None:
    inventory(make_params(), settings, tmp_path / "inventory.json")
    assert inventory(make_params(), settings, tmp_path / "inventory.json")["hashed"] == 16


def test_a_change_behind_the_same_size_and_mtime_is_seen(
    tmp_path: Path, tree: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RACY_NS", -(10**12))
    out = tmp_path / "inventory.json"
    inventory(make_params(), settings, out)
    wav = sound_file(tree, "Ses01F_impro01_F000")
    stat = wav.stat()
    wav.write_bytes(wav.read_bytes()[:-1] + b"\x01")
    os.utime(wav, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert inventory(make_params(), settings, out)["changed"]


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"Session1/dialog/wav/Ses01F_impro01.wav": 1}'])
def test_a_broken_cache_costs_time_only(tmp_path: Path, settings: Settings, content: bytes) -> None:
    write(tmp_path / "work/inventory/iemocap.json", content)
    assert inventory(make_params(), settings, tmp_path / "inventory.json")["hashed"] == 16


@pytest.mark.parametrize("lost", ["unset", "gone"])
def test_without_the_root_a_record_is_kept_and_said(tmp_path: Path, tree: Path, settings: Settings, lost: str) -> None:
    out = tmp_path / "inventory.json"
    inventory(make_params(), settings, out)
    before = out.read_bytes()
    if lost == "gone":
        tree.rename(tmp_path / "unmounted")
    else:
        settings = make_settings(tmp_path / "work")
    summary = inventory(make_params(), settings, out)
    assert "not on this machine" in summary["note"]
    assert (summary["files"], summary["changed"]) == (16, False)
    assert out.read_bytes() == before


def test_without_root_and_record_the_error_says_how_to_give_it(tmp_path: Path) -> None:
    with pytest.raises(MachineError) as caught:
        inventory(make_params(), make_settings(tmp_path / "work"), tmp_path / "inventory.json")
    said = str(caught.value)
    assert "foalnet add-corpus iemocap --name iemocap --root PATH" in said
    assert "FOALNET_ROOTS__IEMOCAP" in said
    with pytest.raises(MachineError, match="/nowhere/at/all, is not a folder here"):
        need_root(make_params(), make_settings(tmp_path, {"iemocap": Path("/nowhere/at/all")}))


def test_the_drawn_corpus_is_its_source_folder(tmp_path: Path, tree: Path) -> None:
    params = make_params(corpus="drawn", source=str(tree))
    assert resolve_root(params, make_settings(tmp_path)) == tree
    elsewhere = iemocap_tree(tmp_path / "elsewhere", dialogues=TWO)
    assert resolve_root(params, make_settings(tmp_path, {"drawn": elsewhere})) == elsewhere
    assert resolve_root(make_params(), make_settings(tmp_path)) is None


def test_a_root_of_another_corpus_is_refused(tmp_path: Path) -> None:
    settings = make_settings(tmp_path / "work", {"iemocap": ravdess_tree(tmp_path / "ravdess", actors=(1,))})
    with pytest.raises(DataError, match=r"looked here and one level below for Session1.*it has Actor_01"):
        inventory(make_params(), settings, tmp_path / "inventory.json")


def test_an_empty_mount_point_is_refused_even_with_a_record(tmp_path: Path, tree: Path, settings: Settings) -> None:
    inventory(make_params(), settings, tmp_path / "inventory.json")
    shutil.rmtree(tree)
    tree.mkdir()
    with pytest.raises(DataError, match="it has no file"):
        inventory(make_params(), settings, tmp_path / "inventory.json")


def test_sessions_without_a_label_file_are_refused(tmp_path: Path, tree: Path, settings: Settings) -> None:
    for path in tree.rglob("EmoEvaluation/Ses*.txt"):
        path.unlink()
    with pytest.raises(DataError, match="no file with the role labels"):
        inventory(make_params(), settings, tmp_path / "inventory.json")


def test_a_file_that_cannot_be_read_is_named(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> str:
        if path.name == "Ses01F_impro01_M000.wav":
            raise PermissionError(13, "Permission denied")
        return "0" * 64

    monkeypatch.setattr(module, "sha256_file", refuse)
    with pytest.raises(MachineError, match="Permission denied") as caught:
        inventory(make_params(), settings, tmp_path / "inventory.json")
    assert "Ses01F_impro01_M000.wav" in str(caught.value)
    assert not (tmp_path / "inventory.json").exists()


def test_a_file_that_changes_while_it_is_read_is_named(
    tmp_path: Path, tree: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def grow(path: Path) -> str:
        with path.open("ab") as handle:
            handle.write(b"more")
        return "0" * 64

    monkeypatch.setattr(module, "sha256_file", grow)
    with pytest.raises(MachineError, match="changed while it was read"):
        inventory(make_params(), settings, tmp_path / "inventory.json")


def test_a_record_of_another_corpus_or_of_nothing_is_refused(tmp_path: Path, settings: Settings) -> None:
    out = tmp_path / "inventory.json"
    inventory(make_params(), settings, out)
    with pytest.raises(DataError, match="of corpus 'iemocap'"):
        inventory(make_params(corpus="other"), make_settings(tmp_path / "work"), out)
    for content in (b"[]", b'{"corpus": "iemocap"}', b"{"):
        with pytest.raises(DataError, match=r"inventory\.json"):
            read_inventory(write(out, content))
    with pytest.raises(DataError, match="cannot be used: reader"):
        read_inventory(write(out, sealed_bytes("inventory.json", {"corpus": "iemocap"})))


def test_stages_refuse_files_that_changed_since(tmp_path: Path, tree: Path, settings: Settings) -> None:
    out = tmp_path / "inventory.json"
    inventory(make_params(), settings, out)
    record = read_inventory(out)
    refuse_changed(record, tree, ("labels", "transcript"), settings)
    label_file = tree / "Session1/dialog/EmoEvaluation/Ses01F_impro01.txt"
    label_file.write_text(label_file.read_text().replace("neu", "sad"))
    refuse_changed(record, tree, ("transcript",), settings)
    with pytest.raises(DataError, match=r"1 file\(s\) changed since the inventory"):
        refuse_changed(record, tree, ("labels", "transcript"), settings)
    label_file.unlink()
    with pytest.raises(DataError, match=r"1 file\(s\) are gone since the inventory"):
        refuse_changed(record, tree, ("labels", "transcript"), settings)
