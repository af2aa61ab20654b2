"""The drawn corpus on disk: always the same bytes, IEMOCAP's layout and grammar, sound and picture in sync."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
import soundfile

from foalnet.config.draw import Draw
from foalnet.core.errors import MachineError, UsageError
from foalnet.core.files import sorted_files
from foalnet.core.paths import FACTS
from foalnet.drawn import avi, write
from foalnet.drawn.plan import plan
from foalnet.drawn.text import label_file, opinions
from foalnet.drawn.write import draw

TINY = Draw(dialogues_per_session=1, used_per_dialogue=8, unused_per_dialogue=0)
SMALLEST = Draw(
    dialogues_per_session=1, used_per_dialogue=1, unused_per_dialogue=1, length_max_s=1.3, rate_fps="15000/1001"
)
# The label files of the tiny corpus: a change of plan, rule or raters must be meant.
LABELS_SHA256 = "f6c5172021d725f6234ab594c747fb9bf60c7fdbe7e680cd98a169f3903fd0fd"

LABEL = re.compile(
    r"\[(\d+\.\d{4}) - (\d+\.\d{4})\]\t(Ses0[1-5][FM]_(?:impro|script)\d\d(?:_\d)?[a-z]?_[FM]\d{3})\t(\w{3})"
    r"\t\[([1-5]\.\d{4}), ([1-5]\.\d{4}), ([1-5]\.\d{4})\]"
)
VOTE = re.compile(r"C-([EFM]\d):\t((?:[A-Z][a-z]+; ?)+)\t\((.*)\)")
RATING = re.compile(r"A-([EFM]\d):\tval ([1-5]); act ([1-5]); dom  ([1-5]);\t\((.*)\)")
TRANSCRIPT_LINE = re.compile(r"(Ses0[1-5][FM]_\w+_[FM](?:\d{3}|XX\d)) \[(\d{3}\.\d{4})-(\d{3}\.\d{4})\]: (.+)")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("drawn") / "raw"
    draw(TINY, out)
    return out


@pytest.fixture(scope="module")
def truths(corpus: Path) -> dict[str, dict[str, Any]]:
    return {p.stem: json.loads(p.read_bytes()) for p in sorted((corpus / "TRUTH").glob("Ses*.json"))}


def digests(root: Path) -> dict[str, str]:
    return {name: hashlib.sha256((root / name).read_bytes()).hexdigest() for name in sorted_files(root)}


def of(corpus: Path, dialogue: str, *parts: str) -> Path:
    return corpus.joinpath(f"Session{dialogue[4]}", *parts)


def frames_of(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


@pytest.mark.long
def test_two_workers_draw_the_same_bytes_as_one(tmp_path: Path) -> None:
    draw(SMALLEST, tmp_path / "one" / "raw")
    draw(SMALLEST, tmp_path / "two" / "raw", workers=2)
    assert digests(tmp_path / "two") == digests(tmp_path / "one")
    assert sorted(p.name for p in (tmp_path / "two").iterdir()) == ["raw"]


@pytest.mark.long
def test_another_seed_draws_other_bytes_and_replaces_the_old_corpus(tmp_path: Path) -> None:
    out = tmp_path / "raw"
    draw(SMALLEST, out)
    before = digests(out)
    (out / "left behind").write_text("by an older version")
    draw(SMALLEST, out)
    assert digests(out) == before
    draw(SMALLEST.model_copy(update={"seed": 2}), out)
    after = digests(out)
    assert set(after) != set(before) or all(after[n] != before[n] for n in after if n.endswith((".wav", ".avi")))


def test_labels_are_those_of_record() -> None:
    text = "".join(label_file(dialogue, opinions(dialogue, TINY.seed)) for dialogue in plan(TINY))
    assert hashlib.sha256(text.encode()).hexdigest() == LABELS_SHA256


def test_layout_is_iemocaps(corpus: Path, truths: dict[str, dict[str, Any]]) -> None:
    assert sorted(p.name for p in corpus.iterdir()) == [*(f"Session{s}" for s in range(1, 6)), "TRUTH", FACTS]
    for name, truth in truths.items():
        for parts in (("EmoEvaluation", f"{name}.txt"), ("avi", "DivX", f"{name}.avi"), ("wav", f"{name}.wav")):
            assert of(corpus, name, "dialog", *parts).is_file()
            shadow = (*parts[:-1], f"._{parts[-1]}")
            assert of(corpus, name, "dialog", *shadow).read_bytes().startswith(b"\x00\x05\x16\x07")
        clips = of(corpus, name, "sentences", "wav", name).glob("Ses*.wav")
        assert sorted(p.stem for p in clips) == sorted(u["key"] for u in truth["utterances"])


def test_label_files_follow_the_grammar(corpus: Path, truths: dict[str, dict[str, Any]]) -> None:
    for name, truth in truths.items():
        lines = of(corpus, name, "dialog", "EmoEvaluation", f"{name}.txt").read_text().splitlines()
        assert lines[0].startswith("% [START_TIME - END_TIME]") and lines[1] == ""
        rows, raters, votes = [], set(), {}
        for line in lines[2:]:
            if line.startswith("["):
                match = LABEL.fullmatch(line)
                assert match, line
                rows.append(
                    {"start_s": float(match[1]), "end_s": float(match[2]), "key": match[3], "raw_label": match[4]}
                )
            elif line:
                match = VOTE.fullmatch(line) or RATING.fullmatch(line)
                assert match, line
                raters.add(match[1][0])
                if line[0] == "C":
                    votes.setdefault(rows[-1]["key"], []).append((match[1], match[2]))
        wanted = [{k: u[k] for k in ("start_s", "end_s", "key", "raw_label")} for u in truth["utterances"]]
        assert rows == wanted
        assert raters == {"E", "F", "M"}
        names = {"ang": "Anger", "exc": "Excited", "hap": "Happiness", "neu": "Neutral", "sad": "Sadness"}
        for row in rows:
            said = [text for rater, text in votes[row["key"]] if rater[0] == "E"]
            assert len(said) == 3 and sum(names[row["raw_label"]] in text for text in said) >= 2


def test_transcriptions_follow_the_grammar_and_do_not_reveal_the_class(
    corpus: Path, truths: dict[str, dict[str, Any]]
) -> None:
    by_sentence: dict[str, set[str]] = {}
    for name, truth in truths.items():
        lines = of(corpus, name, "dialog", "transcriptions", f"{name}.txt").read_text().splitlines()
        rows = [TRANSCRIPT_LINE.fullmatch(line) for line in lines]
        assert all(rows)
        spoken = [row for row in rows if row and "XX" not in row[1]]
        assert len(rows) == len(spoken) + 1
        for row, utterance in zip(spoken, truth["utterances"], strict=True):
            assert (row[1], float(row[2]), float(row[3])) == tuple(utterance[k] for k in ("key", "start_s", "end_s"))
            by_sentence.setdefault(row[4], set()).add(utterance["label"])
    assert sum(len(labels) > 1 for labels in by_sentence.values()) >= len(by_sentence) * 0.7


def test_sound_and_picture_are_equally_long(corpus: Path, truths: dict[str, dict[str, Any]]) -> None:
    for name, truth in truths.items():
        with av.open(str(of(corpus, name, "dialog", "avi", "DivX", f"{name}.avi"))) as container:
            stream = container.streams.video[0]
            assert (stream.width, stream.height, stream.average_rate) == (720, 480, pytest.approx(30000 / 1001))
            assert stream.codec_context.name == "mpeg4"
            assert sum(1 for packet in container.demux(stream) if packet.size) == truth["frames"]
        info = soundfile.info(of(corpus, name, "dialog", "wav", f"{name}.wav"))
        assert (info.samplerate, info.channels, info.subtype) == (16000, 2, "PCM_16")
        assert info.frames == truth["samples"] == round(truth["frames"] * 1001 / 30000 * 16000)


@pytest.mark.long
def test_at_half_the_rate_the_video_shows_every_second_frame_of_the_same_plan(tmp_path: Path) -> None:
    for name, params in (("whole", SMALLEST.model_copy(update={"rate_fps": "30000/1001"})), ("half", SMALLEST)):
        draw(params, tmp_path / name)
    for path in sorted((tmp_path / "whole/TRUTH").glob("Ses*.json")):
        whole, half = (json.loads((tmp_path / name / "TRUTH" / path.name).read_bytes()) for name in ("whole", "half"))
        assert (whole["rate_fps"], half["rate_fps"]) == ("30000/1001", "15000/1001")
        assert half["frames"] == -(-whole["frames"] // 2)
        assert half["samples"] == round(half["frames"] * 1001 / 15000 * 16000)
        for actor in "FM":
            boxes = whole["actors"][actor]["boxes"][::2]
            assert half["actors"][actor]["boxes"][: len(boxes)] == boxes
            whole_away, half_away = (
                {frame for first, last in each["actors"][actor]["away"] for frame in range(first, last + 1)}
                for each in (whole, half)
            )
            assert half_away == {frame // 2 for frame in whole_away if frame % 2 == 0}
        for both in zip(whole["utterances"], half["utterances"], strict=True):
            first, second = (each.pop("frames") for each in both)
            assert both[0] == both[1] and second == [first[0] // 2, -(-first[1] // 2)]
        video = of(tmp_path / "half", path.stem, "dialog", "avi", "DivX", f"{path.stem}.avi")
        with av.open(str(video)) as opened:
            assert opened.streams.video[0].average_rate == pytest.approx(15000 / 1001)
        assert len(frames_of(video)) == half["frames"]


def test_sentences_are_the_speakers_channel_between_the_label_times(
    corpus: Path, truths: dict[str, dict[str, Any]]
) -> None:
    for name, truth in truths.items():
        whole, _ = soundfile.read(of(corpus, name, "dialog", "wav", f"{name}.wav"), dtype="int16")
        for u in truth["utterances"]:
            clip, rate = soundfile.read(of(corpus, name, "sentences", "wav", name, f"{u['key']}.wav"), dtype="int16")
            cut = whole[round(u["start_s"] * 16000) : round(u["end_s"] * 16000)]
            own, other = cut.T if u["speaker"] == "F" else cut.T[::-1]
            assert rate == 16000 and np.array_equal(clip, own)
            alone = all(v is u or v["end_s"] <= u["start_s"] or v["start_s"] >= u["end_s"] for v in truth["utterances"])
            if alone:
                assert np.std(own.astype(float)) > 5 * np.std(other.astype(float))


def test_the_speakers_mouth_moves_and_the_listeners_does_not(corpus: Path, truths: dict[str, dict[str, Any]]) -> None:
    truth = truths["Ses01F_impro01"]
    video = frames_of(of(corpus, "Ses01F", "dialog", "avi", "DivX", "Ses01F_impro01.avi"))
    right = []
    for u in truth["utterances"]:
        energy = {}
        for actor, seen in truth["actors"].items():
            crops = []
            for f in range(u["frames"][0], u["frames"][1] + 1):
                left, top, right_px, bottom = seen["boxes"][f]
                centre = ((left + right_px) / 2, top + 0.77 * (bottom - top))
                crops.append(cv2.getRectSubPix(video[f], (22, 16), centre).astype(float))
            energy[actor] = np.abs(np.diff(np.array(crops), axis=0)).mean()
        right.append(max(energy, key=lambda a: energy[a]) == u["speaker"])
    assert np.mean(right) >= 0.85


@pytest.mark.long
def test_a_detector_not_made_for_them_finds_the_heads(corpus: Path, truths: dict[str, dict[str, Any]]) -> None:
    detector = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_alt2.xml")
    detected, false, looked = 0, 0, 0
    for name, truth in truths.items():
        video = frames_of(of(corpus, name, "dialog", "avi", "DivX", f"{name}.avi"))
        for u in truth["utterances"]:
            seen = truth["actors"][u["speaker"]]
            first = 0 if seen["side"] == "left" else 360
            for f in range(u["frames"][0], u["frames"][1] + 1, 29):
                if any(a <= f <= b for a, b in seen["away"]):
                    continue
                half = cv2.cvtColor(cv2.resize(video[f][:, first : first + 360], None, fx=2, fy=2), cv2.COLOR_RGB2GRAY)
                boxes = detector.detectMultiScale(half, scaleFactor=1.2, minSize=(48, 48))
                left, top, right, bottom = seen["boxes"][f]
                hits = [
                    abs(x / 2 + w / 4 + first - (left + right) / 2) < 12
                    and abs(y / 2 + h / 4 - (top + bottom) / 2) < 14
                    for x, y, w, h in boxes
                ]
                looked, detected, false = looked + 1, detected + any(hits), false + hits.count(False)
    assert looked > 60 and detected >= 0.95 * looked and false <= 0.02 * looked


def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep me")
    with pytest.raises(UsageError, match="other content than a drawn corpus"):
        draw(SMALLEST, tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine.txt"]


def test_an_encoder_that_fails_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(avi, "QUALITY", "nonsense")
    with pytest.raises(MachineError, match="ffmpeg could not encode") as caught:
        draw(SMALLEST, tmp_path / "raw")
    assert caught.value.action
    assert list(tmp_path.iterdir()) == []


def test_leftovers_of_a_killed_run_are_removed(tmp_path: Path) -> None:
    gone = tmp_path / f".raw.{2**22 + 1}{write.FRESH}"
    gone.mkdir()
    draw(SMALLEST, tmp_path / "raw")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["raw"]
