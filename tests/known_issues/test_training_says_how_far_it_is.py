"""A training says how far it is: fold, epoch, dev UA and time left, in the verb, in the flow's log and in the UI."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

import flows.progress
import foalnet.core.progress
from flows.progress import LINE
from flows.stages import plan
from flows.tasks import bring
from foalnet.artifact.seal import publish_sealed
from foalnet.config import Settings
from foalnet.config.blocks import Final
from foalnet.core.errors import Interrupted
from foalnet.stages.evaluate.scoring import evaluate_run
from foalnet.stages.final.model import final_run
from foalnet.stages.train.training import train_run
from foalnet.train.environment import Stop
from foalnet.train.progress_line import FoldStatus, end_text, progress_text
from tests.flows.conftest import server, toy, toy_source  # noqa: F401
from tests.flows.helpers import Server
from tests.support.corpus.stores import corpus_params, make_store, write_corpus, write_params
from tests.unit.stages.test_final import TOOLS

TRAIN = "train@drawn-baseline-s1"
MOST = {"fold Session1": 12, "fold Session2": 12}
HALF = progress_text("train baseline-s1", MOST, {"fold Session1": FoldStatus(epochs=6, utterances=9, dev_ua=0.5)}, 9.0)
ENDS = {name: FoldStatus(epochs=12, utterances=9, best_ua=0.5, finished=True) for name in MOST}
END = end_text("train baseline-s1", ENDS, 9.0)


def settings(home: Path, **over: Any) -> Settings:
    return Settings(**{"work": home / "work", "device": "cpu", "threads": 1, "workers": 1} | over)


def of_training(err: str) -> list[str]:
    return [line for line in err.splitlines() if not line.startswith("reading the clips: ")]


@pytest.mark.long
@pytest.mark.parametrize("workers", [1, 2])
def test_every_line_of_a_training_has_fold_epoch_dev_ua_and_time_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    paths = write_corpus(tmp_path, make_store(per_group=8))
    params = corpus_params(epochs=4, patience=4)
    with monkeypatch.context() as patched:
        patched.setattr(foalnet.core.progress, "EVERY_S", 1e-6)
        train_run(params, settings(tmp_path, workers=workers), paths, variant="foal", seed=1)
    written = capsys.readouterr()
    assert written.out == ""
    text = of_training(written.err)
    assert all(LINE.match(each) for each in text)
    assert any(
        re.match(
            r"train foal-s1: \d+\.\d %, \d+ of 20 epochs, about \d+ s left, \S+ utterances/s; .*"
            r"fold Session\d epoch [234] of 4, dev UA \d+\.\d %, loss \d\.\d+ ce \d\.\d+ avel \d\.\d+ mem \d\.\d+",
            each,
        )
        for each in text
    ), text
    best = ", ".join(rf"fold Session{n} \d+\.\d %" for n in range(1, 6))
    assert re.fullmatch(
        rf"train foal-s1: 100\.0 %, 20 of 20 epochs in \d+\.\d s, \S+ utterances/s; best dev UA: {best}", text[-1]
    )
    train_run(params, settings(tmp_path, workers=workers), paths, variant="foal", seed=1)
    assert capsys.readouterr().err == "", "there was nothing to do"


def test_a_resumed_training_says_what_it_trained_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = write_corpus(tmp_path, make_store(per_group=8))
    params = corpus_params(epochs=2, patience=4)
    with monkeypatch.context() as patched, pytest.raises(Interrupted):
        left = iter([False] * 12)  # five looks an epoch: in the third epoch
        patched.setattr(Stop, "requested", property(lambda _: next(left, True)))
        train_run(params, settings(tmp_path), paths, variant="audio_only", seed=1)
    assert capsys.readouterr().err == ""
    train_run(params, settings(tmp_path), paths, variant="audio_only", seed=1)
    (last,) = capsys.readouterr().err.splitlines()
    assert "10 of 10 epochs, 2 of them resumed, in " in last


def test_the_final_training_says_it_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = write_corpus(tmp_path, make_store(per_group=8))
    params = corpus_params(epochs=2).model_copy(update={"final": Final(variant="audio_only", seed=1)})
    publish_sealed(paths.staging, {"tools": TOOLS})
    train_run(params, settings(tmp_path), paths, variant="audio_only", seed=1)
    evaluate_run(params, paths, variant="audio_only", seed=1)
    capsys.readouterr()
    monkeypatch.setattr(foalnet.core.progress, "EVERY_S", 1e-6)
    final_run(params, settings(tmp_path), paths)
    text = of_training(capsys.readouterr().err)
    assert all(re.match(r"final audio_only-s1: \d+\.\d %, \d of (1|2) epochs", each) for each in text)
    assert any("; audio_only epoch 1 of" in each for each in text) and "100.0 %" in text[-1]


@pytest.mark.long
def test_the_verb_leaves_stdout_as_it_was(tmp_path: Path) -> None:
    write_corpus(tmp_path, make_store(per_group=4))
    write_params(tmp_path, epochs=1)
    command = [sys.executable, "-m", "foalnet", "train", "drawn", "--variant", "audio_only", "--seed", "1"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert (done.returncode, done.stdout) == (0, "")
    first, last = done.stderr.splitlines()
    assert first.startswith("train drawn audio_only-s1: device ")
    assert last.startswith("train audio_only-s1: 100.0 %, 5 of 5 epochs in ")


def test_flows_read_the_lines_of_the_verbs() -> None:
    match = LINE.match(HALF)
    assert match is not None and float(match[2]) == 25.0 and "fold Session1 epoch 7 of 12, dev UA 50.0 %" in match[1]
    match = LINE.match(END)
    assert match is not None and float(match[2]) == 100.0
    assert LINE.match("train drawn foal-s1: device cpu, threads of a fold: 1") is None


def prepare(project: Path, *orders: list[str]) -> None:
    """Make what the training stage reads, and have its toy say these lines, run by run."""
    (stage,) = [stage for stage in plan(project, "drawn") if stage.name == TRAIN]
    for path in sorted(map(project.joinpath, stage.reads), reverse=True):  # files before the folders that hold them
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("made for a test\n")
    (project / "toy.json").write_text(json.dumps({TRAIN: orders}))


class Artifacts:
    """Stands for the server's artifacts: what was shown, under which key."""

    def __init__(self, *, answers: bool = True) -> None:
        self.answers = answers
        self.key, self.shown = "", list[tuple[float, str]]()

    def create(self, progress: float, *, key: str, description: str) -> UUID:
        if not self.answers:
            raise ConnectionError("no server")
        self.key = key
        self.shown.append((progress, description))
        return uuid4()

    def update(self, _artifact: UUID, progress: float, *, description: str) -> None:
        self.shown.append((progress, description))


