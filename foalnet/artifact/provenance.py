"""Where a result comes from: digests of code, versions of packages, the commit."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable
from pathlib import Path

from foalnet.core.errors import MachineError
from foalnet.core.files import sha256_bytes, sha256_file

PACKAGE = Path(__file__).parents[1]

# Packages whose version can change a byte of an output.
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
    found: set[Path] = set()
    for name in names:
        folder, module = PACKAGE / name, PACKAGE / f"{name}.py"
        if folder.is_dir():
            found |= set(folder.rglob("*.py"))
        elif module.is_file():
            found.add(module)
        else:
            raise ValueError(f"no module {name!r} in the package")
    return sorted(found)


def code_digest(names: Iterable[str]) -> str:
    """Return one SHA-256 over the named modules' sources: any edit changes it."""
    return sha256_bytes(
        "\n".join(f"{p.relative_to(PACKAGE).as_posix()} {sha256_file(p)}" for p in source_files(names)).encode()
    )


class CodeGuard:
    """Takes the package's digest at the start of a verb and refuses to finish if the code changed meanwhile.

    DVC records dependency hashes after a run (treeverse/dvc#11058): without this an edit made during the run would be
    recorded as the code that made the output.
    """

    def __init__(self, stage: str) -> None:
        self.stage = stage
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
                stage=self.stage,
                action="run the same command again",
            )


def versions() -> dict[str, str]:
    """Return the versions of the packages that shape results, sorted by name."""
    return {name: importlib.metadata.version(name) for name in sorted(RESULT_PACKAGES)}
