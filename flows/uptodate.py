"""Prints which stages are up to date, in one process: a `dvc repro` for each would take seconds.

Run as `python -m flows.uptodate STAGE…` in a project's folder, with the stages in the order of the graph. The last line
is a JSON list of those that `dvc repro` would skip. Outputs of these stages that a fresh checkout lacks are linked from
DVC's cache first; outputs of stages that must run are not.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

FILE = "dvc.yaml"


def up_to_date(names: Sequence[str]) -> list[str]:
    """Return the names of the stages that need not run."""
    from dvc.repo import Repo, lock_repo

    with Repo(_wait_for_lock=True) as repo, lock_repo(repo):
        graph = repo.index.graph
        stages = {stage.name: stage for stage in graph if stage.path_in_repo == FILE and stage.name in names}
        needs = {name: {each.name for each in graph.successors(stage)} for name, stage in stages.items()}

        def faults(name: str) -> list[Any]:
            return [each for changes in stages[name].status().values() for each in changes]

        kept: list[str] = []
        for name in names:
            if not all(each in kept for each in needs[name] if each in needs):
                continue
            why = faults(name)
            if why and _is_whole(why):
                stages[name].checkout(allow_missing=True)
                why = faults(name)
            kept += [] if why else [name]
        return kept


def _is_whole(why: Sequence[Any]) -> bool:
    """Return whether absent files are all that keeps a stage from being up to date."""
    changes = [list(files.values()) for each in why if isinstance(each, dict) for files in each.values()]
    return all(isinstance(each, dict) for each in why) and all(set(files) == {"deleted"} for files in changes)


if __name__ == "__main__":
    names = up_to_date(sys.argv[1:])
    sys.stdout.write(f"\n{json.dumps(names)}\n")