@pytest.mark.parametrize("answers", [True, False])
def test_the_lines_are_in_the_flows_log_and_move_the_artifact_of_the_stage(
    toy: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    answers: bool,
) -> None:
    artifacts = Artifacts(answers=answers)
    monkeypatch.setattr(flows.progress, "create_progress_artifact", artifacts.create)
    monkeypatch.setattr(flows.progress, "update_progress_artifact", artifacts.update)
    prepare(toy, [HALF, "a warning", END])
    with caplog.at_level(logging.INFO):
        assert bring(TRAIN, str(toy)) is True
    logged = [record.getMessage() for record in caplog.records]
    assert [line for line in logged if line in (HALF, "a warning", END)] == [HALF, "a warning", END]
    refused = [line for line in logged if "its progress cannot be shown in the UI: no server" in line]
    if answers:
        assert artifacts.key == "train-drawn-baseline-s1" and not refused
        assert [percent for percent, _ in artifacts.shown] == [25.0, 100.0]
        assert all(text.startswith(f"{TRAIN}: ") and " epochs" in text for _, text in artifacts.shown)
    else:
        assert len(refused) == 1 and not artifacts.shown


@pytest.mark.long
def test_a_servers_log_and_artifact_say_it(server: Server, toy: Path) -> None:  # noqa: F811
    prepare(toy, [HALF], [HALF, END])
    (toy / "go.py").write_text(
        "import sys\nfrom prefect import flow\nfrom flows.tasks import run_stage\n"
        "@flow\ndef one(): run_stage(sys.argv[1], '.')\n"
        "if __name__ == '__main__': one()\n"
    )
    for percent in (25.0, 100.0):
        (toy / "data/drawn/manifest.sha256").write_text(f"{percent}\n")
        command = [sys.executable, "go.py", TRAIN]
        done = subprocess.run(command, cwd=toy, env=server.environment(toy), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-4000:]
        (run,) = server.runs()[:1]
        logged = [each["message"] for each in server.ask("logs/filter", logs={"flow_run_id": {"any_": [run["id"]]}})]
        assert HALF in logged and (END in logged) == (percent == 100.0)
        where = {"key": {"any_": ["train-drawn-baseline-s1"]}}
        (shown,) = server.ask("artifacts/latest/filter", artifacts=where)
        assert (shown["type"], shown["data"], shown["flow_run_id"]) == ("progress", percent, run["id"])
        assert shown["task_run_id"] and shown["description"].startswith(f"{TRAIN}: {percent:.1f} %")
