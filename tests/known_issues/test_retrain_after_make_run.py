"""`make run`, then `retrain`, in one fresh clone, on a machine that gives other bytes than the committed ones."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from foalnet.artifact.gitrepo import changed_files, commit_of, text_at
from foalnet.core.errors import UsageError
from tests.flows.conftest import toy, toy_source  # noqa: F401  (fixtures)
from tests.flows.test_worktree import git, retrain
from tests.support.projects import repro

FIGURES, CHAMPION = "reports/drawn/metrics.json", "champions/drawn"


def one_run(project: Path) -> None:
    path = project / "params.yaml"
    params = yaml.safe_load(path.read_text())
    params["corpora"]["drawn"] |= {"variants": ["foal"], "seeds": [1]}
    params["runs"] = {name: each for name, each in params["runs"].items() if name == "drawn-foal-s1"}
    path.write_text(yaml.safe_dump(params, sort_keys=False))


def committed_elsewhere(project: Path) -> None:
    """Commit results of another machine: other digests of models in dvc.lock, other figures; keep this machine's."""
    mine = {name: (project / name).read_text() for name in ("dvc.lock", FIGURES)}
    lock = re.sub(r"(path: models/.*\n.*\n *md5: )\w{8}", r"\g<1>00000000", mine["dvc.lock"])
    assert lock != mine["dvc.lock"]
    (project / "dvc.lock").write_text(lock)
    (project / FIGURES).write_text(json.dumps(json.loads(mine[FIGURES]) | {"level": 0.5}))
    git(project, "add", "-f", "dvc.lock", FIGURES, "reports/drawn/headline.json")
    git(project, "commit", "-qam", "results of another machine")
    for name, text in mine.items():
        (project / name).write_text(text)


def test_an_edited_source_is_refused_by_name_and_what_dvc_writes_is_not_named(toy: Path) -> None:  # noqa: F811
    for name in ("dvc.lock", FIGURES):
        (toy / name).parent.mkdir(parents=True, exist_ok=True)
        (toy / name).write_text("schema: '2.0'\nstages: {}\n" if name == "dvc.lock" else "{}\n")
    git(toy, "add", "-f", "dvc.lock", FIGURES)
    git(toy, "commit", "-qm", "results of another machine")
    for name in ("dvc.lock", FIGURES, "foalnet/evidence/metrics.py"):
        (toy / name).write_text((toy / name).read_text() + "\n")
    with pytest.raises(UsageError, match=re.escape("changes that are not committed: foalnet/evidence/metrics.py;")):
        retrain(toy)


@pytest.mark.long
def test_what_dvc_repro_wrote_is_no_reason_to_refuse_and_the_run_goes_on_from_it(toy: Path) -> None:  # noqa: F811
    one_run(toy)
    git(toy, "commit", "-qam", "one run")
    repro(toy)
    committed_elsewhere(toy)
    assert changed_files(toy) == ["dvc.lock", FIGURES]
    mine = {name: (toy / name).read_text() for name in changed_files(toy)}
    done = retrain(toy)
    # DVC removes a missing page's uncached figures before it looks into its cache, so that the page is written again.
    assert set(done["ran"]) <= {"inventory@drawn", "report@drawn"}, "nothing is trained or scored twice"
    assert done["says"].startswith("promoted"), done["says"]
    recorded = {name: text_at(toy, CHAMPION, name) or "" for name in mine}
    read = {name: yaml.safe_load(text) for name, text in recorded.items()}
    assert read == {name: yaml.safe_load(text) for name, text in mine.items()}, "the record names what ran"
    assert {name: (toy / name).read_text() for name in mine} == mine
    assert changed_files(toy) == ["dvc.lock", FIGURES], "the operator's checkout is not touched"
    before = commit_of(toy, CHAMPION)
    for name in ("params.yaml", "foalnet/evidence/metrics.py", "dvc.yaml"):
        text = (toy / name).read_text()
        (toy / name).write_text(text + "\n# edited\n")
        with pytest.raises(UsageError, match=re.escape(f"changes that are not committed: {name};")):
            retrain(toy)
        (toy / name).write_text(text)
    assert commit_of(toy, CHAMPION) == before
