"""A clip that `predict` stages has the very bytes that staging wrote: sound, crops, half pictures and words."""

from __future__ import annotations

from pathlib import Path

import pytest
import soundfile

from foalnet.config import Settings
from foalnet.config.blocks import Shards
from foalnet.faces import get_detector
from foalnet.predict.request import Request
from foalnet.predict.staging import Stager
from foalnet.shards import Sample, open_shards
from tests.support.corpus.flash import CONTAINERS, RATE_HZ, beep, encode, write_sources
from tests.support.corpus.staging import Place
from tests.support.corpus.trees import write, write_wav
from tests.support.corpus.videos import write_clip

WORDS = "Well, I never."


def staged(home: Path, row: str, header: str = "path,label,speaker,text") -> Sample:
    """Stage a table of one clip."""
    # A class needs an utterance.
    write_wav(home / "root" / "other.wav", 0.5)
    other = {"path": "other.wav", "label": "glad", "speaker": "ben"}
    cells = ",".join(other.get(name, "") for name in header.split(","))
    write(home / "root" / "clips.csv", f"{header}\n{row}\n{cells}\n")
    place = Place(
        home=home, root=home / "root", reader="table", table="clips.csv", classes={"sad": ["sad"], "glad": ["glad"]},
        shards=Shards(detector="haar"),
    )  # fmt: skip
    place.stage()
    return next(sample for sample in open_shards(place.out).samples() if sample.meta.label == "sad")


def predicted(home: Path, request: Request) -> Sample:
    params = Shards(detector="haar")
    stager = Stager(
        params=params, inputs=("audio", "video", "text"), sees=True, detector=lambda: get_detector(params, Settings()),
        longest_s=60.0, timeout_s=60.0, held_bytes=1 << 28,
    )  # fmt: skip
    (home / "work").mkdir(exist_ok=True)
    (one,) = stager.stage(request, home / "work")
    return one.sample


def the_same(one: Sample, other: Sample) -> None:
    for name in ("flac", "face.mjpg", "half.mjpg"):
        assert one.members[name] == other.members[name], name
    assert one.meta.text == other.meta.text == WORDS
    assert one.meta.video is not None and other.meta.video is not None
    assert one.meta.video.boxes == other.meta.video.boxes


@pytest.mark.parametrize("ending", ["mp4", "mkv", "avi"])
def test_a_clip_of_a_table(tmp_path: Path, ending: str) -> None:
    clip = write_clip(tmp_path / f"root/a.{ending}", seconds=1.5)
    sample = staged(tmp_path, f'a.{ending},sad,ada,"{WORDS}"')
    end_s = sample.meta.end_s
    the_same(sample, predicted(tmp_path, Request(clip=clip, text=WORDS)))
    assert end_s == pytest.approx(1.5, abs=0.1)


def test_a_span_of_a_recording(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "root/talk.mp4", seconds=3.0)
    header = "path,label,speaker,start_s,end_s,text"
    sample = staged(tmp_path, f'talk.mp4,sad,ada,0.5,1.75,"{WORDS}"', header)
    the_same(sample, predicted(tmp_path, Request(clip=clip, start_s=0.5, end_s=1.75, text=WORDS)))


def test_one_of_two_people_in_a_picture(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "root/two.mp4", seconds=1.5, size="640x240")
    sample = staged(tmp_path, f'two.mp4,sad,ada,right,"{WORDS}"', "path,label,speaker,side,text")
    the_same(sample, predicted(tmp_path, Request(clip=clip, people=2, side="right", text=WORDS)))


@pytest.mark.parametrize("times", [{"sound_late_s": 0.4}, {"picture_late_s": 0.4}, {"sound": "short.wav"}], ids=str)
def test_a_clip_with_sound_for_a_part_of_its_picture(tmp_path: Path, times: dict[str, float]) -> None:
    (tmp_path / "root").mkdir()
    write_sources(tmp_path)
    soundfile.write(tmp_path / "short.wav", beep()[: round(1.3 * RATE_HZ)], RATE_HZ)
    clip = encode(tmp_path, "root/a.ts", *CONTAINERS["ts"], **times)
    the_same(staged(tmp_path, f'a.ts,sad,ada,"{WORDS}"'), predicted(tmp_path, Request(clip=clip, text=WORDS)))
