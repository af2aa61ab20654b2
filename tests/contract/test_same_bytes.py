"""The same bytes from fresh clones whose machines differ in all that may not matter; and a clone with nothing to do."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.support import locales
from tests.support.projects import TINY, change_params, copy_project, repro, run, stages_run, verb
from tests.support.remotes import Place, broken, commit_all, links

RESULTS = ("data/iemocap", "models/iemocap", "reports/iemocap")


def copy_tree(source: Path, target: Path, *, backwards: bool) -> Path:
    """Copy a corpus file by file, the first or the last name first."""
    names = sorted(path.relative_to(source) for path in source.rglob("*") if path.is_file())
    for name in reversed(names) if backwards else names:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / name, target / name)
    return target


def outputs(project: Path) -> dict[str, bytes]:
    """The bytes of inventory, manifest, shards, models, predictions, figures and pages."""
    files = [file for name in RESULTS for file in (project / name, *sorted((project / name).rglob("*")))]
    return {file.relative_to(project).as_posix(): file.read_bytes() for file in files if file.is_file()}


def walk(project: Path, *, umask: int, **environment: str) -> None:
    """Run the road of the added corpus under a umask."""
    before = os.umask(umask)
    try:
        repro(project, "report@iemocap", "final@iemocap", **environment)
    finally:
        os.umask(before)


@pytest.mark.long
def test_two_clones_with_other_roots_workers_umasks_orders_and_locales_give_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both take drawn files from a root of their own, as those of a licensed corpus would be taken."""
    (tmp_path / "locales").mkdir()
    source = copy_project(tmp_path / "source")
    change_params(source, **TINY)
    verb(source, "draw")
    one, two = (copy_tree(source / "data/drawn/raw", tmp_path / name, backwards=back) for name, back in
                (("corpora/a", False), ("Ein anderer Ort/ä/b", True)))  # fmt: skip
    verb(source, "add-corpus", "iemocap", "--root", str(one), "--variants", "audio_only,foal", "--epochs", "2")
    change_params(source, corpora={"iemocap": {"manifest": {"contract": {"utterances": 40}}}})
    (source / "settings.yaml").unlink()
    commit_all(source, "a corpus beside the drawn one")
    clones = [tmp_path / "first", tmp_path / "a second place" / "mit Leerzeichen"]
    for clone in clones:
        subprocess.run(["git", "clone", "-q", str(source), str(clone)], check=True)
    unlike = locales.turkish(tmp_path / "locales", "UTF-8") or {"LC_ALL": "C.UTF-8"}
    walk(clones[0], umask=0o022, FOALNET_ROOTS__IEMOCAP=str(one), FOALNET_WORKERS="1", LC_ALL="C", TZ="UTC")
    walk(
        clones[1],
        umask=0o077,
        FOALNET_ROOTS__IEMOCAP=str(two),
        FOALNET_WORKERS="3",
        **unlike,
        TZ="Asia/Tokyo",
        PYTHONHASHSEED="7",
    )
    first, second = (outputs(clone) for clone in clones)
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []
    # Asked for two targets, DVC takes stages that do not need each other in one order or in another.
    records = [yaml.safe_load((clone / "dvc.lock").read_text()) for clone in clones]
    assert records[0] == records[1]
    for name in ("data/iemocap/manifest.jsonl", "data/iemocap/shards/index.json", "reports/iemocap/report.html"):
        assert (clones[0] / name).read_bytes() == (clones[1] / name).read_bytes()
    assert {Path(name).name for name in first} >= {"predictions.jsonl", "metrics.json", "report.html", "report.md"}
    commit_all(clones[1])
    checked = links(clones[1], monkeypatch, corpus="iemocap")
    assert broken(checked) == []
    assert {link.name: link.verdict for link in checked}["corpus files"] == "skipped", "its root was the run's alone"
    monkeypatch.setenv("FOALNET_ROOTS__IEMOCAP", str(two))
    checked = links(clones[1], monkeypatch, corpus="iemocap")
    assert {link.verdict for link in checked} == {"ok"}


@pytest.mark.long
def test_a_fresh_clone_with_a_remote_has_nothing_to_do(
    pushed: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing but the look at the corpus' files, which always runs and finds them unchanged."""
    clone = pushed.clone(tmp_path / "clone")
    run(clone, "dvc", "pull")
    before = (clone / "dvc.lock").read_bytes()
    done = run(clone, "dvc", "repro", "--allow-missing")
    assert stages_run(done) == ["inventory@drawn"]
    assert (clone / "dvc.lock").read_bytes() == before
    assert subprocess.run(["git", "status", "--porcelain"], cwd=clone, capture_output=True, text=True).stdout == ""
    assert broken(links(clone, monkeypatch)) == []
