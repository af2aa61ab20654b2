"""Memory does not follow the size of the picture: few are in flight, and what is not held is decoded again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from foalnet import media
from foalnet.clips.pictures import cut_pictures
from foalnet.config.blocks import Shards
from foalnet.core.records import Box
from foalnet.faces import FixedDetector, detector_input, to_picture
from tests.support.corpus.rows import utterance
from tests.support.corpus.videos import picture, write_avi
from tests.support.models import sealed_model

REPOSITORY = Path(__file__).resolve().parents[2]
LIMIT_MIB = 1024
PROBE = """
import json, re, sys
from pathlib import Path
from foalnet.config import Settings
from foalnet.predict import load
model = load(Path(sys.argv[1]), settings=Settings(device="cpu", threads=1))
[prediction] = model.predict(sys.argv[2])
# Not ru_maxrss, which a new program takes over from the process that started it.
peak = int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024
print(json.dumps({"frames": prediction.frames.total, "detected": prediction.frames.detected, "mib": peak}))
"""


@pytest.mark.long
def test_a_clip_of_large_pictures_is_answered_whole_in_less_than_a_gigabyte(tmp_path: Path) -> None:
    clip = tmp_path / "large.mp4"
    source = ["-f", "lavfi", "-i", "color=c=gray:s=4096x4096:r=30:d=1.5", "-c:v", "libx264", "-preset", "ultrafast"]
    subprocess.run([media.ffmpeg_exe(), "-loglevel", "error", *source, "-pix_fmt", "yuv420p", str(clip)], check=True)
    assert clip.stat().st_size < 200_000
    model = sealed_model(tmp_path / "model")
    arguments = [sys.executable, "-c", PROBE, str(model), str(clip)]
    done = subprocess.run(arguments, cwd=REPOSITORY, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["frames"] == 45 and result["detected"] > 0
    assert result["mib"] < LIMIT_MIB


@pytest.mark.parametrize("stride", [1, 6])
def test_what_is_not_held_is_decoded_again_to_the_same_bytes(tmp_path: Path, stride: int) -> None:
    path = tmp_path / "film.avi"
    write_avi(path, [picture(i) for i in range(40)])
    said = (("a", "left", 0.1, 0.8), ("b", "right", 0.5, 1.3), ("c", "whole", 0.3, 0.31))
    utterances = [utterance(key, side=side, start_s=start_s, end_s=end_s) for key, side, start_s, end_s in said]
    params = Shards(detector="fixed", stride=stride)

    def cut_with(held_bytes: int) -> object:
        detector = FixedDetector()
        return cut_pictures(path, utterances, params=params, detector=detector, timeout_s=60.0, held_bytes=held_bytes)

    assert cut_with(1) == cut_with(2**30) == cut_with(2 * 720 * 480)


def test_a_taller_picture_is_searched_at_search_rows_and_its_boxes_are_those_of_the_picture() -> None:
    tall = media.Picture.of_planes(np.full((720 * 3 // 2, 640), 90, np.uint8))
    assert detector_input(tall, Shards()).shape == (480, 426, 3)
    assert detector_input(tall, Shards(search_rows=720)).shape == (720, 640, 3)
    small = media.Picture.of_planes(np.full((480 * 3 // 2, 360), 90, np.uint8))
    assert np.array_equal(detector_input(small, Shards()), small.rgb())
    box = Box(left=0.0, top=240.0, right=213.0, bottom=480.0, score=0.5)
    assert to_picture(box, (480, 426, 3), 640, 720) == Box(left=0.0, top=360.0, right=320.0, bottom=720.0, score=0.5)
    assert to_picture(box, (480, 360, 3), 360, 480) is box
