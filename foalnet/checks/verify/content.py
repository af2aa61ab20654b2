"""What a link by content needs: the corpus, its outputs' paths and a door that turns every fault into a link."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from foalnet.artifact.seal import command
from foalnet.checks.verify.link import Link, absent, differs
from foalnet.checks.verify.store import Absent, Store
from foalnet.config import Params, Settings
from foalnet.core.errors import DataError, named
from foalnet.core.paths import Paths


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """One corpus: its params, the machine's settings, and where its outputs are read; `paths` are relative to home.

    `bench` is an empty folder of its own outside of the project: what is made anew for comparing is made there.
    """

    params: Params
    settings: Settings
    store: Store
    paths: Paths
    bench: Path

    @property
    def drawn(self) -> bool:
        """Tell whether a stage drew the corpus' files: no setting can then name other ones."""
        return self.store.outs.get(self.params.source, "").endswith(".dir")

    def again(self, stage: str) -> str:
        """Return the command that makes a stage's outputs anew."""
        return command(stage)


def asked(name: str, stage: str, check: Callable[[], Link]) -> Link:
    """Return what a check finds; what it cannot read is absent, what is not of its shape differs."""
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
