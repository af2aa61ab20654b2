"""Plans one job per dialogue from manifest and inventory; its key covers everything that shapes the shard's bytes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from foalnet.clips.listener import check_listeners
from foalnet.config.blocks import Shards
from foalnet.core.errors import DataError
from foalnet.core.files import content_key
from foalnet.core.labels import NOT_USED
from foalnet.core.records import Utterance
from foalnet.corpora.inventory import FileEntry
from foalnet.shards import valid_key

STAGE = "shards"
# Of a shard, amply: 64 px crops, half pictures and FLAC of one second take about 250 kB.
BYTES_PER_S = 400_000
# Of words alone, with the metadata and the tar's headers.
TEXT_BYTES = 4096
# The fields of an utterance that its shard stores. Votes are left out: readers take them from the manifest.
SHARD_FIELDS = (
    "key",
    "corpus",
    "session",
    "dialogue",
    "turn",
    "speaker",
    "side",
    "start_s",
    "end_s",
    "raw_label",
    "label",
    "transcript",
    "audio",
    "dialogue_audio",
    "video",
    "features",
)
# Params of the block `shards` that select or limit what is staged; they change no byte of a shard.
NO_BYTES = {"utterances", "max_drop_fraction"}
# These shape bytes only with `sides: audit`; with `sides: table` the utterances already have the table's sides.
SIDES = {"sides", "side_confidence"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One dialogue to stage.

    `files`: its input files by path. `tables`: the feature tables among them, () unless the corpus has tables instead
    of video. `points`: the table's point in an utterance's face, in pixels, by key. `key`: digest
    of everything that shapes its shard's bytes.
    """

    corpus: str
    reader: str
    session: str
    dialogue: str
    utterances: tuple[Utterance, ...]
    files: dict[str, FileEntry]
    tables: tuple[str, ...]
    params: Shards
    key: str
    points: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def folder(self, work: Path) -> Path:
        """Return the job's folder in the work cache."""
        return work / "clips" / self.key

    @property
    def text_alone(self) -> bool:
        """Whether its shard holds words alone."""
        return text_alone(self.utterances)

    @property
    def has_pictures(self) -> bool:
        """Whether a face detector may be needed."""
        return not (self.tables or self.text_alone)

    @property
    def seconds(self) -> float:
        """The total length of its utterances."""
        return sum(u.end_s - u.start_s for u in self.utterances)

    @property
    def size(self) -> int:
        """The bytes of its shard, amply."""
        return TEXT_BYTES * len(self.utterances) if self.text_alone else round(BYTES_PER_S * self.seconds)


def text_alone(utterances: Sequence[Utterance]) -> bool:
    """Return whether the corpus names neither sound nor pictures of any of these utterances."""
    return bool(utterances) and not any(u.audio or u.dialogue_audio or u.video or u.features for u in utterances)


def chosen(utterances: Iterable[Utterance], which: str) -> list[Utterance]:
    """Return the utterances to stage: those "used", or "all", which adds those with a label of no class."""
    return [u for u in utterances if u.used or (which == "all" and u.reason == NOT_USED)]


def plan(
    utterances: Sequence[Utterance],
    files: Sequence[FileEntry],
    *,
    corpus: str,
    reader: str,
    params: Shards,
    tools: Mapping[str, Any],
    points: Mapping[str, tuple[float, float]] | None = None,
) -> list[Job]:
    """Return one job per dialogue, sorted by session and dialogue; `tools` holds digests of code, decoder and detector.

    `points`: see `Job`. DataError (exit 3) for a key, session or dialogue that is not a valid sample or folder name, or
    an empty result.
    """
    by_path = {entry.path: entry for entry in files}
    groups: dict[tuple[str, str], list[Utterance]] = defaultdict(list)
    for u in chosen(utterances, params.utterances):
        _check_names(u)
        groups[u.session, u.dialogue].append(u)
    if not groups:
        raise DataError(
            "the manifest has no utterance to stage",
            action="check manifest.classes in params.yaml against the raw labels in the counts report",
        )
    shaping = _shaping(params)
    check_listeners(chosen(utterances, "all"), params)
    by_table = any(u.features is not None for members in groups.values() for u in members)
    tables = tuple(path for path in sorted(by_path) if by_table and by_path[path].role == "features")
    jobs = []
    for (session, dialogue), members in sorted(groups.items()):
        ordered = tuple(sorted(members, key=lambda u: u.key))
        used = _files_of(ordered, by_path, tables)
        own_points = {u.key: points[u.key] for u in ordered if u.key in points} if points else {}
        content = {
            "utterances": [{name: getattr(u, name) for name in SHARD_FIELDS} for u in ordered],
            "files": {path: entry.sha256 for path, entry in used.items()},
            "params": shaping,
            "tools": dict(tools),
            **({"points": own_points} if own_points else {}),
            **({"overlaps": {u.key: u.overlap_s for u in ordered}} if params.listener else {}),
        }
        jobs.append(
            Job(
                corpus=corpus,
                reader=reader,
                session=session,
                dialogue=dialogue,
                utterances=ordered,
                files=used,
                tables=tables,
                params=params,
                key=content_key(content),
                points=own_points,
            )
        )
    return jobs


def _shaping(params: Shards) -> dict[str, Any]:
    """Return the params that shape a shard's bytes; a table shapes them by its lines alone."""
    unused = NO_BYTES | (SIDES if params.sides != "audit" else set())
    if params.face == "largest":
        return params.model_dump(mode="json", exclude=unused | {"face_confidence"})
    return params.model_dump(mode="json", exclude=unused) | {"face": "speaker"}


def _files_of(
    utterances: Sequence[Utterance], by_path: Mapping[str, FileEntry], tables: Iterable[str]
) -> dict[str, FileEntry]:
    """Return the inventory's entries of the files from which these utterances are staged."""
    paths: set[str] = set(tables)
    for u in utterances:
        # The dialogue's recording is read only if the utterance has no file of its own.
        sound = u.audio if u.audio in by_path else u.dialogue_audio
        paths |= {path for path in (sound, u.video) if path is not None}
    return {path: by_path[path] for path in sorted(paths) if path in by_path}


def _check_names(u: Utterance) -> None:
    for name in ("key", "session", "dialogue"):
        value = getattr(u, name)
        if not valid_key(value):
            raise DataError(
                f"the {name} {value!r} is not a valid sample name: only A-Z a-z 0-9 _ - are allowed in a shard",
                utterance=u.key,
                action="let the corpus reader give another name",
            )
