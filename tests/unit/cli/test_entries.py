"""The command line: ordinary mistakes get a helpful error and never exit 70; `add-corpus` is safe."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from foalnet.cli.entries import check_runs
from tests.support.corpus.trees import ravdess_tree
from tests.support.projects import verb


@pytest.fixture
def folder(repository: Path, tmp_path: Path) -> Path:
    """A project folder with its config and a small ravdess tree next to it."""
    for name in ("params.yaml", "prefect.yaml", "dvc.yaml"):
        shutil.copy(repository / name, tmp_path)
    shutil.copytree(repository / "foalnet", tmp_path / "foalnet", ignore=shutil.ignore_patterns("__pycache__"))
    ravdess_tree(tmp_path / "tree")
    return tmp_path


def added(folder: Path, *more: str, check: bool = True) -> tuple[int, str]:
    done = verb(folder, "add-corpus", "ravdess", "--root", str(folder / "tree"), *more, check=check)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("name", "content", "args"),
    [
        ("params.yaml", None, ["config", "--sync"]),
        ("params.yaml", "a: [", ["config", "--sync"]),
        ("params.yaml", None, ["add-corpus", "ravdess", "--root", "tree"]),
        ("params.yaml", "", ["inventory", "drawn"]),
        ("settings.yaml", "a: [", ["inventory", "drawn"]),
        ("settings.yaml", "roots: {a: [", ["add-corpus", "ravdess", "--root", "tree"]),
        ("settings.yaml", "worker: 3", ["inventory", "drawn"]),
        ("settings.yaml", "roots:", ["add-corpus", "ravdess", "--root", "tree"]),
    ],
)
def test_a_missing_or_broken_project_file_ends_with_2(
    folder: Path, name: str, content: str | None, args: list[str]
) -> None:
    (folder / name).unlink(missing_ok=True)
    if content is not None:
        (folder / name).write_text(content)
    done = verb(folder, *args, check=False)
    assert done.returncode == 2, done.stderr
    assert name in done.stderr and "next:" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.long
def test_two_entries_over_one_root_stand_side_by_side_and_twice_is_once(folder: Path) -> None:
    before = (folder / "params.yaml").read_text()
    assert "nothing was written" in added(folder, "--name", "ravdess4", "--classes", "neutral,sad", "--dry-run")[1]
    assert (folder / "params.yaml").read_text() == before
    added(folder, "--name", "ravdess4", "--classes", "neutral,happy,sad,angry", "--seeds", "1,1", "--epochs", "3")
    added(folder, "--name", "ravdess8", "--classes", "all", "--variants", "audio_only,foal")
    params = yaml.safe_load((folder / "params.yaml").read_text())
    assert list(params["corpora"]) == ["drawn", "ravdess4", "ravdess8"]
    assert len(params["corpora"]["ravdess8"]["manifest"]["classes"]) == 8
    assert params["corpora"]["ravdess4"]["train"]["epochs"] == 3
    assert params["corpora"]["ravdess4"]["protocols"] == ["loso_dev_session"]
    assert len([run for run in params["runs"] if run.startswith("ravdess")]) == 4 + 2
    assert params["corpora"]["ravdess8"]["final"] == {"variant": "foal", "seed": 1}
    check_runs(folder / "params.yaml")
    roots = yaml.safe_load((folder / "settings.yaml").read_text())["roots"]
    assert set(roots) == {"ravdess4", "ravdess8"}
    names = [d["name"] for d in yaml.safe_load((folder / "prefect.yaml").read_text())["deployments"]]
    assert names == ["drawn"] * 3 + ["ravdess4"] * 3 + ["ravdess8"] * 3, "one deployment of each flow"
    again = added(folder, "--name", "ravdess8", "--classes", "all", "--variants", "audio_only,foal")[1]
    assert again.splitlines()[-1] == "nothing to change"


@pytest.mark.parametrize("wrong", [["--variants", ""], ["--variants", "fool"], ["--seeds", "x"], ["--name", "drawn"]])
def test_wrong_options_end_with_2_and_write_nothing(folder: Path, wrong: list[str]) -> None:
    before = (folder / "params.yaml").read_bytes()
    code, text = added(folder, *wrong, check=False)
    assert code == 2 and "next:" in text
    assert (folder / "params.yaml").read_bytes() == before


@pytest.mark.parametrize("args", [["train"], ["train", "--dry-run"], ["evaluate"]], ids=" ".join)
def test_a_variant_that_there_is_not_ends_with_2(folder: Path, args: list[str]) -> None:
    done = verb(folder, args[0], "drawn", "--variant", "fool", "--seed", "1", *args[1:], check=False)
    assert done.returncode == 2 and "fool" in done.stderr and "foal" in done.stderr, done.stderr
