"""Reads RAVDESS, the public corpus in which 24 actors speak two sentences in eight emotions.

Source: Livingstone and Russo, "The Ryerson Audio-Visual Database of Emotional Speech and Song", 2018, CC BY-NC-SA 4.0.
Sound: `Actor_01/03-01-05-01-02-01-01.wav` (or .flac): modality, vocal channel, emotion, intensity, statement,
repetition, actor. Picture: a table of features at the root with the names of the recordings in the column `clip`. The
first field differs between sound and picture (01 both, 02 picture, 03 sound), so the names are joined on the other six.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from foalnet.config.blocks import Contract
from foalnet.config.presets import PRESETS
from foalnet.core.ledger import MISFILED, NO_VIDEO_YET, SHADOW, SONG, Ledger
from foalnet.core.records import Utterance
from foalnet.corpora.base import find_root, is_shadow, stem
from foalnet.corpora.tables import read_table, reference

EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
STATEMENTS = {"01": "Kids are talking by the door", "02": "Dogs are sitting by the door"}
ACTORS = tuple(f"Actor_{number:02d}" for number in range(1, 25))

_REST = r"01-(?P<emotion>0[1-8])-0[12]-(?P<statement>0[12])-0[12]-(?P<actor>0[1-9]|1[0-9]|2[0-4])"
_SPOKEN = re.compile(rf"03-{_REST}")
_CLIP = re.compile(rf"0[123]-(?P<rest>{_REST})")
# Paths are matched in any case: a copy that went through Windows may have `.WAV`.
_ANY_CASE = re.IGNORECASE | re.ASCII
_SOUND = re.compile(rf"Actor_(?P<folder>[0-9]{{2}})/03-{_REST}\.(?:flac|wav)", _ANY_CASE)
_TABLE = re.compile(r"[A-Za-z0-9_-]+\.tsv", _ANY_CASE)
_ACTOR = re.compile(r"Actor_[0-9]{2}", _ANY_CASE)
_SONG = re.compile(r"(?:.*/)?0[123]-02(?:-[0-9]{2}){5}\.(?:flac|wav|mp4)", _ANY_CASE)
_VIDEO = re.compile(r"(?:.*/)?0[12]-01(?:-[0-9]{2}){5}\.mp4", _ANY_CASE)
# Misplaced or misnamed files: a browser's second download "03-01-05-01-01-01-02 (1).wav", a table in another folder.
_LOOKALIKE = re.compile(r"(?:.*/)?(?:[0-9]{2}(?:-[0-9]{2}){6}[^/0-9][^/]*|[^/]*\.tsv[^/]*)", _ANY_CASE)

# Speech of the public release: 4 neutral clips per actor, 8 of each other emotion.
PUBLISHED = Contract(
    dialogues=dict.fromkeys(ACTORS, 1),
    utterances=1440,
    raw_labels={emotion: 96 if emotion == "neutral" else 192 for emotion in EMOTIONS},
    classes={emotion: 96 if emotion == "neutral" else 192 for emotion in EMOTIONS},
    used_by_session=dict.fromkeys(ACTORS, 60),
)


class Ravdess:
    """Reads the speech in the actors' folders and the feature table at the root.

    Each actor is one dialogue (the unit of staging) and one session, so that a shard has one speaker. Folds are groups
    of actors.
    """

    name = "ravdess"
    layout = (
        "Actor_01 … Actor_24 with 03-01-01-01-01-01-01.wav (or .flac), as the archive Audio_Speech_Actors_01-24 holds "
        "them, and for pictures a table *.tsv with a column `clip`; mp4 files are not read yet"
    )
    side_rule = "one actor fills the picture"
    licence = (
        "RAVDESS (Livingstone and Russo, 2018), CC BY-NC-SA 4.0: name the authors, no commercial use, share alike."
    )
    class_presets: dict[str, list[str]] = {emotion: [emotion] for emotion in EMOTIONS}  # noqa: RUF012
    default_classes: list[str] = list(EMOTIONS)  # noqa: RUF012
    entry_preset: dict[str, Any] = PRESETS["ravdess"].entry
    published: Contract | None = PUBLISHED
    needs: tuple[str, ...] = ("audio",)
    reads: tuple[str, ...] = ("audio", "features")

    def check_root(self, root: Path) -> Path:
        """Return the folder that contains the actors' folders: `root` or a folder in it (see `Reader.check_root`)."""
        return find_root(root, lambda name: _ACTOR.fullmatch(name) is not None, self.layout)

    def wanted(self, path: str) -> str | None:
        """Return "audio" for speech in its actor's folder, "features" for a table at the root; see `Reader.wanted`."""
        if is_shadow(path):
            return SHADOW
        sound = _SOUND.fullmatch(path)
        if sound is not None and sound["folder"] == sound["actor"]:
            return "audio"
        if _TABLE.fullmatch(path):
            return "features"
        kinds = ((_SONG, SONG), (_VIDEO, NO_VIDEO_YET), (_LOOKALIKE, MISFILED))
        return next((kind for name, kind in kinds if name.fullmatch(path)), None)

    def utterances(self, root: Path, files: Mapping[str, str], ledger: Ledger) -> list[Utterance]:
        """Return one Utterance per sound file, sorted by key; `ledger` receives the rows without sound."""
        sounds: dict[str, str] = {}
        for path in sorted(path for path, role in files.items() if role == "audio"):
            if stem(path) in sounds:
                ledger.repair(stem(path), "duplicate_sound", f"{path} is not used, {sounds[stem(path)]} is")
            sounds.setdefault(stem(path), path)
        rows = _rows(root, (path for path, role in files.items() if role == "features"))
        for rest in sorted(set(rows) - {key[3:] for key in sounds}):
            ledger.drop(rows[rest].rpartition("#")[2], "features_unpaired")
        return [_utterance(root, key, sounds[key], rows.get(key[3:]), ledger) for key in sorted(sounds)]


def _rows(root: Path, tables: Iterable[str]) -> dict[str, str]:
    """Return the last six fields of a clip's name -> reference to its row; modality 01 is preferred to 02."""
    rows: dict[str, str] = {}
    for table in sorted(tables):
        for clip in sorted(read_table(root / table)):
            match = _CLIP.fullmatch(clip)
            if match is not None:
                rows.setdefault(match["rest"], reference(table, clip))
    return rows


def _utterance(root: Path, key: str, path: str, features: str | None, ledger: Ledger) -> Utterance:
    match = _SPOKEN.fullmatch(key)
    assert match is not None, f"`wanted` let {key} pass"
    speaker = f"Actor_{match['actor']}"
    length_s = _length_s(root / path)
    if length_s is None:
        ledger.drop(key, "wav_unreadable", path)
    elif features is None:
        ledger.keep(key, "video_missing", "no row in a feature table")
    return Utterance(
        key=key,
        corpus=Ravdess.name,
        session=speaker,
        dialogue=speaker,
        speaker=speaker,
        side="whole",
        start_s=0.0,
        end_s=length_s or 0.0,
        raw_label=EMOTIONS[int(match["emotion"]) - 1],
        label=None,
        reason="wav_unreadable" if length_s is None else None,
        transcript=STATEMENTS[match["statement"]],
        audio=path,
        features=features,
    )


def _length_s(path: Path) -> float | None:
    """Return the length of a sound file in seconds; None if it cannot be read."""
    from foalnet.media import AudioUnreadable, probe_wave

    try:
        info = probe_wave(path)
    except AudioUnreadable:
        return None
    return info.samples / info.rate_hz
