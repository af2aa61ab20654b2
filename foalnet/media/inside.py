"""Decodes ordinary videos in this process with PyAV, without a pipe to ffmpeg.

For anything else, in the whole video or from some frame on, it raises `Unusual`, and ffmpeg's own process (`decode`)
continues: other codecs and colours, rotated or scaled pictures, a damaged, missing or unstamped frame. Both decode the
same pictures.
"""

from __future__ import annotations

import contextlib
import itertools
import queue
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from foalnet.media.picture import Picture
from foalnet.media.video import VideoInfo, open_video, place_is_time, video_stream

Rows = tuple[int, int]

CODECS = frozenset({"mpeg4", "h264"})
COLOURS = "yuv420p"
# FFmpeg's numbers of studio range and of the ITU-R BT.601 matrices; unspecified values count as these.
STUDIO = (0, 1)
BT601 = (2, 5, 6)
# Side data of a frame that has to be rotated or mirrored for display.
TURNED = "DISPLAYMATRIX"
# Pictures are handed over in lots of this size, because each hand-over costs two thread switches. One more lot may be
# ready and one in progress. A lot of large pictures is smaller.
LOT = 8
LOT_BYTES = 1 << 24
AHEAD = 1
_STEP_S = 0.2


class Unusual(Exception):
    """This process cannot decode the video, or the rest of it."""


class Stalled(Exception):
    """A decoder returned nothing for the whole timeout."""


def decode_inside(path: Path, info: VideoInfo, rows: Rows, timeout_s: float) -> Iterator[tuple[int, Picture]]:
    """Yield (index into `info.times_s`, rows of its picture) for the indices 0, 1, 2, … without a gap.

    Raises Unusual before the first frame that is not ordinary, or if there are fewer frames than stamps; Stalled if one
    takes longer than the timeout. A thread that hangs cannot be ended, so it is abandoned.
    """
    if info.width_px % 2 or info.height_px % 2:
        raise Unusual
    reader = _Reader(path, info, rows)
    reader.start()
    try:
        for index in range(0, len(info.times_s), reader.lot):
            yield from enumerate(reader.next_lot(timeout_s), index)
    finally:
        reader.stop()


class _Reader:
    """A thread that decodes ahead of `next_lot`, which waits for it."""

    def __init__(self, path: Path, info: VideoInfo, rows: Rows) -> None:
        self._path, self._info, self._rows = path, info, rows
        self.lot = max(1, min(LOT, LOT_BYTES // (info.width_px * info.height_px * 3 // 2)))
        self._ready: queue.Queue[list[Picture] | BaseException] = queue.Queue(AHEAD)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="decoder")

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread at its next frame, and wait for it unless it hangs."""
        self._stopped.set()
        # The thread may be waiting for space in the queue.
        with contextlib.suppress(queue.Empty):
            while True:
                self._ready.get_nowait()
        self._thread.join(_STEP_S)

    def next_lot(self, timeout_s: float) -> list[Picture]:
        """Return the next pictures, or raise the exception that ended the thread."""
        try:
            item = self._ready.get(timeout=timeout_s)
        except queue.Empty as error:
            raise Stalled from error
        if isinstance(item, BaseException):
            raise item
        return item

    def _run(self) -> None:
        try:
            pictures = _pictures(self._path, self._info, self._rows)
            while lot := list(itertools.islice(pictures, self.lot)):
                if not self._put(lot):
                    return
            self._put(Unusual())
        except Exception:
            # On a damaged file the library may raise any exception; ffmpeg's process will report the fault.
            self._put(Unusual())

    def _put(self, item: list[Picture] | BaseException) -> bool:
        """Put an item into the queue; return False if the reader was stopped."""
        while not self._stopped.is_set():
            try:
                self._ready.put(item, timeout=_STEP_S)
                return True
            except queue.Full:
                continue
        return False


def _pictures(path: Path, info: VideoInfo, rows: Rows) -> Iterator[Picture]:
    """Yield pictures; raises Unusual as soon as one is not ordinary or not the expected next one."""
    with open_video(path, by_index=info.by_index) as container:
        stream = video_stream(container)
        if stream.codec_context.name not in CODECS:
            raise Unusual
        stream.codec_context.thread_count = 1
        in_place = place_is_time(container, stream)
        for stamp, frame in zip(_stamps(info, container, stream), container.decode(stream), strict=False):
            if (frame.dts if in_place else frame.pts) != stamp or not _ordinary(frame, info):
                raise Unusual
            yield _picture(frame, rows)


def _stamps(info: VideoInfo, container: Any, stream: Any) -> list[int]:
    """Return the stamps of all frames in ticks of the stream, as its decoder counts them."""
    # A double is precise to a thousandth of the finest tick for the longest allowed video.
    zero_s, tick_s = (container.start_time or 0) / 1_000_000, float(stream.time_base)
    return [round((time_s + zero_s) / tick_s) for time_s in info.times_s]


def _ordinary(frame: Any, info: VideoInfo) -> bool:
    """Return whether a frame is undamaged and already has the format of `Picture`."""
    return (
        not frame.is_corrupt
        and (frame.width, frame.height) == (info.width_px, info.height_px)
        and frame.format.name == COLOURS
        and frame.color_range in STUDIO
        and frame.colorspace in BT601
        and not (frame.key_frame and any(side.type.name == TURNED for side in frame.side_data))
    )


def _picture(frame: Any, rows: Rows) -> Picture:
    """Return rows of a frame without copying them; the picture keeps the frame in memory."""
    top, bottom = rows
    planes = []
    for plane, share in zip(frame.planes, (1, 2, 2), strict=True):
        lines = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
        planes.append(lines[top // share : bottom // share, : frame.width // share])
    return Picture(*planes)
