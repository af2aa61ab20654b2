"""Reads RAVDESS, the public corpus in which 24 actors speak two sentences in eight emotions.

Source: Livingstone and Russo, "The Ryerson Audio-Visual Database of Emotional Speech and Song", 2018, CC BY-NC-SA 4.0.
A file's name has seven numbers, as in `03-01-05-01-02-01-01`: modality (01 picture and sound, 02 picture, 03 sound),
vocal channel, emotion, intensity, statement, repetition, actor. Files that agree in the last six are one utterance.
Archives may be unpacked side by side, into one folder or with all files flat. A table of features at the root, with the
names of the recordings in its column `clip`, may replace the pictures.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from foalnet.config.blocks import Contract
from foalnet.config.presets import PRESETS
from foalnet.core.ledger import MISFILED, SHADOW, SONG, Ledger
from foalnet.core.records import Utterance
from foalnet.corpora.base import clip_length_s, find_root, holds, is_shadow, stem
from foalnet.corpora.tables import read_table, reference

EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
STATEMENTS = {"01": "Kids are talking by the door", "02": "Dogs are sitting by the door"}
ACTORS = tuple(f"Actor_{number:02d}" for number in range(1, 25))

_REST = r"01-(?P<emotion>0[1-8])-0[12]-(?P<statement>0[12])-0[12]-(?P<actor>0[1-9]|1[0-9]|2[0-4])"
_CLIP = re.compile(rf"(?P<modality>0[123])-(?P<rest>{_REST})")
# Paths are matched in any case: a copy that went through Windows may have `.WAV`.
_ANY_CASE = re.IGNORECASE | re.ASCII
# The folders of the archives and of the actors, in any nesting; a file's actor folder must be that of its name.
_ARCHIVE = r"(?:Audio|Video)_Speech_Actors?_[0-9]{2}(?:-[0-9]{2})?"
_PLACE = rf"(?:{_ARCHIVE}/)?(?:Actor_(?P<folder>[0-9]{{2}})/)?"
_FILES = {
    "audio": re.compile(rf"{_PLACE}03-{_REST}\.(?:flac|wav)", _ANY_CASE),
    "video": re.compile(rf"{_PLACE}0[12]-{_REST}\.mp4", _ANY_CASE),
}
_TABLE = re.compile(r"[A-Za-z0-9_-]+\.tsv", _ANY_CASE)
_PART = re.compile(rf"Actor_[0-9]{{2}}|{_ARCHIVE}", _ANY_CASE)
_SONG = re.compile(r"(?:.*/)?0[123]-02(?:-[0-9]{2}){5}\.(?:flac|wav|mp4)", _ANY_CASE)
# Misplaced or misnamed files: a browser's second download "03-01-05-01-01-01-02 (1).wav", a table in another folder.
_LOOKALIKE = re.compile(r"(?:.*/)?(?:[0-9]{2}(?:-[0-9]{2}){6}(?:[^/0-9][^/]*|\.mp4)|[^/]*\.tsv[^/]*)", _ANY_CASE)

# Speech of the public release: 4 neutral clips per actor, 8 of each other emotion.
PUBLISHED = Contract(
    dialogues=dict.fromkeys(ACTORS, 1),
    utterances=1440,
    raw_labels={emotion: 96 if emotion == "neutral" else 192 for emotion in EMOTIONS},
    classes={emotion: 96 if emotion == "neutral" else 192 for emotion in EMOTIONS},
    used_by_session=dict.fromkeys(ACTORS, 60),
)


class Ravdess:
    """Reads the actors' speech: clips with picture and sound, sound alone, and a feature table at the root.

    Each actor is one dialogue (the unit of staging) and one session, so that a shard has one speaker. Folds are groups
    of actors.
    """

    name = "ravdess"
    layout = (
        "Actor_01 … Actor_24, or the folders of the unpacked archives Video_Speech_Actor_01 … and "
        "Audio_Speech_Actors_01-24, with 01-01-01-01-01-01-01.mp4 or 03-01-01-01-01-01-01.wav (or .flac)"
    )
    side_rule = "one actor fills the picture"
    licence = (
        "RAVDESS (Livingstone and Russo, 2018), CC BY-NC-SA 4.0: name the authors, no commercial use, share alike."
    )
    class_presets: dict[str, list[str]] = {emotion: [emotion] for emotion in EMOTIONS}  # noqa: RUF012
    default_classes: list[str] = list(EMOTIONS)  # noqa: RUF012
    entry_preset: dict[str, Any] = PRESETS["ravdess"].entry
    published: Contract | None = PUBLISHED
    needs: tuple[str, ...] = ()
    reads: tuple[str, ...] = ("audio", "video", "features")

    def check_root(self, root: Path) -> Path:
        """Return the folder that contains the actors, their archives or the files (see `Reader.check_root`)."""
        if holds(root, lambda name: self.wanted(name) in ("audio", "video")):
            return root
        return find_root(root, lambda name: _PART.fullmatch(name) is not None, self.layout)

    def wanted(self, path: str) -> str | None:
        """Return "audio" or "video" for speech, "features" for a table at the root; see `Reader.wanted`."""
        if is_shadow(path):
            return SHADOW
        for role, name in _FILES.items():
            match = name.fullmatch(path)
            if match is not None and match["folder"] in (None, match["actor"]):
                return role
        if _TABLE.fullmatch(path):
            return "features"
        kinds = ((_SONG, SONG), (_LOOKALIKE, MISFILED))
        return next((kind for name, kind in kinds if name.fullmatch(path)), None)

    def utterances(self, root: Path, files: Mapping[str, str], ledger: Ledger) -> list[Utterance]:
        """Return one Utterance per recording, sorted by key; `ledger` receives table rows without a recording.

        Its sound is that of the sound file, else of the clip; its picture that of the clip with sound, else of the
        clip without.
        """
        recordings: dict[str, dict[str, str]] = defaultdict(dict)
        for path in sorted(path for path, role in files.items() if role in ("audio", "video")):
            match = _CLIP.fullmatch(stem(path))
            assert match is not None, f"`wanted` let {path} pass"
            first = recordings[match["rest"]].setdefault(match["modality"], path)
            if first != path:
                ledger.repair(stem(path), "duplicate_sound", f"{path} is not used, {first} is")
        rows = _rows(root, (path for path, role in files.items() if role == "features"))
        for rest in sorted(rows.keys() - recordings.keys()):
            ledger.drop(rows[rest].rpartition("#")[2], "features_unpaired")
        utterances = [_utterance(root, rest, recordings[rest], rows.get(rest), ledger) for rest in recordings]
        return sorted(utterances, key=lambda u: u.key)


def _rows(root: Path, tables: Iterable[str]) -> dict[str, str]:
    """Return the last six fields of a clip's name -> reference to its row; modality 01 is preferred to 02."""
    rows: dict[str, str] = {}
    for table in sorted(tables):
        for clip in sorted(read_table(root / table)):
            match = _CLIP.fullmatch(clip)
            if match is not None:
                rows.setdefault(match["rest"], reference(table, clip))
    return rows


