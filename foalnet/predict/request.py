"""A request to predict a clip, checked before anything is decoded or a model is loaded."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from foalnet import media
from foalnet.core.errors import DataError, UsageError
from foalnet.core.paths import MODEL
from foalnet.core.records import Side
from foalnet.media.container import READ

Who = Literal["left", "right", "both"]
Face = Literal["largest", "speaker"]
MIN_WINDOW_S = 0.2
# So many windows share a frame at most: each looks for the face in it.
MAX_OVERLAP = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One clip and how to read it.

    `start_s` and `end_s` (both or neither): seconds of the clip's own timeline; the whole clip without them. `sound`: a
    wav or flac file used as a whole instead of the clip's own track. `recording`: one on the clip's timeline, of which
    [start_s, end_s) is used. `people`: 1 fills the picture, 2 sit side by side, each in one half; `side`: which of the
    two. `channel` ("mean", "left", "right", "speaker": that on the person's side, or a number from 1; None: as in the
    model's training) and `track` (the number of the clip's own sound track, from 1; None: the first) select the sound.
    `text`: the spoken words. `face`: which of several faces ("largest", "speaker"; None: as in the model's training).
    `window_s`: cut the clip, or its span, into windows of this many seconds, one every `step_s` (default: half a
    window); `sound` is then on the clip's timeline.
    """

    clip: Path
    start_s: float | None = None
    end_s: float | None = None
    sound: Path | None = None
    recording: Path | None = None
    people: int = 1
    side: Who = "both"
    channel: str | int | None = None
    track: int | None = None
    text: str | None = None
    face: Face | None = None
    window_s: float | None = None
    step_s: float | None = None

    def __post_init__(self) -> None:
        """Raise UsageError (exit 2) for contradictory values."""
        if self.people not in (1, 2):
            raise _wrong(f"people is {self.people}", "say 1 (one person fills the picture) or 2 (two side by side)")
        if self.side not in ("left", "right", "both"):
            raise _wrong(f"side is '{self.side}'", "say left, right or both")
        if self.people == 1 and self.side != "both":
            raise _wrong(f"side is '{self.side}' of a picture with one person", "say people 2, or leave the side out")
        if (self.start_s is None) != (self.end_s is None):
            raise _wrong("start and end belong together, one of them is missing", "give both, or neither")
        if self.start_s is not None and self.end_s is not None:
            finite = math.isfinite(self.start_s) and math.isfinite(self.end_s)
            if not (finite and 0 <= self.start_s < self.end_s):
                raise _wrong(
                    f"{self.start_s:g} s to {self.end_s:g} s is not a span of time", "0 <= start < end, in seconds"
                )
        if self.face not in (None, "largest", "speaker"):
            raise _wrong(f"face is '{self.face}'", "say largest or speaker")
        if self.sound is not None and self.recording is not None:
            raise _wrong("both a sound and a recording were given", "give one of them")
        if self.channel not in (None, "mean", "left", "right", "speaker") and not str(self.channel).isdecimal():
            raise _wrong(f"channel is '{self.channel}'", "say mean, left, right, speaker, or a number from 1")
        if (self.track is not None and self.track < 1) or str(self.channel) == "0":
            raise _wrong("channels and tracks are counted from 1", "give 1 for the first")
        if self.track is not None and (self.sound or self.recording):
            raise _wrong(f"track is {self.track}, and another sound was given", "give one of them")
        if self.recording is not None and self.start_s is None:
            raise _wrong("a recording on the clip's timeline needs start and end", "give both, or give it as sound")
        self._check_windows()

    def _check_windows(self) -> None:
        """Raise UsageError (exit 2) for windows that cannot be."""
        if self.window_s is None:
            if self.step_s is not None:
                raise _wrong("a step was given, and no window", "give both, or the window alone")
            return
        if not (math.isfinite(self.window_s) and self.window_s >= MIN_WINDOW_S):
            raise _wrong(f"a window of {self.window_s:g} s", f"give at least {MIN_WINDOW_S:g} s")
        if self.text is not None:
            raise _wrong("the words of a clip belong to all of it, not to each window", "leave the text or the window")
        least_s = self.window_s / MAX_OVERLAP
        if self.step_s is not None and not (math.isfinite(self.step_s) and self.step_s >= least_s):
            raise _wrong(
                f"a step of {self.step_s:g} s", f"give at least {least_s:g} s, a {MAX_OVERLAP}th of the window"
            )

    @property
    def heard(self) -> Path:
        """The file with the sound."""
        return self.sound or self.recording or self.clip

    @property
    def sides(self) -> tuple[Side, ...]:
        """The sides of the picture to predict."""
        if self.people == 1:
            return ("whole",)
        return ("left", "right") if self.side == "both" else (self.side,)


