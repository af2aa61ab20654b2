"""The only access to ffmpeg, sound files and pictures; other rooms get arrays, bytes and typed errors."""

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
from foalnet.media.container import VideoTooLarge, VideoUnreadable, first_bytes, header_rates_fps
from foalnet.media.decode import Rows, decode_frames, decode_indexed, decode_pictures
from foalnet.media.extract import Streams, Track, extract_sound, length_s, probe_streams, sound_file
from foalnet.media.ffmpeg_exe import ffmpeg_digest, ffmpeg_exe
from foalnet.media.images import (
    MIN_STRIPE_ROWS,
    brightness,
    jpeg_bytes,
    letterbox_rows,
    lit_rows,
    read_jpeg,
    rescale,
    resize,
)
from foalnet.media.mono import ChannelMissing, MonoSound, channel_number, clipped_share, is_silent, read_mono
from foalnet.media.picture import Picture, Rect
from foalnet.media.video import VideoInfo, probe_times

__all__ = [
    "MIN_STRIPE_ROWS",
    "AudioNonfinite",
    "AudioUnreadable",
    "ChannelMissing",
    "MonoSound",
    "Picture",
    "Rect",
    "Rows",
    "Streams",
    "Track",
    "VideoInfo",
    "VideoTooLarge",
    "VideoUnreadable",
    "WaveInfo",
    "brightness",
    "channel_number",
    "clipped_share",
    "decode_frames",
    "decode_indexed",
    "decode_pictures",
    "extract_sound",
    "ffmpeg_digest",
    "ffmpeg_exe",
    "first_bytes",
    "flac_bytes",
    "header_rates_fps",
    "is_silent",
    "jpeg_bytes",
    "length_s",
    "letterbox_rows",
    "lit_rows",
    "probe_streams",
    "probe_times",
    "probe_wave",
    "read_flac",
    "read_jpeg",
    "read_mono",
    "read_wave",
    "resample",
    "rescale",
    "resize",
    "sound_file",
]
