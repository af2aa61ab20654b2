"""T7: two runs over one work folder at once, of two corpora: each gives the bytes that it gives alone.

Two runs of one corpus at once, and two flows beside a laptop, are in tests/flows/test_staging.py; a laptop and a server
in test_t09_locks.py.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from foalnet.config import Settings
from tests.support.corpus.staging import Place
from tests.support.marks import red_when

REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, {repository!r})
from tests.faults.test_t07_sharing import Sharing

place = Sharing(home=Path(sys.argv[1]), root=Path(sys.argv[2]), corpus=sys.argv[3])
place.list_files()
print("ready", flush=True)
sys.stdin.readline()
for _ in range(3):
    place.stage(listed=True)
"""


@dataclass(frozen=True, kw_only=True)
class Sharing(Place):
    """A place that shares its work folder with another one."""

    @property
    def settings(self) -> Settings:
        """Settings with the common work folder."""
        return Settings(work=self.home.parent / "work", workers=1)


@pytest.mark.long
@red_when("clips/plan.py", "the key of a dialogue leaves its corpus out")
def test_t7_two_corpora_staged_at_once_over_one_work_folder_give_the_bytes_of_each_alone(
    sound_tree: Path, tmp_path: Path
) -> None:
    names = ("one", "other")
    alone = {}
    for name in names:
        place = Place(home=tmp_path / "alone" / name, root=sound_tree, corpus=name)
        place.stage()
        alone[name] = place.bytes()
    command = [sys.executable, "-c", SCRIPT.format(repository=str(REPOSITORY))]
    running = [
        subprocess.Popen(
            [*command, str(tmp_path / "both" / name), str(sound_tree), name],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for name in names
    ]  # fmt: skip
    for process in running:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    said = []
    for process in running:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in running:
        said.append(process.communicate(timeout=120)[1])
    assert [process.returncode for process in running] == [0, 0], said
    for name in names:
        assert Sharing(home=tmp_path / "both" / name, root=sound_tree, corpus=name).bytes() == alone[name]
    left = [path.name for path in (tmp_path / "both").rglob("*") if path.suffix == ".part"]
    assert left == []
