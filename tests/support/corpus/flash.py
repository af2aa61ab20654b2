"""Clips in which a flash and a beep fall together, and where staging puts the two."""

from __future__ import annotations

import itertools
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
import soundfile

from foalnet import media
from foalnet.clips.pictures import cut_pictures
from foalnet.clips.sound import SoundCutter
from foalnet.clips.spool import Spool
from foalnet.config import Settings
from foalnet.config.blocks import Shards
from foalnet.core.ledger import Ledger
from foalnet.core.records import Side, Utterance
from foalnet.faces import get_detector
from tests.support.corpus.videos import ffmpeg, write_video

FPS, FRAMES, SECONDS, RATE_HZ = 25, 50, 2.0, 48000
# The beep lasts as long as the flash.
AT_S, LASTS_S = 1.0, 0.2
FRAME_S = 1 / FPS
X264 = ("-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p")
AAC = ("-c:a", "aac")
FLV = ("-c:v", "flv", "-b:v", "2M", "-c:a", "libmp3lame", "-ar", "44100")
# Ending -> codecs that go into it.
CONTAINERS = {
    "mp4": (*X264, *AAC),
    "mkv": (*X264, *AAC),
    "mov": (*X264, "-c:a", "pcm_s24le"),
    "webm": ("-c:v", "libvpx", "-b:v", "2M", "-c:a", "libopus"),
    "avi": ("-c:v", "mpeg4", "-q:v", "2", "-c:a", "pcm_s16le"),
    "flv": FLV,
    "mpg": ("-c:v", "mpeg2video", "-b:v", "2M", "-c:a", "mp2"),
    "ts": (*X264, *AAC),
    "wmv": ("-c:v", "wmv2", "-b:v", "2M", "-c:a", "wmav2"),
    "ogv": ("-c:v", "libtheora", "-q:v", "7", "-pix_fmt", "yuv420p", "-c:a", "libvorbis"),
}


def picture(number: int) -> np.ndarray:
    """Return a frame [120, 160, 3]: its upper left quarter is white during the flash, its lower left one brightens."""
    frame_HWC = np.full((120, 160, 3), 90, np.uint8)
    frame_HWC[:60, :80] = 255 if AT_S <= number / FPS < AT_S + LASTS_S else 30
    frame_HWC[60:, :80] = 40 + 2 * number
    return frame_HWC


def beep() -> np.ndarray:
    """Return two seconds at RATE_HZ: a tone of 1 kHz during the flash, else silence."""
    wave_N = np.zeros(round(SECONDS * RATE_HZ))
    first, samples = round(AT_S * RATE_HZ), round(LASTS_S * RATE_HZ)
    wave_N[first : first + samples] = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(samples) / RATE_HZ)
    return wave_N


def write_sources(folder: Path) -> Path:
    """Write the picture as picture.mkv, without loss, and the sound as beep.wav; return their folder."""
    frames = [picture(number) for number in range(FRAMES)]
    write_video(folder / "picture.mkv", frames, "-c:v", "ffv1", "-pix_fmt", "yuv420p", rate=str(FPS))
    soundfile.write(folder / "beep.wav", beep(), RATE_HZ, subtype="PCM_16")
    return folder


@cache
def encoders() -> str:
    """Return what the wheel's ffmpeg can encode."""
    exe = imageio_ffmpeg.get_ffmpeg_exe()
    return subprocess.run([exe, "-hide_banner", "-encoders"], capture_output=True, text=True, check=True).stdout


def encode(
    folder: Path,
    name: str,
    *options: str,
    picture_late_s: float = 0.0,
    sound_late_s: float = 0.0,
    sound: str = "beep.wav",
) -> Path:
    """Write `name` from the sources in `folder`; skip the test if this ffmpeg lacks a codec."""
    for option, codec in itertools.pairwise(options):
        if option.startswith("-c:") and f" {codec} " not in encoders():
            pytest.skip(f"this ffmpeg has no encoder {codec}")
    source = ("-itsoffset", str(picture_late_s), "-i", str(folder / "picture.mkv"))
    ffmpeg(*source, "-itsoffset", str(sound_late_s), "-i", str(folder / sound), *options, str(folder / name))
    return folder / name


@dataclass(frozen=True, kw_only=True)
class Cut:
    """One utterance as it is staged. Times are those of the clip; `size` is that of the source picture, w and h."""

    flash_s: tuple[float, float]
    beep_s: tuple[float, float]
    wave_N: np.ndarray
    times_s: tuple[float, ...]
    size: tuple[int, int]
    entries: dict[str, str]


def cut(path: Path, start_s: float = 0.0, end_s: float | None = None, *, side: Side = "whole", **shards: object) -> Cut:
    """Stage a clip's whole length, or a span of it as a recording; `entries`: ledger's reason -> detail."""
    params = Shards.model_validate({"detector": "fixed", "letterbox": False} | shards)
    span = (start_s, media.length_s(path) if end_s is None else end_s)
    own = end_s is None
    u = Utterance(
        key="u", corpus="flash", session="s", dialogue="d", speaker="p", side=side, start_s=span[0], end_s=span[1],
        raw_label="glad", label="glad", audio=path.name if own else None, dialogue_audio=None if own else path.name,
        video=path.name,
    )  # fmt: skip
    ledger, spool = Ledger(), Spool()
    cutter = SoundCutter(
        root=path.parent, present=frozenset({path.name}), params=params, ledger=ledger, spool=spool, timeout_s=60.0
    )
    sound = cutter.cut(u)
    assert sound is not None, ledger.entries
    wave_N, rate_hz = media.read_flac(sound.flac.joined())
    loud_N = start_s + np.flatnonzero(np.abs(wave_N) > 0.1) / rate_hz
    pictures = cut_pictures(path, [u], params=params, detector=get_detector(params, Settings()), timeout_s=60.0)["u"]
    times_s = pictures.track.times_s
    lit = [time_s for time_s, jpeg in zip(times_s, pictures.halves, strict=True) if jpeg and is_lit(jpeg)]
    info = media.probe_times(path)
    return Cut(
        flash_s=(lit[0], lit[-1] + FRAME_S) if lit else (-1.0, -1.0),
        beep_s=(float(loud_N[0]), float(loud_N[-1])) if loud_N.size else (-1.0, -1.0),
        wave_N=wave_N,
        times_s=times_s,
        size=(info.width_px, info.height_px),
        entries={line.reason: line.detail for line in ledger.entries},
    )


def is_lit(jpeg: bytes) -> bool:
    """Return whether the upper left quarter of a half picture is white."""
    return quarters(media.read_jpeg(jpeg))["upper left"] > 180


def quarters(frame_HWC: np.ndarray) -> dict[str, int]:
    """Return the mean grey in the middle of each quarter of a picture."""
    height, width = frame_HWC.shape[:2]
    rows = {"upper": slice(height // 8, 3 * height // 8), "lower": slice(5 * height // 8, 7 * height // 8)}
    columns = {"left": slice(width // 8, 3 * width // 8), "right": slice(5 * width // 8, 7 * width // 8)}
    return {f"{y} {x}": int(frame_HWC[rows[y], columns[x]].mean()) for y in rows for x in columns}
