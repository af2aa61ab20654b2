"""Decodes a video once, sequentially; each frame is identified by its presentation stamp.

Ordinary videos are decoded in this process (`inside`). For others the wheel's ffmpeg writes raw pictures to a pipe and
the stamp of each to a file (`-stats_enc_pre`, flushed before the picture is written). A frame that is lost in a damaged
packet therefore shifts no later frame.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import tempfile
import time
from bisect import bisect_left
from collections.abc import Generator, Iterator
from fractions import Fraction
from pathlib import Path
from typing import IO, Any

import numpy as np

from foalnet.core.errors import MachineError
from foalnet.core.faults import decoder_refusal
from foalnet.media.container import MAX_AREA_PX, PROTOCOLS, choose_demuxer, unreadable
from foalnet.media.ffmpeg_exe import SOURCE, after_start, ffmpeg_arguments, ffmpeg_exe
from foalnet.media.inside import Rows, Stalled, Unusual, decode_inside
from foalnet.media.picture import Picture
from foalnet.media.video import STAMP_UNITS, VideoInfo, demux_flags, probe_times, stamp_key, ticks_key

Crop = tuple[int, int, int, int]

ATTEMPTS = 2
COLOURS = "yuv420p"
_TAIL_CHARS = 600
_GRACE_S = 5.0
# A frame is half a megabyte; with the default of 64 kB the two processes would wake each other eight times per frame.
_PIPE_BYTES = 1 << 20


def decode_frames(path: Path, *, crop: Crop | None = None, timeout_s: float = 3600.0) -> Iterator[np.ndarray]:
    """Yield every frame that decodes, in display order: [H, W, 3] uint8 RGB.

    `crop` is (left, top, width, height) in pixels of the displayed picture. `timeout_s`: the longest wait for the next
    frames; the decoder is then abandoned or killed, and ffmpeg is started once more. Closing the generator ends the
    decoder. In an undamaged file the i-th frame has the i-th stamp of `probe_times`; `decode_indexed` gives the index
    of each frame in damaged files too. Raises VideoUnreadable (exit 3) if nothing decodes, MachineError (exit 4) if
    ffmpeg hangs or is killed.
    """
    for _, frame_HWC in decode_indexed(path, probe_times(path, timeout_s=timeout_s), crop=crop, timeout_s=timeout_s):
        yield frame_HWC


def decode_indexed(
    path: Path, info: VideoInfo, *, crop: Crop | None = None, timeout_s: float = 3600.0
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (index into `info.times_s`, frame [H, W, 3] uint8 RGB), indices rising; otherwise as `decode_frames`.

    A missing index is a frame that exists in the file but does not decode.
    """
    left, top, width, height = crop or (0, 0, info.width_px, info.height_px)
    _check_crop((left, top, width, height), info)
    with contextlib.closing(decode_pictures(path, info, timeout_s=timeout_s)) as pictures:
        for index, picture in pictures:
            yield index, picture.rgb((left, top, left + width, top + height))


def decode_pictures(
    path: Path, info: VideoInfo, *, rows: Rows | None = None, timeout_s: float = 3600.0
) -> Generator[tuple[int, Picture], None, None]:
    """Yield (index into `info.times_s`, picture) as `decode_indexed` does, without conversion to RGB.

    Pictures of an odd size get one more black column or row. `rows`: return only rows top <= row < bottom of each
    picture, both even (ValueError otherwise).
    """
    if rows is not None:
        _check_rows(rows, info)
    done, first = -1, 1
    try:
        for done, picture in decode_inside(path, info, rows or (0, info.height_px), timeout_s):
            yield done, picture
        return
    except Unusual:
        pass
    except Stalled:
        first = 2
    for attempt in range(first, ATTEMPTS + 1):
        try:
            for index, picture in _run(path, info, rows, timeout_s):
                if index > done:
                    done = index
                    yield index, picture
        except Stalled as error:
            if attempt == ATTEMPTS:
                raise MachineError(
                    f"ffmpeg returned nothing for {timeout_s:g} s, {ATTEMPTS} times; it was killed",
                    file=path,
                    action="run the same command again; on a slow disk set FOALNET_FFMPEG_TIMEOUT_S higher",
                ) from error
        else:
            return


