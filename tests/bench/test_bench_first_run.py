"""The bench of the first report: every stage has its own CPU seconds, and they add up to the whole."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bench import first_run
from tests.support.projects import TINY, change_params, copy_project


def test_runs_of_a_verb_are_one_line_and_dvc_has_the_rest() -> None:
    rows = [("draw", 4.0), ("train@drawn-foal-s1", 2.0), ("train@drawn-foal-s2", 3.0)]
    lines = first_run.table(rows, total_s=10.0, wall_s=7.4).splitlines()
    assert [line.split() for line in lines[1:-1]] == [
        ["draw", "1", "4.0"],
        ["train", "2", "5.0"],
        ["of", "DVC", "1", "1.0"],
        ["all", "3", "10.0"],
    ]
    assert lines[-1].startswith("7 s of wall time")


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc of Linux")
def test_a_childs_seconds_count_once_it_has_ended() -> None:
    loop = "import time\nwhile time.process_time() < 0.3: pass\n"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {loop!r}]); print(); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert 0.2 < first_run.children_s(process.pid) < 3.0
        process.communicate()
    assert first_run.children_s(process.pid) == 0.0


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc of Linux")
def test_every_stage_of_a_tiny_project_is_measured(tmp_path: Path) -> None:
    project = copy_project(tmp_path / "project")
    change_params(project, **TINY)
    rows, total_s, wall_s = first_run.measured(project)
    verbs = {name.partition("@")[0] for name, _ in rows}
    assert {"draw", "inventory", "manifest", "shards", "train", "evaluate", "report"} <= verbs
    assert all(cpu_s > 0 for _, cpu_s in rows) and sum(cpu_s for _, cpu_s in rows) < total_s and wall_s > 0
