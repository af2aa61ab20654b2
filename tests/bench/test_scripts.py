"""Every script of bench/ runs in its smallest form and prints its table."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench import iemocap, meld
from bench.first_run import measured, table
from tests.flows.conftest import server  # noqa: F401
from tests.flows.helpers import Server
from tests.support.corpus.trees import ravdess_tree
from tests.support.hub import needs_transformers
from tests.support.projects import REPOSITORY, TINY, change_params, copy_project

# script -> its options, and words of its table. TABLE: two short dialogues at IEMOCAP's times.
SMALL = {
    "faces": ("--detectors haar,yunet --conditions frontal --sessions 1 --utterances 1", "yunet: not measured"),
    "gate_rates": ("--simulations 2", "IEMOCAP: not simulated"),
    "house": ("", "circles between rooms"),
    "speaker": ("", "not measured: FOALNET_SHARED_DATA names no folder"),
}
SMALL_LONG = {
    "corruption": ("--count 5 --seed 7", "seed 7, 5 corruptions"),
    "kills": ("--staging 1 --training 1 --repro 1", "repro: 1 kills, 0 differences"),
    "ravdess": ("--root RAVDESS --quick --variants video_only,foal --work WORK", "foal - svm_both"),
    "scale": ("--table TABLE --detector haar --counts 1 --workers 1", "the video of Ses01F_impro01b changed (2 s)"),
    "staging": ("--table TABLE --minutes 0.01 --people-s 1 --detectors haar --strides 12", "B, people's way, haar"),
    "staging_profile": ("--table TABLE --minutes 0.01 --detectors haar", "everything else"),
    "study": (
        "ravdess --root RAVDESS --classes 4 --seeds 2 --variants audio_only,concat --epochs 1",
        "| verdict on a |",
    ),
    "table": ("--rows 30 --kind wav", "manifest, one clip changed"),
    "training": ("--table TABLE --encoder tiny --batch 2 --batches 2 --rounds 1", "WavLM-tiny, batch 2, 4 utterances"),
}
# These read or change a project; PROJECT is a copy of a tiny one that has run.
OF_PROJECT = {
    "flow": ("--project PROJECT", "nothing"),
    "instructions": ("", "ratio"),
    "loader": ("--epochs 1 --batch 4 --width 8", "from shards, face crops"),
    "outputs": ("drawn", "reports/drawn/metrics.json"),
    "sides": ("--project PROJECT --share 1", "audio_only"),
}
MODULES = {
    "corruption_place", "drawn_videos", "faces_real", "ravdess_arms", "ravdess_data", "ravdess_table",
    "staging_clips", "staging_rivals", "storm", "workload",
}  # fmt: skip
TABLE = """utterance\tlabel\tstart_s\tend_s
Ses01F_impro01_F000\tneu\t0.5\t1.0
Ses01F_impro01_F001\tneu\t1.0\t1.5
Ses01F_impro01b_M000\tneu\t0.5\t1.25
Ses01F_impro01b_M001\tneu\t1.25\t2.0
"""


def printed(script: str, options: str, folder: Path, *, cwd: Path = REPOSITORY, **env: str) -> str:
    """Run a script and return what it printed; `folder` takes the files that the options name."""
    (folder / "table.tsv").write_text(TABLE)
    places = {"TABLE": folder / "table.tsv", "WORK": folder / "work", "RAVDESS": folder / "ravdess"}
    places["PROJECT"] = folder / "project"
    if "RAVDESS" in options:
        ravdess_tree(places["RAVDESS"], actors=range(1, 8))
    arguments = [str(places.get(word, word)) for word in options.split()]
    free = {name: value for name, value in os.environ.items() if name != "FOALNET_SHARED_DATA"}
    own = {"PYTHONPATH": str(REPOSITORY), "FOALNET_WEIGHTS": str(folder), "TORCH_HOME": str(folder)}
    command = [sys.executable, "-m", f"bench.{script}", *arguments]
    done = subprocess.run(command, cwd=cwd, env=free | own | env, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("script", SMALL)
def test_a_quick_script_prints_its_table(script: str, tmp_path: Path) -> None:
    options, expected = SMALL[script]
    assert expected in printed(script, options, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("script", SMALL_LONG)
def test_a_script_prints_its_table(script: str, tmp_path: Path) -> None:
    if script == "training":
        needs_transformers()
    options, expected = SMALL_LONG[script]
    assert expected in printed(script, options, tmp_path, FOALNET_WORKERS="1")


@pytest.mark.long
@pytest.mark.parametrize("script", OF_PROJECT)
def test_a_script_over_a_project_prints_its_table(
    script: str,
    tiny_project: Path,
    server: Server,  # noqa: F811
    tmp_path: Path,
) -> None:
    project = shutil.copytree(tiny_project, tmp_path / "project", symlinks=True)
    options, expected = OF_PROJECT[script]
    inside = "PROJECT" not in options
    assert expected in printed(script, options, tmp_path, cwd=project if inside else REPOSITORY, **server.env)


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc of Linux")
def test_first_run_prints_its_table(tmp_path: Path) -> None:
    """The script itself clones HEAD and runs it at full size: its measurement runs here on a tiny copy."""
    project = copy_project(tmp_path / "project")
    change_params(project, **TINY)
    lines = table(*measured(project)).splitlines()
    assert [line.split()[0] for line in lines[1:4]] == ["draw", "inventory", "manifest"]


@pytest.mark.long
def test_iemocap_prints_its_estimate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The script draws the corpus at full size: here it draws the tiny one."""
    real = iemocap.project

    def tiny(folder: Path, detector: str, epochs: int) -> None:
        real(folder, detector, epochs)
        change_params(folder, **TINY)

    monkeypatch.setattr(iemocap, "project", tiny)
    (tmp_path / "table.tsv").write_text(TABLE)
    iemocap.main(["--table", str(tmp_path / "table.tsv"), "--epochs", "1"])
    assert "h of four classes, 5 folds" in capsys.readouterr().out


