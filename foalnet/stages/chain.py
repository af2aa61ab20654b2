"""Gives a stage's checks the outputs of one corpus, from workspace, cache or remote, and a scratch folder."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from foalnet.artifact.digests import Digest, Reader
from foalnet.artifact.seal import command
from foalnet.artifact.table import digest_file, read_manifest
from foalnet.config import Params, Settings
from foalnet.config.load import Run
from foalnet.core.errors import DataError, FoalnetError, named
from foalnet.core.paths import Paths
from foalnet.core.records import Utterance
from foalnet.shards import INDEX
from foalnet.stages.link import Link, absent, differs


class Absent(Exception):
    """A file that must be read is nowhere on this machine; `action` brings it here, "" where no stage writes it."""

    def __init__(self, path: str, action: str) -> None:
        super().__init__(path)
        self.path, self.action = path, action


class Outputs(Protocol):
    """Reads outputs by their path in the project, from the workspace, DVC's cache or a remote.

    Every method raises Absent for a file that is in none of them. `outs`: path of an output -> its digest in dvc.lock.
    """

    outs: dict[str, str]
    reader: Reader

    def has(self, path: str) -> bool:
        """Tell whether a path is in a recorded output, or in the workspace."""

    def names(self, folder: str) -> list[str]:
        """Return the files of an output's folder, relative to it."""

    def read(self, path: str) -> bytes:
        """Return the bytes of a file."""

    def json(self, path: str) -> Any:
        """Return a JSON file's value (DataError where its seal does not hold, ValueError where it is no JSON)."""

    def rows(self, path: str) -> list[Any]:
        """Return the rows of a file of JSON lines."""

    def digests(self, paths: Iterable[str]) -> Mapping[str, Digest]:
        """Return the digests of files."""

    def copy(self, path: str, folder: Path) -> Path:
        """Put a file at its path below `folder` and return it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Chain:
    """One corpus' outputs for the checks of a stage; `run` is the stage's run where it has one.

    `scratch` is an empty folder outside the project: what a check computes again is written there.
    """

    params: Params
    settings: Settings
    outputs: Outputs
    paths: Paths
    scratch: Path
    run: Run | None = None

    @property
    def made_by_stage(self) -> bool:
        """Return whether a stage writes the corpus' files: no setting can then name other ones."""
        return self.outputs.outs.get(self.params.source, "").endswith(".dir")

    @property
    def one_run(self) -> Run:
        """The run; a stage that is run per corpus has none (ValueError)."""
        if self.run is None:
            raise ValueError("this stage is run for a corpus, not for a run")
        return self.run

    def again(self, verb: str) -> str:
        """Return the command that runs a stage of this corpus again."""
        return command(self.stage(verb))

    def stage(self, verb: str) -> str:
        """Return a stage's name in dvc.yaml: that of this corpus, or of the run."""
        return f"{verb}@{self.params.corpus}" + (f"-{self.run.name}" if self.run else "")

    def at(self, path: Path) -> str:
        """Return the path of an output as dvc.yaml has it."""
        return path.relative_to(self.paths.home).as_posix()

    def shards(self) -> list[dict[str, Any]]:
        """Return the shards' entries of their index."""
        return list(self.outputs.json(self.at(self.paths.shards / INDEX))["shards"])

    def manifest(self) -> list[Utterance]:
        """Return the utterances of the manifest, read as the stages read it: by its digest (Absent, DataError)."""
        folder, path = self.scratch / "manifest", self.paths.manifest
        self.copy(folder, [path, digest_file(path)])
        with real_names(folder):
            return read_manifest(folder / path.relative_to(self.paths.home), corpus=self.params.corpus)

    def copy(self, folder: Path, paths: Iterable[Path]) -> None:
        """Put outputs at their paths below `folder`."""
        for path in paths:
            self.outputs.copy(self.at(path), folder)


@contextmanager
def real_names(folder: Path) -> Iterator[None]:
    """Name in an error the project's files, not their copies in `folder`."""
    try:
        yield
    except FoalnetError as error:
        what, file = (str(text or "").replace(f"{folder}/", "") for text in (error.what, error.file))
        at = {"file": file or None, "utterance": error.utterance, "stage": error.stage}
        raise type(error)(what, **at, action=error.action) from error


def link(name: str, stage: str, check: Callable[[], Link]) -> Link:
    """Return a check's link; what it cannot read is absent, what has not the expected shape differs."""
    try:
        return check()
    except Absent as error:
        return absent(name, f"{error.path} is not on this machine", action=error.action or f"dvc repro {stage}")
    except DataError as error:
        what = " ".join(error.what.split())
        at = f"{error.file}: " if error.file and error.file not in what else ""
        return differs(name, f"{at}{what}", action=error.action or f"dvc repro {stage}")
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        what = f"its content cannot be read: {named(error)}"
        return differs(name, what, action=command(stage))
