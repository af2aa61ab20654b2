"""Reads the size, rate and presentation stamps of a video's frames with PyAV, without decoding them."""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from foalnet.core.errors import MachineError, reason
from foalnet.core.faults import decoder_refusal
from foalnet.media.container import MAX_AREA_PX, MAX_FRAMES, check_limits, choose_demuxer, file_url, unreadable

STAMP_UNITS = 1_000_000
# A smaller picture than a codec's block cannot show people.
MIN_SIDE_PX = 16
# Pixels with a width and height that differ by up to this share are used as stored: those of NTSC and PAL in 4:3.
SQUARE = 0.125


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoInfo:
    """Properties of one video.

    `width_px`, `height_px`: the displayed picture, upright and in square pixels. `rate_fps`: the rate in the header.
    `times_s`: presentation stamps of the existing frames, rising, in display order. Time 0 is the start of the
    container, picture or sound, as in sound that ffmpeg extracts from it; its stamp is `start_us`. (An AVI with
    B-frames begins one frame late, as in every player.) `declared_frames`: number of frames in the header, None if it
    has none. `truncated`: the header declares more frames than exist. `by_index`: an AVI with a whole index, which then
    gives the places and times of its frames, so that damage shifts no later frame.
    """

    width_px: int
    height_px: int
    rate_fps: float
    times_s: tuple[float, ...]
    declared_frames: int | None
    truncated: bool
    start_us: int = 0
    by_index: bool = False

    @property
    def end_s(self) -> float:
        """The end of the last frame, which is shown for one frame of the header's rate."""
        return self.times_s[-1] + (1 / self.rate_fps if self.rate_fps > 0 else 0.0)


def probe_times(path: Path, *, timeout_s: float = 3600.0) -> VideoInfo:
    """Return a video's size, rate and the stamp of every existing frame.

    A partial packet at the end of a truncated file is not a frame, nor are packets that an edit list removes. One frame
    is decoded, to refuse a file that no decoder can read. Raises VideoUnreadable or VideoTooLarge (exit 3), and
    MachineError (exit 4) after `timeout_s`: a thread that hangs cannot be ended, so it is abandoned.
    """
    outcomes: queue.Queue[VideoInfo | BaseException] = queue.Queue(1)

    def look() -> None:
        try:
            outcomes.put(_probed(path))
        except BaseException as error:
            outcomes.put(error)

    threading.Thread(target=look, daemon=True, name="probe").start()
    try:
        outcome = outcomes.get(timeout=timeout_s)
    except queue.Empty as error:
        raise MachineError(
            f"reading the frame times of the video took over {timeout_s:g} s; it was abandoned",
            file=path,
            action="run the same command again; on a slow disk set FOALNET_FFMPEG_TIMEOUT_S higher",
        ) from error
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome


def _probed(path: Path) -> VideoInfo:
    import av

    try:
        width_px, height_px = _first_frame_size(path)
        is_avi = choose_demuxer(path) == "avi"
        with open_video(path) as container:
            stream = video_stream(container)
            rate = stream.average_rate or stream.guessed_rate or Fraction(0)
            declared = int(stream.frames) or None
            start_us = container.start_time or 0
            unit_s = Fraction(stream.time_base)
            ticks, packets = _ticks(path, container, stream)
        by_index = False
        if is_avi:
            with open_video(path, by_index=True) as container:
                indexed, _ = _ticks(path, container, video_stream(container))
            by_index = len(indexed) >= len(ticks)
            ticks = indexed if by_index else ticks
    except av.FFmpegError as error:
        message = reason(error)
        raise decoder_refusal(message, path) or unreadable(path, message) from error
    if not ticks:
        raise unreadable(path, "it has no whole frame")
    # The header of an AVI counts time slots, some of which may be empty (variable rate); other headers count packets.
    present = round(ticks[-1] * unit_s * rate) + 1 if is_avi else packets
    return VideoInfo(
        width_px=width_px,
        height_px=height_px,
        rate_fps=float(rate),
        times_s=_seconds(ticks, unit_s, Fraction(start_us, 1_000_000)),
        start_us=start_us,
        declared_frames=declared,
        truncated=declared is not None and present < declared,
        by_index=by_index,
    )


def stamp_key(stamp: Fraction) -> int:
    """Return a stamp in whole microseconds, in which the stamps of both readers are compared.

    >>> stamp_key(Fraction(1, 30))
    33333
    """
    return round(stamp * STAMP_UNITS)


def ticks_key(ticks: int, unit: Fraction) -> int:
    """Return the `stamp_key` of a stamp in ticks of `unit` microseconds, without creating a Fraction per frame."""
    whole, rest = divmod(ticks * unit.numerator, unit.denominator)
    # Round as round() does: to the nearest, halves to even.
    up = 2 * rest > unit.denominator or (2 * rest == unit.denominator and whole % 2 == 1)
    return whole + up


