"""The folder of an export is empty, and one that git would take into a commit is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from foalnet.artifact.gitrepo import git
from foalnet.core.errors import UsageError
from foalnet.export import need_empty, warning_of


def test_a_new_or_empty_folder_is_taken(tmp_path: Path) -> None:
    need_empty(tmp_path / "a" / "b")
    need_empty(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()


@pytest.mark.parametrize("hidden", ["file.txt", ".hidden"])
def test_a_folder_with_files_is_refused(tmp_path: Path, hidden: str) -> None:
    (tmp_path / hidden).write_text("x")
    with pytest.raises(UsageError, match="not empty"):
        need_empty(tmp_path)
    with pytest.raises(UsageError, match="a file"):
        need_empty(tmp_path / hidden)


def test_a_repository_that_does_not_ignore_the_folder_is_named(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    assert warning_of(home / "out") is None, "no repository"
    git(home, "init", "-q")
    warning = warning_of(home / "deep" / "out")
    assert warning is not None and "git repository home" in warning and "do not commit" in warning
    (home / ".gitignore").write_text("/deep/\n")
    assert warning_of(home / "deep" / "out") is None
