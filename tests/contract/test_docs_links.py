"""Every link, anchor, file and make target that a page names exists; every page is reachable from docs/README.md."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from foalnet.artifact.gitrepo import git, has_git
from tests.support.projects import REPOSITORY

DOCS = REPOSITORY / "docs"
PAGES = [
    *(
        REPOSITORY / name
        for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "bench/README.md", "data/README.md")
    ),
    *sorted(DOCS.glob("*.md")),
]
CODE = re.compile(r"^```.*?^```$|`[^`\n]*`", re.M | re.S)
LINK = re.compile(r"\]\(([^()\s]+)\)")


def prose(page: Path) -> str:
    """Return a page without its code: what is left are its links."""
    return CODE.sub("", page.read_text("utf-8"))


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives the headings of a page; the second of two equal ones ends with -1."""
    text, seen, names = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.M | re.S), Counter[str](), set()
    for heading in re.findall(r"^#+ (.*)$", text, re.M):
        name = re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()).replace(" ", "-")
        names.add(f"{name}-{seen[name]}" if seen[name] else name)
        seen[name] += 1
    return names


def broken(page: Path) -> list[str]:
    """Return the links of a page to a file or anchor that does not exist."""
    bad = []
    for link in LINK.findall(prose(page)):
        file, _, anchor = link.partition("#")
        target = page.parent / file if file else page
        there = link.startswith("https://") or (target.exists() and (not anchor or anchor in anchors(target)))
        bad += [] if there else [link]
    return bad


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(REPOSITORY).as_posix())
def test_links_anchors_and_targets_that_a_page_names_exist(page: Path) -> None:
    assert broken(page) == []
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z-]+)`", page.read_text("utf-8"))) <= targets


def test_a_broken_link_and_a_broken_anchor_are_noticed(tmp_path: Path) -> None:
    (tmp_path / "b.md").write_text("# Two `words`, here\n## Again\n## Again\n```\n# no heading\n```\n")
    page = tmp_path / "a.md"
    page.write_text("[1](b.md#two-words-here) [2](b.md#again-1) [3](c.md) [4](b.md#no-heading) [5](#gone) `[6](d.md)`")
    assert broken(page) == ["c.md", "b.md#no-heading", "#gone"]


def test_every_page_is_reachable_from_the_index() -> None:
    reached, left = set[Path](), [DOCS / "README.md"]
    while left:
        page = left.pop()
        if page not in reached:
            reached.add(page)
            links = {(page.parent / link.partition("#")[0]).resolve() for link in LINK.findall(prose(page))}
            left += [each for each in links if each.parent == DOCS and each.suffix == ".md"]
    assert reached == set(DOCS.glob("*.md"))
    assert "docs/README.md" in LINK.findall(prose(REPOSITORY / "README.md")), "README links the index"


PATH = re.compile(r"`((?:foalnet|flows|tests|bench|docs)/[a-z0-9_/.-]+)`")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(REPOSITORY).as_posix())
def test_files_of_the_project_that_a_page_names_exist(page: Path) -> None:
    """What a CHANGELOG names may be gone."""
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.M | re.S)
    gone = [name for name in PATH.findall(text) if not (REPOSITORY / name).exists()]
    assert page.name == "CHANGELOG.md" or gone == []


def test_pages_that_code_and_params_name_exist() -> None:
    if not has_git(REPOSITORY):
        pytest.skip("a source archive: git lists the project's files")
    named = git(REPOSITORY, "grep", "-ohE", r"docs/[a-z0-9-]+\.md", "--", ".").stdout.split()
    assert named and sorted({name for name in named if not (REPOSITORY / name).is_file()}) == []
