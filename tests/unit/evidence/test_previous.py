"""What changed since an earlier report: read from git, the same bytes for the same commit."""

from __future__ import annotations

from pathlib import Path

import pytest

from foalnet.artifact.gitrepo import git
from foalnet.artifact.seal import publish_sealed, read_sealed
from foalnet.config import Params, load_params
from foalnet.core.errors import DataError, UsageError
from foalnet.core.paths import Paths
from foalnet.evidence.report import build
from tests.support.corpus.results import make_params, write_report
from tests.support.corpus.rows import make_utterances


def since(params: Params, commit: str | None) -> Params:
    return params.model_copy(update={"report": params.report.model_copy(update={"previous": commit})})


def committed(home: Path) -> str:
    git(home, "add", "-f", "params.yaml", "reports/drawn/metrics.json")
    git(home, "commit", "-qm", "a report")
    return git(home, "rev-parse", "HEAD").stdout.strip()


@pytest.fixture
def project(tmp_path: Path, repository: Path) -> tuple[Params, Paths, str]:
    """A built report in a repository, with the params.yaml of the project; and its commit."""
    params = make_params()
    paths = write_report(tmp_path, params, make_utterances(params))
    git(tmp_path, "init", "-q")
    (tmp_path / "params.yaml").write_text((repository / "params.yaml").read_text())
    return params, paths, committed(tmp_path)


def test_scores_data_machine_and_params_before_and_after(project: tuple[Params, Paths, str]) -> None:
    _, paths, _ = project
    metrics = read_sealed(paths.metrics, again="report@drawn")
    metrics["variants"]["foal"] |= {"ua": 0.75, "wa": 0.74}
    metrics["data"]["utterances"] = 400
    metrics["origin"]["device"] = ["cuda"]
    publish_sealed(paths.metrics, metrics)
    commit = committed(paths.home)
    real = load_params("drawn", paths.home / "params.yaml")
    train = real.train.model_copy(update={"epochs": real.train.epochs + 1})
    now = since(real.model_copy(update={"train": train, "seeds": [1]}), commit)
    row = build(now, paths)["variants"]["foal"]
    text = paths.report_md.read_text()
    assert f"Since the report of commit {commit[:10]}, UA % (WA %): " in text
    assert f"foal 75.0 (74.0) → {100 * row['ua']:.1f} ({100 * row['wa']:.1f}); 420 utterances, 400 before." in text
    changed = text.partition("Changed: ")[2].partition("\n")[0]
    assert f"train.epochs {train.epochs - 1} → {train.epochs}" in changed
    assert "device cuda → cpu." in changed
    first = paths.report_html.read_bytes()
    build(now, paths)
    assert paths.report_html.read_bytes() == first


def test_without_an_earlier_report_nothing_is_said(project: tuple[Params, Paths, str]) -> None:
    assert "Since the report" not in project[1].report_html.read_text()


def test_an_unchanged_project_says_so_and_an_older_version_what_it_lacks(project: tuple[Params, Paths, str]) -> None:
    _, paths, commit = project
    real = load_params("drawn", paths.home / "params.yaml").model_copy(update={"seeds": [1]})
    (paths.home / "params.yaml").write_text((paths.home / "params.yaml").read_text().replace("    - 2\n    - 3\n", ""))
    commit = committed(paths.home)
    build(since(real, commit), paths)
    assert "No param, device or training code changed." in paths.report_md.read_text()
    older = read_sealed(paths.metrics, again="report@drawn")
    del older["origin"]
    publish_sealed(paths.metrics, older)
    build(since(real, committed(paths.home)), paths)
    assert "No param changed. That report does not record device and training code." in paths.report_md.read_text()


def test_a_commit_that_does_not_have_a_report_is_refused(project: tuple[Params, Paths, str]) -> None:
    params, paths, _ = project
    with pytest.raises(UsageError, match="this folder's git does not have") as caught:
        build(since(params, "0" * 40), paths)
    assert "git fetch" in str(caught.value.action)
    git(paths.home, "rm", "-q", "--cached", "reports/drawn/metrics.json")
    git(paths.home, "commit", "-qm", "none")
    empty = git(paths.home, "rev-parse", "HEAD").stdout.strip()
    with pytest.raises(UsageError, match=r"has no reports/drawn/metrics\.json"):
        build(since(params, empty), paths)


def test_an_altered_earlier_report_is_refused(project: tuple[Params, Paths, str]) -> None:
    params, paths, _ = project
    paths.metrics.write_text(paths.metrics.read_text().replace('"utterances": 420', '"utterances": 421'))
    with pytest.raises(DataError, match="seal"):
        build(since(params, committed(paths.home)), paths)
