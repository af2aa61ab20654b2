"""Which stages are up to date: one process for all of them, where a `dvc repro` each would take seconds.

Run as `python -m flows.uptodate STAGE…` in a project's folder, the stages in the order of the graph. The last line is
a JSON list of those that `dvc repro` would skip. Outputs that a fresh checkout lacks are linked from DVC's cache first,
of these stages alone: no output of an earlier run stays where a stage has to run.
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
            return [each for found in stages[name].status().values() for each in found]

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
    """Say whether nothing but absent files keeps a stage from being up to date."""
    found = [list(files.values()) for each in why if isinstance(each, dict) for files in each.values()]
    return all(isinstance(each, dict) for each in why) and all(set(files) == {"deleted"} for files in found)


if __name__ == "__main__":
    found = up_to_date(sys.argv[1:])
    sys.stdout.write(f"\n{json.dumps(found)}\n")
