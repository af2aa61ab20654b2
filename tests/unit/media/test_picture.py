"""A picture in the colours of video: parts, RGB of any rectangle, scaling, crops."""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foalnet.core.records import Box
from foalnet.faces.crop import crop, window
from foalnet.media import (
    Picture,
    VideoUnreadable,
    decode_frames,
    decode_indexed,
    decode_pictures,
    probe_times,
    read_jpeg,
)
from foalnet.media.picture import LANES_PX
from tests.support.corpus.videos import ffmpeg, numbered_video

HEIGHT, WIDTH = 46, 62


def planes(seed: int = 0, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height * 3 // 2, width), np.uint8)


def test_it_is_what_opencv_makes_of_the_same_buffer() -> None:
    picture = Picture.of_planes(planes())
    assert (picture.height_px, picture.width_px) == (HEIGHT, WIDTH)
    assert np.array_equal(picture.rgb(), cv2.cvtColor(planes(), cv2.COLOR_YUV2RGB_I420))


@given(st.data())
def test_any_rectangle_is_a_slice_of_the_whole(data: st.DataObject) -> None:
    left = data.draw(st.integers(0, WIDTH - 1))
    top = data.draw(st.integers(0, HEIGHT - 1))
    right, bottom = data.draw(st.integers(left + 1, WIDTH)), data.draw(st.integers(top + 1, HEIGHT))
    picture = Picture.of_planes(planes())
    assert np.array_equal(picture.rgb((left, top, right, bottom)), picture.rgb()[top:bottom, left:right])
    if not (left | top | right | bottom) % 2:
        part = picture.part((left, top, right, bottom))
        assert np.array_equal(part.rgb(), picture.rgb()[top:bottom, left:right])
        assert not np.shares_memory(part.luma_HW, picture.luma_HW)


@pytest.mark.parametrize("width", [2, 62, 64, 66, 126, 128, 200, 360])
def test_longer_rows_of_the_buffer_change_no_pixel(width: int) -> None:
    higher = planes(5, 26, width)
    whole = Picture.of_planes(higher)
    longer = whole.part((0, 0, width, 24))
    assert longer.planes_RW is not None and longer.planes_RW.shape[1] % LANES_PX == 0
    assert np.array_equal(longer.rgb(), cv2.cvtColor(higher, cv2.COLOR_YUV2RGB_I420)[:24])
    exact = Picture(whole.luma_HW[:24].copy(), whole.blue_hw[:12].copy(), whole.red_hw[:12].copy())
    assert longer.jpeg(90) == exact.jpeg(90)
    assert whole.part((0, 0, width, 26)) is whole


def test_odd_parts_and_planes_that_do_not_fit_are_refused() -> None:
    picture = Picture.of_planes(planes())
    with pytest.raises(ValueError, match="even pixels"):
        picture.part((1, 0, 11, 10))
    with pytest.raises(ValueError, match="not one picture"):
        Picture(picture.luma_HW, picture.blue_hw[1:], picture.red_hw)
    with pytest.raises(ValueError, match="not one picture"):
        Picture(picture.luma_HW[:, 1:], picture.blue_hw, picture.red_hw)


def test_its_jpeg_shows_it_and_its_scaled_self_is_near_the_scaled_rgb() -> None:
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    smooth = np.concatenate([(40 + 2 * rows + columns).astype(np.uint8), np.full((HEIGHT // 2, WIDTH), 118, np.uint8)])
    picture = Picture.of_planes(smooth)
    assert np.abs(read_jpeg(picture.jpeg(95)).astype(int) - picture.rgb()).max() <= 6
    assert picture.jpeg(95) == Picture.of_planes(smooth.copy()).jpeg(95)
    small = picture.scaled(width_px=30, height_px=20)
    expected = cv2.resize(picture.rgb(), (30, 20), interpolation=cv2.INTER_AREA)
    assert small.rgb().shape == (20, 30, 3)
    assert np.abs(small.rgb().astype(int) - expected).mean() < 2.0


def by_index(frame_HWC: np.ndarray, box: Box, margin: float) -> np.ndarray:
    """The square around a box by plain indexing; pixels outside repeat the edge."""
    height, width = frame_HWC.shape[:2]
    left, top, side = window(box, width_px=width, height_px=height, margin=margin)
    rows = np.clip(np.arange(side) + top, 0, height - 1)
    columns = np.clip(np.arange(side) + left, 0, width - 1)
    return frame_HWC[rows[:, None], columns]


@given(
    st.floats(-90, 150), st.floats(-90, 150), st.floats(0.2, 300), st.floats(0.2, 300), st.sampled_from([0.0, 0.3, 2.0])
)
def test_a_crop_of_a_picture_is_that_of_its_rgb_and_that_of_plain_indexing(
    left: float, top: float, width: float, height: float, margin: float
) -> None:
    box = Box(left=left, top=top, right=left + width, bottom=top + height, score=1.0)
    picture = Picture.of_planes(planes(3))
    side = window(box, width_px=WIDTH, height_px=HEIGHT, margin=margin)[2]
    actual = crop(picture, box, size_px=side, margin=margin)
    assert np.array_equal(actual, crop(picture.rgb(), box, size_px=side, margin=margin))
    assert np.array_equal(actual, by_index(picture.rgb(), box, margin))


def test_a_video_of_odd_size_keeps_every_pixel(tmp_path: Path) -> None:
    wide = numbered_video(tmp_path / "a.avi", 4)
    odd = tmp_path / "odd.avi"
    ffmpeg("-i", str(wide), "-vf", "crop=127:95:0:0:exact=1", "-c:v", "ffv1", "-pix_fmt", "yuv444p", str(odd))
    info = probe_times(odd)
    assert (info.width_px, info.height_px) == (127, 95)
    assert {frame.shape for frame in decode_frames(odd)} == {(95, 127, 3)}
    assert {(p.height_px, p.width_px) for _, p in decode_pictures(odd, info)} == {(96, 128)}
    for (_, ours), theirs in zip(decode_indexed(odd, info), decode_frames(wide), strict=True):
        inside = (slice(0, 94), slice(0, 126))
        assert np.abs(ours[inside].astype(int) - theirs[inside]).mean() < 4


@pytest.mark.parametrize("colours", ["yuvj420p", "yuv422p", "yuv444p10le", "bgr0", "gray"])
def test_whatever_the_files_colours_are_the_same_picture_comes_out(tmp_path: Path, colours: str) -> None:
    plain = numbered_video(tmp_path / "a.avi", 3)
    other = tmp_path / "b.avi"
    ffmpeg("-i", str(plain), "-c:v", "ffv1", "-pix_fmt", colours, str(other))
    with av.open(str(other)) as source:
        theirs = [frame.to_ndarray(format="rgb24") for frame in source.decode(video=0)]
    ours = list(decode_frames(other))
    assert len(ours) == len(theirs) == 3
    for a, b in zip(ours, theirs, strict=True):
        assert np.abs(a.astype(int) - b).mean() < 4, colours


@pytest.mark.parametrize(("width", "height"), [(128, 96), (127, 95)])
def test_rows_are_those_of_the_whole_picture(tmp_path: Path, width: int, height: int) -> None:
    path = tmp_path / "b.avi"
    picture = ("-vf", f"crop={width}:{height}:0:0:exact=1", "-c:v", "ffv1", "-pix_fmt", "yuv420p")
    ffmpeg("-i", str(numbered_video(tmp_path / "a.avi", 3)), *picture, str(path))
    info = probe_times(path)
    whole, part = (list(decode_pictures(path, info, rows=rows)) for rows in (None, (24, 72)))
    assert [index for index, _ in part] == [index for index, _ in whole] == [0, 1, 2]
    for (_, one), (_, other) in zip(whole, part, strict=True):
        cut = one.part((0, 24, 128, 72))
        assert cut.luma_HW.std() > 1
        for ours, theirs in zip(
            (other.luma_HW, other.blue_hw, other.red_hw), (cut.luma_HW, cut.blue_hw, cut.red_hw), strict=True
        ):
            assert np.array_equal(ours, theirs)


@pytest.mark.parametrize("rows", [(1, 72), (24, 71), (-2, 10), (10, 10), (40, 20), (0, 98)])
def test_rows_outside_or_odd_are_refused(tmp_path: Path, rows: tuple[int, int]) -> None:
    path = numbered_video(tmp_path / "a.avi", 1)
    with pytest.raises(ValueError, match="even rows"):
        next(decode_pictures(path, probe_times(path), rows=rows))


def test_a_picture_smaller_than_a_block_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "b.avi"
    ffmpeg("-i", str(numbered_video(tmp_path / "a.avi", 1)), "-vf", "crop=128:8:0:0", "-c:v", "ffv1", str(path))
    with pytest.raises(VideoUnreadable, match="128 x 8 pixels"):
        probe_times(path)
