"""Writes a corpus' sheets into the work folder: an HTML page per dialogue and a list, without network or scripts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from foalnet.artifact.seal import read_sealed
from foalnet.config import Settings
from foalnet.config.base import nearest
from foalnet.core.errors import DataError, UsageError
from foalnet.core.files import publish_bytes
from foalnet.core.paths import Paths
from foalnet.evidence.report.page import engine
from foalnet.shards import ShardEntry, ShardSet, open_shards
from foalnet.sheet.view import Sides, Strip, sides_of, strip

TEMPLATES = Path(__file__).parent
TONES = ("bad", "unsure", "none", "good")


@dataclass(frozen=True, kw_only=True, slots=True)
class SheetSummary:
    """The number of dialogues written, and the page to open."""

    dialogues: int
    page: Path

    def __str__(self) -> str:
        """Return a line for the terminal."""
        return f"{self.dialogues} {'dialogue' if self.dialogues == 1 else 'dialogues'}; open {self.page}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One dialogue in the list of sheets."""

    dialogue: str
    file: str
    sides: Sides
    utterances: int
    covered: float


def write_sheets(paths: Paths, settings: Settings, dialogue: str | None = None) -> SheetSummary:
    """Write the sheet of one dialogue, or of all with a list, doubtful ones first; the same shards give the same bytes.

    It reads only shards and staging's account. UsageError (exit 2) if there is no such dialogue, DataError (exit 3) for
    damaged shards or a corpus without pictures.
    """
    shards = open_shards(paths.shards, corpus=paths.corpus)
    rows, choices = _rows(paths.staging, paths.corpus)
    groups = {entry.group: entry for entry in shards.entries}
    if dialogue is not None and dialogue not in groups:
        raise UsageError(
            f"no dialogue '{dialogue}' in the shards of corpus {paths.corpus}; {nearest(dialogue, groups)}",
            file=paths.shards,
            action="name one of them, or leave --dialogue out",
        )
    folder = settings.work / "sheets" / paths.corpus
    wanted = [dialogue] if dialogue is not None else sorted(groups)
    lines = [_sheet(shards, groups[name], rows.get(name), choices, folder) for name in wanted]
    if dialogue is not None:
        return SheetSummary(dialogues=1, page=folder / lines[0].file)
    lines.sort(key=lambda line: (TONES.index(line.sides.tone), line.sides.confidence or 0.0, line.dialogue))
    page = _page("list.html.jinja", corpus=paths.corpus, lines=lines)
    publish_bytes(folder / "index.html", page)
    return SheetSummary(dialogues=len(lines), page=folder / "index.html")


Rows = dict[str, Mapping[str, Any]]


def _rows(staging: Path, corpus: str) -> tuple[Rows, Rows]:
    """Return the account's rows about sides by dialogue, and those about several faces by utterance's key.

    Both are {} if there is no account.
    """
    if not staging.is_file():
        return {}, {}
    account = read_sealed(staging, again=f"shards@{corpus}", corpus=corpus)
    sides, faces = account.get("sides") or {}, account.get("faces") or {}
    return (
        {row["dialogue"]: row for row in sides.get("dialogues", [])},
        {row["key"]: row for row in faces.get("utterances", [])},
    )


def _sheet(shards: ShardSet, entry: ShardEntry, row: Mapping[str, Any] | None, choices: Rows, folder: Path) -> Line:
    audit = row["audit"] if row is not None else None
    doubted = frozenset(audit["against"] if audit is not None else ())
    strips: list[Strip] = []
    for sample in replace(shards, entries=(entry,)).samples():
        if not sample.has("face"):
            raise DataError(
                "the pictures of this corpus are rows of a feature table: there is nothing to look at",
                file=shards.folder,
                utterance=sample.key,
                action="none is needed",
            )
        strips.append(strip(sample, doubted, choices.get(sample.key)))
    strips.sort(key=lambda one: (one.start_s, one.key))
    frames = sum(one.frames for one in strips)
    covered = sum(run for one in strips for says, run in one.counts if says in ("detected", "bridged"))
    sides = sides_of(row)
    file = f"{entry.group}.html"
    page = _page(
        "sheet.html.jinja",
        corpus=shards.corpus,
        dialogue=entry.group,
        session=entry.session,
        sides=sides,
        strips=strips,
        covered=covered / frames if frames else 0.0,
    )
    publish_bytes(folder / file, page)
    return Line(
        dialogue=entry.group,
        file=file,
        sides=sides,
        utterances=len(strips),
        covered=covered / frames if frames else 0.0,
    )


def _page(template: str, **values: Any) -> bytes:
    return (engine(TEMPLATES).get_template(template).render(**values) + "\n").encode()