def command(path: Path, info: VideoInfo, stamps_file: Path, rows: Rows | None = None) -> list[str]:
    """Return ffmpeg's argument list: forced demuxer, local files only, one thread, no frame doubled or dropped."""
    import ffmpeg

    source = ffmpeg.input(
        SOURCE,
        f=choose_demuxer(path),
        protocol_whitelist=PROTOCOLS,
        fflags=demux_flags(info.by_index),
        threads=1,
        nostdin=None,
        hide_banner=None,
        loglevel="error",
        max_error_rate=1,
        max_pixels=MAX_AREA_PX,
        copyts=None,
    )
    # Rows are cropped as shares of the height and then scaled to their number. This matters only if a stream changes
    # its picture size midway, because frames in the pipe must keep their size. The pipe has the colours of `Picture`
    # for any colours of the source.
    width, height = even_size(info)
    # "V" excludes attached pictures.
    picture, shown = source["V:0"].filter("setpts", after_start(info.start_us)), info.height_px
    if rows is not None:
        height = shown = rows[1] - rows[0]
        share = f"ih/{info.height_px}"
        picture = picture.filter("crop", "iw", f"{shown}*{share}", 0, f"{rows[0]}*{share}", exact=1)
    picture = picture.filter("scale", info.width_px, shown, out_color_matrix="bt601", out_range="limited")
    picture = picture.filter("format", COLOURS)
    if (width, height) != (info.width_px, shown):
        picture = picture.filter("pad", width, height)
    output = picture.output(
        "pipe:1",
        format="rawvideo",
        pix_fmt=COLOURS,
        fps_mode="passthrough",
        enc_time_base="demux",
        stats_enc_pre=str(stamps_file),
        stats_enc_pre_fmt="{pts} {tb}",
        threads=1,
        filter_complex_threads=1,
    )
    return ffmpeg_arguments(output, path)


def even_size(info: VideoInfo) -> tuple[int, int]:
    """Return width and height of the decoded pictures: those of the video, rounded up to even numbers."""
    return info.width_px + info.width_px % 2, info.height_px + info.height_px % 2


def _check_rows(rows: Rows, info: VideoInfo) -> None:
    top, bottom = rows
    if top % 2 or bottom % 2 or not 0 <= top < bottom <= info.height_px:
        raise ValueError(f"rows {rows} are not even rows of a picture of {info.width_px} x {info.height_px} pixels")


def _check_crop(window: Crop, info: VideoInfo) -> None:
    left, top, width, height = window
    inside = left >= 0 and top >= 0 and left + width <= info.width_px and top + height <= info.height_px
    if not inside or width < 1 or height < 1:
        raise ValueError(f"crop {window} is not inside a picture of {info.width_px} x {info.height_px} pixels")


def _run(path: Path, info: VideoInfo, rows: Rows | None, timeout_s: float) -> Iterator[tuple[int, Picture]]:
    """Run ffmpeg once and yield indexed pictures; end the process and remove its files in every case."""
    with tempfile.TemporaryDirectory(prefix="foalnet-") as folder, (Path(folder) / "stderr").open("w+b") as stderr:
        stamps_file = Path(folder) / "stamps"
        process = subprocess.Popen(
            command(path, info, stamps_file, rows),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            bufsize=0,
            pipesize=_PIPE_BYTES,
            env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"},
            start_new_session=True,
        )
        assert process.stdout is not None
        slots = _Slots(info, stamps_file, path)
        width, height = even_size(info)
        height = height if rows is None else rows[1] - rows[0]
        try:
            count = 0
            for picture in _pictures(process.stdout, width, height, timeout_s):
                count += 1
                index = slots.next_index()
                if index is not None:
                    yield index, picture
            _check_end(path, process, stderr, count, timeout_s, Path(folder))
        finally:
            slots.close()
            process.stdout.close()
            _end(process)


