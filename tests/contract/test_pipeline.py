"""The whole road on a small drawn corpus: once down, nothing to do, and only what a change touches runs again."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import yaml

from tests.support.corpus.trees import ravdess_tree
from tests.support.projects import REPOSITORY, TINY, change_params, copy_project, repro, run, stages_run, verb

RUNS = ["audio_only-s1", "video_only-s1", "baseline-s1", "foal-s1"]


def outputs(project: Path, *parts: str) -> dict[str, bytes]:
    """Every published byte below data/, models/ and reports/ (the drawn media apart: they are inputs)."""
    return {
        path.relative_to(project).as_posix(): path.read_bytes()
        for part in parts or ("data", "models", "reports")
        for path in sorted((project / part).rglob("*"))
        if path.is_file() and "raw" not in path.parts
    }


def test_the_road_ends_at_a_report_and_a_table(tiny_project: Path) -> None:
    page = (tiny_project / "reports/drawn/report.html").read_text()
    assert "loso_dev_session" in page
    rows = [json.loads(line) for line in (tiny_project / "data/drawn/manifest.jsonl").read_text().splitlines()]
    assert len(rows) == 40
    for name in RUNS:
        predictions = (tiny_project / f"reports/drawn/runs/{name}/predictions.jsonl").read_text().splitlines()
        assert len(predictions) == 40, "each used utterance is tested exactly once"
    shown = verb(tiny_project, "show", "drawn").stdout
    assert "reports/drawn/report.html" in shown
    assert all(name.split("-")[0] in shown for name in RUNS)


def test_again_runs_the_inventory_only_and_changes_no_byte_of_the_lock(tiny_project: Path) -> None:
    before = (tiny_project / "dvc.lock").read_bytes()
    assert stages_run(repro(tiny_project)) == ["inventory@drawn"]
    assert (tiny_project / "dvc.lock").read_bytes() == before


def test_no_machine_path_and_no_host_in_lock_or_outputs(tiny_project: Path) -> None:
    for name, data in {"dvc.lock": (tiny_project / "dvc.lock").read_bytes(), **outputs(tiny_project)}.items():
        assert str(tiny_project).encode() not in data, name


@pytest.mark.long
def test_an_evaluation_param_does_not_retrain(tiny_project: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    shutil.copytree(tiny_project, project, symlinks=True)
    change_params(project, evaluate={"calibration_bins": 5})
    ran = stages_run(repro(project))
    # `final` is sealed again, as its card quotes the scores; its training is in the work folder.
    assert {stage.split("@")[0] for stage in ran} == {"inventory", "evaluate", "final", "report"}
    before = outputs(project, "reports")
    change_params(project, report={"bootstrap": 300})
    assert {stage.split("@")[0] for stage in stages_run(repro(project))} == {"inventory", "report"}
    assert before != outputs(project, "reports")


def test_a_wrong_param_ends_with_2_and_names_the_nearest(tiny_project: Path, tmp_path: Path) -> None:
    shutil.copy(tiny_project / "params.yaml", tmp_path)
    change_params(tmp_path, train={"epoch": 3})
    done = verb(tmp_path, "train", "drawn", "--variant", "foal", "--seed", "1", check=False)
    assert done.returncode == 2
    assert "did you mean 'epochs'" in done.stderr
    assert "Traceback" not in done.stderr


def test_what_is_none_of_the_runs_is_not_trained(tiny_project: Path) -> None:
    for more in (("foal", "9"), ("avel", "1"), ("foal", "1", "--split", "four")):
        done = verb(tiny_project, "train", "drawn", "--variant", more[0], "--seed", *more[1:], check=False)
        assert done.returncode == 2 and "none of the runs of corpus drawn" in done.stderr, done.stderr


def add_iemocap(project: Path, tree: Path) -> None:
    """Add a drawn tree as if it were IEMOCAP, with the counts that it has."""
    verb(project, "add-corpus", "iemocap", "--root", str(tree), "--variants", "audio_only", "--epochs", "1")
    counts = json.loads((project / "reports/drawn/counts.json").read_text())["counted"]
    change_params(project, corpora={"iemocap": {"manifest": {"contract": {"utterances": counts["utterances"]}}}})


@pytest.mark.long
def test_touching_one_dialogue_restages_that_dialogue_only(tiny_project: Path, tmp_path: Path) -> None:
    project, tree = tmp_path / "project", tmp_path / "elsewhere" / "corpus"
    shutil.copytree(tiny_project, project, symlinks=True)
    shutil.copytree(project / "data/drawn/raw", tree)
    add_iemocap(project, tree)
    clips = project / "work" / "clips"
    known = {p.name for p in clips.iterdir()}
    repro(project, "shards@iemocap")
    staged = {p.name for p in clips.iterdir()} - known
    wav = sorted(tree.rglob("sentences/wav/*/Ses03*.wav"))[0]
    data = bytearray(wav.read_bytes())
    data[2000] ^= 1
    wav.write_bytes(data)
    ran = stages_run(repro(project, "shards@iemocap"))
    assert ran == ["inventory@iemocap", "manifest@iemocap", "shards@iemocap"]
    assert len({p.name for p in clips.iterdir()} - known - staged) == 1
    # The other corpus' entries of the lock are not touched.
    lock = yaml.safe_load((project / "dvc.lock").read_text())["stages"]
    first = yaml.safe_load((tiny_project / "dvc.lock").read_text())["stages"]
    assert {k: v for k, v in lock.items() if k in first} == first


@pytest.mark.long
def test_two_copies_and_worker_counts_give_the_same_bytes(tiny_project: Path, tmp_path: Path) -> None:
    other = copy_project(tmp_path / "another place")
    change_params(other, **TINY)
    repro(other, FOALNET_WORKERS="1", LC_ALL="C")
    assert (other / "dvc.lock").read_bytes() == (tiny_project / "dvc.lock").read_bytes()
    assert outputs(other) == outputs(tiny_project)


@pytest.mark.long
def test_t89_a_source_archive_without_git_installs_runs_and_has_nothing_to_do_the_second_time(tmp_path: Path) -> None:
    project = tmp_path / "archive"
    copy_project(project, git=False)
    (project / ".dvc" / "config.local").unlink()
    change_params(project, **TINY)
    first = run(project, "make", "run", timeout_s=1500, PYTHONPATH="")
    assert "reports/drawn/report.html" in first.stdout
    run(project, ".venv/bin/python", "-m", "pip", "check", PYTHONPATH="")
    second = run(project, "make", "run", PYTHONPATH="")
    assert stages_run(second) == ["inventory@drawn"]


def test_the_committed_figures_are_the_locks_and_hold_what_the_rule_promises() -> None:
    """Chance is 0.25: every variant's lower bound is above 0.30, none beats the rule, foal beats each modality."""
    lock = yaml.safe_load((REPOSITORY / "dvc.lock").read_text())["stages"]["report@drawn"]["outs"]
    committed = (REPOSITORY / "reports/drawn/metrics.json").read_bytes()
    digests = {out["path"]: out["md5"] for out in lock}
    assert hashlib.md5(committed).hexdigest() == digests["reports/drawn/metrics.json"]
    figures = json.loads(committed)
    variants = figures["variants"]
    assert {"audio_only", "video_only", "foal"} <= set(variants)
    for name, variant in variants.items():
        assert variant["ua_low"] > 0.30, name
        assert variant["ua"] <= variant["ua_best_possible"] + 0.03, name
    for single in ("audio_only", "video_only"):
        assert figures["differences"][f"foal_minus_{single}"]["ua_low"] > 0, single


