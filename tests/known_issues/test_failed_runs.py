"""What a failed run dropped and why is kept, shown and named, although its checkout is removed."""

from __future__ import annotations

import json
import logging
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from prefect.exceptions import TerminationSignal

from flows.account import account_kept
from flows.process import Stopped
from flows.retrain import bring_up_to_date
from flows.stages import StageFailed
from flows.tasks import STOP
from foalnet.artifact.seal import sealed_bytes
from foalnet.core.errors import DataError
from foalnet.core.files import json_bytes
from foalnet.core.paths import Paths
from tests.flows.test_worktree import at_once
from tests.flows.toy_verbs import CONTENT


def written(folder: Path) -> Paths:
    """The accounts of manifest and staging, as the toy verbs write them."""
    paths = Paths("drawn", folder)
    paths.reports.mkdir(parents=True)
    for path, verb in ((paths.counts, "manifest"), (paths.staging, "shards")):
        path.write_bytes(sealed_bytes(path.name, CONTENT[verb, path.name]))
    return paths


def failing(paths: Paths, work: Path, error: BaseException, shown: list[str]) -> BaseException:
    with pytest.raises(type(error)) as caught, account_kept(paths, work, "drawn-1", shown.append):
        raise error
    return caught.value


def test_the_account_is_kept_shown_and_named_in_the_error(tmp_path: Path) -> None:
    paths, work, shown = written(tmp_path / "tree"), tmp_path / "work", list[str]()
    error = failing(paths, work, DataError("train failed", stage="train@drawn-foal-s1"), shown)
    folder = work / "reports" / "drawn-1"
    assert sorted(path.name for path in folder.iterdir()) == ["counts.json", "failure.md", "staging.json"]
    assert f"what this run recorded before it failed: {folder}" in str(error)
    [text] = shown
    assert text + "\n" == (folder / "failure.md").read_text()
    assert "# drawn: failed\n\n    DataError: train failed\n      stage: train@drawn-foal-s1\n" in text
    assert "| Ses01F\\_impro01\\_F000 | dropped | wav\\_missing | a\\|b |" in text


def test_dialogues_that_failed_are_listed_unless_an_earlier_run_listed_them(tmp_path: Path) -> None:
    paths, work, shown = written(tmp_path / "tree"), tmp_path / "work", list[str]()
    entries = [{"kind": "dropped", "item": "Ses01_impro01", "reason": "dialogue_failed", "detail": "moov atom"}]
    listed = work / "runs" / "shards-drawn-failed.json"
    listed.parent.mkdir(parents=True)
    listed.write_bytes(json_bytes({"counts": {"dropped/dialogue_failed": 1}, "entries": entries}))
    later = time.time() + 60
    os.utime(listed, (later, later))
    failing(paths, work, StageFailed("shards@drawn", 3, "it broke"), shown)
    assert "| Ses01\\_impro01 | dropped | dialogue\\_failed | moov atom |" in shown[0]
    assert (work / "reports" / "drawn-1" / listed.name).is_file()
    os.utime(listed, (1.0, 1.0))
    failing(paths, work, StageFailed("draw", 3, "it broke"), shown)
    assert "moov atom" not in shown[1]


def test_a_bug_a_cancel_and_a_run_without_accounts_keep_what_there_is(tmp_path: Path) -> None:
    work, shown = tmp_path / "work", list[str]()
    bug = failing(Paths("drawn", tmp_path / "empty"), work, ValueError("a bug"), shown)
    assert (str(bug), len(shown)) == ("a bug", 1)
    assert [path.name for path in (work / "reports" / "drawn-1").iterdir()] == ["failure.md"]
    failing(written(tmp_path / "tree"), work, KeyboardInterrupt(), shown)
    assert len(shown) == 1 and (work / "reports" / "drawn-1" / "staging.json").is_file()


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (TerminationSignal(signal=signal.SIGTERM), "cancelled by SIGTERM"),
        (KeyboardInterrupt(), "cancelled by SIGINT"),
        (Stopped("cancelled"), "cancelled"),
        (Stopped("this run was deleted on the server"), "this run was deleted on the server"),
    ],
)
def test_a_cancelled_run_has_not_failed_and_names_its_signal(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, error: BaseException, says: str
) -> None:
    work = tmp_path / "work"
    with caplog.at_level(logging.INFO):
        failing(written(tmp_path / "tree"), work, error, [])
    text = (work / "reports" / "drawn-1" / "failure.md").read_text()
    assert text.splitlines()[:3] == ["# drawn: cancelled", "", f"    {says}"]
    [record] = caplog.records
    assert record.levelno == logging.INFO and record.getMessage().startswith(f"{says}; what this run wrote before")


@pytest.mark.filterwarnings("ignore:Logger .prefect.task_runs. attempted")
def test_the_log_has_no_errors_of_tasks_that_were_cancelled_or_never_began(caplog: pytest.LogCaptureFixture) -> None:
    tasks = logging.getLogger("prefect.task_runs")
    stop = threading.Event()
    token = STOP.set(stop)
    try:
        tasks.error("Finished in state NotReady(\"Upstream task run 'x' did not reach a 'COMPLETED' state.\")")
        tasks.error("Finished in state Failed('Task run encountered an exception')")
        stop.set()
        tasks.error("Finished in state Failed('Task run encountered an exception Stopped: cancelled')")
    finally:
        STOP.reset(token)
    assert [record.levelname for record in caplog.records] == ["ERROR", "INFO"]
    assert not any("NotReady" in record.getMessage() for record in caplog.records)


def test_what_cannot_be_kept_hides_no_error(tmp_path: Path) -> None:
    paths = written(tmp_path / "tree")
    (tmp_path / "work").write_text("a file where a folder should be")
    assert str(failing(paths, tmp_path / "work", DataError("train failed"), [])) == "train failed"
    paths.counts.write_text("{}")
    shown: list[str] = []
    failing(paths, tmp_path / "elsewhere", DataError("train failed"), shown)
    assert "What was dropped cannot be shown: " in shown[0]


@pytest.mark.long
def test_a_stage_that_fails_takes_no_account_with_it(toy: Path) -> None:
    (toy / "toy.json").write_text(json.dumps({"report@drawn": [3]}))
    shown: list[Any] = []
    with pytest.raises(StageFailed, match="what this run recorded before it failed: ") as caught:
        bring_up_to_date(
            toy, "drawn", run=at_once, publish=lambda *_: None, show_failure=lambda *given: shown.append(given)
        )
    [folder] = (toy / "work" / "reports").iterdir()
    assert str(folder) in str(caught.value)
    assert {"counts.json", "staging.json", "failure.md"} == {path.name for path in folder.iterdir()}
    [(corpus, text)] = shown
    assert corpus == "drawn" and "a\\|b" in text
    assert not (toy / "work/worktrees/drawn").exists()