def open_video(path: Path, *, by_index: bool = False) -> Any:
    """Open a container with the demuxer that `choose_demuxer` selects, and with local files only."""
    import av

    container = av.open(
        file_url(path),
        format=choose_demuxer(path),
        options={"protocol_whitelist": "file", "fflags": demux_flags(by_index)},
        metadata_errors="ignore",
    )
    for stream in container.streams.video:
        if stream.codec_context is not None:
            # The picture size in the header is checked; a frame that grows beyond the limit fails to decode.
            stream.codec_context.options = {"max_pixels": str(MAX_AREA_PX)}
    return container


def video_stream(container: Any) -> Any:
    """Return the first video stream that is not an attached picture (a cover); None if there is none."""
    return next((stream for stream in container.streams.video if not is_cover(stream)), None)


def is_cover(stream: Any) -> bool:
    """Return whether a video stream is an attached picture, as music files have it."""
    import av

    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def place_is_time(container: Any, stream: Any) -> bool:
    """Return whether a frame's time follows from its place in the file rather than from the demuxer's time.

    AVI has no presentation times, and without B-frames the display order is the order in the file. For H.264
    libavformat nevertheless invents a time, which is one frame late.
    """
    return container.format.name == "avi" and not stream.codec_context.has_b_frames


def demux_flags(by_index: bool) -> str:
    """Return the demuxer flags for both readers, which thereby see the same packets."""
    # "sortdts" makes the AVI demuxer follow the index instead of counting chunks in the order of the file.
    return "+discardcorrupt+sortdts" if by_index else "+discardcorrupt"


def _first_frame_size(path: Path) -> tuple[int, int]:
    """Check the header's limits, decode one frame and return its width and height as shown."""
    with open_video(path) as container:
        stream = video_stream(container)
        if stream is None:
            raise unreadable(path, "it has no video stream")
        if stream.codec_context is None:
            raise unreadable(path, "there is no decoder for its codec")
        check_limits(
            path,
            width_px=stream.codec_context.width,
            height_px=stream.codec_context.height,
            duration_s=_header_duration_s(container, stream),
            frames=stream.frames,
        )
        stream.codec_context.thread_count = 1
        frame = next(container.decode(stream), None)
        if frame is None:
            raise unreadable(path, "none of its frames can be decoded")
        width_px, height_px = _square_pixels(frame, stream.sample_aspect_ratio)
        if min(width_px, height_px) < MIN_SIDE_PX:
            raise unreadable(path, f"its picture is {frame.width} x {frame.height} pixels")
        check_limits(path, width_px=width_px, height_px=height_px, duration_s=0.0, frames=0)
        # ffmpeg exchanges the sides for a quarter turn only.
        turned = abs(abs(frame.rotation) - 90) < 1
        return (height_px, width_px) if turned else (width_px, height_px)


def _square_pixels(frame: Any, aspect: Fraction | None) -> tuple[int, int]:
    """Return the size of a stored picture with pixels shown `aspect` times as wide as high; the width changes."""
    if not aspect or abs(aspect - 1) <= SQUARE:
        return frame.width, frame.height
    return 2 * round(frame.width * aspect / 2), frame.height


def _header_duration_s(container: Any, stream: Any) -> float:
    """Return the longest duration, in seconds, that any part of the header states."""
    claims = [Fraction(container.duration or 0, 1_000_000)]
    if stream.duration and stream.time_base:
        claims.append(stream.duration * stream.time_base)
    if stream.frames and stream.average_rate:
        claims.append(stream.frames / stream.average_rate)
    return float(max(claims))


def _seconds(ticks: list[int], unit_s: Fraction, zero: Fraction) -> tuple[float, ...]:
    """Return stamps in seconds after `zero`, rounded to the nearest double, without creating a Fraction per frame."""
    step, whole = unit_s.numerator * zero.denominator, unit_s.denominator * zero.denominator
    begin = zero.numerator * unit_s.denominator
    return tuple((tick * step - begin) / whole for tick in ticks)


def _ticks(path: Path, container: Any, stream: Any) -> tuple[list[int], int]:
    """Return the sorted stamps of the displayed frames, in ticks of the stream, and the number of packets."""
    in_place = place_is_time(container, stream)
    ticks: list[int] = []
    packets = 0
    for packet in container.demux(stream):
        stamp = packet.dts if packet.pts is None or in_place else packet.pts
        if packet.size == 0 or stamp is None:
            continue
        packets += 1
        if not packet.is_discard:
            ticks.append(stamp)
        if packets > MAX_FRAMES:
            break
    ticks.sort()
    length_s = float((ticks[-1] - ticks[0]) * stream.time_base) if ticks else 0.0
    check_limits(path, width_px=0, height_px=0, duration_s=length_s, frames=packets)
    return ticks, packets