def _utterance(root: Path, rest: str, files: Mapping[str, str], features: str | None, ledger: Ledger) -> Utterance:
    """Return the utterance of the files, modality -> path; its key is the name of the file with its sound."""
    sound, video = files.get("03", files.get("01")), files.get("01", files.get("02"))
    source = sound or video
    assert source is not None
    key, fields = stem(source), rest.split("-")
    # A clip that cannot be read leaves the next one, and then the sound, to state the length.
    measured = (files.get("01"), files.get("02"), source)
    reason, length_s = None, clip_length_s(*(root / path for path in measured if path is not None))
    if sound is None:
        reason = "wav_missing"
        ledger.drop(key, reason, "the clip without sound alone is here")
    elif length_s is None:
        reason = "wav_unreadable"
        ledger.drop(key, reason, source)
    elif features is None and video is None:
        ledger.keep(key, "video_missing", "neither a clip nor a row in a feature table")
    return Utterance(
        key=key,
        corpus=Ravdess.name,
        session=f"Actor_{fields[5]}",
        dialogue=f"Actor_{fields[5]}",
        speaker=f"Actor_{fields[5]}",
        side="whole",
        start_s=0.0,
        end_s=length_s or 0.0,
        raw_label=EMOTIONS[int(fields[1]) - 1],
        label=None,
        reason=reason,
        transcript=STATEMENTS[fields[3]],
        audio=sound,
        video=None if features else video,
        features=features,
    )
