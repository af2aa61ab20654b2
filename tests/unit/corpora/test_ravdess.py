"""RAVDESS' names, its table of features and their join; the real clips where they are available."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foalnet.core.errors import DataError
from foalnet.core.ledger import Ledger
from foalnet.core.records import Utterance
from foalnet.corpora import get_reader
from foalnet.corpora.base import is_role
from foalnet.corpora.ravdess import EMOTIONS, PUBLISHED, Ravdess
from foalnet.corpora.splits import groups_of
from foalnet.corpora.tables import parse_reference, read_table, reference
from tests.support.corpus.trees import make_params, ravdess_tree, write, write_wav
from tests.support.corpus.videos import write_clip

FIELDS = st.tuples(*(st.integers(1, n) for n in (3, 2, 8, 2, 2, 2, 24)))


def reversed_read(root: Path) -> list[Utterance]:
    """Read with the files in the opposite order."""
    paths = sorted((p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file()), reverse=True)
    return Ravdess().utterances(root, {path: Ravdess().wanted(path) or "" for path in paths}, Ledger())


def read(root: Path, ledger: Ledger | None = None) -> list[Utterance]:
    """Read a tree as the stages do, without their checks."""
    reader = get_reader("ravdess")
    paths = [p.relative_to(root).as_posix() for p in sorted(root.rglob("*")) if p.is_file()]
    files = {path: role for path in paths if is_role(role := reader.wanted(path))}
    return reader.utterances(root, files, ledger if ledger is not None else Ledger())


@given(FIELDS, st.integers(1, 24), st.sampled_from(["wav", "flac", "mp4"]))
def test_speech_in_its_actors_folder_is_wanted_and_nothing_else(
    fields: tuple[int, ...], folder: int, extension: str
) -> None:
    path = f"Actor_{folder:02d}/" + "-".join(f"{n:02d}" for n in fields) + f".{extension}"
    fits = fields[1] == 1 and fields[6] == folder and (extension == "mp4") == (fields[0] < 3)
    if fits:
        assert Ravdess().wanted(path) == ("video" if extension == "mp4" else "audio")
    else:
        assert Ravdess().wanted(path) == ("song_not_read" if fields[1] == 2 else "misfiled")


@pytest.mark.parametrize(
    ("path", "role"),
    [
        ("action_units.tsv", "features"),
        ("._action_units.tsv", "shadow"),
        ("Actor_01/._03-01-01-01-01-01-01.wav", "shadow"),
        ("__MACOSX/Actor_01/03-01-01-01-01-01-01.wav", "shadow"),
        ("Actor_01/table.tsv", "misfiled"),
        ("copy/Actor_01/03-01-01-01-01-01-01.wav", "misfiled"),
        ("Actor_25/03-01-01-01-01-01-25.wav", "misfiled"),
        ("Actor_01/03-01-09-01-01-01-01.wav", "misfiled"),
        ("actor_01/03-01-01-01-01-01-01.WAV", "audio"),
        ("Actor_01/03-01-01-01-01-01-01.wav\n", "misfiled"),
        ("01-01-01-01-01-01-01.mp4", "video"),
        ("Actor_01/02-01-01-01-01-01-01.mp4", "video"),
        ("Video_Speech_Actor_01/Actor_01/01-01-01-01-01-01-01.mp4", "video"),
        ("Video_Speech_Actor_01/01-01-01-01-01-01-01.mp4", "video"),
        ("Audio_Speech_Actors_01-24/Actor_01/03-01-01-01-01-01-01.wav", "audio"),
        ("Video_Speech_Actor_01/Actor_02/01-01-01-01-01-01-01.mp4", "misfiled"),
        ("Video_Song_Actor_01/Actor_01/01-02-01-01-01-01-01.mp4", "song_not_read"),
        ("Actor_01/03-01-01-01-01-01-01.mp4", "misfiled"),
        ("Actor_01/01-01-01-01-01-01-01 (1).mp4", "misfiled"),
    ],
)
def test_roles_of_paths(path: str, role: str | None) -> None:
    assert Ravdess().wanted(path) == role


def test_a_clip_gives_every_fact(tmp_path: Path) -> None:
    by_key = {u.key: u for u in read(ravdess_tree(tmp_path))}
    assert len(by_key) == 12
    assert by_key["03-01-05-01-01-01-02"] == Utterance(
        key="03-01-05-01-01-01-02",
        corpus="ravdess",
        session="Actor_02",
        dialogue="Actor_02",
        speaker="Actor_02",
        side="whole",
        start_s=0.0,
        end_s=0.5,
        raw_label="angry",
        label=None,
        transcript="Kids are talking by the door",
        audio="Actor_02/03-01-05-01-01-01-02.flac",
        features="action_units.tsv#01-01-05-01-01-01-02",
    )
    table, clip = parse_reference("action_units.tsv#01-01-05-01-01-01-02")
    features_FD = read_table(tmp_path / table)[clip]
    assert features_FD.dtype == np.float32
    np.testing.assert_array_equal(features_FD, np.array([[5, 2, 0.5]], np.float32))
    assert reference(table, clip) == "action_units.tsv#01-01-05-01-01-01-02"


def clips_of(root: Path, *names: str) -> Path:
    """Write clips as the archives hold them: with sound, of modality 02 without."""
    for name in names:
        actor = name[-2:]
        path = root / f"Video_Speech_Actor_{actor}" / f"Actor_{actor}" / f"{name}.mp4"
        write_clip(path, seconds=1.2, sound=name.startswith("01"))
    return root


def test_a_clip_with_sound_gives_sound_and_picture_a_sound_file_is_preferred(tmp_path: Path) -> None:
    clips_of(tmp_path, "01-01-05-01-01-01-02", "02-01-05-01-01-01-02", "01-01-03-01-02-01-02", "02-01-01-01-01-01-02")
    wav = write_wav(tmp_path / "Audio_Speech_Actors_01-24/Actor_02/03-01-05-01-01-01-02.wav", 0.5)
    ledger = Ledger()
    by_key = {u.key: u for u in read(tmp_path, ledger)}
    assert sorted(by_key) == ["01-01-03-01-02-01-02", "02-01-01-01-01-01-02", "03-01-05-01-01-01-02"]
    both, alone, mute = by_key["03-01-05-01-01-01-02"], by_key["01-01-03-01-02-01-02"], by_key["02-01-01-01-01-01-02"]
    assert both.audio == wav.relative_to(tmp_path).as_posix()
    assert both.end_s == pytest.approx(1.2, abs=0.1), "the picture's length"
    assert both.video == "Video_Speech_Actor_02/Actor_02/01-01-05-01-01-01-02.mp4"
    assert alone.audio == alone.video == "Video_Speech_Actor_02/Actor_02/01-01-03-01-02-01-02.mp4"
    assert abs(alone.end_s - 1.2) < 0.1 and alone.speaker == "Actor_02"
    assert alone.transcript == "Dogs are sitting by the door"
    assert (mute.reason, mute.audio) == ("wav_missing", None)
    assert ledger.counts() == {"dropped/wav_missing": 1}


@pytest.mark.parametrize("place", ["{name}", "Actor_02/{name}", "Video_Speech_Actor_02/Actor_02/{name}"])
def test_the_root_is_recognised_in_each_layout(tmp_path: Path, place: str) -> None:
    path = tmp_path / "download" / place.format(name="01-01-05-01-01-01-02.mp4")
    write(path, b"")
    assert Ravdess().check_root(tmp_path / "download") == tmp_path / "download"


def test_no_speaker_is_in_two_folds(tmp_path: Path) -> None:
    rows = read(ravdess_tree(tmp_path, actors=range(1, 8)))
    groups = groups_of(rows, Ravdess.entry_preset["train"]["fold_by"])
    assert {len({groups[u.key] for u in rows if u.speaker == speaker}) for speaker in {u.speaker for u in rows}} == {1}
    assert len(set(groups.values())) == 5


def test_rows_and_clips_that_lack_the_other_are_counted_by_name(tmp_path: Path) -> None:
    tree = ravdess_tree(tmp_path, actors=(1, 2))
    lines = (tree / "action_units.tsv").read_text().splitlines(keepends=True)
    write(tree / "action_units.tsv", "".join(lines[:-1]) + "01-01-08-01-01-01-09\t1\t2\t3\nsomething else\t1\t2\t3\n")
    ledger = Ledger()
    lone = [u.key for u in read(tree, ledger) if u.features is None]
    assert lone == ["03-01-05-01-01-01-02"]
    assert [(e.kind, e.item, e.reason) for e in ledger.entries] == [
        ("dropped", "01-01-08-01-01-01-09", "features_unpaired"),
        ("kept", "03-01-05-01-01-01-02", "video_missing"),
    ]


def test_picture_and_sound_is_taken_before_picture_alone(tmp_path: Path) -> None:
    tree = ravdess_tree(tmp_path, actors=(1,))
    with (tree / "action_units.tsv").open("a") as handle:
        handle.write("02-01-05-01-01-01-01\t0\t0\t0\n")
    assert {u.features.split("#")[1][:2] for u in read(tree) if u.features} == {"01"}


def test_without_a_table_every_clip_is_kept_without_picture(tmp_path: Path) -> None:
    ledger = Ledger()
    assert all(u.features is None and u.reason is None for u in read(ravdess_tree(tmp_path, table=False), ledger))
    assert ledger.counts() == {"kept/video_missing": 12}


def test_a_sound_that_cannot_be_read_is_dropped_and_a_second_one_counted(tmp_path: Path) -> None:
    tree = ravdess_tree(tmp_path, actors=(1,))
    write(tree / "Actor_01/03-01-01-01-01-01-01.flac", b"not sound at all")
    write_wav(tree / "Actor_01/03-01-03-01-01-01-01.wav", 0.7)
    ledger = Ledger()
    by_key = {u.key: u for u in read(tree, ledger)}
    assert by_key["03-01-01-01-01-01-01"].reason == "wav_unreadable"
    assert by_key["03-01-03-01-01-01-01"].end_s == 0.5
    assert reversed_read(tree) == list(by_key.values())
    assert ledger.counts() == {"dropped/wav_unreadable": 1, "repaired/duplicate_sound": 1}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has a first column `clip`"),
        ("name\tau\nx\t1\n", "has a first column `clip`"),
        ("clip\n", "has a first column `clip`"),
        ("clip\tau\nx\t1\t2\n", "line 2 has 3 columns, the header 2"),
        ("clip\tau\nx\tone\n", "line 2, column 'au': 'one' is not a finite number"),
        ("clip\tau\nx\tnan\n", "'nan' is not a finite number"),
        ("clip\tau\nx\t1e39\n", "'1e39' is not a finite number"),
        ("clip\tau\nx\t1\n\nx\t2\n", "line 4 names clip 'x' again"),
        ("clip\tau\nx\t\xff\n".encode("latin-1"), "not UTF-8 at byte 10"),
    ],
)
def test_a_table_that_is_none_is_refused_by_line_and_column(tmp_path: Path, text: str | bytes, said: str) -> None:
    with pytest.raises(DataError) as caught:
        read_table(write(tmp_path / "units.tsv", text))
    assert said in str(caught.value)
    assert "units.tsv" in str(caught.value)


@given(st.binary(max_size=120))
def test_no_bytes_make_the_table_reader_fail_otherwise(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = write(tmp_path_factory.getbasetemp() / "fuzz.tsv", b"clip\tau\n" + data)
    try:
        table = read_table(path)
    except DataError:
        return
    assert all(features_FD.shape == (1, 1) for features_FD in table.values())


def test_the_preset_is_a_valid_entry() -> None:
    reader = Ravdess()
    preset = dict(reader.entry_preset)
    params = make_params(reader="ravdess", classes=reader.class_presets, contract=preset.pop("contract"), **preset)
    assert params.train.picture == "features"
    assert params.manifest.contract is None
    assert list(params.manifest.classes) == list(EMOTIONS)


def test_published_counts_add_up() -> None:
    assert sum(PUBLISHED.raw_labels.values()) == sum(PUBLISHED.used_by_session.values()) == PUBLISHED.utterances == 1440


def test_all_real_clips_join_their_rows(shared_data: Path) -> None:
    ledger = Ledger()
    rows = read(Ravdess().check_root(shared_data / "ravdess"), ledger)
    assert len(rows) == 960
    assert ledger.counts() == {}, "each clip has a row and each row a clip"
    tables = {}
    for u in rows:
        table, clip = parse_reference(u.features or "")
        tables[table] = tables.get(table) or read_table(shared_data / "ravdess" / table)
        assert tables[table][clip].shape == (1, 35)
        assert clip[3:] == u.key[3:]
    assert Counter(u.speaker for u in rows) == {f"Actor_{n:02d}": 60 for n in range(1, 17)}
    assert Counter(u.raw_label for u in rows) == {e: 64 if e == "neutral" else 128 for e in EMOTIONS}
    assert 3300 < sum(u.end_s for u in rows) < 3700, "0.98 h"
