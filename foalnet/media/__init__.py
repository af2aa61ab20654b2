"""The only door to ffmpeg, sound files and pictures: everything outside sees arrays, bytes and typed errors."""

from foalnet.media.audio import (
    AudioNonfinite,
    AudioUnreadable,
    WaveInfo,
    flac_bytes,
    probe_wave,
    read_flac,
    read_wave,
    resample,
)
from foalnet.media.container import VideoTooLarge, VideoUnreadable, header_rates_fps
from foalnet.media.decode import decode_frames, decode_indexed
from foalnet.media.extract import Streams, extract_sound, streams_of
from foalnet.media.ffmpeg_exe import ffmpeg_digest, ffmpeg_exe
from foalnet.media.images import jpeg_bytes, letterbox_rows, read_jpeg, resize
from foalnet.media.video import VideoInfo, probe_times

__all__ = [
    "AudioNonfinite",
    "AudioUnreadable",
    "Streams",
    "VideoInfo",
    "VideoTooLarge",
    "VideoUnreadable",
    "WaveInfo",
    "decode_frames",
    "decode_indexed",
    "extract_sound",
    "ffmpeg_digest",
    "ffmpeg_exe",
    "flac_bytes",
    "header_rates_fps",
    "jpeg_bytes",
    "letterbox_rows",
    "probe_times",
    "probe_wave",
    "read_flac",
    "read_jpeg",
    "read_wave",
    "resample",
    "resize",
    "streams_of",
]
