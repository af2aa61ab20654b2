"""The interface of corpus readers, and functions that they share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

from pydantic import ConfigDict, Field, Strict

from foalnet.config.blocks import Contract
from foalnet.core.errors import DataError, MachineError, printable, reason
from foalnet.core.files import not_read
from foalnet.core.ledger import IGNORED, Ledger
from foalnet.core.paths import FACTS
from foalnet.core.records import Utterance

Input = Literal["sound", "picture", "both", "late_average", "chance"]
Kind = Literal["both", "sound", "face", "interaction"]
OwnTask = Literal["sound_to_picture", "picture_to_sound", "matching"]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


@dataclass(frozen=True, kw_only=True, slots=True)
class CorpusFacts:
    """What the file FACTS of a corpus may state; the reader's own facts hold where it has no such file.

    `drawn`: a program drew the corpus, no person is seen or heard in it. `licence`: what it may be used for.
    `best_scores`: input -> best expected UA; `best_by_kind`: kind of utterance -> input -> best expected accuracy;
    `kinds`: utterance key -> its kind (foalnet.drawn.rule says what the kinds mean). `best_own_tasks`: own task of
    Foal-Net -> best expected score.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    drawn: Annotated[bool, Strict()] = False
    licence: str = ""
    best_scores: dict[Input, Share] = field(default_factory=dict)
    best_by_kind: dict[Kind, dict[Input, Share]] = field(default_factory=dict)
    kinds: dict[str, Kind] = field(default_factory=dict)
    best_own_tasks: dict[OwnTask, Share] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse (ValueError) scores that lack an input which the report shows."""
        for scores in filter(None, (self.best_scores, *self.best_by_kind.values())):
            if lacking := {"sound", "picture", "both", "late_average"} - scores.keys():
                raise ValueError(f"best scores without {', '.join(sorted(lacking))}")


class Reader(Protocol):
    """Reads one corpus: selects its files by role and returns its table of utterances.

    A reader never changes a file. It returns raw labels, which `manifest` maps to classes. Its result does not depend
    on the order of the files. Roles: labels, transcript, audio (one utterance), dialogue_audio, video, features (table
    of precomputed features).
    """

    name: str
    layout: str
    """The expected content of a root, for errors: "looked for …"."""
    side_rule: str
    """Who sits where, for the staging report."""
    licence: str
    """The permitted use of the corpus, for the card of a model trained on it."""
    class_presets: dict[str, list[str]]
    """Class name -> raw labels, for `add-corpus --classes`."""
    default_classes: list[str]
    """The classes of an entry without --classes."""
    entry_preset: dict[str, Any]
    """Initial values of an added corpus' entry in params.yaml: `contract`, `shards`, `train`."""
    published: Contract | None
    """The published counts; classes and sessions are counted with `default_classes`.

    If it has counts of raw labels, these are all raw labels, and params may name no other. None: any raw label."""
    needs: tuple[str, ...]
    """Roles of which a root must have at least one file each."""
    reads: tuple[str, ...]
    """Roles of the files that `utterances` reads; `manifest` first compares them with the inventory's digests."""

    def check_root(self, root: Path) -> Path:
        """Return the folder that relative paths start from: `root`, or the only folder in it with the layout.

        Raises DataError (exit 3) with the expected layout and the actual content.
        """
        ...

    def wanted(self, path: str) -> str | None:
        """Return the role of a relative path; for an unused file a kind of IGNORED, or None for OTHER."""
        ...

    def utterances(self, root: Path, files: Mapping[str, str], ledger: Ledger) -> list[Utterance]:
        """Return one Utterance per labelled utterance, with `label` None, and a `reason` if it cannot be used.

        `root`: the folder from `check_root`; `files`: relative path -> role. `ledger` receives every loss.
        """
        ...


def is_shadow(path: str) -> bool:
    """Return whether a relative path is one of the extra files of macOS (`._name`, `__MACOSX`).

    >>> is_shadow("Session1/._Ses01F_impro01.txt"), is_shadow("Session1/Ses01F_impro01.txt")
    (True, False)
    """
    parts = path.split("/")
    return parts[-1].startswith("._") or "__MACOSX" in parts


