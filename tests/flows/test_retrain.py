"""The flow and its task without a server (`.fn`), what they show, and what a missing server does."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.states import Failed

from flows import artifacts, gpu, tasks
from flows.process import Stopped
from flows.retrain import retrain
from flows.stages import RETRIES, StageFailed
from flows.tasks import STOP, project_home, retry_condition, run_stage
from foalnet.artifact.seal import sealed_bytes
from foalnet.config.blocks import Gate
from foalnet.core.errors import UsageError
from foalnet.core.files import json_bytes
from foalnet.core.paths import Paths
from foalnet.evidence.gate import Side, decide
from tests.flows.helpers import calls, free_port
from tests.flows.toy_verbs import CONTENT, of_run
from tests.support.projects import change_params, repro

LIMIT_BYTES = 64_000


def task_run(tries: int) -> TaskRun:
    return TaskRun(task_key="run_stage", dynamic_key="0", run_count=tries, total_run_time=timedelta())


def write_results(paths: Paths) -> None:
    """Write what the toy verbs write, as they write it."""
    files = {
        ("manifest", "counts.json"): paths.counts,
        ("shards", "staging.json"): paths.staging,
        ("evaluate", "metrics.json"): paths.run("foal", 1) / "metrics.json",
        ("report", "metrics.json"): paths.metrics,
    }
    for name, path in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(sealed_bytes(path.name, CONTENT[name] | of_run(paths, "foal", 1)))


@pytest.mark.parametrize(("code", "retried"), [(2, 0), (3, 0), (4, RETRIES), (5, RETRIES), (255, RETRIES), (70, 0)])
def test_t82_prefect_asks_the_policy_with_the_tries_made(code: int, retried: int) -> None:
    state: State[None] = Failed(data=StageFailed("draw", code))
    answers = [retry_condition(run_stage, task_run(tries), state) for tries in (1, 2, 3)]
    assert answers == [tries <= retried for tries in (1, 2, 3)]


def test_t82_a_cancel_or_a_bug_in_the_flow_is_never_run_again() -> None:
    assert not retry_condition(run_stage, task_run(1), Failed(data=Stopped("cancelled")))
    assert not retry_condition(run_stage, task_run(1), Failed(data=ValueError("bug")))


def test_the_task_leaves_caching_to_dvc_and_its_waits_fit_into_a_cancel() -> None:
    assert run_stage.cache_policy == NO_CACHE
    assert run_stage.persist_result is False
    assert run_stage.retries == RETRIES
    delays = run_stage.retry_delay_seconds
    assert isinstance(delays, list)
    assert len(delays) == RETRIES
    assert max(delays) < 30


def test_t84_a_task_takes_two_strings_and_returns_a_small_dict(toy: Path) -> None:
    done = run_stage.fn("draw", str(toy))
    assert done == {"stage": "draw", "ran": True}
    assert run_stage.fn("draw", str(toy)) == {"stage": "draw", "ran": False}
    assert calls(toy) == ["draw"]


def test_artifacts_show_scores_confusion_drops_and_the_place_of_the_report(toy: Path) -> None:
    paths = Paths("drawn", toy)
    write_results(paths)
    table = artifacts.metrics(paths)
    first, second = (line for line in table.splitlines() if "50.0 | 40.0 to 60.0" in line)
    assert first.startswith("| audio\\_only |"), "single modalities come first"
    assert second == "| foal | 50.0 | 40.0 to 60.0 | 70.0 | 60.0 to 80.0 | 55.0 | 90.0 |"
    assert "| foal minus audio\\_only | +10.0 | \N{MINUS SIGN}10.0 to +30.0 | p = 0.250 |" in table
    assert "## Confusion of foal-s1\n\n| true / predicted | happy | sad |" in table
    assert "| happy | 3 | 1 |" in table
    drops = artifacts.drops(paths)
    assert "| dropped | wav\\_missing: no sound in sentences/wav or dialog/wav | 1 |" in drops
    assert "| Ses01F\\_impro01\\_F000 | dropped | wav\\_missing | a\\|b |" in drops
    assert str(paths.report_html) in artifacts.report("drawn", paths.report_html)
    assert artifacts.gate(paths, "no .git here") == "# drawn: no decision\n\nno .git here"
    side = Side(metrics=CONTENT["report", "metrics.json"], runs={}, cluster=None, staged=39, dropped=1)
    arguments = {"corpus": "drawn", "commit": "c" * 40, "params": Gate(max_shrink=0.0)}
    paths.gate.write_bytes(json_bytes(decide(side, side, **arguments)))
    decision = artifacts.gate(paths, "")
    assert "**refused**: UA of foal: cannot be compared" in decision
    assert "| UA of audio only | 0.5 | 0.5 |" in decision
    assert len(decision.encode()) < LIMIT_BYTES


def test_t84_artifacts_stay_small_whatever_was_dropped(toy: Path) -> None:
    paths = Paths("drawn", toy)
    write_results(paths)
    entries = [{"kind": "dropped", "item": f"u{n}", "reason": "no_face", "detail": ""} for n in range(5000)]
    paths.counts.write_bytes(sealed_bytes("counts.json", {"ledger": {"dropped/no_face": 5000}, "entries": entries}))
    drops = artifacts.drops(paths)
    assert "4940 more: see the report" in drops
    assert len(drops.encode()) < LIMIT_BYTES


def test_a_cancel_reaches_the_task_through_its_context(toy: Path) -> None:
    stop = threading.Event()
    stop.set()
    token = STOP.set(stop)
    try:
        with pytest.raises(Stopped):
            run_stage.fn("draw", str(toy))
    finally:
        STOP.reset(token)
    assert calls(toy) == []


def test_the_flow_works_in_the_folder_that_foalnet_home_names(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Path.cwd() != toy
    assert project_home() == toy
    monkeypatch.delenv("FOALNET_HOME")
    with pytest.raises(UsageError, match="FOALNET_HOME"):
        project_home()
    with pytest.raises(UsageError, match="FOALNET_HOME"):
        retrain.fn()
    monkeypatch.chdir(toy)
    assert project_home() == toy


def test_an_unknown_corpus_ends_the_flow_before_anything_runs(toy: Path) -> None:
    with pytest.raises(UsageError, match="no corpus 'nosuch'"):
        retrain.fn("nosuch")
    assert calls(toy) == []


@pytest.mark.parametrize(
    ("answer", "name"),
    [
        ({"outcome": "Promoted", "unpushed": None}, "Promoted"),
        ({"outcome": "Refused", "unpushed": None}, "Refused"),
        ({"outcome": "Unchanged", "unpushed": None}, "Unchanged"),
        ({"outcome": "Promoted", "unpushed": "remote store: down"}, "Unpushed"),
    ],
)
def test_the_state_in_which_a_run_ends_says_what_came_of_it(
    toy: Path, monkeypatch: pytest.MonkeyPatch, answer: dict[str, object], name: str
) -> None:
    answer |= {"says": "refused: UA of foal: -10.0 points"}
    monkeypatch.setattr("flows.retrain.bring_up_to_date", lambda *_, **__: answer)
    state = retrain.fn("drawn")
    assert state.is_completed() and (state.name, state.data) == (name, answer)
    assert state.message == "drawn: refused: UA of foal: -10.0 points"


def test_a_run_is_named_after_its_corpus_and_params(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "flow_run", type("Run", (), {"parameters": {"corpus": "drawn"}}))
    name = tasks.run_name()
    assert re.fullmatch(r"drawn, params [0-9a-f]{10}", name)
    change_params(toy, train={"epochs": 77})
    assert tasks.run_name() != name, "other params, another name"
    change_params(toy, train={"epochs": "many"})
    assert tasks.run_name() == "drawn", "what is wrong with them is said by the flow"


def test_importing_the_flows_switches_telemetry_off() -> None:
    code = "import os, sys; import flows; assert 'prefect' not in sys.modules; print(os.environ['DO_NOT_TRACK'])"
    env = {k: v for k, v in os.environ.items() if k not in ("DO_NOT_TRACK", "PREFECT_SERVER_ANALYTICS_ENABLED")}
    code += "; print(os.environ['PREFECT_SERVER_ANALYTICS_ENABLED'])"
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "false"]


@pytest.mark.long
def test_t83_without_its_server_the_flow_fails_fast_and_dvc_repro_goes_on(toy: Path, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}/api"
    env = os.environ | {"PREFECT_API_URL": url, "PREFECT_HOME": str(tmp_path / "prefect")}
    done = subprocess.run(
        [sys.executable, "-c", "from flows.retrain import retrain; retrain()"],
        cwd=toy, env=env, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode != 0
    assert url in done.stderr
    assert calls(toy) == []
    repro(toy, "draw", PREFECT_API_URL=url)
    assert calls(toy) == ["draw"]


def test_a_cancel_ends_the_wait_for_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    stop = threading.Event()
    calls: list[dict[str, object]] = []

    def busy(name: str, **how: object) -> None:
        calls.append(how)
        stop.set()
        raise TimeoutError

    monkeypatch.setattr(gpu, "concurrency", busy)
    with pytest.raises(Stopped, match="waited for the GPU"), gpu.gpu_slot(stop):
        raise AssertionError("held a slot that nobody gave")
    assert [how["strict"] for how in calls] == [True]


def test_only_training_on_a_gpu_asks_for_a_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    @contextlib.contextmanager
    def slot(_stop: object) -> Iterator[None]:
        calls.append("slot")
        yield

    monkeypatch.setattr(tasks, "gpu_slot", slot)
    monkeypatch.setattr(tasks, "reproduce", lambda stage, *_, **__: bool(calls.append(stage)) or True)
    token = tasks.GPU.set(True)
    try:
        assert tasks.bring("evaluate@x", ".")
        assert tasks.bring("train@x", ".")
    finally:
        tasks.GPU.reset(token)
    tasks.bring("train@y", ".")
    assert calls == ["evaluate@x", "slot", "train@x", "train@y"]
