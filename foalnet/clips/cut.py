"""The sound of an utterance: its own file as it is, else cut out of the dialogue's recording; every repair told."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from foalnet import media
from foalnet.clips.reel import Pieces, Reel
from foalnet.config.blocks import Shards
from foalnet.core.errors import DataError
from foalnet.core.ledger import SILENT, Ledger
from foalnet.core.records import Utterance
from foalnet.media.listen import CLIPPED


class SegmentOutside(DataError):
    """Times far outside the recording that they index; `reason` is its ledger code."""

    reason = "segment_invalid"


@dataclass(frozen=True, kw_only=True, slots=True)
class Sound:
    """One utterance's sound as the shard holds it; `reason` is the first repair that made it, None where none did."""

    flac: Pieces
    samples: int
    reason: str | None


@dataclass(kw_only=True)
class Cutter:
    """Cuts the sounds of one dialogue; the dialogue's recording is read once, and only where it is needed.

    `root` is the corpus folder, `present` the relative paths that the inventory has; `reel` takes the sounds.
    """

    root: Path
    present: frozenset[str]
    params: Shards
    ledger: Ledger
    reel: Reel
    _recordings: dict[str, media.Heard] = field(default_factory=dict)

    def sound(self, u: Utterance) -> Sound | None:
        """Return the utterance's sound at the params' rate, None where it has none that can be used.

        In the ledger: wav_from_dialogue, segment_clamped, channels_cancelled, audio_resampled, audio_padded (repaired),
        length_differs, wav_truncated, sound_clipped, sound_silent (kept), wav_missing, wav_unreadable, audio_nonfinite,
        segment_invalid, channel_missing, sound_silent (dropped).
        """
        repairs: list[tuple[str, str]] = []
        try:
            found = self._read(u, repairs)
            resampled_N = media.resample(*found, self.params.rate_hz) if found is not None and found[0].size else None
        except (media.AudioUnreadable, media.AudioNonfinite, media.ChannelMissing, SegmentOutside) as error:
            self.ledger.drop(u.key, error.reason, error.what)
            return None
        if found is None or resampled_N is None:
            why = ("wav_missing", "") if found is None else ("wav_unreadable", "it has no samples")
            self.ledger.drop(u.key, *why)
            return None
        wave_N, rate_hz = found
        silent = media.is_silent(wave_N)
        if silent and self.params.silent_sound == "drop":
            self.ledger.drop(u.key, SILENT)
            return None
        self._note(u, wave_N, silent=silent)
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
        return Sound(flac=self.reel.put([flac]), samples=int(wave_N.size), reason=reason)

    def _note(self, u: Utterance, wave_N: np.ndarray, *, silent: bool) -> None:
        if silent:
            self.ledger.keep(u.key, SILENT, "masked: the network hears nothing of it")
        elif (share := media.clipped_share(wave_N)) > CLIPPED:
            self.ledger.keep(u.key, "sound_clipped", f"{100 * share:.1f} % of its samples")

    def _read(self, u: Utterance, repairs: list[tuple[str, str]]) -> tuple[np.ndarray, int] | None:
        """Return (wave_N float32 mono, its rate) from the utterance's file or the dialogue's, None where both lack."""
        if u.audio is not None and u.audio in self.present:
            path = self.root / u.audio
            info, heard = media.probe_wave(path), media.listen(path, self.params.channel)
            if heard.how:
                repairs.append(("channels_cancelled" if heard.cancelled else "audio_resampled", heard.how))
            if info.truncated:
                self.ledger.keep(u.key, "wav_truncated", f"{info.samples} of {info.declared_samples} samples")
            return heard.wave_N, heard.rate_hz
        if u.dialogue_audio is not None and u.dialogue_audio in self.present:
            heard = self._recording(u.dialogue_audio)
            repairs.append(("wav_from_dialogue", u.dialogue_audio))
            if heard.cancelled:
                repairs.append(("channels_cancelled", heard.how))
            return self._cut(heard.wave_N, heard.rate_hz, u, repairs), heard.rate_hz
        return None

    def _cut(self, wave_N: np.ndarray, rate_hz: int, u: Utterance, repairs: list[tuple[str, str]]) -> np.ndarray:
        """Return the utterance's part of a recording; a label that ends up to `clamp_s` behind it is clamped to it.

        SegmentOutside where it ends further out, or no sample is left: its times belong to another recording.
        """
        first, stop = round(u.start_s * rate_hz), round(u.end_s * rate_hz)
        beyond_s = (stop - wave_N.size) / rate_hz
        if first >= wave_N.size or beyond_s > self.params.clamp_s:
            raise SegmentOutside(f"its label ends {beyond_s:.3f} s behind the recording")
        if beyond_s > 0:
            repairs.append(("segment_clamped", f"the label ends {beyond_s:.3f} s behind the recording"))
        return wave_N[first:stop]

    def _recording(self, path: str) -> media.Heard:
        """Return the dialogue's sound; which actor is on which of its channels is said nowhere."""
        if path not in self._recordings:
            self._recordings[path] = media.listen(self.root / path, self.params.channel)
        return self._recordings[path]