def _pictures(pipe: IO[bytes], width: int, height: int, timeout_s: float) -> Iterator[Picture]:
    """Yield whole pictures from a pipe; raises Stalled if one takes longer than the timeout."""
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while True:
            planes_RW = np.empty((height * 3 // 2, width), np.uint8)
            rest = planes_RW.data.cast("B")
            deadline = time.monotonic() + timeout_s
            while rest:
                if not selector.select(max(deadline - time.monotonic(), 0.0)):
                    raise Stalled
                got = os.readv(pipe.fileno(), [rest])
                if got == 0:
                    return
                rest = rest[got:]
            yield Picture.of_planes(planes_RW)


class _Slots:
    """Maps each decoded frame to its index in `info.times_s`, by the stamp that ffmpeg wrote for it."""

    def __init__(self, info: VideoInfo, stamps_file: Path, video: Path) -> None:
        self._keys = [stamp_key(Fraction(t)) for t in info.times_s]
        self._file, self._video = stamps_file, video
        self._handle: Any = None
        self._next = 0
        self._base, self._unit = "", Fraction(1)
        self._half_period = round(STAMP_UNITS / (2 * info.rate_fps)) if info.rate_fps else 0

    def next_index(self) -> int | None:
        """Return the index of the next decoded frame; None if its stamp matches no remaining index.

        For undamaged files both readers agree to the microsecond. A stamp that a decoder had to guess may deviate by
        half a frame.
        """
        key = self._next_key()
        after = bisect_left(self._keys, key, lo=self._next)
        near = [i for i in (after - 1, after) if self._next <= i < len(self._keys)]
        index = min(near, key=lambda i: (abs(self._keys[i] - key), i), default=None)
        if index is None or abs(self._keys[index] - key) > self._half_period:
            return None
        self._next = index + 1
        return index

    def close(self) -> None:
        """Close the file of stamps."""
        if self._handle is not None:
            self._handle.close()

    def _next_key(self) -> int:
        if self._handle is None:
            self._handle = self._file.open()
        line = self._handle.readline()
        if not line.endswith("\n"):
            raise decoder_refusal("", self._video, self._file.parent) or MachineError(
                "ffmpeg wrote a frame without its stamp", file=ffmpeg_exe(), action="unset IMAGEIO_FFMPEG_EXE"
            )
        stamp, base = line.split()
        if base != self._base:
            self._base, self._unit = base, Fraction(base) * STAMP_UNITS
        return ticks_key(int(stamp), self._unit)


def _check_end(
    path: Path, process: subprocess.Popen[bytes], stderr: IO[bytes], count: int, timeout_s: float, folder: Path
) -> None:
    """Raise the error for a failed ffmpeg: VideoUnreadable or MachineError."""
    try:
        code = process.wait(timeout_s)
    except subprocess.TimeoutExpired as error:
        raise Stalled from error
    if code == 0 and count:
        return
    tail = _tail(stderr)
    if code < 0:
        raise MachineError(
            f"ffmpeg was killed by {signal.Signals(-code).name}", file=path, action="run the same command again"
        )
    if "Unrecognized option" in tail or "Option not found" in tail:
        raise MachineError(
            f"this ffmpeg is too old ({tail.strip()})", file=ffmpeg_exe(), action="unset IMAGEIO_FFMPEG_EXE"
        )
    message = f"ffmpeg ended with {code} after {count} frames: {tail.strip() or 'it gave no reason'}"
    raise decoder_refusal(tail, path, folder) or unreadable(path, message)


def _tail(stderr: IO[bytes]) -> str:
    """Return the end of ffmpeg's messages."""
    end = stderr.seek(0, os.SEEK_END)
    stderr.seek(max(0, end - _TAIL_CHARS))
    return stderr.read().decode("utf-8", errors="replace")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill ffmpeg's process group if it still runs, and reap it."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(_GRACE_S)
