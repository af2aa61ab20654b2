"""Chooses the demuxer of a video from its first bytes, never from its name, and refuses all other files.

FFmpeg recognises playlists and concat scripts under any file name and opens the files that they list. This module
chooses from demuxers that open no other file, and both readers (PyAV and ffmpeg) are forced to use its choice.
"""

from __future__ import annotations

import struct
from pathlib import Path

from foalnet.core.errors import DataError, MachineError, reason
from foalnet.core.files import NotPlain, open_plain

MAX_SIDE_PX = 8192
MAX_AREA_PX = 8192 * 4320
MAX_DURATION_S = 6 * 3600.0
MAX_FRAMES = int(MAX_DURATION_S) * 120

# The only protocols that FFmpeg may use: local files for the input, the pipe for the output.
PROTOCOLS = "file,pipe"

# Enough to see two packets of MPEG-TS begin.
_HEAD_BYTES = 2 * 192 + 5
# The headers of an AVI and its streams are within these first bytes; an index or pictures follow.
_HEADERS_BYTES = 1 << 16
_MOV_ATOMS = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
# First bytes -> FFmpeg's demuxer.
_BEGINNINGS = {
    b"\x00\x00\x01\xba": "mpeg",
    b"\x1aE\xdf\xa3": "matroska",
    b"OggS": "ogg",
    b"FLV\x01": "flv",
    b"ID3": "mp3",
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11": "asf",
}
# A packet of MPEG-TS begins with this byte; in a camera's .m2ts four bytes of time precede it.
_TS_SYNC = 0x47
_TS_PACKETS = ((0, 188), (4, 192))
READ = "AVI, MOV/MP4/M4A, MPEG, MPEG-TS, Matroska/WebM, FLV, Ogg, ASF, MP3 or AAC"
# First bytes of files that would make FFmpeg open other files.
_POINTERS = {b"#EXTM3U": "a playlist (HLS)", b"ffconcat": "a concat script", b"[playlist]": "a playlist (PLS)"}


class VideoUnreadable(DataError):
    """A video cannot be decoded; `reason` is the ledger's code."""

    reason = "video_unreadable"


class VideoTooLarge(DataError):
    """A video exceeds the limits of size or length; it was not decoded."""


def unreadable(path: Path, why: str) -> VideoUnreadable:
    """Return the error for a video that cannot be decoded."""
    return VideoUnreadable(
        f"the video cannot be read: {why}",
        file=path,
        action="put the original file back; until then its utterances have no picture",
    )


def first_bytes(path: Path) -> bytes:
    """Return the first bytes of a file, from which its format is determined.

    Raises VideoUnreadable (exit 3) if it is absent or empty, MachineError (exit 4) if it may not be opened.
    """
    try:
        with open_plain(path) as handle:
            head = handle.read(_HEAD_BYTES)
    except NotPlain as error:
        raise unreadable(path, str(error)) from error
    except IsADirectoryError as error:
        raise unreadable(path, "it is a folder") from error
    except (FileNotFoundError, NotADirectoryError) as error:
        raise unreadable(path, "there is no such file") from error
    except OSError as error:
        raise MachineError(
            f"the video cannot be opened: {reason(error)}", file=path, action="make the file readable, then run again"
        ) from error
    if not head:
        raise unreadable(path, "the file is empty (0 bytes)")
    return head


def choose_demuxer(path: Path) -> str:
    """Return FFmpeg's demuxer for a file ("avi", "mov", "mpeg", …), chosen by its first bytes.

    Raises VideoUnreadable (exit 3) for any other content, such as text in a file named like a video.
    """
    head = first_bytes(path)
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return "avi"
    if head[4:8] in _MOV_ATOMS:
        return "mov"
    for beginning, demuxer in _BEGINNINGS.items():
        if head.startswith(beginning):
            return demuxer
    if any(len(head) > 2 * size and {head[at], head[at + size]} == {_TS_SYNC} for at, size in _TS_PACKETS):
        return "mpegts"
    # The header of an AAC or MP3 frame: eleven bits set, then version and layer.
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0:
        return "aac"
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xE6 == 0xE2:
        return "mp3"
    for beginning, what in _POINTERS.items():
        if head.startswith(beginning):
            raise unreadable(path, f"it is {what}, which lists other files; foalnet does not open them")
    size = "" if len(head) == _HEAD_BYTES else f", and has {len(head)} bytes"
    raise unreadable(path, f"not {READ} (it begins with {head[:12]!r}{size})")


def file_url(path: Path) -> str:
    """Return a file's URL for FFmpeg; with its protocol stated, a file name cannot be an option or another URL."""
    return f"file:{path.absolute()}"


def check_limits(path: Path, *, width_px: int, height_px: int, duration_s: float, frames: int) -> None:
    """Raise VideoTooLarge (exit 3) for a picture or a length that would exhaust the machine."""
    if max(width_px, height_px) > MAX_SIDE_PX or width_px * height_px > MAX_AREA_PX:
        what = (
            f"its picture is {width_px} x {height_px} pixels, {width_px * height_px:,}; the limits are "
            f"{MAX_SIDE_PX:,} a side and {MAX_AREA_PX:,} in all"
        )
    elif duration_s > MAX_DURATION_S or frames > MAX_FRAMES:
        what = (
            f"it lasts {duration_s / 3600:.1f} h in {frames:,} frames; the limits are "
            f"{MAX_DURATION_S / 3600:.0f} h and {MAX_FRAMES:,} frames"
        )
    else:
        return
    raise VideoTooLarge(
        f"the video is beyond the limits: {what}",
        file=path,
        action="take the file out of the corpus, or make it smaller or shorter",
    )


def header_rates_fps(path: Path) -> tuple[float, float] | None:
    """Return the two frame rates in the header of an AVI; None if one is missing or for another format.

    The first is that of the main header (`avih`, dwMicroSecPerFrame); it has no effect. The second is that of the video
    stream's header (`strh`, dwRate / dwScale); presentation stamps follow it.
    """
    try:
        with path.open("rb") as handle:
            data = handle.read(_HEADERS_BYTES)
    except OSError:
        return None  # `choose_demuxer` reports the error
    main, stream = data.find(b"avih"), data.find(b"strh")
    while stream >= 0 and data[stream + 8 : stream + 12] != b"vids":
        stream = data.find(b"strh", stream + 4)
    if data[:4] != b"RIFF" or main < 0 or stream < 0 or len(data) < max(main + 12, stream + 36):
        return None
    (frame_us,) = struct.unpack_from("<I", data, main + 8)
    scale, rate = struct.unpack_from("<II", data, stream + 28)
    return (1e6 / frame_us, rate / scale) if frame_us and scale and rate else None
