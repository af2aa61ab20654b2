"""What a corpus reader promises, and what every reader needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from foalnet.config.blocks import Contract
from foalnet.core.errors import DataError, MachineError, printable, reason
from foalnet.core.files import not_read
from foalnet.core.ledger import IGNORED, Ledger
from foalnet.core.records import Utterance


class Reader(Protocol):
    """One corpus: which of its files count, and the table of utterances that they tell.

    A reader never changes a file, knows nothing of classes (it gives raw labels; `manifest` maps them), and gives the
    same list whatever the order of the files. Roles of files: labels, transcript, audio (one utterance),
    dialogue_audio, video, features (a table of precomputed features).
    """

    name: str
    layout: str
    """What a root of this corpus holds, as it stands in an error: "looked for …"."""
    side_rule: str
    """Who sits where, as it stands in the staging report."""
    licence: str
    """What the corpus may be used for, as it stands in the card of a model trained on it."""
    class_presets: dict[str, list[str]]
    """Class name -> raw labels, for `add-corpus --classes`."""
    default_classes: list[str]
    """The classes of an entry that names none."""
    entry_preset: dict[str, Any]
    """What an added corpus' entry of params.yaml starts from: `contract`, `shards`, `train`."""
    published: Contract | None
    """The corpus' own counts; its classes and sessions are counted under `default_classes`.

    Where it counts raw labels, it counts all: params may name no other. None: any raw label may be."""
    needs: tuple[str, ...]
    """Roles of which a root holds at least one file each."""
    reads: tuple[str, ...]
    """Roles whose content `utterances` reads: `manifest` holds these files to the inventory's digests first."""

    def check_root(self, root: Path) -> Path:
        """Return the folder that relative paths start from: `root`, or the one folder in it that has the layout.

        DataError (exit 3) says what was looked for and what was found.
        """
        ...

    def wanted(self, path: str) -> str | None:
        """Return the role of a relative path; where it is not used, a kind of IGNORED, or None for OTHER."""
        ...

    def utterances(self, root: Path, files: Mapping[str, str], ledger: Ledger) -> list[Utterance]:
        """Return one Utterance per labelled utterance: `label` None, and a `reason` where it cannot be used.

        `root` is what `check_root` returned, `files` maps relative path -> role. Every loss stands in `ledger`.
        """
        ...


def is_shadow(path: str) -> bool:
    """Tell whether a relative path is one of the files that macOS lays beside the real ones (`._name`)."""
    parts = path.split("/")
    return parts[-1].startswith("._") or "__MACOSX" in parts


def stem(path: str) -> str:
    """Return a relative path's file name without folder and extension."""
    return path.rsplit("/", 1)[-1].rsplit(".", 1)[0]


def used(role: str | None) -> bool:
    """Tell whether `Reader.wanted` returned a role, and not a kind of file that is not used."""
    return role is not None and role not in IGNORED


def find_holder(root: Path, is_part: Callable[[str], bool], layout: str) -> Path:
    """Return `root`, or its one subfolder, that holds a folder whose name `is_part` accepts.

    DataError (exit 3) where there is none or more than one: it says what was looked for and what was found, and whether
    the folders are parts of one corpus or copies of it.
    MachineError (exit 4) where the folder cannot be listed.
    """
    if _holds(root, is_part):
        return root
    found = [folder for folder in _folders(root) if _holds(folder, is_part)]
    if len(found) == 1:
        return found[0]
    if found:
        raise _several(root, found, is_part, layout)
    raise DataError(
        f"not a root of this corpus: looked here and one level below for {layout}; found {_seen(root)}",
        file=root,
        stage="inventory",
        action="give the folder that the corpus was unpacked to (is its disk mounted?)",
    )


def _several(root: Path, found: list[Path], is_part: Callable[[str], bool], layout: str) -> DataError:
    parts = [path.name for folder in found for path in _folders(folder) if is_part(path.name)]
    copies = len(set(parts)) < len(parts)
    return DataError(
        f"several folders here hold {'the corpus' if copies else 'a part of the corpus each'}: {_some(found)}",
        file=root,
        stage="inventory",
        action=(
            "give the one that is meant as the corpus root"
            if copies
            else f"move what they hold ({_some(sorted(set(parts)))}) into one folder, and give that one; what is read "
            f"of it: {layout}"
        ),
    )


def _listing(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise MachineError(
            f"the folder cannot be listed: {reason(error)}",
            file=folder,
            stage="inventory",
            action="mount it or mend its permissions, then run the same command again",
        ) from error


def _folders(folder: Path) -> list[Path]:
    return [path for path in _listing(folder) if path.is_dir() and not path.name.startswith(".")]


def _holds(folder: Path, is_part: Callable[[str], bool]) -> bool:
    return any(is_part(path.name) for path in _folders(folder))


def _seen(root: Path) -> str:
    return _some(_listing(root)) or "an empty folder"


def _some(paths: Sequence[Path | str], limit: int = 8) -> str:
    names = [printable(Path(path).name) for path in paths]
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def read_whole(path: Path) -> bytes:
    """Return a file's bytes (MachineError, exit 4, where it cannot be read)."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise not_read(error, path, stage="manifest") from error
