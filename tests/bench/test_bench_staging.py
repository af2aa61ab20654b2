"""The bench of staging: which dialogues it draws, what the floor does, and that people's way looks at every frame."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from bench.staging import choose
from bench.staging_rivals import Clip, floor_command, floor_wall_s, people_s
from foalnet.config import load_settings
from foalnet.config.blocks import Shards
from tests.support.video_files import numbered_video


def table(path: Path, dialogues: dict[str, list[tuple[float, float]]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(["utterance", "label", "start_s", "end_s"])
        for name, times in dialogues.items():
            for place, (start_s, end_s) in enumerate(times):
                writer.writerow([f"{name}_F{place:03d}", "neu", start_s, end_s])
    return path


def test_whole_dialogues_near_the_tables_density_are_drawn_until_there_are_minutes_enough(tmp_path: Path) -> None:
    dialogues = {
        "Ses01F_impro01": [(0.0, 30.0), (30.0, 60.0)],  # 1.0 s of speech a second
        "Ses01F_impro02": [(0.0, 6.0), (54.0, 60.0)],  # 0.2
        "Ses01F_impro03": [(0.0, 60.0), (0.0, 48.0)],  # 1.8
        "Ses01F_impro04": [(0.0, 42.0), (36.0, 60.0)],  # 1.1
    }
    chosen = choose(table(tmp_path / "t.tsv", dialogues), minutes=2)  # 1.025 altogether
    assert chosen.names == ("Ses01F_impro01", "Ses01F_impro04")
    assert (chosen.video_s, chosen.speech_s, len(chosen.rows)) == (120.0, 126.0, 4)
    assert len(choose(table(tmp_path / "t.tsv", dialogues), minutes=99).names) == 4


def test_the_floor_decodes_once_on_one_thread_and_encodes_two_crops(tmp_path: Path) -> None:
    video = numbered_video(tmp_path / "a.avi", 12)
    params = Shards(face_px=32, half_width_px=64, half_height_px=48)
    command = floor_command(video, params)
    assert command.count("-i") == 1 and command.count("mjpeg") == 2 and command.count("-threads") == 3
    assert "crop=32:32" in " ".join(command) and "crop=64:48" in " ".join(command)
    wall_s, frames = floor_wall_s([video, video, video], params, workers=2)
    assert frames == 36 and wall_s > 0


@pytest.mark.long
def test_people_look_at_every_frame_of_an_utterance(tmp_path: Path) -> None:
    video = numbered_video(tmp_path / "a.avi", 60)
    clips = [Clip(key=f"u{i}", video=video, start_s=i * 0.5, end_s=i * 0.5 + 0.5, side="left") for i in range(3)]
    busy_s, split, count = people_s(clips, Shards(), load_settings(), workers=2)
    assert 40 <= count <= 50 and busy_s > 0  # 15 frames each
    assert set(split) == {"seek and decode", "detect"} and sum(split.values()) == pytest.approx(1.0)
