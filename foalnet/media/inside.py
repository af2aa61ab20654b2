"""Decoding in this process: no pipe between decoder and eye, for videos that ask for nothing but decoding.

Whatever is out of the ordinary, of the whole video or from some frame on, is `Unusual`, and ffmpeg's own process
(`decode`) does the rest: other codecs and colours, pictures to be turned or scaled, a damaged, missing or unstamped
frame. What both would decode, they decode to the same pictures.
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
from foalnet.media.video import VideoInfo, open_video, picture_of, placed

Rows = tuple[int, int]

CODECS = frozenset({"mpeg4", "h264"})
COLOURS = "yuv420p"
# FFmpeg's numbers of studio range, and of the matrices that are ITU-R BT.601's; what says nothing is taken for these.
STUDIO = (0, 1)
BT601 = (2, 5, 6)
# What a frame bears that is to be turned or mirrored before it is shown.
TURNED = "DISPLAYMATRIX"
# Pictures are handed over by so many, since each handing over costs two threads a turn; the decoder may have another
# lot ready and one in the making. A lot of large pictures is smaller.
LOT = 8
LOT_BYTES = 1 << 24
AHEAD = 1
_STEP_S = 0.2


class Unusual(Exception):
    """This video, or what is left of it, is not for this process."""


class Stalled(Exception):
    """A decoder gave nothing for the whole timeout."""


def decode_inside(path: Path, info: VideoInfo, rows: Rows, timeout_s: float) -> Iterator[tuple[int, Picture]]:
    """Yield (index into `info.times_s`, rows of its picture): 0, 1, 2, and so on, none left out.

    Unusual before the first frame that is not as it should be, or where fewer come than there are stamps. Stalled where
    one does not come within the timeout: a thread that hangs cannot be ended, so it is left behind.
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
    """A thread that decodes ahead; `next_lot` waits for it."""

    def __init__(self, path: Path, info: VideoInfo, rows: Rows) -> None:
        self._path, self._info, self._rows = path, info, rows
        self.lot = max(1, min(LOT, LOT_BYTES // (info.width_px * info.height_px * 3 // 2)))
        self._ready: queue.Queue[list[Picture] | BaseException] = queue.Queue(AHEAD)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="decoder")

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End at the next frame; wait for that, unless it hangs."""
        self._stopped.set()
        # It may wait for room.
        with contextlib.suppress(queue.Empty):
            while True:
                self._ready.get_nowait()
        self._thread.join(_STEP_S)

    def next_lot(self, timeout_s: float) -> list[Picture]:
        """Return the next pictures, or raise what came instead of them."""
        try:
            found = self._ready.get(timeout=timeout_s)
        except queue.Empty as error:
            raise Stalled from error
        if isinstance(found, BaseException):
            raise found
        return found

    def _run(self) -> None:
        try:
            pictures = _pictures(self._path, self._info, self._rows)
            while lot := list(itertools.islice(pictures, self.lot)):
                if not self._give(lot):
                    return
            self._give(Unusual())
        except Exception:
            # Of a library that meets a damaged file any exception means the same; ffmpeg's process will say what it is.
            self._give(Unusual())

    def _give(self, found: list[Picture] | BaseException) -> bool:
        """Hand something over; False where nobody wants it any more."""
        while not self._stopped.is_set():
            try:
                self._ready.put(found, timeout=_STEP_S)
                return True
            except queue.Full:
                continue
        return False


def _pictures(path: Path, info: VideoInfo, rows: Rows) -> Iterator[Picture]:
    """Yield the pictures as long as each is the next one and ordinary; Unusual otherwise."""
    with open_video(path, by_index=info.by_index) as container:
        stream = picture_of(container)
        if stream.codec_context.name not in CODECS:
            raise Unusual
        stream.codec_context.thread_count = 1
        in_place = placed(container, stream)
        for stamp, frame in zip(_stamps(info, container, stream), container.decode(stream), strict=False):
            if (frame.dts if in_place else frame.pts) != stamp or not _ordinary(frame, info):
                raise Unusual
            yield _picture(frame, rows)


def _stamps(info: VideoInfo, container: Any, stream: Any) -> list[int]:
    """Return the stamps of all frames in ticks of the stream, as its decoder says them."""
    # A double holds the stamps of the longest film to a thousandth of the finest tick.
    zero_s, tick_s = (container.start_time or 0) / 1_000_000, float(stream.time_base)
    return [round((time_s + zero_s) / tick_s) for time_s in info.times_s]


def _ordinary(frame: Any, info: VideoInfo) -> bool:
    """Tell whether a frame is whole, and already what `Picture` promises."""
    return (
        not frame.is_corrupt
        and (frame.width, frame.height) == (info.width_px, info.height_px)
        and frame.format.name == COLOURS
        and frame.color_range in STUDIO
        and frame.colorspace in BT601
        and not (frame.key_frame and any(side.type.name == TURNED for side in frame.side_data))
    )


def _picture(frame: Any, rows: Rows) -> Picture:
    """Return rows of a frame without copying them: the picture keeps the frame alive."""
    top, bottom = rows
    planes = []
    for plane, share in zip(frame.planes, (1, 2, 2), strict=True):
        lines = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
        planes.append(lines[top // share : bottom // share, : frame.width // share])
    return Picture(*planes)