@pytest.mark.long
def test_a_public_corpus_goes_down_the_same_road_with_two_class_sets(tmp_path: Path) -> None:
    project = copy_project(tmp_path / "project")
    change_params(project, train={"epochs": 2}, report={"bootstrap": 200})
    tree = ravdess_tree(tmp_path / "ravdess", actors=range(1, 11))
    for name, classes in (("ravdess2", "neutral,happy"), ("ravdess4", "neutral,happy,sad,angry")):
        more = ("--name", name, "--classes", classes, "--variants", "audio_only,foal", "--epochs", "2")
        verb(project, "add-corpus", "ravdess", "--root", str(tree), *more)
    repro(project, "report@ravdess2", "report@ravdess4")
    for name, classes in (("ravdess2", 2), ("ravdess4", 4)):
        metrics = json.loads((project / f"reports/{name}/metrics.json").read_text())
        assert metrics["classes"] == classes
        assert metrics["data"] == {
            "cluster": "speaker",
            "clusters": 10,
            "speakers": 10,
            "utterances": 10 * classes,
        }
        rows = (project / f"reports/{name}/runs/foal-s1/predictions.jsonl").read_text().splitlines()
        assert len({json.loads(row)["key"] for row in rows}) == 10 * classes
    again = [stage.split("@")[0] for stage in stages_run(repro(project, "report@ravdess2", "report@ravdess4"))]
    assert again == ["inventory", "inventory"]
