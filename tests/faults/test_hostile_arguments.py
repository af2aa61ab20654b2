"""Odd names, links and files that are not plain, as arguments of `predict` and `add-corpus`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import yaml

from tests.support.corpus.staging import opens_of
from tests.support.corpus.trees import iemocap_tree, ravdess_tree
from tests.support.corpus.videos import ffmpeg, numbered_video
from tests.support.fake_decoder import disguises
from tests.support.marks import red_when
from tests.support.models import sealed_model
from tests.support.projects import REPOSITORY, environment, verb

ODD = [
    b"with space",
    b'it\'s "quoted"',
    b"new\nline",
    b"-dash",
    b"a;b|c&d$(touch gone)`touch gone`",
    b"pipe:1",
    b"%d\xc3\xa9",
    b"not UTF-8 \xff",
    b"escape \x1b[31m\x07",
]


def addresses(folder: Path, model: Path, *clips: bytes) -> tuple[int, list[dict[str, Any]], str]:
    """Run `foalnet predict` in a folder; return exit code, its rows, what it said."""
    command = [sys.executable, "-m", "foalnet", "predict", "--model", str(model), "--"]
    env = environment(REPOSITORY) | {"FOALNET_DEVICE": "cpu"}
    done = subprocess.run([*map(os.fsencode, command), *clips], cwd=folder, env=env, capture_output=True, timeout=300)
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr.decode()


@pytest.fixture(scope="module")
def two_streams(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second of numbered pictures with sound."""
    folder = tmp_path_factory.mktemp("film")
    wave_N = np.random.default_rng(1).normal(0, 0.1, 16000).astype(np.float32)
    soundfile.write(folder / "voice.wav", wave_N, 16000)
    silent = numbered_video(folder / "silent.avi", 30)
    ffmpeg("-i", str(silent), "-i", str(folder / "voice.wav"), "-c", "copy", str(folder / "film.avi"))
    return folder / "film.avi"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sealed_model(tmp_path_factory.mktemp("model"))


@red_when("media/container.py", "the name is given without its protocol")
@pytest.mark.long
def test_t27_predict_takes_any_name_for_a_name(two_streams: Path, model: Path, tmp_path: Path) -> None:
    places = {name + suffix: source for name in ODD for suffix, source in
              ((b".avi", two_streams), (b".wav", two_streams.with_name("voice.wav")))}  # fmt: skip
    for name, source in places.items():
        (tmp_path / os.fsdecode(name)).write_bytes(source.read_bytes())
    before = sorted(os.listdir(os.fsencode(tmp_path)))
    code, rows, said = addresses(tmp_path, model, *places)
    assert code == 0 and said == "", said
    assert [row["clip"] for row in rows] == [os.fsdecode(name) for name in places]
    for row, (name, source) in zip(rows, places.items(), strict=True):
        assert row["sound"] == "found" and row["picture"] == ("found" if source is two_streams else "none"), name
    for kind in (rows[0::2], rows[1::2]):
        assert all(row["probabilities"] == kind[0]["probabilities"] for row in kind)
    assert sorted(os.listdir(os.fsencode(tmp_path))) == before


@red_when("media/container.py", "text gets the demuxer that it asks for")
def test_t26_t49_predict_opens_nothing_that_a_clip_points_to_and_does_not_wait(
    two_streams: Path, model: Path, tmp_path: Path, listener: tuple[str, list[str]]
) -> None:
    url, requests = listener
    secret = tmp_path / "secret.avi"
    shutil.copy(two_streams, secret)
    for kind, text in disguises(secret, url).items():
        for suffix in ("avi", "mp4", "wav", "flac"):
            (tmp_path / f"{kind}.{suffix}").write_text(text)
    bad = sorted(path.name for path in tmp_path.iterdir() if path != secret)
    os.mkfifo(tmp_path / "pipe.avi")
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "folder.avi").mkdir()
    (tmp_path / "loop.avi").symlink_to("loop.avi")
    (tmp_path / "nowhere.wav").symlink_to("not here")
    (tmp_path / "zeros.avi").symlink_to("/dev/zero")
    (tmp_path / "link.avi").symlink_to(two_streams)
    bad += ["pipe.avi", "pipe.wav", "folder.avi", "loop.avi", "nowhere.wav", "zeros.avi", "n" * 400 + ".avi"]
    with opens_of(secret) as opens:
        code, rows, said = addresses(tmp_path, model, *(name.encode() for name in bad), b"link.avi")
        assert opens() == 0 and requests == []
    assert code in (2, 3, 4) and "Traceback" not in said
    assert [row["clip"] for row in rows] == [*bad, "link.avi"]
    for row in rows[:-1]:
        assert row["error"]["exit_code"] in (2, 3, 4) and row["error"]["what"] and row["error"]["next"], row
    assert rows[-1]["sound"] == rows[-1]["picture"] == "found", "a link that a user gives is a user's word"


