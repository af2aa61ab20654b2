"""Stages a user's clip into samples like those of the shards, with the training's own staging.

It treats the clip as an utterance and calls `stage_samples` of foalnet.clips: the same cut, decode, detector, track
and JPEGs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from foalnet import media
from foalnet.clips.dialogue import stage_samples
from foalnet.clips.pictures import UtteranceTooLongError
from foalnet.clips.plan import Job
from foalnet.config.blocks import Shards
from foalnet.config.variants import Modality
from foalnet.core.errors import DataError, UsageError, printable
from foalnet.core.ledger import REASONS, SILENT, Ledger
from foalnet.core.records import Side, Utterance
from foalnet.corpora.inventory import FileEntry
from foalnet.faces import Detector
from foalnet.media.container import MAX_DURATION_S
from foalnet.predict.answer import Unanswered
from foalnet.predict.request import Request, clip_too_large, clip_unreadable, sound_unreadable
from foalnet.predict.windows import Span, grouped, windows_of
from foalnet.shards import Sample

# Decoders return whole packets, so a little more is decoded than is used.
SPARE_S = 1.0
# Containers pad sound to whole packets, and a frame lasts some time: a smaller difference of the ends is ignored.
APART_S = 0.5
# The windows that begin within the first of these times are decoded together, then those within twice that, up to the
# second. Each run decodes the clip from its start again, which is a small part of the work.
TOGETHER_S = (60.0, 900.0)
SOUND_NOTES = ("channels_cancelled", "sound_clipped", "wav_truncated", SILENT)


@dataclass(frozen=True, kw_only=True, slots=True)
class StagedClip:
    """One person of a clip. `heard`: the sample has the clip's sound, not silence; `has_picture`: it has pictures.

    `notes`: which part of the clip was left out, and what is special about its sound.
    """

    side: Side
    sample: Sample
    heard: bool
    has_picture: bool
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Opened:
    """A clip's files, and its spans to stage. `own`: the sound of a span, `timeline`: that of the clip."""

    spans: list[Span]
    own: Path | None
    timeline: Path | None
    video: Path | None
    heard: bool
    notes: tuple[str, ...]

    def utterance(self, request: Request, side: Side, span: Span) -> Utterance:
        """Return a span as the utterance of one person."""
        # A sample's key must be text; a file's name need not be.
        stem = printable(request.clip.stem)
        return Utterance(
            key=f"{stem}/{side}" if len(self.spans) == 1 else f"{stem}/{side}/{span[0]:.6f}",
            corpus="clip",
            session="clip",
            dialogue=stem,
            speaker="",
            side=side,
            start_s=span[0],
            end_s=span[1],
            raw_label="",
            label=None,
            transcript=request.text,
            audio=None if self.own is None else str(self.own.absolute()),
            dialogue_audio=None if self.timeline is None else str(self.timeline.absolute()),
            video=None if self.video is None else str(self.video),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Stager:
    """Stages clips for one model.

    `inputs`: the model's modalities; `sees`: False also if a clip cannot provide the pictures of its training.
    `detector` is called for the first picture. `longest_s`: the limit for a clip without start and end. `held_bytes`:
    the raw pictures held at a time.
    """

    params: Shards
    inputs: Sequence[Modality]
    sees: bool
    detector: Callable[[], Detector]
    longest_s: float
    timeout_s: float
    held_bytes: int

    def stage(self, request: Request, work: Path) -> list[StagedClip]:
        """Return one sample for each person requested; `work` is an empty folder for extracted sound.

        DataError (exit 3) if the clip cannot be read or has neither sound nor picture that the model uses.
        """
        staged = []
        for one in self.windows(request, work):
            if isinstance(one, Unanswered):
                raise one.error
            staged.append(one)
        return staged

    def windows(
        self, request: Request, work: Path, begun: Callable[[int], object] = lambda _: None
    ) -> Iterator[StagedClip | Unanswered]:
        """Yield one sample for each window and person; without windows the span is one. Errors as of `stage`.

        `begun` is called with the number of samples before the first. Each window is an utterance of its own, as if it
        was requested alone. Windows of one run (TOGETHER_S) are decoded at once, and their pictures are held until all
        of them are yielded.
        """
        with _named_errors(request):
            opened = self._open(request, work)
            begun(len(opened.spans) * len(request.sides))
            for spans in grouped(opened.spans, *TOGETHER_S):
                yield from self._samples(request, opened, spans)

    def _open(self, request: Request, work: Path) -> _Opened:
        """Return the files and spans of a request."""
        streams = media.probe_streams(request.clip)
        if not streams.container and (request.sound or request.recording):
            raise UsageError("the clip is a sound file itself", file=request.clip, action="leave --sound out")
        self._check_choice(request, streams)
        picture = streams.picture and self.sees
        hears = "audio" in self.inputs and (streams.tracks > 0 or bool(request.sound or request.recording))
        reads = "text" in self.inputs and bool(request.text)
        if not picture and not hears and not reads:
            raise self._nothing(request.clip, streams)
        info = media.probe_times(request.clip, timeout_s=self.timeout_s) if picture else None
        own, timeline, track = self._sound(request, streams, work) if hears else (None, None, None)
        if hears:
            self._check_channel(request, own or timeline)
        alone = info is None and not hears and request.start_s is None
        start_s, end_s, notes = (0.0, 1.0, ()) if alone else self._span(request, info, own or timeline, track)
        notes += _heard_notes(request, streams) if hears else ()
        spans = [(start_s, end_s)] if request.window_s is None else self._windows(request, start_s, end_s)
        if not hears:
            own = _silence(work / "silence.wav", spans[0][1] - spans[0][0], self.params.rate_hz)
        video = request.clip.absolute() if picture else None
        return _Opened(spans=spans, own=own, timeline=timeline, video=video, heard=hears, notes=notes)

    def _windows(self, request: Request, start_s: float, end_s: float) -> list[Span]:
        """Return the windows of a span; UsageError (exit 2) if the model would cut each."""
        window_s = request.window_s
        assert window_s is not None
        if window_s > self.longest_s:
            raise UsageError(
                f"a window of {window_s:g} s is longer than the model's limit of {self.longest_s:g} s",
                action=f"give at most {self.longest_s:g} s",
            )
        return windows_of(start_s, end_s, window_s, request.step_s or window_s / 2)

    def _check_choice(self, request: Request, streams: media.Streams) -> None:
        """Raise UsageError (exit 2) or DataError (3) for a choice of sound without effect on this model or clip."""
        given = [name for name in ("channel", "track", "sound", "recording") if getattr(request, name) is not None]
        if given and "audio" not in self.inputs:
            raise UsageError(f"the model uses no sound: leave {', '.join(given)} out", file=request.clip)
        own = request.heard == request.clip
        if given and own and not streams.tracks:
            raise DataError(
                f"the clip has no sound, so it has no {' and no '.join(given)} to choose",
                file=request.clip,
                action=f"leave {' and '.join(given)} out, or give a clip with sound",
            )
        if own and (request.track or 1) > streams.tracks > 0:
            raise DataError(
                f"the clip has {streams.tracks} sound track(s), no track {request.track}",
                file=request.clip,
                action="leave track out" if streams.tracks == 1 else f"choose a track from 1 to {streams.tracks}",
            )

    def _nothing(self, clip: Path, streams: media.Streams) -> DataError:
        has = [name for name, there in (("sound", streams.tracks), ("picture", streams.picture)) if there]
        may = (("sound", "audio" in self.inputs), ("picture", self.sees), ("text (--text)", "text" in self.inputs))
        takes = [name for name, there in may if there]
        return DataError(
            f"the clip has {' and '.join(has) or 'neither sound nor picture'}; the model takes "
            f"{' and '.join(takes) or 'tables of features only, which no clip has'}",
            file=clip,
            action="give another clip, or a model whose card says that it takes what this one has",
        )

    def _sound(
        self, request: Request, streams: media.Streams, work: Path
    ) -> tuple[Path | None, Path | None, media.Track | None]:
        """Return a file with exactly the utterance's sound, or a file on the clip's timeline, the other None.

        The third value is the track that was extracted from the clip, None without one.
        """
        if request.sound is not None:
            return (request.sound, None, None) if request.window_s is None else (None, request.sound, None)
        if request.recording is not None:
            return None, request.recording, None
        file, track = request.clip, None
        if streams.container:
            file = work / "track.wav"
            stop_s = (request.end_s or self._longest_s(request)) + SPARE_S
            track = media.extract_sound(
                request.clip, file, track=request.track or 1, stop_s=stop_s, timeout_s=self.timeout_s
            )
        whole = request.start_s is None and request.window_s is None
        return (file, None, track) if whole else (None, file, track)

    def _longest_s(self, request: Request) -> float:
        """Return the limit of a clip without start and end."""
        return self.longest_s if request.window_s is None else MAX_DURATION_S

    def _check_channel(self, request: Request, file: Path | None) -> None:
        """Raise DataError (exit 3) for a sound without the channel requested, or that of the training."""
        assert file is not None
        try:
            media.channel_number(file, request.channel if request.channel is not None else self.params.channel)
        except media.ChannelMissing as error:
            channels = media.probe_wave(file).channels
            raise DataError(
                error.what if request.channel is not None else f"{error.what}, on which the model was trained",
                file=request.heard,
                action="choose the channel mean" + (f", or a number from 1 to {channels}" if channels > 1 else ""),
            ) from error

    def _span(
        self, request: Request, info: media.VideoInfo | None, heard: Path | None, track: media.Track | None
    ) -> tuple[float, float, tuple[str, ...]]:
        """Return start and end in seconds (as requested, else up to the limit), and notes on parts left out.

        Windows end with the clip.
        """
        start_s, limit_s = request.start_s or 0.0, request.end_s or self._longest_s(request)
        if request.start_s is not None and request.window_s is None:
            return start_s, limit_s, ()
        if info is None:
            assert heard is not None, "a clip without picture has sound"
            wave = media.probe_wave(heard)
            length_s = wave.samples / wave.rate_hz
            if wave.truncated and not wave.samples:
                what = f"the file holds none of the {wave.declared_samples:,} samples that its header declares"
                raise DataError(what, file=request.heard, action="give a wav or flac file that plays")
        else:
            length_s = info.end_s
        if length_s <= 0:
            raise DataError("the clip has no length", file=request.clip, action="give a longer one")
        if start_s >= length_s:
            raise DataError(
                f"the clip ends at {length_s:.2f} s",
                file=request.clip,
                action="give a span of time within it by start and end",
            )
        end_s = min(length_s, limit_s)
        cut: tuple[str, ...] = ()
        if request.window_s is None and info is not None:
            cut = (f"cut: {length_s:.2f} s to {end_s:g} s",) if end_s < length_s else ()
            cut += self._apart(length_s, heard, track)
        return start_s, end_s, cut

    def _apart(self, picture_s: float, heard: Path | None, track: media.Track | None) -> tuple[str, ...]:
        """Return a note if sound and picture, up to the model's limit, end more than APART_S apart."""
        if heard is None:
            return ()
        wave = media.probe_wave(heard)
        # Silence follows a track that ends before the picture.
        end_s = wave.samples / wave.rate_hz if track is None else track.end_s
        sound_s, picture_s = (min(s, self.longest_s) for s in (end_s, picture_s))
        if abs(sound_s - picture_s) <= APART_S:
            return ()
        return (f"sound and picture end apart: {sound_s:.2f} s of sound and {picture_s:.2f} s of picture are used",)

    def _samples(self, request: Request, opened: _Opened, spans: Sequence[Span]) -> Iterator[StagedClip | Unanswered]:
        """Stage the people in some of the spans, all in one decode of the clip, and yield them by span and side."""
        utterances = tuple(opened.utterance(request, side, span) for span in spans for side in request.sides)
        job = self._job(request, utterances, heard=opened.heard)
        ledger = Ledger()
        detector = self.detector() if opened.video is not None else None
        try:
            samples, figures, _ = stage_samples(
                job,
                root=Path(),
                detector=detector,
                timeout_s=self.timeout_s,
                ledger=ledger,
                check_sides=False,
                held_bytes=self.held_bytes,
            )
        except UtteranceTooLongError as error:
            # The action that staging names is one for a corpus.
            action = "give a shorter span of time by start and end"
            raise DataError(error.what, file=request.clip, action=action) from error
        by_key = {sample.key: (sample, _face_notes(row)) for sample, row in zip(samples, figures, strict=True)}
        lost = {line.item: line for line in ledger.entries if line.kind == "dropped"}
        for u in utterances:
            if u.key in lost:
                refused = DataError(
                    f"the sound cannot be used ({lost[u.key].reason}): {lost[u.key].detail or 'no detail'}",
                    file=request.heard,
                    action="give a clip with sound that plays, and a span of time within it",
                )
                yield Unanswered(side=u.side, start_s=u.start_s, end_s=u.end_s, error=refused)
                continue
            sample, notes = by_key[u.key]
            yield StagedClip(
                side=u.side,
                sample=sample,
                heard=opened.heard,
                has_picture=u.video is not None,
                notes=(*opened.notes, *(_sound_notes(ledger, u.key) if opened.heard else ()), *notes),
            )

    def _job(self, request: Request, utterances: tuple[Utterance, ...], *, heard: bool) -> Job:
        """Return the job that stages the utterances."""
        paths = {p for u in utterances for p in (u.audio, u.dialogue_audio, u.video) if p is not None}
        channel = {"channel": "mean"} if not heard else {} if request.channel is None else {"channel": request.channel}
        # Faces are compared in whole pictures: none is left out by a search around another.
        face: dict[str, Any] = {} if request.face is None else {"face": request.face}
        face["listener"] = False
        face |= {"roi": 0.0} if request.face == "speaker" else {}
        # This job is neither cached nor compared with an inventory, so it needs no key, sizes or digests.
        return Job(
            corpus="clip",
            reader="clip",
            session="clip",
            dialogue=request.clip.stem,
            utterances=utterances,
            files={path: FileEntry(path=path, size=0, sha256="", role="clip") for path in sorted(paths)},
            tables=(),
            # A silent sound is masked whatever the corpus' rule, because the picture may still be informative.
            params=self.params.model_copy(update={"silent_sound": "mask", **channel, **face}),
            key="",
        )


@contextmanager
def _named_errors(request: Request) -> Iterator[None]:
    """Turn the errors of decoders into those of a clip."""
    try:
        yield
    except media.VideoUnreadable as error:
        raise clip_unreadable(error) from error
    except media.VideoTooLarge as error:
        raise clip_too_large(error) from error
    except (media.AudioUnreadable, media.AudioNonfinite) as error:
        raise sound_unreadable(error, request.heard) from error


def _heard_notes(request: Request, streams: media.Streams) -> tuple[str, ...]:
    """Return a note if a clip has several sound tracks, of which one is used."""
    if request.sound or request.recording or streams.tracks < 2:
        return ()
    return (f"of {streams.tracks} sound tracks, track {request.track or 1} is heard (--track)",)


def _sound_notes(ledger: Ledger, key: str) -> tuple[str, ...]:
    """Return notes on what is special about an utterance's sound."""
    lines = [line for line in ledger.entries if line.item == key and line.reason in SOUND_NOTES]
    return tuple(f"sound: {REASONS[line.reason]} ({line.detail})" for line in lines)


def _face_notes(figures: Mapping[str, Any]) -> tuple[str, ...]:
    """Return a note on how one of several faces was chosen."""
    choice = figures.get("choice", {"by": "alone"})
    if choice["by"] == "alone":
        return ()
    if choice["by"] == "speaker":
        how = f"the one that moves its mouth with the sound is used (confidence {choice['confidence']:.2f})"
    else:
        how = "no mouth surely moves with the sound, the largest is used"
    return (f"of {choice['faces']} faces, {how}",)


def _silence(path: Path, seconds: float, rate_hz: int) -> Path:
    """Write silence of that length, because a sample needs a sound; the network gets it masked."""
    path.write_bytes(media.flac_bytes(np.zeros(max(1, round(seconds * rate_hz)), np.float32), rate_hz))
    return path