def test_meld_prints_its_table(tmp_path: Path) -> None:
    """The script clones HEAD and trains twelve runs: here it prints the metrics of a made report."""
    row = {"n": 2610, "ua": 0.3, "wa": 0.61, "weighted_f1": 0.59, "weighted_f1_low": 0.57, "weighted_f1_high": 0.612}
    gain = {"ua": 0.012, "ua_low": -0.01, "ua_high": 0.03, "ua_p": 0.25}
    metrics = {"variants": {"text_turns": row}, "differences": {"text_turns_minus_text_only": gain}}
    path = tmp_path / "reports" / "meld_hashed" / "metrics.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(metrics))
    lines = meld.table(tmp_path, ["meld_hashed"])
    assert lines[1].split() == ["meld_hashed", "text_turns", "59.0", "(57.0", "to", "61.2)", "61.0", "30.0", "2610"]
    assert lines[2].endswith("text turns minus text only: +1.2 (-1.0 to +3.0) points of UA, p = 0.250")


@pytest.mark.long
def test_own_tasks_prints_its_table() -> None:
    options = ["--world", "few", "--seeds", "1", "--folds", "1", "--only", "hidden layer"]
    command = [sys.executable, "-m", "bench.own_tasks", *options]
    shown = subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True, text=True).stdout
    assert "Best possible: matching 100.0" in shown and "| hidden layer |" in shown


def test_every_script_is_run() -> None:
    scripts = {path.stem for path in (REPOSITORY / "bench").glob("*.py")} - {"__init__"}
    assert (
        scripts
        == MODULES
        | {"first_run", "iemocap", "meld", "own_tasks"}
        | SMALL.keys()
        | SMALL_LONG.keys()
        | OF_PROJECT.keys()
    )
