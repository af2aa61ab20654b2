"""Records the origin of a result: digests of the code and versions of packages."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable
from pathlib import Path

from foalnet.core.errors import MachineError
from foalnet.core.files import sha256_bytes, sha256_file

PACKAGE = Path(__file__).parents[1]

# Packages that can change the bytes of an output with their version.
RESULT_PACKAGES = (
    "av",
    "ffmpeg-python",
    "imageio-ffmpeg",
    "face-alignment",
    "jinja2",
    "numpy",
    "opencv-python",
    "scikit-learn",
    "scipy",
    "soundfile",
    "torch",
    "torchaudio",
    "webdataset",
)


def source_files(names: Iterable[str]) -> list[Path]:
    """Return the sorted source files of package modules or folders ("media", "faces", "nets/foal")."""
    files: set[Path] = set()
    for name in names:
        folder, module = PACKAGE / name, PACKAGE / f"{name}.py"
        if folder.is_dir():
            files |= set(folder.rglob("*.py"))
        elif module.is_file():
            files.add(module)
        else:
            raise ValueError(f"no module {name!r} in the package")
    return sorted(files)


def code_digest(names: Iterable[str]) -> str:
    """Return one SHA-256 over the sources of the named modules; any edit changes it."""
    return sha256_bytes(
        "\n".join(f"{p.relative_to(PACKAGE).as_posix()} {sha256_file(p)}" for p in source_files(names)).encode()
    )


class CodeGuard:
    """Detects edits of the package between the start of a verb and its end.

    DVC records the hashes of dependencies after a run (treeverse/dvc#11058). Without this check it would record an edit
    made during the run as the code that produced the output.
    """

    def __init__(self) -> None:
        self._before = self._digests()

    @staticmethod
    def _digests() -> dict[str, str]:
        return {p.relative_to(PACKAGE).as_posix(): sha256_file(p) for p in sorted(PACKAGE.rglob("*.py"))}

    def check(self) -> None:
        """Raise MachineError (exit 4) with the list of files that changed since the start."""
        after = self._digests()
        changed = sorted(k for k in self._before.keys() | after.keys() if self._before.get(k) != after.get(k))
        if changed:
            raise MachineError(
                f"code changed while the stage ran: {', '.join(changed)}",
                action="run the same command again",
            )


def versions() -> dict[str, str]:
    """Return the versions of RESULT_PACKAGES, sorted by name."""
    return {name: importlib.metadata.version(name) for name in sorted(RESULT_PACKAGES)}
