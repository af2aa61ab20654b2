"""The ffmpeg that decodes: the pinned binary of the imageio-ffmpeg wheel, known by its digest."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from foalnet.core.errors import MachineError
from foalnet.core.files import sha256_file
from foalnet.media.container import file_url

SOURCE, TARGET = "file:source", "file:target"


def ffmpeg_exe() -> str:
    """Return the path of the ffmpeg that decodes (MachineError, exit 4, where there is none)."""
    import imageio_ffmpeg

    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError as error:
        raise MachineError(
            "no ffmpeg: the imageio-ffmpeg package has no binary for this machine",
            action="pip install -c constraints.txt imageio-ffmpeg",
        ) from error


def ffmpeg_digest() -> str:
    """Return the SHA-256 of the ffmpeg binary: another one may decode other pictures, so it belongs in cache keys."""
    return _digest(ffmpeg_exe())


def arguments_of(output: Any, source: Path, target: Path | None = None) -> list[str]:
    """Return the argument list of an ffmpeg-python output, with the files in the places of SOURCE and TARGET.

    ffmpeg-python itself cannot be told a name that is not UTF-8.
    """
    names = {SOURCE: file_url(source)} | ({} if target is None else {TARGET: file_url(target)})
    return [names.get(word, word) for word in map(str, output.compile(cmd=ffmpeg_exe(), overwrite_output=True))]


@lru_cache(maxsize=4)
def _digest(path: str) -> str:
    # 170 MB and about a second a process: once is enough.
    return sha256_file(Path(path))
