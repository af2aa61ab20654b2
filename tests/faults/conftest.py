"""Two staged dialogues, and a copy of their tree to damage."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from tests.support.corpus.staging import DIALOGUE, OTHER, Place
from tests.support.corpus.trees import clips_tree
from tests.support.hub import serving


@pytest.fixture(scope="session")
def sound_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree of two dialogues, nothing wrong with it; never written to."""
    return clips_tree(tmp_path_factory.mktemp("tree"), [DIALOGUE, OTHER])


@pytest.fixture(scope="session")
def whole(sound_tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """The tree as it is staged without a fault."""
    place = Place(home=tmp_path_factory.mktemp("whole"), root=sound_tree)
    place.stage()
    return place


@pytest.fixture
def place(sound_tree: Path, tmp_path: Path) -> Place:
    """A copy of the tree, to be spoiled and then staged in this process."""
    shutil.copytree(sound_tree, tmp_path / "root")
    return Place(home=tmp_path, root=tmp_path / "root")


@pytest.fixture
def listener() -> Iterator[tuple[str, list[str]]]:
    """A server on loopback: (its address, the paths requested)."""
    requests: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            requests.append(self.path)
            self.send_error(404)

        def log_message(self, *_: Any) -> None:
            pass

    with serving(Handler) as address:
        yield address, requests
