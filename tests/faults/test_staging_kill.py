"""kill -9 at any byte of staging: partial output never counts as complete, and the next run gives the same bytes."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from foalnet.core.errors import DataError
from foalnet.shards import open_shards
from tests.support.corpus.staging import Place
from tests.support.corpus.trees import clips_tree
from tests.support.marks import red_when

REPOSITORY = Path(__file__).resolve().parents[2]
DIALOGUES = ("Ses01F_impro01", "Ses02M_impro02")

# Runs staging in one process and kills it when it has written BUDGET bytes in all, in the middle of a write, or just
# before a file gets the name BEFORE.
SCRIPT = """
import builtins, io, os, pathlib, shutil, signal, sys
sys.path.insert(0, {repository!r})
home, root, budget, before = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
written = 0

class Killing(io.FileIO):
    def write(self, data):
        global written
        data = memoryview(data).cast("B")
        part = data[: max(budget - written, 0)] if budget >= 0 else data
        super().write(part)
        written += len(part)
        if len(part) < len(data):
            os.kill(os.getpid(), signal.SIGKILL)
        return len(data)

def killing_open(file, mode="r", *args, **options):
    if mode == "wb" and str(file).startswith(str(home)):
        return Killing(str(file), "wb")
    return builtins.open(file, mode, *args, **options)

real = pathlib.Path.open

def path_open(self, mode="r", *args, **options):
    return killing_open(self, mode) if mode == "wb" else real(self, mode, *args, **options)

real_replace = os.replace

def replace(source, target):
    if pathlib.Path(target).name == before:
        os.kill(os.getpid(), signal.SIGKILL)
    real_replace(source, target)

os.replace = replace
pathlib.Path.open = path_open
shutil.open, shutil._USE_CP_SENDFILE = killing_open, False

from tests.support.corpus.staging import Place

Place(home=home, root=root).stage(listed=True)
print(written)
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clips_tree(tmp_path_factory.mktemp("tree"), DIALOGUES)


def run(place: Place, budget: int, before: str = "") -> subprocess.CompletedProcess[str]:
    """Stage in a process that ends with its budget of written bytes (-1: no limit), or before a name is given."""
    script = SCRIPT.format(repository=str(REPOSITORY))
    arguments = [sys.executable, "-c", script, str(place.home), str(place.root), str(budget), before]
    return subprocess.run(arguments, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def whole(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, bytes], int]:
    """The bytes of an undisturbed run, and how many it writes in all."""
    place = Place(home=tmp_path_factory.mktemp("whole"), root=tree)
    place.list_files()
    done = run(place, -1)
    assert done.returncode == 0, done.stderr
    return place.bytes(), int(done.stdout.split()[-1])


def killed_at(place: Place, budget: int, before: str = "") -> None:
    """List the files, then stage and be killed."""
    place.list_files()
    done = run(place, budget, before)
    assert done.returncode == -signal.SIGKILL, done.stderr


def check_recovery(place: Place, wanted: dict[str, bytes]) -> None:
    """What a kill leaves is no data set; the rerun gives the undisturbed bytes and leaves no file older than it."""
    assert not (place.out / "index.json").exists()
    with pytest.raises(DataError, match="no index"):
        open_shards(place.out)
    place.stage(listed=True)
    assert place.bytes() == wanted
    assert temporaries(place) == []


def temporaries(place: Place) -> list[str]:
    """Return what is no published name, anywhere in the project."""
    return [p.name for p in place.home.rglob("*") if p.name.startswith(".") or p.suffix == ".part"]


def before_the_end(wanted: dict[str, bytes], total: int) -> dict[str, int]:
    """Return, for the last files that are written, how many bytes are written when half of each is."""
    places, end = {}, total
    shards = sorted((name for name in wanted if name.endswith(".tar")), reverse=True)
    for name in ("index.json", "staging.json", *shards):
        places[name] = end - len(wanted[name]) // 2
        end -= len(wanted[name])
    return places | {"speeds": end - 50}


