"""The search for black bars decodes nothing a second time in a video without bars, and changes no byte."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foalnet import media
from foalnet.clips import bars
from foalnet.clips.pictures import Pictures, cut_pictures
from foalnet.config import Settings
from foalnet.config.blocks import Shards
from foalnet.faces import get_detector
from tests.support.corpus.rows import utterance
from tests.support.corpus.videos import write_video

FRAMES = 90
BAR_PX = 12


def write_noise(path: Path, *options: str, bars: bool, height: int = 96) -> Path:
    """Write a video of bright noise, with black bars or without."""
    frames = np.random.default_rng(0).integers(80, 255, (FRAMES, height, 128, 3), dtype=np.uint8)
    if bars:
        frames[:, :BAR_PX] = frames[:, -BAR_PX:] = 0
    return write_video(path, list(frames), *options, rate="25")


def cut(path: Path, monkeypatch: pytest.MonkeyPatch, *, fits: bool) -> tuple[Pictures, int]:
    """Return a clip's pictures and how many frames were decoded; unless `fits`, frames are not held for a while."""
    decoded = [0]
    real = media.decode_pictures

    def counted(*args: Any, **options: Any) -> Iterator[Any]:
        for frame in real(*args, **options):
            decoded[0] += 1
            yield frame

    monkeypatch.setattr(media, "decode_pictures", counted)
    monkeypatch.setattr(bars, "HELD_BYTES", bars.HELD_BYTES if fits else 0)
    u = utterance("u", side="whole", start_s=0.0, end_s=FRAMES / 25)
    params = Shards(detector="fixed")
    staged = cut_pictures(path, [u], params=params, detector=get_detector(params, Settings()), timeout_s=60.0)["u"]
    monkeypatch.undo()
    return staged, decoded[0]


@pytest.mark.parametrize(
    ("options", "height"),
    [((), 96), (("-c:v", "ffv1"), 96), (("-c:v", "libx264", "-pix_fmt", "yuv420p"), 96), (("-c:v", "ffv1"), 95)],
    ids=["mpeg4", "ffmpeg's process", "h264", "odd"],
)
@pytest.mark.parametrize("bars", [False, True])
def test_each_frame_is_decoded_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], height: int, *, bars: bool
) -> None:
    path = write_noise(tmp_path / "a.mkv", *options, bars=bars, height=height)
    once, decoded = cut(path, monkeypatch, fits=True)
    twice, more = cut(path, monkeypatch, fits=False)
    assert once == twice and all(once.halves)
    top, bottom = once.area[1], once.area[3]
    assert (top, bottom) == ((BAR_PX, height - BAR_PX - height % 2) if bars else (0, height - height % 2))
    assert more > FRAMES
    assert decoded == FRAMES or bars or height % 2
