"""Every file of a corpus folder is used, or counted with its kind; what looks like the corpus' is named to the user."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path

import pytest
import yaml

from foalnet.core.errors import DataError
from foalnet.core.files import read_json
from foalnet.corpora import Reader
from foalnet.corpora.iemocap import Iemocap
from foalnet.corpora.inventory import inventory, read_inventory
from foalnet.corpora.ravdess import Ravdess
from tests.support.corpus.entries import make_settings
from tests.support.corpus.trees import (
    FOUR,
    iemocap_tree,
    make_params,
    ravdess_tree,
    sound_file,
    stages,
    write,
    write_wav,
)
from tests.support.projects import verb

MISFILED = "Actor_03/03-01-05-01-01-01-02.wav"


def test_a_clip_in_another_actors_folder_is_named_everywhere(project: Path) -> None:
    tree = ravdess_tree(project / "tree")
    write_wav(tree / MISFILED, 0.5)
    added = verb(project, "add-corpus", "ravdess", "--root", "tree", "--classes", "neutral,happy,sad,angry").stdout
    listed = verb(project, "inventory", "ravdess").stdout
    for said in (added, listed):
        assert f"not used: {MISFILED} (looks like a file of this corpus, but its place" in said
    verb(project, "manifest", "ravdess")
    account = read_json(project / "reports/ravdess/counts.json")
    assert account["ignored_files"] == {"misfiled": 1, "other": 0, "shadow": 0}
    assert account["ignored_named"] == {"misfiled": [MISFILED]}


@pytest.mark.parametrize(
    ("reader", "path", "kind"),
    [
        (Ravdess, "Actor_03/03-01-05-01-01-01-03 (1).flac", "misfiled"),
        (Ravdess, "Actor_03/03-01-05-01-01-01-03 - Copy.wav", "misfiled"),
        (Ravdess, "Actor_03/03-01-05-01-01-01-03.mp3", "misfiled"),
        (Ravdess, "action units.tsv", "misfiled"),
        (Ravdess, "features/action_units.tsv", "misfiled"),
        (Ravdess, "Actor_03/readme.txt", None),
        (Iemocap, "Session1/dialog/wav/Ses01F_impro01 (1).wav", "misfiled"),
        (Iemocap, "Session1/dialog/avi/DivX/Ses01F_impro01.mp4", "misfiled"),
        (Iemocap, "Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_F000 (2).wav", "misfiled"),
        # Files of the corpus that no stage reads.
        (Iemocap, "Session1/dialog/EmoEvaluation/Categorical/Ses01F_impro01_e1_cat.txt", None),
        (Iemocap, "Session1/dialog/MOCAP_head/Ses01F_impro01.txt", None),
        (Iemocap, "Session1/dialog/lab/Ses01_F/Ses01F_impro01.lab", None),
        (Iemocap, "Session1/sentences/ForcedAlignment/Ses01F_impro01/Ses01F_impro01_F000.wdseg", None),
    ],
)
def test_a_copy_beside_a_file_and_another_ending_look_like_the_corpus(
    reader: type[Reader], path: str, kind: str | None
) -> None:
    assert reader().wanted(path) == kind


def test_pipes_sockets_and_devices_are_counted_by_kind_and_never_opened(tmp_path: Path) -> None:
    tree = ravdess_tree(tmp_path / "tree")
    os.mkfifo(tree / "Actor_01/03-01-01-01-01-02-01.wav")
    os.mkfifo(tree / "Actor_02/pipe\n2")
    (tree / "Actor_02/null.wav").symlink_to(tree / "Actor_02/pipe\n2")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(os.path.relpath(tree / "socket"))
    out = tmp_path / "inventory.json"
    inventory(make_params(reader="ravdess", corpus="rav"), make_settings(tmp_path / "work", {"rav": tree}), out)
    listener.close()
    record = read_inventory(out)
    assert record.ignored == {"shadow": 0, "fifo": 3, "socket": 1, "other": 0}
    assert record.named == {
        "fifo": ("Actor_01/03-01-01-01-01-02-01.wav", "Actor_02/null.wav", "Actor_02/pipe\\n2"),
        "socket": ("socket",),
    }


def test_a_copy_that_went_through_windows_reads_as_the_original(tmp_path: Path) -> None:
    plain = iemocap_tree(tmp_path / "plain" / "tree", dialogues={"Ses03M_script01_1b": FOUR}, shadows=False)
    copy = tmp_path / "copy" / "tree"
    for path in sorted(plain.rglob("*")):
        if path.is_file():
            write(copy / path.relative_to(plain).as_posix().upper(), path.read_bytes())
    assert (copy / "SESSION3/DIALOG/AVI/DIVX/SES03M_SCRIPT01_1B.AVI").exists()
    rows, there = stages(plain)[0], stages(copy)[0]
    assert [(u.key, u.speaker, u.session, u.reason, u.label) for u in there] == [
        (u.key, u.speaker, u.session, u.reason, u.label) for u in rows
    ]
    assert len(rows) == 4 and all(u.video and u.audio and u.dialogue_audio and u.transcript for u in there)
    assert not read_json(tmp_path / "copy/counts.json")["entries"]


def test_two_files_that_differ_in_case_alone_are_refused_by_name(tmp_path: Path) -> None:
    tree = iemocap_tree(tmp_path / "tree", dialogues={"Ses03M_impro01": FOUR})
    wav = sound_file(tree, "Ses03M_impro01_F000")
    shutil.copy(wav, wav.with_suffix(".WAV"))
    with pytest.raises(DataError, match="two names differ only in case") as caught:
        inventory(make_params(), make_settings(tmp_path / "work", {"iemocap": tree}), tmp_path / "inventory.json")
    assert all(f"Ses03M_impro01_F000.{end}" in str(caught.value) for end in ("wav", "WAV"))


def test_sound_as_downloaded_is_an_entry_of_audio_only(project: Path) -> None:
    ravdess_tree(project / "tree", table=False, extension="wav")
    write(project / "tree/Actor_01/01-02-01-01-01-01-01.mp4", b"")
    said = verb(project, "add-corpus", "ravdess", "--root", "tree", "--classes", "neutral,happy,sad,angry").stdout
    assert "not used: Actor_01/01-02-01-01-01-01-01.mp4 (song of this corpus: speech alone is read)" in said
    assert "only audio_only is trained" in said
    entry = yaml.safe_load((project / "params.yaml").read_text())["corpora"]["ravdess"]
    assert entry["variants"] == ["audio_only"] and entry["final"]["variant"] == "audio_only"
    assert entry["train"]["picture"] == "face", "no table of features will be looked for"
    for stage in ("inventory", "manifest", "shards"):
        verb(project, stage, "ravdess")
    refused = verb(project, "add-corpus", "ravdess", "--root", "tree", "--variants", "foal", check=False)
    assert refused.returncode == 2 and "foal: no pictures" in refused.stderr


@pytest.mark.long
def test_the_video_archives_as_unpacked_are_an_entry_with_pictures(project: Path) -> None:
    for actor in ("01", "02"):
        write(project / f"v/Video_Speech_Actor_{actor}/Actor_{actor}/01-01-01-01-01-01-{actor}.mp4", b"")
    verb(project, "add-corpus", "ravdess", "--root", "v")
    entry = yaml.safe_load((project / "params.yaml").read_text())["corpora"]["ravdess"]
    assert entry["train"]["picture"] == "face" and entry["train"]["video"]["encoder"] == "crop_cnn"
    assert "foal" in entry["variants"]
    assert "2 files (video 2)" in verb(project, "inventory", "ravdess").stdout
