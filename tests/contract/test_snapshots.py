"""The command line, the params' schema and their docs are what was written down; `make snapshots` writes them anew."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml

from foalnet.artifact.gitrepo import commit_of, git, has_git, text_at
from foalnet.cli.main import cli
from foalnet.config import load_params
from tests import snapshots
from tests.support.projects import REPOSITORY


@pytest.mark.parametrize("name", [name for name in snapshots.SNAPSHOTS if name != "README.md"])
def test_what_was_written_down_still_holds(name: str) -> None:
    written = (REPOSITORY / name).read_text("utf-8")
    assert written == snapshots.SNAPSHOTS[name](), f"{name} differs: a mistake, or run `make snapshots` and commit it"


def verbs() -> Iterator[tuple[str, click.Command]]:
    context = click.Context(cli)
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None
        yield name, command


def test_every_verb_with_every_option_stands_in_the_docs() -> None:
    page = (REPOSITORY / "docs" / "cli.md").read_text("utf-8")
    for name, command in verbs():
        section = page.partition(f"## foalnet {name}\n")[2].partition("\n## ")[0]
        options = [opt for param in command.params if isinstance(param, click.Option) for opt in param.opts]
        missing = [opt for opt in options if opt not in section]
        assert section and missing == [], name


def test_every_option_has_help() -> None:
    bare = [
        f"{name} {param.opts[0]}"
        for name, command in verbs()
        for param in command.params
        if isinstance(param, click.Option) and not param.help
    ]
    assert bare == []


def test_the_comments_change_no_value(tmp_path: Path) -> None:
    text = snapshots.commented_params()
    assert yaml.safe_load(text) == yaml.safe_load((REPOSITORY / "params.yaml").read_text())
    (tmp_path / "params.yaml").write_text(text)
    assert load_params("drawn", tmp_path / "params.yaml") == load_params("drawn", REPOSITORY / "params.yaml")


@pytest.mark.long
def test_one_command_writes_them_and_twice_is_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # After `make run` on another machine this checkout's figures are no commit's.
    monkeypatch.setitem(snapshots.SNAPSHOTS, "README.md", lambda: "a table")
    for name in snapshots.SNAPSHOTS:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    assert list(snapshots.write(tmp_path)) == list(snapshots.SNAPSHOTS)
    assert list(snapshots.write(tmp_path)) == []
    (tmp_path / "docs" / "cli.md").write_text("old")
    assert list(snapshots.write(tmp_path)) == ["docs/cli.md"]
    assert "python -m tests.snapshots" in (REPOSITORY / "Makefile").read_text()


def test_the_result_table_is_that_of_the_commit_beside_it() -> None:
    if not has_git(REPOSITORY):
        pytest.skip("needs the history: this is a source archive without .git")
    written = (REPOSITORY / "README.md").read_text("utf-8")
    named = snapshots.named_commit(written)
    if commit_of(REPOSITORY, named) is None:
        pytest.skip(f"needs the history: commit {named} is not in this clone")
    figures, params = (text_at(REPOSITORY, named, name) for name in (snapshots.FIGURES, "params.yaml"))
    seeds = yaml.safe_load(params or "")["corpora"]["drawn"]["seeds"]
    assert snapshots.result_block(json.loads(figures or ""), seeds, named) in written, "`make snapshots` writes it"


def _printed(text: str) -> dict[str, float]:
    """Return what README's table prints, in points of UA: a variant's UA, and every `a minus b`."""
    block = text.partition("```\ndrawn: ")[2].partition("```")[0].replace("\N{MINUS SIGN}", "-")
    rows = re.findall(r"(?m)^ *(\w+(?: minus \w+)?)  +([+-]?\d+\.\d)  ", block.partition("correct %, by kind")[0])
    return {name: float(value) for name, value in rows}


def test_what_the_result_table_claims_holds_for_the_figures_of_this_checkout() -> None:
    """Whatever machine made them: what is printed lies in their intervals, to a digit that was rounded."""
    figures = json.loads((REPOSITORY / snapshots.FIGURES).read_text("utf-8"))
    differences = dict(figures["differences"])
    for late in figures["late_average"].values():
        differences |= late["differences"]
    held = figures["variants"] | {name.replace("_minus_", " minus "): row for name, row in differences.items()}
    printed = _printed((REPOSITORY / "README.md").read_text("utf-8"))
    assert printed.keys() == held.keys()
    outside = {
        name: (value, held[name]["ua_low"], held[name]["ua_high"])
        for name, value in printed.items()
        if not 100 * held[name]["ua_low"] - 0.05 <= value <= 100 * held[name]["ua_high"] + 0.05
    }
    assert outside == {}
    for single in ("audio_only", "video_only"):
        assert figures["differences"][f"foal_minus_{single}"]["ua_low"] > 0, "`foal` lies above each modality alone"


@pytest.fixture
def history(tmp_path: Path) -> Path:
    """A repository whose first commit holds the figures, and a second one that has nothing to do with them."""
    home = tmp_path / "home"
    (home / "reports" / "drawn").mkdir(parents=True)
    (home / snapshots.FIGURES).write_text("{}")
    git(home, "init", "-q")
    commit(home, "figures")
    (home / "README.md").write_text("x")
    commit(home, "other")
    return home


def commit(home: Path, message: str) -> str:
    git(home, "add", "-A")
    git(home, "commit", "-qm", message)
    return str(commit_of(home, "HEAD"))[:10]


def test_the_commit_is_the_last_that_changed_the_figures(history: Path) -> None:
    first = str(commit_of(history, "HEAD~1"))[:10]
    assert snapshots.result_commit(history, "0") == first
    (history / "README.md").write_text("changed, and nobody minds")
    assert snapshots.result_commit(history, "0") == first
    (history / snapshots.FIGURES).write_text('{"a": 1}')
    for _ in range(2):
        with pytest.raises(snapshots.NotCommittedError, match="commit it first, then run `make snapshots` again"):
            snapshots.result_commit(history, "0")
        git(history, "add", "-A")
    second = commit(history, "new figures")
    assert snapshots.result_commit(history, "0") == second != first


def test_without_a_whole_history_the_named_commit_stays(history: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut"
    git(tmp_path, "clone", "-q", "--depth", "1", history.as_uri(), str(cut))
    assert snapshots.is_shallow(cut) and snapshots.result_commit(cut, "0123456789") == "0123456789"
    shutil.rmtree(history / ".git")
    assert snapshots.result_commit(history, "0123456789") == "0123456789"


@pytest.mark.long
def test_figures_without_a_commit_hold_up_readme_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> str:
        raise snapshots.NotCommittedError("commit it first")

    monkeypatch.setitem(snapshots.SNAPSHOTS, "README.md", refuse)
    for name in snapshots.SNAPSHOTS:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    with pytest.raises(snapshots.NotCommittedError):
        list(snapshots.write(tmp_path))
    assert [name for name in snapshots.SNAPSHOTS if not (tmp_path / name).exists()] == ["README.md"]


def test_help_is_the_same_on_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    before = snapshots.cli_text()
    monkeypatch.setenv("COLUMNS", "40")
    assert snapshots.cli_text() == before


def test_contributing_fits_a_page() -> None:
    text = (REPOSITORY / "CONTRIBUTING.md").read_text("utf-8")
    assert len(text.splitlines()) <= 60 and len(text.split()) <= 650
    assert [f"## {name}" in text for name in ("Always", "Ask first", "Never")] == [True] * 3
