"""Reads CREMA-D, the public corpus in which 91 actors speak twelve sentences in six emotions.

Source: Cao and others, "CREMA-D: Crowd-sourced Emotional Multimodal Actors Dataset", IEEE Transactions on Affective
Computing 5 (2014), Open Database License. A clip's name gives actor, sentence, acted emotion and level, as in
`1001_DFA_ANG_XX`. Raters voted on each clip three times: with its sound alone, its face alone, and both.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from foalnet.config.blocks import Contract
from foalnet.core.errors import DataError, UsageError
from foalnet.core.ledger import MISFILED, SHADOW, Ledger
from foalnet.core.records import Utterance
from foalnet.corpora.base import clip_length_s, find_root, holds, is_lfs_pointer, is_shadow
from foalnet.corpora.cremad.votes import SHOWN, TABLES, read_votes

EMOTIONS = {"ANG": "angry", "DIS": "disgust", "FEA": "fearful", "HAP": "happy", "NEU": "neutral", "SAD": "sad"}
SENTENCES = {
    "DFA": "Don't forget a jacket.",
    "IEO": "It's eleven o'clock.",
    "IOM": "I'm on my way to the meeting.",
    "ITH": "I think I have a doctor's appointment.",
    "ITS": "I think I've seen this before.",
    "IWL": "I would like a new alarm clock.",
    "IWW": "I wonder what this is about.",
    "MTI": "Maybe tomorrow it will be cold.",
    "TAI": "The airplane is almost full.",
    "TIE": "That is exactly what happened.",
    "TSI": "The surface is slick.",
    "WSI": "We'll stop in a couple of minutes.",
}
ACTORS = tuple(str(number) for number in range(1001, 1092))
ACTED = "acted"
OFFERED = (ACTED, *SHOWN)
# The raw label of a clip in which no emotion was perceived by more raters than any other.
TIE = "tie"
# Every sentence takes 1.2 to 5 s; a clip outside of these holds nothing, or other sentences too.
SHORTEST_S, LONGEST_S = 1.0, 10.0

# Files are matched in any case: a copy that went through Windows may have `.WAV`.
_ANY_CASE = re.IGNORECASE | re.ASCII
_NAME = re.compile(
    rf"(?P<clip>10(?:0[1-9]|[1-8][0-9]|9[01])_(?:{'|'.join(SENTENCES)})_(?:{'|'.join(EMOTIONS)})_(?:LO|MD|HI|XX?))"
)
# Extension -> role. Of several files of a role the first extension is used.
_ROLES = {"wav": "audio", "flac": "audio", "mp3": "audio"} | dict.fromkeys(("flv", "mp4", "mkv", "avi", "mov"), "video")
_FILE = re.compile(rf"(?:[^/]+/)?{_NAME.pattern}\.(?P<extension>{'|'.join(_ROLES)})", _ANY_CASE)
_LOOKALIKE = re.compile(r"(?:.*/)?10[0-9]{2}_[A-Z]{3}_[A-Z]{3}_[^/]*", _ANY_CASE)
_PART = re.compile(r"AudioWAV|AudioMP3|VideoFlash", re.IGNORECASE)

# The public release; README of the repository and SentenceFilenames.csv.
PUBLISHED = Contract(
    dialogues=dict.fromkeys(ACTORS, 1),
    utterances=7442,
    raw_labels={emotion: 1087 if emotion == "neutral" else 1271 for emotion in EMOTIONS.values()},
    classes={emotion: 1087 if emotion == "neutral" else 1271 for emotion in EMOTIONS.values()},
)


class CremaD:
    """Reads any of the corpus' folders: videos, WAV and MP3, and the raters' votes where they are.

    An actor is speaker, dialogue (the unit of staging) and session at once. `labels` chooses the raw label: `acted`,
    or what most raters perceived in the sound (`voice`), the face (`face`) or the whole clip (`both`).
    """

    name = "cremad"
    takes = ("labels",)
    layout = "a folder VideoFlash, AudioWAV or AudioMP3 with 1001_DFA_ANG_XX.flv, .wav or .mp3, or such files alone"
    side_rule = "one actor fills the picture"
    licence = (
        "CREMA-D (Cao et al., 2014), Open Database License 1.0, its contents Database Contents License 1.0: "
        "name the corpus, share adapted databases alike."
    )
    class_presets: dict[str, list[str]] = {emotion: [emotion] for emotion in EMOTIONS.values()}  # noqa: RUF012
    default_classes: list[str] = list(EMOTIONS.values())  # noqa: RUF012
    entry_preset: dict[str, Any] = {"contract": None, "train": {"fold_by": "speaker"}}  # noqa: RUF012
    needs: tuple[str, ...] = ()
    reads: tuple[str, ...] = ("audio", "video", "labels")

    def __init__(self, labels: str | None = None) -> None:
        if labels not in (None, *OFFERED):
            raise UsageError(
                f"manifest.labels: {self.name} has no labels '{labels}'; it has {', '.join(OFFERED)}",
                action="name one of these",
            )
        self.labels = labels or ACTED
        # What raters perceived has no published counts, and a label more.
        self.published: Contract | None = PUBLISHED if self.labels == ACTED else None

    def check_root(self, root: Path) -> Path:
        """Return the folder that contains the corpus' folders or files (see `Reader.check_root`)."""
        if holds(root, lambda name: _FILE.fullmatch(name) is not None):
            return root
        return find_root(root, lambda name: _PART.fullmatch(name) is not None, self.layout)

    def wanted(self, path: str) -> str | None:
        """Return "audio" or "video" for a clip, "labels" for a table of votes; see `Reader.wanted`."""
        if is_shadow(path):
            return SHADOW
        if path in TABLES:
            return "labels"
        match = _FILE.fullmatch(path)
        if match is not None:
            return _ROLES[match["extension"].lower()]
        return MISFILED if _LOOKALIKE.fullmatch(path) else None

    def utterances(self, root: Path, files: Mapping[str, str], ledger: Ledger) -> list[Utterance]:
        """Return one Utterance per clip, sorted by key; `ledger` receives the clips that cannot be used.

        The sound is that of the sound file (WAV before MP3), without one that of the video.
        """
        clips: dict[str, dict[str, str]] = defaultdict(dict)
        for path in sorted(files, key=_preferred):
            match = _FILE.fullmatch(path)
            if match is None:
                continue
            name = match["clip"].upper()
            if name.endswith("_X"):
                name += "X"
                ledger.repair(name, "name_corrected", path)
            first = clips[name].setdefault(files[path], path)
            if first != path and Path(first).suffix.lower() == Path(path).suffix.lower():
                ledger.repair(name, "duplicate_sound", f"{path} is not used, {first} is")
        votes = read_votes(root, [path for path, role in files.items() if role == "labels"], ledger)
        if self.labels != ACTED and not votes:
            raise DataError(
                f"manifest.labels is {self.labels}, and no table of votes is here",
                file=root,
                action=f"put one of {', '.join(TABLES)} of the corpus' repository into the root, or set "
                "manifest.labels to null",
            )
        return [self._utterance(root, name, clips[name], votes.get(name, {}), ledger) for name in sorted(clips)]

    def _utterance(
        self, root: Path, key: str, files: Mapping[str, str], raters: Mapping[str, str], ledger: Ledger
    ) -> Utterance:
        """Return the utterance of a clip's files, role -> path; `raters`: rater -> emotion."""
        actor, sentence, emotion, _ = key.split("_")
        sound, video = files.get("audio", files.get("video")), files.get("video")
        assert sound is not None
        length_s = clip_length_s(root / sound)
        reason = None
        if length_s is None:
            reason = "wav_unreadable"
            ledger.drop(key, reason, sound + _pointer(root / sound))
        elif not SHORTEST_S <= length_s <= LONGEST_S:
            reason = "length_impossible"
            ledger.drop(key, reason, f"{sound}: {length_s:.2f} s")
        elif video is None:
            ledger.keep(key, "video_missing", "a sound file")
        return Utterance(
            key=key,
            corpus=self.name,
            session=actor,
            dialogue=actor,
            speaker=actor,
            side="whole",
            start_s=0.0,
            end_s=length_s or 0.0,
            raw_label=EMOTIONS[emotion] if self.labels == ACTED else _perceived(raters, self.labels),
            label=None,
            reason=reason,
            votes=tuple((rater, (vote,)) for rater, vote in sorted(raters.items())),
            transcript=SENTENCES[sentence],
            audio=sound,
            video=video,
        )


def _preferred(path: str) -> tuple[int, str]:
    extension = path.rsplit(".", 1)[-1].lower()
    return (list(_ROLES).index(extension) if extension in _ROLES else len(_ROLES), path)


def _pointer(path: Path) -> str:
    with path.open("rb") as file:
        return ": a pointer of Git LFS; `git lfs pull` fetches the file" if is_lfs_pointer(file.read(64)) else ""


def _perceived(raters: Mapping[str, str], shown: str) -> str:
    """Return the emotion with the most votes of the raters who were shown the voice, the face or both; else TIE."""
    counts = Counter(vote for rater, vote in raters.items() if rater.startswith(f"{shown}-"))
    most = max(counts.values(), default=0)
    winners = [emotion for emotion, number in counts.items() if number == most]
    return winners[0] if len(winners) == 1 else TIE
