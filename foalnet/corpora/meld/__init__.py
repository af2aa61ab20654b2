"""Reads MELD, the public corpus of dialogues of several speakers from a television series, in seven emotions.

Source: Poria and others, "MELD: A Multimodal Multi-Party Dataset for Emotion Recognition in Conversations", ACL 2019.
Three tables give text, speaker, emotion, dialogue and place in it; a clip of picture and sound belongs to each row.
The tables alone are a corpus of text.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from foalnet.config.blocks import Contract
from foalnet.core.errors import DataError
from foalnet.core.ledger import MISFILED, SHADOW, Ledger
from foalnet.core.records import Utterance
from foalnet.corpora.base import clip_length_s, find_root, holds, is_shadow
from foalnet.corpora.meld.rows import EMOTIONS, Row, read_part

PARTS = ("train", "dev", "test")
# A clip is noted if its length differs by more from the table's times, or if it has so few or many words a second.
TOLERANCE_S = 1.0
FEWEST_WORDS, MOST_WORDS = 0.3, 12.0
# Shorter clips may hold a word or a silence.
LONG_S = 10.0

_ANY_CASE = re.IGNORECASE | re.ASCII
_TABLE = re.compile(r"(?:[^/]+/){0,3}(?P<part>train|dev|test)_sent_emo\.csv", _ANY_CASE)
# Extension -> role.
_ROLES = dict.fromkeys(("mp4", "mkv", "avi"), "video") | dict.fromkeys(("wav", "flac", "mp3"), "audio")
# Clips of the test part with names in `final_videos_test…` replace those of the same number.
_CLIP = re.compile(
    rf"(?P<folders>(?:[^/]+/)+)(?P<newer>final_videos_test)?dia(?P<dialogue>[0-9]{{1,6}})_utt(?P<utterance>[0-9]{{1,6}})"
    rf"\.(?P<extension>{'|'.join(_ROLES)})",
    _ANY_CASE,
)
# Of the folders above a clip the nearest one with such a name gives the part: train_splits, dev_splits_complete, …
_FOLDER = re.compile(r"(?:output_repeated_splits_)?(?P<part>train|dev|test)(?:_.*)?", _ANY_CASE)
_LOOKALIKE = re.compile(r"(?:.*/)?(?:[^/]*dia[0-9]+_utt[0-9]+[^/]*|[^/]*_sent_emo[^/]*)", _ANY_CASE)
_ABOVE = re.compile(r"data|MELD.*", _ANY_CASE)

_COUNTS = dict(zip(EMOTIONS, (6436, 2308, 1636, 1607, 1002, 361, 358), strict=True))
# Counted in the tables of the repository; the README's 1,039 dialogues of train count one that has no row.
PUBLISHED = Contract(
    dialogues={"train": 1038, "dev": 114, "test": 280},
    utterances=13708,
    raw_labels=_COUNTS,
    classes=_COUNTS,
    used_by_session={"train": 9989, "dev": 1109, "test": 2610},
)


class Meld:
    """Reads the tables of the three parts and their clips; a part of the official split is a session."""

    name = "meld"
    layout = (
        "train_sent_emo.csv, dev_sent_emo.csv and test_sent_emo.csv, and the folders train_splits, "
        "dev_splits_complete and output_repeated_splits_test with dia0_utt0.mp4, at any depth"
    )
    side_rule = "the picture is whole; several faces may be in it"
    licence = (
        "MELD (Poria et al., 2019): its tables are under the GNU GPL 3.0. Text, sound and pictures are those of a "
        "television series and are not free: for research alone, share no clip."
    )
    class_presets: dict[str, list[str]] = {emotion: [emotion] for emotion in EMOTIONS}  # noqa: RUF012
    default_classes: list[str] = list(EMOTIONS)  # noqa: RUF012
    entry_preset: dict[str, Any] = {  # noqa: RUF012
        "contract": None,
        # A clip's times start at 0, and some of the tables' times are not in the order of speech.
        "manifest": {"turns": "transcript"},
        # A picture of a television series shows several faces.
        "shards": {"face": "speaker"},
        # Published work trains on the utterances as they are and reports weighted F1.
        "train": {"fold_by": "meld-official", "sampler": "natural"},
        "report": {"weighted_f1": True, "compare": [["text_turns", "text_only"]]},
    }
    published: Contract | None = PUBLISHED
    needs: tuple[str, ...] = ("labels",)
    reads: tuple[str, ...] = ("labels", "audio", "video")

    def check_root(self, root: Path) -> Path:
        """Return the folder that contains the tables or their folders (see `Reader.check_root`)."""
        if holds(root, lambda name: self.wanted(name) == "labels"):
            return root
        return find_root(root, lambda name: bool(_FOLDER.fullmatch(name) or _ABOVE.fullmatch(name)), self.layout)

    def wanted(self, path: str) -> str | None:
        """Return "labels" for a table, "video" or "audio" for a clip of a part; see `Reader.wanted`."""
        if is_shadow(path):
            return SHADOW
        if _TABLE.fullmatch(path):
            return "labels"
        match = _CLIP.fullmatch(path)
        if match is not None and _part_of(match["folders"]):
            return _ROLES[match["extension"].lower()]
        return MISFILED if _LOOKALIKE.fullmatch(path) else None

    def utterances(self, root: Path, files: Mapping[str, str], ledger: Ledger) -> list[Utterance]:
        """Return one Utterance per row, sorted by key.

        If the root has any clip, a row without one is dropped by name; without clips the rows are a corpus of text.
        """
        rows = [row for part, table in _tables(root, files).items() for row in read_part(root / table, part, ledger)]
        clips = _clips(files, ledger)
        for key in sorted(clips.keys() - {row.key for row in rows}):
            ledger.drop(key, "label_missing", ", ".join(clips[key].values()))
        dialogues: dict[tuple[str, int], list[Row]] = defaultdict(list)
        for row in rows:
            dialogues[row.part, row.dialogue].append(row)
        utterances: list[Utterance] = []
        for turns in dialogues.values():
            turns.sort(key=lambda row: row.utterance)
            if clips:
                spans = [_clip_span(root, row, clips.get(row.key, {}), ledger) for row in turns]
            else:
                spans = [(*span, None) for span in _times(turns, ledger)]
            utterances += [
                _utterance(row, span, clips.get(row.key, {})) for row, span in zip(turns, spans, strict=True)
            ]
        return sorted(utterances, key=lambda u: u.key)


def _part_of(folders: str) -> str | None:
    """Return the part that the nearest folder above a clip names.

    >>> _part_of("MELD.Raw/test/output_repeated_splits_test/"), _part_of("train/clips/"), _part_of("clips/")
    ('test', 'train', None)
    """
    for folder in reversed(folders.strip("/").split("/")):
        if match := _FOLDER.fullmatch(folder):
            return match["part"].lower()
    return None


def _tables(root: Path, files: Mapping[str, str]) -> dict[str, str]:
    """Return part -> path of its table; of copies the one nearest to the root. DataError (exit 3) if copies differ."""
    tables: dict[str, str] = {}
    for path in sorted((path for path, role in files.items() if role == "labels"), key=lambda p: (p.count("/"), p)):
        match = _TABLE.fullmatch(path)
        assert match is not None, f"`wanted` let {path} pass"
        first = tables.setdefault(match["part"].lower(), path)
        if first != path and (root / first).read_bytes() != (root / path).read_bytes():
            raise DataError(
                f"two tables of this part differ: {first} and {path}",
                file=root / path,
                action="remove one of the two, then run the same command again",
            )
    return {part: tables[part] for part in PARTS if part in tables}


def _clips(files: Mapping[str, str], ledger: Ledger) -> dict[str, dict[str, str]]:
    """Return key -> role -> path of the clips."""
    clips: dict[str, dict[str, str]] = defaultdict(dict)
    named = [(match, path) for path in files if (match := _CLIP.fullmatch(path))]
    for match, path in sorted(named, key=lambda one: (one[0]["newer"] is None, one[1])):
        key = f"{_part_of(match['folders'])}_dia{int(match['dialogue'])}_utt{int(match['utterance'])}"
        first = clips[key].setdefault(files[path], path)
        if first != path:
            ledger.repair(key, "duplicate_sound", f"{path} is not used, {first} is")
    return dict(clips)


def _clip_span(root: Path, row: Row, files: Mapping[str, str], ledger: Ledger) -> tuple[float, float, str | None]:
    """Return (0, length of the clip, reason why it cannot be used); a clip of a doubtful length is noted."""
    if not files:
        ledger.drop(row.key, "file_missing", "no clip")
        return 0.0, 0.0, "file_missing"
    length_s = clip_length_s(*(root / files[role] for role in ("video", "audio") if role in files))
    if length_s is None:
        ledger.drop(row.key, "wav_unreadable", ", ".join(files.values()))
        return 0.0, 0.0, "wav_unreadable"
    words, table_s = len(row.text.split()), row.span_s[1] - row.span_s[0] if row.span_s else None
    doubts = []
    if table_s is not None and abs(length_s - table_s) > TOLERANCE_S:
        doubts.append(f"in the table {table_s:.2f} s")
    if words > MOST_WORDS * length_s or (length_s > LONG_S and words < FEWEST_WORDS * length_s):
        doubts.append(f"for {words} word{'s' * (words != 1)}")
    if doubts:
        ledger.keep(row.key, "length_doubted", ", ".join([f"{length_s:.2f} s", *doubts]))
    if "video" not in files:
        ledger.keep(row.key, "video_missing", "a sound file")
    return 0.0, length_s, None


def _times(turns: Sequence[Row], ledger: Ledger) -> list[tuple[float, float]]:
    """Return (start, end) of a dialogue's rows from its first start, in seconds; one without times follows the last."""
    origin_s = min((row.span_s[0] for row in turns if row.span_s), default=0.0)
    spans: list[tuple[float, float]] = []
    for row in turns:
        if row.span_s is None:
            start_s = spans[-1][1] if spans else 0.0
            ledger.repair(row.key, "times_repaired")
            spans.append((start_s, start_s + 1.0))
        else:
            spans.append((round(row.span_s[0] - origin_s, 6), round(row.span_s[1] - origin_s, 6)))
    return spans


def _utterance(row: Row, span: tuple[float, float, str | None], files: Mapping[str, str]) -> Utterance:
    return Utterance(
        key=row.key,
        corpus=Meld.name,
        session=row.part,
        dialogue=f"{row.part}_dia{row.dialogue}",
        speaker=row.speaker,
        side="whole",
        start_s=span[0],
        end_s=span[1],
        raw_label=row.emotion,
        label=None,
        turn=row.utterance,
        reason=span[2],
        transcript=row.text or None,
        audio=files.get("audio", files.get("video")),
        video=files.get("video"),
    )
