"""The manifest measures the length of a clip once, and again only if the clip or the code that measures changed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from foalnet import media
from foalnet.artifact.table import read_manifest
from foalnet.corpora import lengths
from foalnet.corpora.base import clip_length_s
from tests.support.corpus.staging import Place
from tests.support.corpus.trees import write, write_wav
from tests.support.corpus.videos import write_clip

MEASURED: list[str] = []


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A table of two videos, a sound and a file that is none; MEASURED lists what is measured."""
    clip = write_clip(tmp_path / "root" / "a.mp4", seconds=0.5, size="64x48")
    shutil.copy(clip, tmp_path / "root" / "copy.mp4")
    write_wav(tmp_path / "root" / "b.wav", 0.5)
    write(tmp_path / "root" / "bad.mp4", "no clip")
    rows = "a.mp4,sad,ada\nb.wav,glad,ben\nbad.mp4,sad,ada\ncopy.mp4,glad,ben\n"
    write(tmp_path / "root" / "clips.csv", "path,label,speaker\n" + rows)
    real = media.length_s

    def measure(path: Path) -> float:
        MEASURED.append(path.name)
        return real(path)

    monkeypatch.setattr(media, "length_s", measure)
    MEASURED.clear()
    return Place(
        home=tmp_path,
        root=tmp_path / "root",
        reader="table",
        table="clips.csv",
        classes={"sad": ["sad"], "glad": ["glad"]},
    )


def manifest(place: Place) -> bytes:
    """Run the two stages and return the manifest's bytes."""
    place.list_files()
    return (place.home / "manifest.jsonl").read_bytes()


def test_a_second_manifest_measures_only_what_it_could_not_read(place: Place) -> None:
    first = manifest(place)
    assert MEASURED == ["a.mp4", "b.wav", "bad.mp4", "bad.mp4"], "a copy has the length of its original"
    MEASURED.clear()
    assert manifest(place) == first and set(MEASURED) == {"bad.mp4"}
    assert {round(u.end_s, 1) for u in read_manifest(place.home / "manifest.jsonl")} == {0.5, 0.0}


def test_a_changed_clip_is_measured_again(place: Place) -> None:
    manifest(place)
    write_wav(place.root / "b.wav", 0.75)
    MEASURED.clear()
    manifest(place)
    assert set(MEASURED) == {"b.wav", "bad.mp4"}
    assert {u.key: u.end_s for u in read_manifest(place.home / "manifest.jsonl")}["b"] == 0.75


@pytest.mark.parametrize("how", ["other code", "damaged", "gone"])
def test_without_what_was_remembered_all_is_measured_again(
    place: Place, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    first, [file] = manifest(place), [*place.settings.work.glob("inventory/*-lengths.json")]
    if how == "other code":
        monkeypatch.setattr(lengths, "code_digest", lambda names: "another")
    elif how == "damaged":
        file.write_text(file.read_text().replace("0.5", "0.7"))
    else:
        file.unlink()
    MEASURED.clear()
    assert manifest(place) == first and {"a.mp4", "b.wav"} <= set(MEASURED)


def test_an_interrupt_keeps_what_was_measured(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    real = media.length_s

    def interrupted(path: Path) -> float:
        if path.name == "b.wav":
            raise KeyboardInterrupt
        return real(path)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(media, "length_s", interrupted)
        manifest(place)
    MEASURED.clear()
    manifest(place)
    assert "a.mp4" not in MEASURED and "b.wav" in MEASURED


def test_outside_of_the_stage_nothing_is_remembered(place: Place) -> None:
    for _ in range(2):
        assert clip_length_s(place.root / "bad.mp4", place.root / "b.wav") == 0.5
    assert MEASURED == ["bad.mp4", "b.wav"] * 2
