"""Each corpus has its own champions, params and rollback; a promotion carries nothing of another corpus."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from flows.retrain import bring_up_to_date
from foalnet.artifact.gitrepo import commit_of, git, text_at
from foalnet.cli.main import cli
from foalnet.core.errors import UsageError
from foalnet.evidence.champion import (
    adopt,
    champion_of,
    commit_tree,
    corpora_of,
    history,
    message,
    one_corpus,
    promote,
    remote_champions,
    results_key,
    rollback,
    rollback_target,
    rolled_back,
)
from tests.flows.test_worktree import at_once, metrics
from tests.support.projects import change_params, repro, run, stages_run, verb

PARAMS = """\
# a comment that stays
corpora:
  a: {epochs: 1}   # of a
  a_b: {epochs: 2}
runs:
  a-foal-s1: {corpus: a}
  a_b-foal-s1: {corpus: a_b}
train:
  epochs: 3
"""
LOCK = """\
schema: '2.0'
stages:
  draw:
    cmd: foalnet draw
  evaluate@a-foal-s1:
    cmd: foalnet evaluate a
    outs:
    - path: reports/a/runs/foal-s1
      md5: aa
  report@a_b:
    cmd: foalnet report a_b
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    (tmp_path / "params.yaml").write_text(PARAMS)
    (tmp_path / "dvc.lock").write_text(LOCK)
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "project")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def tree_of(home: Path, value: str) -> str:
    """A tree in which params and the evaluated outputs are those of `value`."""
    (home / "params.yaml").write_text(PARAMS.replace("epochs: 3", f"epochs: {value}"))
    (home / "dvc.lock").write_text(LOCK.replace("md5: aa", f"md5: aa{value}"))
    git(home, "add", "-A")
    tree = git(home, "write-tree").stdout.strip()
    git(home, "reset", "-q", "--hard")
    return tree


def promoted(home: Path, corpus: str, value: str) -> str:
    parent = champion_of(home, corpus) or commit_of(home, "HEAD")
    assert parent is not None
    tree = one_corpus(home, tree_of(home, value), corpus)
    commit = commit_tree(home, tree, [parent], message(value, f"{corpus}-{value}-x"))
    promote(home, corpus, commit)
    return commit


def shared(home: Path, *runs: tuple[str, str], back_to: int | None = None) -> list[str]:
    """Promote runs, corpus and value, on the one branch of an older version; roll back to one of them at the end."""
    commits = [str(commit_of(home, "HEAD"))]
    for corpus, value in runs:
        text = message(value, f"{corpus}-{value}-x")
        commits.append(commit_tree(home, tree_of(home, value), [commits[-1]], text))
    if back_to is not None:
        corpus, value = runs[back_to]
        text = message("rollback", f"{corpus}-{value}-x", rollback_to=commits[back_to + 1])
        commits.append(commit_tree(home, f"{commits[back_to + 1]}^{{tree}}", [commits[-1]], text))
    git(home, "update-ref", "refs/heads/champion", commits[-1])
    return commits[1:]


