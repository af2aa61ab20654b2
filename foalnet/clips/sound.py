"""Cuts the sound of an utterance: its own file, or a span of the dialogue's recording; records every repair."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from foalnet import media
from foalnet.clips.spool import Pieces, Spool
from foalnet.config.blocks import Shards
from foalnet.core.errors import DataError
from foalnet.core.ledger import SILENT, Ledger
from foalnet.core.records import Utterance
from foalnet.media.mono import CLIPPED


class SegmentOutside(DataError):
    """An utterance's times lie far outside its recording; `reason` is the ledger code."""

    reason = "segment_invalid"


@dataclass(frozen=True, kw_only=True, slots=True)
class Sound:
    """One utterance's sound as the shard stores it; `reason` is the first repair applied, "" for none."""

    flac: Pieces
    samples: int
    reason: str

    def listen(self) -> tuple[np.ndarray, int] | None:
        """Return (samples [N], their rate in Hz), None for silence."""
        return None if self.reason == SILENT else media.read_flac(self.flac.joined())


@dataclass(kw_only=True)
class SoundCutter:
    """Cuts the sounds of one dialogue; reads the dialogue's recording at most once, and only if it is needed.

    `root` is the corpus folder, `present` the relative paths in the inventory; `spool` stores the encoded
    sounds. Extracting the sound of a container may take `timeout_s`.
    """

    root: Path
    present: frozenset[str]
    params: Shards
    ledger: Ledger
    spool: Spool
    timeout_s: float = 3600.0
    _recordings: dict[tuple[str, str | int], tuple[media.MonoSound, media.Track | None]] = field(default_factory=dict)

    def cut(self, u: Utterance) -> Sound | None:
        """Return the utterance's sound at the params' rate, or None if it has no usable sound.

        Ledger reasons: wav_from_dialogue, segment_clamped, channels_cancelled, audio_resampled, audio_padded,
        sound_begins_late, sound_ends_early (repaired), length_differs, wav_truncated, sound_clipped, channel_shared,
        streams_not_used, sound_silent (kept), wav_missing, wav_unreadable, audio_nonfinite, segment_invalid,
        channel_missing, sound_silent (dropped).
        """
        repairs: list[tuple[str, str]] = []
        try:
            wave = self._read(u, repairs)
            resampled_N = media.resample(*wave, self.params.rate_hz) if wave is not None and wave[0].size else None
        except (media.AudioUnreadable, media.AudioNonfinite, media.ChannelMissing, SegmentOutside) as error:
            self.ledger.drop(u.key, error.reason, error.what)
            return None
        if wave is None or resampled_N is None:
            why = ("wav_missing", "") if wave is None else ("wav_unreadable", "it has no samples")
            self.ledger.drop(u.key, *why)
            return None
        wave_N, rate_hz = wave
        silent = media.is_silent(wave_N)
        if silent and self.params.silent_sound == "drop":
            self.ledger.drop(u.key, SILENT)
            return None
        self._note_level(u, wave_N, silent=silent)
        excess_s = wave_N.size / rate_hz - (u.end_s - u.start_s)
        if abs(excess_s) > self.params.length_tolerance_s:
            self.ledger.keep(u.key, "length_differs", f"{excess_s:+.3f} s against the label")
        if rate_hz != self.params.rate_hz:
            wave_N = resampled_N
            repairs.append(("audio_resampled", f"from {rate_hz} Hz"))
        if wave_N.size < self.params.min_samples:
            repairs.append(("audio_padded", f"from {wave_N.size} samples"))
            wave_N = np.pad(wave_N, (0, self.params.min_samples - wave_N.size))
        for reason, detail in repairs:
            self.ledger.repair(u.key, reason, detail)
        flac = media.flac_bytes(wave_N, self.params.rate_hz)
        reason = SILENT if silent else repairs[0][0] if repairs else ""
        return Sound(flac=self.spool.put([flac]), samples=int(wave_N.size), reason=reason)

    def _note_level(self, u: Utterance, wave_N: np.ndarray, *, silent: bool) -> None:
        if silent:
            self.ledger.keep(u.key, SILENT, "masked: the network hears nothing of it")
        elif (share := media.clipped_share(wave_N)) > CLIPPED:
            self.ledger.keep(u.key, "sound_clipped", f"{100 * share:.1f} % of its samples")

    def _read(self, u: Utterance, repairs: list[tuple[str, str]]) -> tuple[np.ndarray, int] | None:
        """Return (wave_N float32 mono, its rate) from the utterance's or the dialogue's file, else None."""
        if self.params.sound == "clip" and u.video in self.present and self._has_sound(u.video):
            self.ledger.keep(u.key, "sound_of_clip", u.video)
            return self._cut_recording(u, u.video, repairs)
        if u.audio is not None and u.audio in self.present:
            with media.sound_file(self.root / u.audio, self.spool.folder, timeout_s=self.timeout_s) as (path, track):
                info, heard = media.probe_wave(path), self._mono(u, path)
            if heard.how:
                repairs.append(("channels_cancelled" if heard.cancelled else "audio_resampled", heard.how))
            if info.truncated:
                self.ledger.keep(u.key, "wav_truncated", f"{info.samples} of {info.declared_samples} samples")
            self._note(u, heard, track, repairs)
            return heard.wave_N, heard.rate_hz
        if u.dialogue_audio is not None and u.dialogue_audio in self.present:
            repairs.append(("wav_from_dialogue", u.dialogue_audio))
            return self._cut_recording(u, u.dialogue_audio, repairs)
        return None

    def _cut_recording(self, u: Utterance, path: str, repairs: list[tuple[str, str]]) -> tuple[np.ndarray, int]:
        """Return (wave_N, its rate) of the utterance's span of a recording, which is read once per channel."""
        key = (path, self._channel(u))
        if key not in self._recordings:
            with media.sound_file(self.root / path, self.spool.folder, timeout_s=self.timeout_s) as (file, track):
                self._recordings[key] = self._mono(u, file), track
        heard, track = self._recordings[key]
        if heard.cancelled:
            repairs.append(("channels_cancelled", heard.how))
        self._note(u, heard, track, repairs)
        return self._cut(heard.wave_N, heard.rate_hz, u, repairs), heard.rate_hz

    def _note(
        self, u: Utterance, heard: media.MonoSound, track: media.Track | None, repairs: list[tuple[str, str]]
    ) -> None:
        """Record a channel that is not the speaker's, pictures without sound in their container, unused streams."""
        if self.params.channel == "speaker" and heard.number is None:
            self.ledger.keep(u.key, "channel_shared")
        if track is None:
            return
        late_s = min(track.begin_s, u.end_s) - u.start_s
        early_s = min(u.end_s, track.picture_end_s) - max(u.start_s, track.end_s) if track.ends_early else 0.0
        for reason, silent_s in (("sound_begins_late", late_s), ("sound_ends_early", early_s)):
            if silent_s > self.params.length_tolerance_s:
                repairs.append((reason, f"{silent_s:.3f} s of silence"))
        if track.others:
            self.ledger.keep(u.key, "streams_not_used", str(track.others))

    def _cut(self, wave_N: np.ndarray, rate_hz: int, u: Utterance, repairs: list[tuple[str, str]]) -> np.ndarray:
        """Return the utterance's span of a recording, clamped if it ends up to `clamp_s` after the recording.

        SegmentOutside if it ends later or starts after the recording: its times belong to another recording.
        """
        first, stop = round(u.start_s * rate_hz), round(u.end_s * rate_hz)
        beyond_s = (stop - wave_N.size) / rate_hz
        if first >= wave_N.size or beyond_s > self.params.clamp_s:
            raise SegmentOutside(f"its label ends {beyond_s:.3f} s behind the recording")
        if beyond_s > 0:
            repairs.append(("segment_clamped", f"the label ends {beyond_s:.3f} s behind the recording"))
        return wave_N[first:stop]

    def _has_sound(self, video: str) -> bool:
        try:
            return media.probe_streams(self.root / video).tracks > 0
        except media.VideoUnreadable:
            return False

    def _channel(self, u: Utterance) -> str | int:
        """Return which channel is the utterance's: with `speaker` that of the side on which its speaker sits."""
        if self.params.channel != "speaker":
            return self.params.channel
        return "mean" if u.side == "whole" else u.side

    def _mono(self, u: Utterance, path: Path) -> media.MonoSound:
        """Return a file's sound in the utterance's channel; a single one is that of everyone in the picture."""
        shared = self.params.channel == "speaker" and media.probe_wave(path).channels == 1
        return media.read_mono(path, "mean" if shared else self._channel(u))