def stem(path: str) -> str:
    """Return the file name of a relative path without folder and extension.

    >>> stem("Session1/dialog/wav/Ses01F_impro01.wav")
    'Ses01F_impro01'
    """
    return path.rsplit("/", 1)[-1].rsplit(".", 1)[0]


def role_of(reader: Reader, path: str) -> str | None:
    """Return the role of a relative path as `Reader.wanted` does; that of the corpus' facts is `facts`."""
    return "facts" if path == FACTS else reader.wanted(path)


def is_role(role: str | None) -> bool:
    """Return whether `Reader.wanted` returned a role rather than a kind of unused file.

    >>> is_role("labels"), is_role("shadow"), is_role(None)
    (True, False, False)
    """
    return role is not None and role not in IGNORED


def find_root(root: Path, is_part: Callable[[str], bool], layout: str) -> Path:
    """Return `root` or its only subfolder that contains a folder with a name accepted by `is_part`.

    Raises DataError (exit 3) if there is no such folder or more than one, with the expected `layout`, the actual
    content, and whether the folders are parts or copies of the corpus; MachineError (exit 4) if a folder cannot be
    listed.
    """
    if _has_part(root, is_part):
        return root
    holders = [folder for folder in _folders(root) if _has_part(folder, is_part)]
    if len(holders) == 1:
        return holders[0]
    if holders:
        raise _ambiguous_root(root, holders, is_part, layout)
    raise DataError(
        f"not a root of this corpus: looked here and one level below for {layout}; it has {_listed_names(root)}",
        file=root,
        action="give the folder that the corpus was unpacked to (is its disk mounted?)",
    )


def holds(root: Path, is_file: Callable[[str], bool]) -> bool:
    """Return whether a name in `root` is accepted (MachineError, exit 4, if `root` cannot be listed)."""
    return any(is_file(path.name) for path in _listing(root))


def _ambiguous_root(root: Path, holders: list[Path], is_part: Callable[[str], bool], layout: str) -> DataError:
    parts = [path.name for folder in holders for path in _folders(folder) if is_part(path.name)]
    copies = len(set(parts)) < len(parts)
    return DataError(
        f"several folders here hold {'the corpus' if copies else 'a part of the corpus each'}: {_first_names(holders)}",
        file=root,
        action=(
            "give one of them as the corpus root"
            if copies
            else f"move their content ({_first_names(sorted(set(parts)))}) into one folder, and give that one; "
            f"its layout: {layout}"
        ),
    )


def _listing(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise MachineError(
            f"the folder cannot be listed: {reason(error)}",
            file=folder,
            action="mount it or repair its permissions, then run the same command again",
        ) from error


def _folders(folder: Path) -> list[Path]:
    return [path for path in _listing(folder) if path.is_dir() and not path.name.startswith(".")]


def _has_part(folder: Path, is_part: Callable[[str], bool]) -> bool:
    return any(is_part(path.name) for path in _folders(folder))


def _listed_names(root: Path) -> str:
    return _first_names(_listing(root)) or "no file"


def _first_names(paths: Sequence[Path | str], limit: int = 8) -> str:
    names = [printable(Path(path).name) for path in paths]
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def read_corpus_file(path: Path) -> bytes:
    """Return the bytes of a corpus file (MachineError, exit 4, if it cannot be read)."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise not_read(error, path) from error


def clip_length_s(*paths: Path) -> float | None:
    """Return the length in seconds of the first of some files that can be read; None if none can."""
    lengths_s = map(MEASURE.get(), paths)
    return next((length_s for length_s in lengths_s if length_s is not None), None)


def measured_s(path: Path) -> float | None:
    """Return the length of a file in seconds, None if it cannot be read."""
    from foalnet.media import AudioUnreadable, length_s

    try:
        return length_s(path)
    except AudioUnreadable:
        return None


# How `clip_length_s` measures a file; the stage `manifest` remembers what was measured (foalnet.corpora.lengths).
MEASURE: ContextVar[Callable[[Path], float | None]] = ContextVar("MEASURE", default=measured_s)


def is_lfs_pointer(data: bytes) -> bool:
    """Return whether the content of a file is a pointer of Git LFS: its repository was fetched without the files."""
    return data.startswith(b"version https://git-lfs.github.com/spec/")