@red_when("stages/shards/staging.py", "what killed writers left is cleared away in work/clips alone", case="speeds")
@pytest.mark.parametrize(
    "file",
    [
        "Session1/000000.tar",
        *(
            pytest.param(name, marks=pytest.mark.long)
            for name in ("index.json", "staging.json", "Session2/000000.tar", "speeds")
        ),
    ],
)
def test_t01_kill_in_each_of_the_last_files_leaves_no_temporary_after_the_rerun(
    tree: Path, tmp_path: Path, whole: tuple[dict[str, bytes], int], file: str
) -> None:
    """Also of a file that the rerun, with every dialogue done, has no reason to write: the speeds."""
    wanted, total = whole
    place = Place(home=tmp_path, root=tree)
    killed_at(place, before_the_end(wanted, total)[file])
    name = {"speeds": "shards-tiny.json"}.get(file, Path(file).name)
    assert any(left.startswith(f".{name}.") for left in temporaries(place))
    check_recovery(place, wanted)


@red_when("stages/shards/staging.py", "what killed writers left is not cleared away")
def test_t01_kill_in_the_first_shard_in_the_middle_and_near_the_end(
    tree: Path, tmp_path: Path, whole: tuple[dict[str, bytes], int]
) -> None:
    wanted, total = whole
    dice = random.Random(1)
    for number, (low, high) in enumerate([(0.0, 0.2), (0.3, 0.6), (0.8, 1.0)]):
        place = Place(home=tmp_path / str(number), root=tree)
        killed_at(place, int(total * dice.uniform(low, high)))
        check_recovery(place, wanted)


@red_when("stages/shards/staging.py", "what killed writers left is not cleared away")
@pytest.mark.long
def test_t01_kill_at_fifty_random_bytes(tree: Path, tmp_path: Path, whole: tuple[dict[str, bytes], int]) -> None:
    wanted, total = whole
    dice = random.Random(2)
    for number in range(50):
        place = Place(home=tmp_path / str(number), root=tree)
        killed_at(place, dice.randrange(total - 500))  # the recorded speeds have more or fewer digits
        check_recovery(place, wanted)


@red_when("stages/shards/publish.py", "a shard that is there whole is copied all the same")
def test_t02_kill_before_the_index_leaves_only_the_index_to_write(
    tree: Path, tmp_path: Path, whole: tuple[dict[str, bytes], int]
) -> None:
    """The account of staging, the same bytes, is the one other file that a run writes in any case."""
    wanted, _ = whole
    place = Place(home=tmp_path, root=tree)
    killed_at(place, -1, before="index.json")
    assert len(list(place.out.rglob("*.tar"))) == len(DIALOGUES), "every shard, and an index that has no name yet"
    before = written(place)
    check_recovery(place, wanted)
    after = written(place)
    new = {name for name in after if after[name] != before.get(name)}
    assert new == {"data/shards/index.json", "reports/staging.json"}
    unnamed = {name.rsplit(".", 2)[0] for name in before.keys() - after.keys()}
    claims = {
        f"{folder}/.claim" for folder in ("data/shards", "data/shards/Session1", "data/shards/Session2", "reports")
    }
    assert unnamed == claims | {"data/shards/.index.json"}


def written(place: Place) -> dict[str, tuple[int, int]]:
    """Return when and as which file every file of the project was written."""
    files = {p.relative_to(place.home).as_posix(): p.stat() for p in place.home.rglob("*") if p.is_file()}
    return {name: (facts.st_mtime_ns, facts.st_ino) for name, facts in files.items()}


@red_when("stages/shards/staging.py", "what killed writers left is not cleared away")
@pytest.mark.long
def test_t01_killed_again_and_again_it_still_gets_there(
    tree: Path, tmp_path: Path, whole: tuple[dict[str, bytes], int]
) -> None:
    wanted, total = whole
    place = Place(home=tmp_path, root=tree)
    for _ in range(3):
        killed_at(place, total // 4)
    check_recovery(place, wanted)