def test_a_clone_adopts_the_champions_of_its_origin(home: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    promoted(home, "a", "1")
    newest = {"a": promoted(home, "a", "2"), "a_b": promoted(home, "a_b", "1")}
    clone = tmp_path_factory.mktemp("clone") / "project"
    subprocess.run(["git", "clone", "-q", str(home), str(clone)], check=True)
    assert corpora_of(clone) == [] and remote_champions(clone) == newest
    said = adopt(clone)
    assert said == [f"{name}: champion {at[:10]} adopted from origin/champions/{name}" for name, at in newest.items()]
    assert {name: champion_of(clone, name) for name in newest} == newest
    assert [each.run for each in history(clone, "a")] == ["a-2-x", "a-1-x"]
    assert adopt(clone) == [] and remote_champions(clone) == {}


def test_a_commit_of_a_run_holds_its_corpus_alone_and_the_rest_as_it_was(home: Path) -> None:
    tree = one_corpus(home, "HEAD", "a")
    params, lock = str(text_at(home, tree, "params.yaml")), str(text_at(home, tree, "dvc.lock"))
    assert yaml.safe_load(params) == {
        "corpora": {"a": {"epochs": 1}},
        "runs": {"a-foal-s1": {"corpus": "a"}},
        "train": {"epochs": 3},
    }
    assert "# a comment that stays" in params and "# of a" in params
    assert list(yaml.safe_load(lock)["stages"]) == ["draw", "evaluate@a-foal-s1"], "a_b is another corpus than a"
    assert one_corpus(home, tree, "a") == tree, "twice is once"
    alone = one_corpus(home, one_corpus(home, "HEAD", "a_b"), "a_b")
    assert list(yaml.safe_load(str(text_at(home, alone, "dvc.lock")))["stages"]) == ["draw", "report@a_b"]


def test_promotion_and_rollback_of_one_corpus_leave_the_others_alone(home: Path) -> None:
    first, other, second = promoted(home, "a", "1"), promoted(home, "a_b", "1"), promoted(home, "a", "2")
    assert corpora_of(home) == ["a", "a_b"]
    assert [each.commit for each in history(home, "a")] == [second, first]
    assert rollback(home, "a")[1].commit == first
    assert champion_of(home, "a_b") == other
    with pytest.raises(UsageError, match="is the first champion of a_b"):
        rollback(home, "a_b")
    with pytest.raises(UsageError, match="never was a champion of a_b"):
        rollback_target(home, "a_b", second)
    with pytest.raises(UsageError, match="b has no champion yet"):
        rollback(home, "b")


def test_a_rollback_to_the_champion_in_force_does_nothing(home: Path) -> None:
    (home / "dvc.yaml").write_text("stages: {}\n")
    first, second = promoted(home, "a", "1"), promoted(home, "a", "2")
    for to, name in ((second, "a-2-x"), (first, "a-1-x")):
        head = champion_of(home, "a")
        done = verb(home, "rollback", "a", "--to", to)
        assert done.stdout == f"champion of a is  {to[:10]} ({name}) already: nothing to do\n"
        assert champion_of(home, "a") == head
        rollback(home, "a", first)


def test_the_shared_branch_of_an_older_version_is_adopted_once_for_each_corpus(home: Path) -> None:
    a1, b1, a2 = shared(home, ("a", "1"), ("a_b", "1"), ("a", "2"))
    said = adopt(home)
    assert [line.split(" (")[0] for line in said] == [f"a: champion {a2[:10]}", f"a_b: champion {b1[:10]}"]
    assert adopt(home) == []
    assert history(home, "a")[0].effective == a2
    assert [each.run for each in history(home, "a_b")] == ["a_b-1-x", "a_b-1-x"]
    # Its params are those that were promoted for it, and no other corpus is in them.
    params = yaml.safe_load(str(text_at(home, "champions/a_b", "params.yaml")))
    assert (list(params["corpora"]), params["train"]) == (["a_b"], {"epochs": 1})
    assert rollback(home, "a")[1].commit == a1
    assert promoted(home, "a", "3") == champion_of(home, "a"), "and it moves on"


def test_what_was_taken_back_on_the_shared_branch_stays_taken_back(home: Path) -> None:
    a1, b1, a2, _ = shared(home, ("a", "1"), ("a_b", "1"), ("a", "2"), back_to=0)
    adopt(home)
    assert history(home, "a")[0].effective == a1
    assert corpora_of(home) == ["a"], f"{b1} of a_b was taken back with it"
    assert rolled_back(home, "a", results_key(text_at(home, a2, "dvc.lock"), "a")) == a2


def test_the_verb_lists_each_corpus_and_says_what_it_adopted(home: Path) -> None:
    shared(home, ("a", "1"), ("a_b", "1"))
    (home / ".dvc").mkdir()
    (home / ".dvc" / "config").write_text("")
    said = CliRunner().invoke(cli, ["champion"], catch_exceptions=False).stdout
    assert "adopted from the branch champion as champions/a_b" in said
    assert [line for line in said.splitlines() if line.endswith(":")] == ["a:", "a_b:"]
    said = CliRunner().invoke(cli, ["champion", "a"], catch_exceptions=False).stdout
    assert "adopted" not in said and "a_b" not in said


@pytest.mark.long
def test_a_promotion_carries_no_refused_params_and_repro_on_its_branch_makes_nothing_of_another(toy: Path) -> None:
    def retrain(corpus: str) -> str:
        return str(bring_up_to_date(toy, corpus, run=at_once, publish=lambda *_: None)["outcome"])

    def score(**ua: float) -> None:
        """What the toy verbs say that a corpus reaches."""
        results = {f"reports/{corpus}/metrics.json": metrics(each) for corpus, each in ua.items()}
        (toy / "toy_results.json").write_text(json.dumps(results))

    params = yaml.safe_load((toy / "params.yaml").read_text())
    one = params["corpora"]["drawn"] | {"variants": ["foal"]}
    two = one | {"source": "data/two.source.json", "sides_table": "data/two.sides.txt"}
    (toy / "data" / "two.source.json").write_text("{}")
    (toy / "data" / "two.sides.txt").write_text("")
    change_params(toy, corpora={"drawn": {"variants": ["foal"]}, "two": two})
    verb(toy, "config", "--sync")
    git(toy, "add", "-A")
    git(toy, "commit", "-qam", "two corpora")
    score(drawn=0.80, two=0.80)
    assert (retrain("drawn"), retrain("two")) == ("Promoted", "Promoted")
    before = champion_of(toy, "drawn")

    # One change of params: refused for `drawn`, promoted for `two`.
    score(drawn=0.50, two=0.81)
    change_params(toy, report={"seed": 9})
    git(toy, "commit", "-qam", "another seed")
    assert (retrain("drawn"), retrain("two")) == ("Refused", "Promoted")
    assert champion_of(toy, "drawn") == before
    for corpus in ("drawn", "two"):
        held = yaml.safe_load(str(text_at(toy, f"champions/{corpus}", "params.yaml")))
        assert list(held["corpora"]) == [corpus]
        stages = yaml.safe_load(str(text_at(toy, f"champions/{corpus}", "dvc.lock")))["stages"]
        assert {name.partition("@")[2].partition("-")[0] for name in stages if "@" in name} == {corpus}

    # A clone on the branch: what was promoted comes from the cache, and no stage of the other corpus runs.
    run(toy, "git", "switch", "-q", "--detach", "champions/two")
    done = repro(toy)
    assert {name.partition("@")[2].partition("-")[0] for name in stages_run(done)} <= {"", "two"}
    assert (toy / "models/two/final/card.json").is_file() and not (toy / "models/drawn").exists()
