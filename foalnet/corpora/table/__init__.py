"""Reads a corpus of your own: a table with a row per utterance, or a folder of clips per class.

A row names a file below the root, its label and, where known, its speaker (docs/corpora.md lists the columns). Without
times the file is the utterance; with `start_s` and `end_s` it is a recording from which the utterance is cut.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from foalnet.config.blocks import Contract
from foalnet.core.errors import DataError
from foalnet.core.ledger import SHADOW, Ledger
from foalnet.core.records import Utterance
from foalnet.corpora.base import clip_length_s, is_shadow
from foalnet.corpora.table.rows import Row, plain, read_rows

SOUNDS = (".wav", ".flac", ".mp3", ".m4a", ".ogg", ".oga", ".opus", ".aac", ".wma")
VIDEOS = (".mp4", ".m4v", ".mkv", ".webm", ".avi", ".mov", ".flv", ".mpg", ".mpeg", ".mts", ".m2ts", ".ts", ".wmv")
UNKNOWN = "unknown"
# A session's or speaker's groups: fewer give no train, dev and test part.
FEWEST = 3
_NAME = re.compile(r"[A-Za-z0-9_-]+")
_OTHER = re.compile(r"[^A-Za-z0-9_-]+")
# Characters of a key: the longest member name of a sample must fit into a tar header.
LONGEST = 80


class Table:
    """Reads the rows of a table, or without one each clip as `CLASS/…/clip`.

    After `check_root`, `class_presets` has the labels of this copy, and `entry_preset` says how it can be folded.
    """

    name = "table"
    takes = ("table",)
    layout = "a table with the columns path and label (--table FILE), or a folder of clips for each class"
    side_rule = "the column side; without it one person fills the picture"
    licence = "a corpus of your own: its owner decides what the model may be used for"
    published: Contract | None = None
    needs: tuple[str, ...] = ()
    reads: tuple[str, ...] = ("labels", "audio", "video")

    def __init__(self, table: str | None = None) -> None:
        self.table = table
        self.class_presets: dict[str, list[str]] = {}
        self.default_classes: list[str] = []
        self.entry_preset: dict[str, Any] = {"contract": None, "train": {"fold_by": "speaker"}}
        self.notes: list[str] = []

    def check_root(self, root: Path) -> Path:
        """Return `root` after a check of every row; DataError (exit 3) names the first wrong rows."""
        rows = self._rows(root, self._clips(root) if self.table is None else ())
        self.class_presets = {label: [label] for label in sorted({row.label for row in rows})}
        self.default_classes = list(self.class_presets)
        self._how_to_fold(rows)
        return root

    def _clips(self, root: Path) -> list[str]:
        """Return the paths of the clips in the folders of `root`; links to folders are not followed."""
        files = (
            Path(folder, name).relative_to(root).as_posix() for folder, _, names in os.walk(root) for name in names
        )
        return sorted(path for path in files if self.wanted(path) in ("audio", "video"))

    def _how_to_fold(self, rows: Sequence[Row]) -> None:
        sessions: dict[str, set[str]] = defaultdict(set)
        for row in rows:
            sessions[row.speaker].add(row.session)
        speakers = len(sessions) if all(row.speaker for row in rows) else 0
        apart = speakers > 0 and all(len(each) == 1 and "" not in each for each in sessions.values())
        if apart and len({row.session for row in rows}) >= FEWEST:
            self.entry_preset = {"contract": None, "train": {"fold_by": "session"}}
        if speakers < FEWEST:
            known = f"{speakers} speaker{'s' * (speakers != 1)}" if speakers else "no speaker in every row"
            self.notes.append(
                f"{known}: scores for people that training did not see cannot be measured, and training refuses the "
                f"corpus; with a column `speaker` of at least {FEWEST} speakers it is folded by them"
            )

    def wanted(self, path: str) -> str | None:
        """Return "labels" for the table, "audio" or "video" for a clip by its ending; see `Reader.wanted`."""
        if is_shadow(path):
            return SHADOW
        if path == self.table:
            return "labels"
        hidden = self.table is None and any(part.startswith((".", "@")) for part in path.split("/"))
        return None if hidden or (self.table is None and "/" not in path) else _role(path)

    def utterances(self, root: Path, files: Mapping[str, str], ledger: Ledger) -> list[Utterance]:
        """Return one Utterance per row, sorted by key; `ledger` receives the rows without a file that can be read."""
        rows = self._rows(root, sorted(path for path, role in files.items() if role in ("audio", "video")))
        here = _Files(files)
        keyed = enumerate(zip(rows, keys_of(rows), strict=True))
        utterances = [replace(_utterance(root, row, key, here, ledger), turn=place) for place, (row, key) in keyed]
        return sorted(with_sessions(utterances), key=lambda u: u.key)

    def _rows(self, root: Path, clips: Iterable[str]) -> list[Row]:
        if self.table is not None:
            return read_rows(root / self.table)
        rows = [Row(path=clip, label=clip.partition("/")[0]) for clip in clips if "/" in clip]
        if not rows:
            raise DataError(
                f"neither a table nor a folder of clips: looked for {self.layout}",
                file=root,
                action="give the table with --table FILE, or one folder per class below --root",
            )
        return rows


def _role(path: str) -> str | None:
    ending = Path(path).suffix.casefold()
    return "audio" if ending in SOUNDS else "video" if ending in VIDEOS else None


def keys_of(rows: Sequence[Row]) -> list[str]:
    """Return each row's key: its own, else its path and, of a recording, its start in milliseconds.

    Where two rows would have one key, a digest of path and start tells them apart.
    """
    stems = [row.path.rsplit(".", 1)[0].replace("/", "_") for row in rows]
    spans = ["" if row.start_s is None else f"_{round(1000 * row.start_s):07d}" for row in rows]
    keys = [row.key or named(stem + span) for row, stem, span in zip(rows, stems, spans, strict=True)]
    count = Counter(keys)
    return [
        key if row.key or count[key] == 1 else f"{key[: LONGEST - 7]}-{_digest(f'{row.path} {row.start_s}')}"
        for row, key in zip(rows, keys, strict=True)
    ]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:6]


class _Files:
    """The files of a root, which a table may name in another case or Unicode form."""

    def __init__(self, roles: Mapping[str, str]) -> None:
        self.roles = roles
        self._alike = {plain(path): path for path in roles}

    def path(self, named: str) -> str:
        """Return the file that a row names; the name itself if there is none."""
        return named if named in self.roles else self._alike.get(plain(named), named)


def named(text: str) -> str:
    """Return a text as a key or folder may be named: other characters become `-`, and a digest tells it from others.

    >>> named("clip_01"), named("Frau Müller")
    ('clip_01', 'Frau-M-ller-b53b9b')
    """
    if _NAME.fullmatch(text) and len(text) <= LONGEST:
        return text
    return f"{_OTHER.sub('-', text)[: LONGEST - 7]}-{_digest(text)}"


def with_sessions(utterances: Iterable[Utterance]) -> list[Utterance]:
    """Return the utterances with a session where the table has none, and dialogues of one name in several apart.

    The session is then the speaker; of a dialogue of several speakers it is the dialogue, so that its turns stay
    together.
    """
    utterances = list(utterances)
    speakers: dict[str, set[str]] = defaultdict(set)
    for u in utterances:
        if not u.session:
            speakers[u.dialogue].add(u.speaker)
    placed = [
        u if u.session else replace(u, session=u.dialogue if len(speakers[u.dialogue]) > 1 else u.speaker)
        for u in utterances
    ]
    sessions: dict[str, set[str]] = defaultdict(set)
    for u in placed:
        sessions[u.dialogue].add(u.session)
    return [
        replace(u, dialogue=named(f"{u.session}_{u.dialogue}")) if len(sessions[u.dialogue]) > 1 else u for u in placed
    ]


def _utterance(root: Path, row: Row, key: str, files: _Files, ledger: Ledger) -> Utterance:
    path, audio = files.path(row.path), files.path(row.audio or row.path)
    role = files.roles.get(path)
    reason, start_s, end_s = None, row.start_s or 0.0, row.end_s or 0.0
    if role is None or audio not in files.roles:
        reason = "file_missing"
        ledger.drop(key, reason, path if role is None else audio)
    elif row.end_s is None and (length_s := clip_length_s(root / path, root / audio)) is not None:
        end_s = length_s
    elif row.end_s is None:
        reason = "wav_unreadable"
        ledger.drop(key, reason, path)
    if reason is None and role == "audio":
        ledger.keep(key, "video_missing", "a sound file")
    speaker = named(row.speaker or UNKNOWN)
    recording = row.start_s is not None
    # Without dialogues, clips of a speaker are staged together; those of no speaker in sixteen lots.
    lot = speaker if row.speaker else f"clips-{_digest(row.path)[0]}"
    return Utterance(
        key=key,
        corpus=Table.name,
        session=named(row.session) if row.session else "",
        dialogue=named(row.dialogue) if row.dialogue else named(row.path.rsplit(".", 1)[0]) if recording else lot,
        speaker=speaker,
        side=row.side,
        start_s=start_s,
        end_s=end_s,
        raw_label=row.label,
        label=None,
        reason=reason,
        valence=row.valence,
        activation=row.arousal,
        dominance=row.dominance,
        votes=tuple((rater, (vote,)) for rater, vote in row.votes),
        transcript=row.text or None,
        audio=None if recording else audio,
        dialogue_audio=audio if recording else None,
        video=path if role == "video" else None,
    )