@red_when("media/audio.py", "what is no sound file is tried with FFmpeg, without fences")
def test_t26_a_sound_given_beside_the_clip_is_no_playlist_either(
    two_streams: Path, model: Path, tmp_path: Path, listener: tuple[str, list[str]]
) -> None:
    url, requests = listener
    secret = tmp_path / "secret.wav"
    shutil.copy(two_streams.with_name("voice.wav"), secret)
    (tmp_path / "sound.wav").write_text(disguises(secret, url)["neighbour"])
    os.mkfifo(tmp_path / "pipe.wav")
    with opens_of(secret) as opens:
        for name in ("sound.wav", "pipe.wav"):
            done = verb(
                tmp_path, "predict", str(two_streams), "--model", str(model), "--sound", name, check=False,
                PYTHONPATH=str(REPOSITORY), FOALNET_DEVICE="cpu",
            )  # fmt: skip
            assert done.returncode == 3, done.stderr
            assert "the sound cannot be read" in json.loads(done.stdout)["error"]["what"]
        assert opens() == 0 and requests == []


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project's folder with its config; the code is the repository's."""
    folder = tmp_path / "project"
    folder.mkdir()
    for name in ("params.yaml", "prefect.yaml", "dvc.yaml"):
        shutil.copy(REPOSITORY / name, folder)
    return folder


def add(project: Path, reader: str, root: str, *more: str) -> subprocess.CompletedProcess[str]:
    return verb(project, "add-corpus", reader, "--root", root, *more, check=False, PYTHONPATH=str(REPOSITORY))


@red_when("cli/entries.py", "blanks of a root are squeezed")
def test_t27_add_corpus_writes_any_root_so_that_it_can_be_read_again(project: Path, tmp_path: Path) -> None:
    odd = '-i it\'s "a": {b} [c] # $(touch gone)\n;touch gone|~ %d \x1b[31m \x7f \\ é \u2028 ' + "long " * 30
    tree = ravdess_tree(tmp_path / "tree")
    name = odd.rstrip()
    tree.rename(project / name)
    done = add(project, "ravdess", name)
    assert done.returncode == 0, done.stderr
    assert yaml.safe_load((project / "settings.yaml").read_text())["roots"] == {"ravdess": str(project / name)}
    assert "\x1b" not in done.stdout + done.stderr
    taken = verb(project, "inventory", "ravdess", PYTHONPATH=str(REPOSITORY))
    assert taken.stdout.startswith("inventory: 13 files")
    again = add(project, "ravdess", name)
    assert "nothing to change" in again.stdout
    assert not list(tmp_path.rglob("gone"))


@red_when("cli/entries.py", "a link to itself is not foreseen")
@red_when("cli/entries.py", "a root of other bytes than UTF-8 is written")
@pytest.mark.parametrize(
    ("root", "code"),
    [
        (b"loop", 4),
        (b"nowhere", 4),
        (b"pipe", 4),
        (b"n" * 400, 2),
        (b"not UTF-8 \xff", 2),
        (b"~nobody-here", 4),
    ],
)
def test_t49_a_root_that_is_none_is_answered_and_nothing_is_written(project: Path, root: bytes, code: int) -> None:
    (project / "loop").symlink_to("loop")
    os.mkfifo(project / "pipe")
    os.mkdir(os.fsencode(project) + b"/not UTF-8 \xff")
    before = {path: path.read_bytes() for path in project.glob("*.yaml")}
    command = [sys.executable, "-m", "foalnet", "add-corpus", "ravdess", "--root"]
    done = subprocess.run(
        [*map(os.fsencode, command), root], cwd=project, env=environment(REPOSITORY), capture_output=True, timeout=120
    )
    said = done.stderr.decode()
    assert done.returncode == code and "next: " in said and "internal error" not in said, said
    assert {path: path.read_bytes() for path in project.glob("*.yaml")} == before


@red_when("core/errors.py", "names are shown as they are")
def test_t49_a_link_out_of_an_added_tree_is_refused_by_its_name_however_that_reads(
    project: Path, tmp_path: Path
) -> None:
    tree = iemocap_tree(tmp_path / "tree")
    (tmp_path / "secret").mkdir()
    assert add(project, "iemocap", str(tree)).returncode == 0
    link = tree / "Session1/dialog/EmoEvaluation/a\n  next: obey \x1b[2J"
    link.symlink_to(tmp_path / "secret")
    done = verb(project, "inventory", "iemocap", check=False, PYTHONPATH=str(REPOSITORY))
    assert done.returncode == 3 and "a link leads out of the corpus folder" in done.stderr
    assert "a\\n  next: obey \\x1b[2J" in done.stderr and "\x1b" not in done.stderr
    assert done.stderr.count("\n  next: ") == 1, "a name cannot speak for us"
