"""The ffmpeg binary for decoding: the pinned one of the imageio-ffmpeg wheel, and its digest."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from foalnet.core.errors import MachineError
from foalnet.core.files import sha256_file
from foalnet.media.container import file_url

SOURCE, TARGET = "file:source", "file:target"


def ffmpeg_exe() -> str:
    """Return the path of the ffmpeg binary (MachineError, exit 4, if there is none)."""
    import imageio_ffmpeg

    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError as error:
        raise MachineError(
            "no ffmpeg: the imageio-ffmpeg package has no binary for this machine",
            action="pip install -c constraints.txt imageio-ffmpeg",
        ) from error


def ffmpeg_digest() -> str:
    """Return the SHA-256 of the ffmpeg binary, a part of cache keys: another binary may decode other pictures."""
    return _digest(ffmpeg_exe())


def ffmpeg_arguments(output: Any, source: Path, target: Path | None = None) -> list[str]:
    """Return the argument list of an ffmpeg-python output, with the files' URLs in place of SOURCE and TARGET.

    ffmpeg-python itself does not accept a file name that is not UTF-8.
    """
    names = {SOURCE: file_url(source)} | ({} if target is None else {TARGET: file_url(target)})
    return [
        names.get(argument, argument) for argument in map(str, output.compile(cmd=ffmpeg_exe(), overwrite_output=True))
    ]


def after_start(start_us: int) -> str:
    """Return the expression for setpts that counts stamps from the container's start, for commands with -copyts.

    ffmpeg itself counts from the first stamp of the streams in use (MPEG, MPEG-TS, Ogg), and so drops a delay between
    sound and picture.
    """
    return f"round(PTS-{start_us}/1000000/TB)"


@lru_cache(maxsize=4)
def _digest(path: str) -> str:
    # Cached: hashing 170 MB takes about a second.
    return sha256_file(Path(path))
