"""A past fault: the worktree kept its outputs in a cache inside the operator's cache, where nobody looked."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from flows.worktree import worktree
from foalnet.config import load_settings
from tests.flows.test_worktree import at_once, bring_up_to_date
from tests.support.projects import run


def test_the_worktree_uses_the_operators_cache_itself(toy: Path) -> None:
    with worktree(toy, "drawn", load_settings(toy)) as tree:
        assert run(tree.folder, "dvc", "cache", "dir").stdout.split() == [str(toy / ".dvc" / "cache")]


@pytest.mark.long
def test_the_champions_files_are_checked_out_from_the_operators_cache(toy: Path) -> None:
    bring_up_to_date(toy, "drawn", run=at_once, publish=lambda *_: None)
    assert not (toy / "models").exists()
    subprocess.run(["git", "switch", "-q", "--detach", "champions/drawn"], cwd=toy, check=True)
    run(toy, "dvc", "checkout")
    assert (toy / "models/drawn/final/card.json").is_file() and (toy / "reports/drawn/report.html").is_file()
