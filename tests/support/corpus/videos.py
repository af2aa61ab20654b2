"""Small videos, made by the wheel's ffmpeg: each frame shows its number. In IEMOCAP's form each half's grey does."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np

BITS = 8
# IEMOCAP's picture: two halves between bars.
RATE = "30000/1001"
FPS = 30000 / 1001
WIDTH, HEIGHT, TOP, BOTTOM = 720, 480, 120, 360


def numbered(number: int, width: int = 128, height: int = 96) -> np.ndarray:
    """A picture [H, W, 3] that shows `number` as eight black or white columns, on a moving coloured ground."""
    frame = np.zeros((height, width, 3), np.uint8)
    frame[..., 0] = (np.arange(width)[None, :] + 3 * number) % 256
    frame[..., 2] = np.arange(height)[:, None] % 256
    step = width // BITS
    for bit in range(BITS):
        frame[: height // 2, bit * step : (bit + 1) * step] = 255 if number >> bit & 1 else 0
    return frame


def number_of(frame: np.ndarray) -> int:
    """The number that a decoded `numbered` picture shows."""
    step = frame.shape[1] // BITS
    upper = frame[: frame.shape[0] // 2].mean(axis=(0, 2))
    return sum(1 << bit for bit in range(BITS) if upper[bit * step : (bit + 1) * step].mean() > 128)


def ffmpeg(*arguments: str, data: bytes | None = None) -> bytes:
    """Run the wheel's ffmpeg for a test's own files; return what it printed."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *arguments]
    return subprocess.run(command, input=data, stdout=subprocess.PIPE, check=True, timeout=120).stdout


def write_video(path: Path, frames: Sequence[np.ndarray], *options: str, rate: str = "30000/1001") -> Path:
    """Encode frames as MPEG-4 in the container that the name's suffix asks for; `options` go to ffmpeg's output."""
    height, width = frames[0].shape[:2]
    source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", rate, "-i", "pipe:0"]
    codec = ["-c:v", "mpeg4", "-q:v", "3", "-threads", "1"]
    ffmpeg(*source, *codec, *options, f"file:{path}", data=b"".join(frame.tobytes() for frame in frames))
    return path


def write_clip(path: Path, *, seconds: float = 1.0, sound: bool = True, size: str = "320x240") -> Path:
    """Write a clip with a moving picture and, with `sound`, a tone, in the container of its name's ending."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = ("-f", "lavfi", "-i", f"testsrc2=size={size}:rate=30000/1001:duration={seconds}")
    tone = ("-f", "lavfi", "-i", f"sine=frequency=440:sample_rate=48000:duration={seconds}") if sound else ()
    ffmpeg(*picture, *tone, "-shortest", str(path))
    return path


def numbered_video(path: Path, count: int, *options: str, rate: str = "30000/1001") -> Path:
    """Write a video of `count` numbered frames."""
    return write_video(path, [numbered(i) for i in range(count)], *options, rate=rate)


def packed_video(path: Path, count: int) -> Path:
    """Write an AVI as DivX does it: a P and a B frame in one packet, then an empty packet in the B frame's place."""
    plain = numbered_video(path.with_name("plain.avi"), count, "-bf", "1", "-g", "12", "-vtag", "DX50", rate="25")
    vop, end_of_header, claim = b"\x00\x00\x01\xb6", b"\x00\x00\x01\xb2", b"\x00\x00\x01\xb2DivX503b1393p\x00"

    def kind(data: bytes) -> int:
        return data[data.find(vop) + 4] >> 6

    def claiming(data: bytes) -> bytes:
        at = data.find(end_of_header)
        return data if at < 0 else data[:at] + claim + data[data.find(b"\x00\x00\x01", at + 4) :]

    with av.open(str(plain)) as source, av.open(str(path), "w", format="avi") as target:
        stream = source.streams.video[0]
        out = target.add_stream_from_template(stream)
        packets = [bytes(packet) for packet in source.demux(stream) if packet.size]
        written, at = [], 0
        while at < len(packets):
            paired = at + 1 < len(packets) and kind(packets[at + 1]) == 2
            written.append(claiming(packets[at]) + (packets[at + 1] if paired else b""))
            written += [vop + b"\x50\x00\x00\x00\x7f"] if paired else []
            at += 2 if paired else 1
        for number, data in enumerate(written):
            packet = av.Packet(data)
            packet.pts = packet.dts = number
            packet.time_base, packet.stream, packet.is_keyframe = Fraction(1, 25), out, number == 0
            target.mux(packet)
    return path


def patched(avi: Path, path: Path, changes: dict[tuple[bytes, int], int]) -> Path:
    """Copy an AVI with 32-bit words of its header replaced, each named by its chunk and its offset in that."""
    data = bytearray(avi.read_bytes())
    for (chunk, offset), value in changes.items():
        struct.pack_into("<I", data, data.index(chunk) + 8 + offset, value)
    path.write_bytes(data)
    return path


def level(index: int, side: str) -> int:
    """Return the grey of a half: the left one rises by 2 a frame, the right one falls."""
    return 56 + 2 * index if side == "left" else 234 - 2 * index


def picture(index: int) -> np.ndarray:
    """Return one letterboxed two-picture frame."""
    frame = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    frame[TOP:BOTTOM, : WIDTH // 2] = level(index, "left")
    frame[TOP:BOTTOM, WIDTH // 2 :] = level(index, "right")
    return frame


def write_avi(path: Path, pictures: Sequence[np.ndarray], *, rate: str = RATE) -> Path:
    """Encode frames [H, W, 3] as IEMOCAP's AVIs are, at near-lossless quality."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_video(path, pictures, "-vtag", "DIVX", "-q:v", "1", "-g", "12", "-bf", "0", rate=rate)
