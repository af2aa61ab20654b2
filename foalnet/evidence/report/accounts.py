"""Types of what earlier stages state of themselves and the report shows; each account has the digest of its content."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One item of a ledger: what happened to it and why."""

    kind: str
    item: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Breach:
    """A count that differs from the expected one."""

    what: str
    name: str
    expected: int | None
    counted: int | None


@dataclass(frozen=True, kw_only=True)
class Counts:
    """counts.json of `manifest`; `ledger` is `kind/reason` -> count."""

    expected: dict[str, Any] | None
    breaches: tuple[Breach, ...] = ()
    ignored_files: dict[str, int] = field(default_factory=dict)
    ignored_named: dict[str, tuple[str, ...]] = field(default_factory=dict)
    ledger: dict[str, int] = field(default_factory=dict)
    entries: tuple[Entry, ...] = ()


@dataclass(frozen=True, kw_only=True)
class File:
    """A file of the corpus; its path is relative to the root."""

    size: int
    path: str = ""
    sha256: str = ""


@dataclass(frozen=True, kw_only=True)
class Known:
    """What a corpus states of itself: CorpusFacts of foalnet.corpora.base."""

    drawn: bool = False
    best_scores: dict[str, float] = field(default_factory=dict)
    best_by_kind: dict[str, dict[str, float]] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    best_own_tasks: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Inventory:
    """inventory.json."""

    digest: str
    files: tuple[File, ...] = ()
    facts: Known = Known()


@dataclass(frozen=True, kw_only=True)
class Frames:
    """Frames of all staged utterances; `missing` is reason -> count."""

    total: int
    detected: int
    bridged: int
    missing: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """Mean share of an utterance's frames with a face."""

    overall: float
    by_session: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Audit:
    """What the audit concludes about the sides of one dialogue."""

    agrees: bool
    confidence: float
    sure: bool


@dataclass(frozen=True, kw_only=True)
class Seats:
    """Who is staged left and right in one dialogue, and what decided it."""

    dialogue: str
    left: str | None
    right: str | None
    by: str
    audit: Audit | None

    @property
    def doubted(self) -> bool:
        """Whether the audit disagrees with the sides staged."""
        return self.audit is not None and not self.audit.agrees


@dataclass(frozen=True, kw_only=True)
class Sides:
    """The audit of who sits where; `not_audited` is reason -> dialogues."""

    audited: int
    agree: int
    sure: int
    bound: float
    mode: str
    not_audited: dict[str, int]
    dialogues: tuple[Seats, ...]


@dataclass(frozen=True, kw_only=True)
class Faces:
    """How the face of utterances with several was chosen; `unsure`: the largest was used."""

    bound: float
    several: int
    by_sound: int
    by_table: int
    unsure: int


@dataclass(frozen=True, kw_only=True)
class Detector:
    """The face detector, with the digest of its code and of its weight files."""

    name: str = "unnamed"
    digest: str | None = None
    weights: dict[str, str] | None = None


@dataclass(frozen=True, kw_only=True)
class Tools:
    """Digests of what staged."""

    code: str | None = None
    ffmpeg: str | None = None
    detector: Detector | None = None


@dataclass(frozen=True, kw_only=True)
class Staged:
    """Utterances by what staging did with them."""

    staged: int
    dropped: int
    not_staged: int


@dataclass(frozen=True, kw_only=True)
class Sound:
    """Staged sound."""

    rate_hz: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Shards:
    """Shards written."""

    count: int


@dataclass(frozen=True, kw_only=True)
class FeatureRows:
    """Precomputed features in place of pictures."""

    frames: int
    utterances_without: int


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """The ledger of staging; `counts` is `kind/reason` -> count."""

    counts: dict[str, int] = field(default_factory=dict)
    entries: tuple[Entry, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Staging:
    """staging.json of `shards`."""

    side_rule: str
    dialogues: int
    utterances: Staged
    sound: Sound
    shards: Shards
    no_face: tuple[str, ...] = ()
    jumps: int | None = None
    frames: Frames | None = None
    coverage: Coverage | None = None
    sides: Sides | None = None
    faces: Faces | None = None
    features: FeatureRows | None = None
    tools: Tools = Tools()
    ledger: Ledger = Ledger()
