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
from typing import Any

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
from foalnet.media.ffmpeg_exe import SOURCE, TARGET, after_start, ffmpeg_arguments
from foalnet.media.video import is_cover, open_video, probe_times, video_stream

# The last frame and the last packet end a little apart: a smaller gap after the sound is left as it is.
ENDS_APART_S = 0.05
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Track:
    """A sound track of a container, in seconds of the container's timeline: [begin_s, end_s) has sound.

    `picture_end_s`: the end of the picture, 0 without one. `others`: further sound tracks and pictures, not used.
    `start_us`: the stamp at which the container's timeline starts, in microseconds.
    """

    start_us: int
    begin_s: float
    end_s: float
    picture_end_s: float
    others: int

    @property
    def ends_early(self) -> bool:
        """Return whether silence stands after the sound, up to the end of the picture."""
        return self.picture_end_s - self.end_s > ENDS_APART_S


@contextlib.contextmanager
def sound_file(
    path: Path, folder: Path | None = None, *, timeout_s: float = 3600.0
) -> Iterator[tuple[Path, Track | None]]:
    """Yield a wav or flac file with the sound of `path`: the file itself, or the first track of a container.

    A track is extracted into a temporary folder in `folder` and removed afterwards; the second value says where it is
    on the container's timeline. AudioUnreadable (exit 3) if no sound decodes; MachineError (exit 4) as `extract_sound`.
    """
    with _as_sound():
        if _is_wave(path):
            yield path, None
            return
        with tempfile.TemporaryDirectory(prefix="sound-", dir=folder) as place:
            out = Path(place) / "track.wav"
            yield out, extract_sound(path, out, timeout_s=timeout_s)


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
        if not _is_wave(path):
            if probe_streams(path).picture:
                return probe_times(path, timeout_s=timeout_s).end_s
            with contextlib.suppress(av.FFmpegError):
                return _decoded_s(path)
    # ffmpeg's process continues after a damaged packet.
    with sound_file(path, timeout_s=timeout_s) as (wave, _):
        info = probe_wave(wave)
        return info.samples / info.rate_hz


def _decoded_s(path: Path) -> float:
    """Return the length of a sound track that decodes: a header may state none, or one estimated by the bit rate."""
    with open_video(path) as container:
        stream = next(iter(container.streams.audio), None)
        if stream is None:
            raise unreadable(path, "it has no sound track")
        rate_hz, begin_s, samples = stream.rate, None, 0
        for frame in container.decode(stream):
            if begin_s is None:
                begin_s = max(0.0, (frame.time or 0.0) - (container.start_time or 0) / 1_000_000)
            samples += frame.samples
            if samples > MAX_DURATION_S * rate_hz:
                break
    return (begin_s or 0.0) + samples / rate_hz


def probe_track(path: Path, track: int = 1) -> Track:
    """Return where a sound track is; `track` counts from 1.

    Raises VideoUnreadable (exit 3) if there is no such track, MachineError (exit 4) if the file may not be opened.
    """
    import av

    try:
        with open_video(path) as container:
            if track > len(container.streams.audio):
                raise unreadable(path, "it has no sound track" if track == 1 else f"it has no sound track {track}")
            heard, seen = container.streams.audio[track - 1], video_stream(container)
            pictures = sum(not is_cover(stream) for stream in container.streams.video)
            others = len(container.streams.audio) + pictures - (1 if seen is None else 2)
            (begin_s, end_s), (_, picture_end_s) = _spans(container, heard, seen)
            if seen is not None and seen.average_rate:
                picture_end_s += float(1 / seen.average_rate)
            start_us = container.start_time or 0
    except av.FFmpegError as error:
        message = reason(error)
        raise decoder_refusal(message, path) or unreadable(path, message) from error
    return Track(start_us=start_us, begin_s=max(0.0, begin_s), end_s=end_s, picture_end_s=picture_end_s, others=others)


def _spans(container: Any, *streams: Any) -> list[tuple[float, float]]:
    """Return begin and end of each stream in seconds after the container's start; (0, 0) without packets.

    The end of a picture is the begin of its last frame.
    """
    zero_s = (container.start_time or 0) / 1_000_000
    spans: dict[Any, tuple[float, float]] = {}
    for packet in container.demux([stream for stream in streams if stream is not None]):
        stamp = packet.dts if packet.pts is None else packet.pts
        if packet.size == 0 or stamp is None or packet.is_discard:
            continue
        unit_s = float(packet.time_base)
        # With B-frames the duration is that of another frame.
        lasts = packet.duration or 0 if packet.stream.type == "audio" else 0
        begin_s, end_s = (tick * unit_s - zero_s for tick in (stamp, stamp + lasts))
        first_s, last_s = spans.get(packet.stream, (begin_s, end_s))
        spans[packet.stream] = min(first_s, begin_s), max(last_s, end_s)
    return [spans.get(stream, (0.0, 0.0)) for stream in streams]


def extract_sound(
    path: Path, out: Path, *, track: int = 1, stop_s: float | None = None, timeout_s: float = 3600.0
) -> Track:
    """Write a sound track of a container to `out` as wav, with its own rate and channels, float32, unscaled.

    `track` counts from 1. Time 0 is that of the container. Silence precedes a track that begins late, and follows one
    that ends before the picture (`Track.ends_early`). `stop_s`: end of the extracted part. An ffmpeg that hangs is
    killed and started once more. Returns where the track is. Raises VideoUnreadable (exit 3) if nothing decodes,
    MachineError (exit 4) if ffmpeg hangs again or is killed.
    """
    where = probe_track(path, track)
    arguments = sound_command(path, out, where, stop_s, track)
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
    return where


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


def sound_command(path: Path, out: Path, where: Track, stop_s: float | None, track: int = 1) -> list[str]:
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
        copyts=None,
    )
    # async=1 fills gaps between the stamps of the sound, and first_pts=0 that before the first, with silence.
    heard = source[f"a:{track - 1}"].filter("asetpts", after_start(where.start_us))
    heard = heard.filter("aresample", **{"async": 1, "first_pts": 0})
    if where.ends_early:
        heard = heard.filter("apad", whole_dur=where.picture_end_s)
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
