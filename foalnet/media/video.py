"""What a video holds and when: presentation stamps of all frames, read by PyAV without decoding them."""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from foalnet.core.errors import MachineError, reason
from foalnet.core.faults import decoder_refusal
from foalnet.media.container import MAX_AREA_PX, MAX_FRAMES, check_limits, demuxer_of, file_url, unreadable

STAMP_UNITS = 1_000_000
# Less than a block of any codec: no picture of people.
MIN_SIDE_PX = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoInfo:
    """One video's facts.

    `width_px`, `height_px`: the picture as shown (after the container's rotation). `rate_fps`: what the header says.
    `times_s`: presentation stamps of the frames that exist, rising; the i-th belongs to the i-th frame shown. Their
    zero is where the container begins, picture or sound, as in sound cut out of it by ffmpeg. (An
    AVI with B-frames begins one frame late, as every player shows it.) `declared_frames`: what the header promises,
    None where it promises nothing. `truncated`: the header promises more than exists. `by_index`: an AVI whose index
    is whole, so that the frames' places and times are taken from it and a damaged spot shifts no later frame.
    """

    width_px: int
    height_px: int
    rate_fps: float
    times_s: tuple[float, ...]
    declared_frames: int | None
    truncated: bool
    by_index: bool = False


def probe_times(path: Path, *, timeout_s: float = 3600.0) -> VideoInfo:
    """Return a video's size, rate and the stamp of every frame that exists (VideoUnreadable or VideoTooLarge, exit 3).

    Whole packets only: the half packet at the end of a truncated file is not a frame. Packets that an edit list cuts
    off are not frames either. One frame is decoded, so a file that no decoder reads is refused here. MachineError (exit
    4) where all this takes longer than `timeout_s`: what hangs cannot be ended, so it is left behind.
    """
    answer: queue.Queue[VideoInfo | BaseException] = queue.Queue(1)

    def look() -> None:
        try:
            answer.put(_probed(path))
        except BaseException as error:
            answer.put(error)

    threading.Thread(target=look, daemon=True, name="probe").start()
    try:
        found = answer.get(timeout=timeout_s)
    except queue.Empty as error:
        raise MachineError(
            f"reading what the video holds took over {timeout_s:g} s; it was left",
            file=path,
            action="run the same command again; on a slow disk set FOALNET_FFMPEG_TIMEOUT_S higher",
        ) from error
    if isinstance(found, BaseException):
        raise found
    return found


def _probed(path: Path) -> VideoInfo:
    import av

    try:
        width_px, height_px = _first_frame_size(path)
        is_avi = demuxer_of(path) == "avi"
        with open_video(path) as container:
            stream = picture_of(container)
            rate = stream.average_rate or stream.guessed_rate or Fraction(0)
            declared = int(stream.frames) or None
            zero = Fraction(container.start_time or 0, 1_000_000)
            unit_s = Fraction(stream.time_base)
            ticks, packets = _ticks(path, container, stream)
        by_index = False
        if is_avi:
            with open_video(path, by_index=True) as container:
                indexed, _ = _ticks(path, container, picture_of(container))
            by_index = len(indexed) >= len(ticks)
            ticks = indexed if by_index else ticks
    except av.FFmpegError as error:
        said = reason(error)
        raise decoder_refusal(said, path) or unreadable(path, said) from error
    if not ticks:
        raise unreadable(path, "it holds no whole frame")
    # AVI counts time slots, of which some may be empty (variable rate); the others count packets.
    present = round(ticks[-1] * unit_s * rate) + 1 if is_avi else packets
    return VideoInfo(
        width_px=width_px,
        height_px=height_px,
        rate_fps=float(rate),
        times_s=_seconds(ticks, unit_s, zero),
        declared_frames=declared,
        truncated=declared is not None and present < declared,
        by_index=by_index,
    )


def stamp_key(stamp: Fraction) -> int:
    """Return a stamp as a whole number of microseconds, by which the two readers' stamps are compared."""
    return round(stamp * STAMP_UNITS)


def ticks_key(ticks: int, unit: Fraction) -> int:
    """Return `stamp_key` of a stamp in ticks, `unit` microseconds each, without a new fraction for every frame."""
    whole, rest = divmod(ticks * unit.numerator, unit.denominator)
    # As round() does: to the nearest, halves to the even one.
    up = 2 * rest > unit.denominator or (2 * rest == unit.denominator and whole % 2 == 1)
    return whole + up


def open_video(path: Path, *, by_index: bool = False) -> Any:
    """Open a container for reading with the demuxer that its first bytes call for, and local files only."""
    import av

    container = av.open(
        file_url(path),
        format=demuxer_of(path),
        options={"protocol_whitelist": "file", "fflags": demux_flags(by_index)},
        metadata_errors="ignore",
    )
    for stream in container.streams.video:
        if stream.codec_context is not None:
            # The header's picture is checked; one that grows later is a frame that does not decode.
            stream.codec_context.options = {"max_pixels": str(MAX_AREA_PX)}
    return container


def picture_of(container: Any) -> Any:
    """Return the first video stream that is no attached picture (the cover of a recording); None without one."""
    import av

    cover = av.stream.Disposition.attached_pic
    return next((stream for stream in container.streams.video if not stream.disposition & cover), None)


def placed(container: Any, stream: Any) -> bool:
    """Return whether a frame's place in the file is its time, and what the demuxer says of its time is not.

    AVI holds no time of showing, and without B-frames nothing is shown in another order than it is stored in. For H.264
    libavformat makes up a time all the same, a frame late.
    """
    return container.format.name == "avi" and not stream.codec_context.has_b_frames


def demux_flags(by_index: bool) -> str:
    """Return the demuxer flags that both readers are given, so that they see the same packets."""
    # "sortdts" makes the AVI demuxer follow the index instead of counting chunks as it meets them.
    return "+discardcorrupt+sortdts" if by_index else "+discardcorrupt"


def _first_frame_size(path: Path) -> tuple[int, int]:
    """Check the header's limits, decode one frame and return its width and height as shown."""
    with open_video(path) as container:
        stream = picture_of(container)
        if stream is None:
            raise unreadable(path, "it holds no video stream")
        if stream.codec_context is None:
            raise unreadable(path, "no decoder knows its codec")
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
            raise unreadable(path, "no frame of it can be decoded")
        if min(frame.width, frame.height) < MIN_SIDE_PX:
            raise unreadable(path, f"its picture is {frame.width} x {frame.height} pixels")
        upright = round(frame.rotation) % 180 == 0
        return (frame.width, frame.height) if upright else (frame.height, frame.width)


def _header_duration_s(container: Any, stream: Any) -> float:
    """Return the longest duration that any part of the header claims, seconds."""
    claims = [Fraction(container.duration or 0, 1_000_000)]
    if stream.duration and stream.time_base:
        claims.append(stream.duration * stream.time_base)
    if stream.frames and stream.average_rate:
        claims.append(stream.frames / stream.average_rate)
    return float(max(claims))


def _seconds(ticks: list[int], unit_s: Fraction, zero: Fraction) -> tuple[float, ...]:
    """Return stamps in seconds after `zero`, each the nearest double, without a fraction for every frame."""
    step, whole = unit_s.numerator * zero.denominator, unit_s.denominator * zero.denominator
    begin = zero.numerator * unit_s.denominator
    return tuple((tick * step - begin) / whole for tick in ticks)


def _ticks(path: Path, container: Any, stream: Any) -> tuple[list[int], int]:
    """Return the sorted stamps of the frames to show, in ticks of the stream, and how many packets there are."""
    in_place = placed(container, stream)
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
