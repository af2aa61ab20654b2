"""T11: the kernel kills a worker for its memory. The others finish; the dialogue is retried once, then reported."""

from __future__ import annotations

import json
from pathlib import Path

import imageio_ffmpeg
import pytest

from foalnet.clips.failures import note_failures
from foalnet.clips.plan import Job
from foalnet.core.errors import DataError, MachineError
from tests.support.corpus.staging import AVI, DIALOGUE, OTHER, Place
from tests.support.corpus.videos import ffmpeg
from tests.support.marks import red_when


def killer(folder: Path, times: int, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put before ffmpeg what kills the worker that starts it on OTHER, so many times; return where that is counted.

    It is the environment that says so, and so it reaches workers that are processes of their own.
    """
    tries, fake = folder / "tries", folder / "fake-ffmpeg"
    tries.touch()
    fake.write_text(
        f"#!/bin/sh\ncase \"$*\" in *{OTHER}*)\n  echo x >> '{tries}'\n"
        f"  if [ $(wc -l < '{tries}') -le {times} ]; then kill -9 $PPID; exit 1; fi ;;\nesac\n"
        f"exec '{imageio_ffmpeg.get_ffmpeg_exe()}' \"$@\"\n"
    )
    fake.chmod(0o755)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(fake))
    return tries


@pytest.fixture
def place(sound_tree: Path, tmp_path: Path) -> Place:
    """Two dialogues, staged by real workers; the picture of OTHER is of a kind that ffmpeg's process decodes."""
    import shutil

    shutil.copytree(sound_tree, tmp_path / "root")
    path = tmp_path / "root" / AVI.replace(DIALOGUE, OTHER)
    ffmpeg("-i", str(path), "-c:v", "mjpeg", "-q:v", "3", str(tmp_path / "other.avi"))
    (tmp_path / "other.avi").replace(path)
    return Place(home=tmp_path, root=tmp_path / "root", workers=2, with_pool=True)


@red_when("clips/pool.py", "`RETRIES` 0")
@pytest.mark.long
def test_t11_a_worker_that_is_killed_once_costs_a_retry_and_no_byte(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The same program throughout: its digest is part of what is cached and of the account.
    tries = killer(tmp_path, 1, monkeypatch)
    assert place.stage().staged_now == 2 and tries.read_text().count("x") >= 2
    again = Place(home=tmp_path / "again", root=place.root, workers=2, with_pool=True)
    again.stage()
    assert again.bytes() == place.bytes()
    assert not (place.settings.work / "runs/shards-tiny-failed.json").exists()


@pytest.mark.long
@red_when("stages/shards/staging.py", "failures are not written")
def test_t11_killed_twice_it_stands_in_a_ledger_and_the_others_are_kept(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = killer(tmp_path, 2, monkeypatch)
    with pytest.raises(MachineError, match=rf"worker for dialogue {OTHER} died twice \(killed by signal 9\)") as caught:
        place.stage()
    assert caught.value.exit_code == 4 and "FOALNET_WORKERS" in str(caught.value.action)
    assert tries.read_text().count("x") == 2 and not place.out.exists()
    ledger = json.loads((place.settings.work / "runs/shards-tiny-failed.json").read_bytes())
    assert ledger["counts"] == {"dropped/worker_died": 1}
    (entry,) = ledger["entries"]
    assert entry["item"] == OTHER and "killed by signal 9" in entry["detail"]
    # The same command again, on a machine that has the memory: one dialogue is staged, and the ledger is gone.
    assert place.stage().staged_now == 1
    assert not (place.settings.work / "runs/shards-tiny-failed.json").exists()


@red_when("clips/failures.py", "the first failure stands for all")
def test_t11_every_failure_is_listed_with_its_own_reason(tmp_path: Path) -> None:
    def job(dialogue: str) -> Job:
        return Job(
            corpus="tiny", reader="iemocap", session="Session1", dialogue=dialogue, utterances=(), files={}, tables=(),
            params=Place(home=tmp_path, root=tmp_path).shards, key="0",
        )  # fmt: skip

    errors = {2: DataError("bad file", file="a.avi", action="mend it"), 0: MachineError("no disk")}
    note_failures(errors, [job("a"), job("b"), job("c")], tmp_path / "failed.json")
    ledger = json.loads((tmp_path / "failed.json").read_bytes())
    assert [(e["item"], e["reason"]) for e in ledger["entries"]] == [("a", "dialogue_failed"), ("c", "dialogue_failed")]
    assert "no disk" in ledger["entries"][0]["detail"] and "a.avi" in ledger["entries"][1]["detail"]
