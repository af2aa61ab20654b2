"""Lists the streams of a clip and reads its sound out of a container.

Protected as the decoding of pictures: the first bytes choose the demuxer, files and pipes are the only protocols.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from foalnet.core.errors import MachineError, reason
from foalnet.core.faults import decoder_refusal
from foalnet.media.audio import AudioUnreadable, probe_wave
from foalnet.media.container import (
    MAX_DURATION_S,
    PROTOCOLS,
    READ,
    VideoTooLarge,
    VideoUnreadable,
    choose_demuxer,
    first_bytes,
    unreadable,
)
from foalnet.media.decode import ATTEMPTS
from foalnet.media.ffmpeg_exe import SOURCE, TARGET, ffmpeg_arguments
from foalnet.media.video import open_video, probe_times, video_stream

_TAIL_CHARS = 600


@dataclass(frozen=True, kw_only=True, slots=True)
class Streams:
    """The streams of a file; `container` is False for a wav or flac file.

    `picture`: the file has video, not counting an attached cover; `tracks`: number of sound tracks.
    """

    container: bool
    picture: bool
    tracks: int


def probe_streams(path: Path) -> Streams:
    """Return the streams of a sound file or video container, detected by its bytes and not by its name.

    Raises VideoUnreadable (exit 3) if it is neither, MachineError (exit 4) if it may not be opened.
    """
    import av

    if _is_wave(path):
        return Streams(container=False, picture=False, tracks=1)
    try:
        with open_video(path) as container:
            seen = video_stream(container) is not None
            return Streams(container=True, picture=seen, tracks=len(container.streams.audio))
    except av.FFmpegError as error:
        message = reason(error)
        raise decoder_refusal(message, path) or unreadable(path, message) from error


def _is_wave(path: Path) -> bool:
    head = first_bytes(path)
    return head[:4] == b"fLaC" or (head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE")


@contextlib.contextmanager
def sound_file(path: Path, folder: Path | None = None, *, timeout_s: float = 3600.0) -> Iterator[Path]:
    """Yield a wav or flac file with the sound of `path`: the file itself, or the first track of a container.

    A track is extracted into a temporary folder in `folder` and removed afterwards. AudioUnreadable (exit 3) if the
    file has no sound that decodes; MachineError (exit 4) as `extract_sound`.
    """
    with _as_sound():
        if _is_wave(path):
            whole = path
        elif not probe_streams(path).tracks:
            raise AudioUnreadable("the file has no sound track", file=path, action="give a file with sound")
        else:
            whole = None
    if whole is not None:
        yield whole
        return
    with tempfile.TemporaryDirectory(prefix="sound-", dir=folder) as place:
        out = Path(place) / "track.wav"
        with _as_sound():
            extract_sound(path, out, timeout_s=timeout_s)
        yield out


@contextlib.contextmanager
def _as_sound() -> Iterator[None]:
    """Turn the refusal of a container into that of a sound."""
    try:
        yield
    except (VideoUnreadable, VideoTooLarge) as error:
        raise AudioUnreadable(
            error.what.replace("the video cannot", "the sound cannot").replace(f"not {READ}", f"not wav, flac, {READ}"),
            file=error.file,
            action="put the original file back; until then its utterances are dropped",
        ) from error


def length_s(path: Path, *, timeout_s: float = 3600.0) -> float:
    """Return the length of a clip in seconds: up to the end of its last picture, without picture that of its sound.

    AudioUnreadable (exit 3) for a file that is neither wav nor flac nor a container that opens.
    """
    import av

    with _as_sound():
        if _is_wave(path):
            info = probe_wave(path)
            return info.samples / info.rate_hz
        if probe_streams(path).picture:
            return probe_times(path, timeout_s=timeout_s).end_s
        try:
            with open_video(path) as container:
                stated_s = (container.duration or 0) / av.time_base
        except av.FFmpegError as error:
            message = reason(error)
            raise decoder_refusal(message, path) or unreadable(path, message) from error
    if stated_s > 0:
        return stated_s
    # A recorder that writes to a pipe cannot state the length.
    with sound_file(path, timeout_s=timeout_s) as wave:
        info = probe_wave(wave)
        return info.samples / info.rate_hz


def extract_sound(
    path: Path, out: Path, *, track: int = 1, stop_s: float | None = None, timeout_s: float = 3600.0
) -> None:
    """Write a sound track of a container to `out` as wav, with its own rate and channels, float32, unscaled.

    `track` counts from 1. Time 0 is that of the container; silence precedes a track that begins late. `stop_s`: end of
    the extracted part. An ffmpeg that hangs is killed and started once more. Raises VideoUnreadable (exit 3) if nothing
    decodes, MachineError (exit 4) if ffmpeg hangs again or is killed.
    """
    arguments = sound_command(path, out, stop_s, track)
    for _ in range(ATTEMPTS):
        with contextlib.suppress(subprocess.TimeoutExpired):
            code, message = _run(arguments, timeout_s)
            break
    else:
        raise MachineError(
            f"ffmpeg took over {timeout_s:g} s for the sound, {ATTEMPTS} times; it was killed",
            file=path,
            action="run the same command again; on a slow disk set FOALNET_FFMPEG_TIMEOUT_S higher",
        )
    if code < 0:
        name = signal.Signals(-code).name
        raise MachineError(f"ffmpeg was killed by {name}", file=path, action="run the same command again")
    if code:
        raise decoder_refusal(message, path, out.parent) or unreadable(
            path, f"ffmpeg ended with {code} on its sound: {message or 'it gave no reason'}"
        )


def _run(arguments: list[str], timeout_s: float) -> tuple[int, str]:
    """Run ffmpeg once; return its exit code and last messages; after the timeout kill it and raise TimeoutExpired."""
    process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)
    try:
        _, stderr = process.communicate(timeout=timeout_s)
    finally:
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    return process.returncode, stderr.decode("utf-8", errors="replace").strip()[-_TAIL_CHARS:]


def sound_command(path: Path, out: Path, stop_s: float | None, track: int = 1) -> list[str]:
    """Return ffmpeg's argument list: forced demuxer, local files only, one thread, one sound track."""
    import ffmpeg

    source = ffmpeg.input(
        SOURCE,
        f=choose_demuxer(path),
        protocol_whitelist=PROTOCOLS,
        fflags="+discardcorrupt",
        threads=1,
        nostdin=None,
        hide_banner=None,
        loglevel="error",
    )
    # async=1 pads the start only; later gaps stay as the decoder returns them.
    heard = source[f"a:{track - 1}"].filter("aresample", **{"async": 1, "first_pts": 0})
    output = heard.output(
        TARGET,
        format="wav",
        acodec="pcm_f32le",
        t=min(stop_s or MAX_DURATION_S, MAX_DURATION_S),
        fflags="+bitexact",
        threads=1,
        filter_complex_threads=1,
    )
    return ffmpeg_arguments(output, path, out)