def folders_of(requests: Sequence[Request], out: Path) -> list[list[Path]]:
    """Return the folder of each person of each request, by the name of the clip and, of two people, the side.

    UsageError (exit 2) if two clips would share a folder, or one exists.
    """
    folders, clips = [], dict[Path, Path]()
    for request in requests:
        clip = request.clip
        # `..wav` has the stem `.`, which is no name of a folder.
        stem = clip.stem if clip.stem.strip(".") else clip.name
        own = [out / (stem if side == "whole" else f"{stem}-{side}") for side in request.sides]
        for folder in own:
            if folder in clips:
                what = f"{clips[folder]} and {clip} have the same name, and so the same folder"
                raise UsageError(what, file=folder, action="extract one of them into another --out")
            if folder.exists():
                what = "the folder of this clip exists"
                raise UsageError(what, file=folder, action="remove it, or name another --out")
            clips[folder] = clip
        folders.append(own)
    return folders


def check_files(request: Request) -> None:
    """Open the files of a request; DataError (exit 3) or MachineError (exit 4) for the first that cannot be read."""
    try:
        media.first_bytes(request.clip)
    except media.VideoUnreadable as error:
        raise clip_unreadable(error) from error
    for sound in (request.sound, request.recording):
        if sound is not None:
            try:
                media.probe_wave(sound)
            except media.AudioUnreadable as error:
                raise sound_unreadable(error, sound) from error


def check_model(path: Path) -> None:
    """Raise DataError (exit 3) if a path is no file or folder with a sealed model, without reading the model."""
    file = path / MODEL if path.is_dir() else path
    if not file.is_file():
        missing = "there is no such model" if file == path else f"this folder holds no {MODEL}"
        raise DataError(
            "this is not a plain file, and so not a model" if file.exists() else missing,
            file=path,
            action="name the folder that `foalnet final` made, for example models/drawn/final",
        )


def clip_unreadable(error: media.VideoUnreadable) -> DataError:
    """Return the error of an unreadable clip with the action for `predict`."""
    folder = error.file is not None and Path(error.file).is_dir()
    return DataError(
        error.what.replace("the video cannot be read", "the clip cannot be read"),
        file=error.file,
        action=f"name the clips in it: foalnet predict {error.file}/*"
        if folder
        else f"give a file that plays: wav, flac, {READ}",
    )


def sound_unreadable(error: DataError, file: Path) -> DataError:
    """Return the error of an unreadable sound file with the action for `predict`."""
    return DataError(error.what, file=file, action="give a wav or flac file that plays")


def clip_too_large(error: media.VideoTooLarge) -> DataError:
    """Return the error of a clip that is too large or too long with the action for `predict`."""
    return DataError(
        error.what.replace("the video is", "the clip is"),
        file=error.file,
        action="give a clip with a smaller picture, or a shorter one: `ffmpeg -i CLIP -vf scale=1280:-2 SMALLER`",
    )


def _wrong(what: str, action: str) -> UsageError:
    return UsageError(what, action=action)
