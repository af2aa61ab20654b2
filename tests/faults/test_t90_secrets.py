"""T90: a scan of logs, reports and every other output finds no token of the environment and no home folder."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from foalnet.config import load_params
from foalnet.config.blocks import Train
from foalnet.config.load import merge, runs_of
from foalnet.core.paths import HEADLINE, Paths
from tests.support.corpus.results import write_model, write_stages
from tests.support.corpus.rows import make_utterances
from tests.support.corpus.trees import ravdess_tree
from tests.support.projects import REPOSITORY, change_params, repro, run, verb

PASSWORD = "hunter2-t0ken-of-a-test"
SECRETS = {
    name: f"{PASSWORD}-{name.lower()}"
    for name in (
        "AWS_SECRET_ACCESS_KEY",
        "GITHUB_TOKEN",
        "HF_TOKEN",
        "PREFECT_API_KEY",
        "PREFECT_API_AUTH_STRING",
        "PREFECT_SERVER_API_AUTH_STRING",
    )
}
# Where a machine's own paths belong: git-ignored settings, and the sources and tools that were there before.
OWN = {"settings.yaml", "foalnet", "tests", "tree", ".dvc", ".git"}


class Log:
    """Runs verbs in a home folder with secrets in the environment, and keeps all that they print."""

    def __init__(self, home: Path, project: Path) -> None:
        self.home, self.project, self.text = home, project, ""
        self.more = SECRETS | {"HOME": str(home), "PYTHONPATH": str(REPOSITORY), "FOALNET_WORKERS": "1"}

    def __call__(self, *args: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = verb(self.project, *args, check=check, **self.more)
        self.text += done.stdout + done.stderr
        return done

    def findings(self) -> list[str]:
        """Return where a secret or the home folder stands: outputs by path, "log" for what was printed."""
        leaking = ["log"] if leaks(self.text.encode(), self.home) else []
        for path in sorted(self.project.rglob("*")):
            inside = path.relative_to(self.project)
            if path.is_file() and inside.parts[0] not in OWN and leaks(path.read_bytes(), self.home):
                leaking.append(inside.as_posix())
        return leaking


def leaks(data: bytes, home: Path) -> bool:
    return PASSWORD.encode() in data or str(home).encode() in data


@pytest.fixture
def log(tmp_path: Path) -> Log:
    """A project in a user's home folder, with fake results of the drawn corpus and a ravdess tree."""
    home = tmp_path / "home" / "somebody"
    project = home / "work" / "project"
    project.mkdir(parents=True)
    data = yaml.safe_load((REPOSITORY / "params.yaml").read_text())
    data["report"] |= {"bootstrap": 200}
    data["corpora"]["drawn"] |= {"variants": ["audio_only", "foal"], "train": {}, "seeds": [1]}
    data["corpora"]["ravdess"] = merge(
        data["corpora"]["drawn"],
        {"reader": "ravdess", "source": "data/ravdess.source.json", "variants": ["audio_only"]},
    )
    data["corpora"]["ravdess"]["manifest"] = {"classes": {"neutral": ["neutral"], "happy": ["happy"]}, "contract": None}
    trained = {"drawn": ["audio_only", "foal"], "ravdess": ["audio_only"]}
    data["runs"] = {}
    for name, variants in trained.items():
        data["runs"] |= runs_of(name, variants, [1], [HEADLINE], train=Train())
    data["corpora"]["ravdess"]["final"] = {"variant": "audio_only", "seed": 1}
    (project / "params.yaml").write_text(yaml.safe_dump(data, sort_keys=False))
    tree = ravdess_tree(project / "tree")
    (project / "settings.yaml").write_text(yaml.safe_dump({"roots": {"ravdess": str(tree)}}))
    return Log(home, project)


@pytest.mark.long
def test_t90_stages_reports_and_the_doctor_give_nothing_away(log: Log) -> None:
    log("inventory", "ravdess")
    log("manifest", "ravdess")
    log("shards", "ravdess", "--dry-run")
    log("shards", "ravdess")
    params = load_params("drawn", log.project / "params.yaml")
    utterances, paths = make_utterances(params), Paths("drawn", log.project)
    write_stages(params, paths, utterances)
    for variant in params.variants:
        write_model(params, paths, utterances, variant)
        log("evaluate", "drawn", "--variant", variant, "--seed", "1")
    log("report", "drawn")
    log("show", "drawn")
    log("config", "drawn", "--explain")
    failed = log("manifest", "nosuch", check=False)
    assert failed.returncode == 2
    assert (log.project / "reports" / "drawn" / "report.html").stat().st_size > 10_000
    assert len(log.text.splitlines()) > 100
    assert log.findings() == []


@pytest.mark.long
def test_t90_errors_and_the_doctor_name_no_home_folder_and_no_password_of_a_remote(log: Log) -> None:
    log("inventory", "ravdess")
    (log.project / "settings.yaml").write_text(f"roots: {{ravdess: {log.home}/gone}}\n")
    shutil.rmtree(log.project / "data")
    assert "~/gone" in log("inventory", "ravdess", check=False).stderr
    (log.home / "gone").mkdir()
    assert "~/gone" in log("inventory", "ravdess", check=False).stderr
    for command in (
        ["init", "-q", "--no-scm"],
        ["remote", "add", "-d", "far", f"https://me:{PASSWORD}@example.org/store?sig={PASSWORD}"],
        ["remote", "modify", "--local", "far", "password", PASSWORD],
    ):
        run(log.project, sys.executable, "-m", "dvc", *command, **log.more)
    output = log("doctor", check=False).stdout
    assert "example.org" in output and "~/gone" in output
    assert log.findings() == []


def test_t90_the_scan_finds_what_it_looks_for(log: Log) -> None:
    (log.project / "reports").mkdir()
    (log.project / "reports" / "a.json").write_text(f"x {log.home}/y")
    (log.project / "work").mkdir()
    (log.project / "work" / "b.bin").write_bytes(b"\x00" + SECRETS["HF_TOKEN"].encode())
    log.text += f"at {log.home}"
    assert log.findings() == ["log", "reports/a.json", "work/b.bin"]


@pytest.mark.long
def test_t90_the_whole_road_gives_nothing_away(tiny_project: Path, tmp_path: Path) -> None:
    log = Log(tmp_path, tmp_path / "project")
    shutil.copytree(tiny_project, log.project, symlinks=True)
    change_params(log.project, train={"epochs": 1})
    done = repro(log.project, **SECRETS, HOME=str(tmp_path))
    log.text = done.stdout + done.stderr
    assert "train" in log.text
    assert log.findings() == []
