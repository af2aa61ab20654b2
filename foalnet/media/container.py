"""Which video containers are opened at all, decided by their first bytes and never by their name.

FFmpeg recognises playlists and concat scripts under any file name and then opens whatever they point to. Here the
demuxer is chosen by us, from a list of those that open no other file, and both readers (PyAV and ffmpeg) are told to
use that one and no other.
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

# Local files for the input, the pipe for our own output: no other protocol is ever spoken.
PROTOCOLS = "file,pipe"

# Three packets of MPEG-TS.
_HEAD_BYTES = 2 * 192 + 5
# Where an AVI's main header and its streams' headers lie; what follows is an index or pictures.
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
# MPEG-TS: a packet begins with this byte; packets of a camera's .m2ts have four bytes of time before it.
_TS_SYNC = 0x47
_TS_PACKETS = ((0, 188), (4, 192))
READ = "AVI, MOV/MP4/M4A, MPEG, MPEG-TS, Matroska/WebM, FLV, Ogg, ASF, MP3 or AAC"
# What would have other files opened, by its first bytes.
_POINTERS = {b"#EXTM3U": "a playlist (HLS)", b"ffconcat": "a concat script", b"[playlist]": "a playlist (PLS)"}


class VideoUnreadable(DataError):
    """A video that cannot be decoded; `reason` is its ledger code."""

    reason = "video_unreadable"


class VideoTooLarge(DataError):
    """A video beyond the limits of size or length; nothing of it was decoded."""


def unreadable(path: Path, why: str) -> VideoUnreadable:
    """Build the error for a video that cannot be decoded."""
    return VideoUnreadable(
        f"the video cannot be read: {why}",
        file=path,
        action="put the original file back; until then its utterances have no picture",
    )


def first_bytes(path: Path) -> bytes:
    """Return the first bytes of a file, by which its kind is judged (VideoUnreadable, exit 3, where it has none).

    MachineError (exit 4) where it may not be opened.
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


def demuxer_of(path: Path) -> str:
    """Return FFmpeg's demuxer for a file ("avi", "mov", "mpeg", …), judged by its first bytes.

    Anything else, above all text that merely bears a video's name, is VideoUnreadable (exit 3).
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
    # The first header of a stream of frames: eleven bits set, then version and layer.
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0:
        return "aac"
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xE6 == 0xE2:
        return "mp3"
    for beginning, what in _POINTERS.items():
        if head.startswith(beginning):
            raise unreadable(path, f"it is {what}: it names other files, and none of them is opened")
    size = "" if len(head) == _HEAD_BYTES else f", and has {len(head)} bytes"
    raise unreadable(path, f"not {READ} (it begins with {head[:12]!r}{size})")


def file_url(path: Path) -> str:
    """Return the file's address for FFmpeg: with the protocol named, no file name can be an option or an address."""
    return f"file:{path.absolute()}"


def check_limits(path: Path, *, width_px: int, height_px: int, duration_s: float, frames: int) -> None:
    """Refuse (VideoTooLarge, exit 3) what would eat the machine: too large a picture or too long a video."""
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
    """Return the two frame rates that an AVI's header states, None where it does not state both, or for other files.

    The first, of the main header, is for show; presentation stamps follow the second, of the picture's own header. (The
    RIFF specification calls them dwMicroSecPerFrame of `avih`, dwRate / dwScale of `strh`.)
    """
    try:
        with path.open("rb") as handle:
            data = handle.read(_HEADERS_BYTES)
    except OSError:
        return None  # `demuxer_of` meets it again and says what is wrong
    main, stream = data.find(b"avih"), data.find(b"strh")
    while stream >= 0 and data[stream + 8 : stream + 12] != b"vids":
        stream = data.find(b"strh", stream + 4)
    if data[:4] != b"RIFF" or main < 0 or stream < 0 or len(data) < max(main + 12, stream + 36):
        return None
    (frame_us,) = struct.unpack_from("<I", data, main + 8)
    scale, rate = struct.unpack_from("<II", data, stream + 28)
    return (1e6 / frame_us, rate / scale) if frame_us and scale and rate else None
