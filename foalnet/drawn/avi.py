"""Encodes video: raw frames through a pipe to ffmpeg, as MPEG-4 in AVI, with the same bytes on every run."""

from __future__ import annotations

import subprocess
import tempfile
import threading
from collections.abc import Iterable
from pathlib import Path

import ffmpeg
import imageio_ffmpeg
import numpy as np

from foalnet.core.errors import MachineError

# Quantiser 3 keeps a mouth of 14 pixels readable.
QUALITY = 3
KEY_EVERY_FRAMES = 120
TIMEOUT_S = 600.0


def encode(path: Path, frames: Iterable[np.ndarray], *, width_px: int, height_px: int, rate: str) -> int:
    """Write yuv420p frames (uint8 [height * 3 / 2, width]) as one AVI and return their number.

    With one thread and the bitexact flags the file depends only on the frames and on ffmpeg's build. Raises
    MachineError (exit 4) if ffmpeg fails or hangs.
    """
    with tempfile.TemporaryFile() as messages:
        process = subprocess.Popen(
            _command(path, width_px, height_px, rate), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=messages
        )
        watchdog = threading.Timer(TIMEOUT_S, process.kill)
        watchdog.start()
        count = 0
        assert process.stdin is not None
        try:
            for frame in frames:
                process.stdin.write(frame.data)
                count += 1
            process.stdin.close()
            code = process.wait()
        except BrokenPipeError:
            code = process.wait() or 1
        finally:
            watchdog.cancel()
            if process.poll() is None:
                process.kill()
                process.wait()
        if code != 0:
            messages.seek(0)
            detail = messages.read().decode("utf-8", "replace").strip().splitlines()
            raise MachineError(
                f"ffmpeg could not encode (code {code}): {detail[-1] if detail else 'it gave no reason'}",
                file=path,
                action="check free space and `foalnet doctor`, then run the same command again",
            )
    return count


def _command(path: Path, width_px: int, height_px: int, rate: str) -> list[str]:
    source = ffmpeg.input("pipe:", format="rawvideo", pix_fmt="yuv420p", s=f"{width_px}x{height_px}", r=rate)
    options = {
        "format": "avi",
        "vcodec": "mpeg4",
        "vtag": "DIVX",
        "q:v": QUALITY,
        "g": KEY_EVERY_FRAMES,
        "bf": 0,
        "threads": 1,
        "flags": "+bitexact",
        "fflags": "+bitexact",
        "map_metadata": -1,
        "protocol_whitelist": "file,pipe",
    }
    target = source.output(f"file:{path}", **options).global_args("-loglevel", "error", "-y")
    return [str(part) for part in target.compile(cmd=imageio_ffmpeg.get_ffmpeg_exe())]
