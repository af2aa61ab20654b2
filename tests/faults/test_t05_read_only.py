"""T5: an output folder that cannot be written is refused with exit 4 before any work is done."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from foalnet.cli.main import cli
from foalnet.core.errors import MachineError
from foalnet.core.files import need_writable
from tests.faults.test_t04_disk_full import mountable  # noqa: F401 - a fixture
from tests.support.corpus.stores import make_store, write_corpus, write_params
from tests.support.marks import red_when

REPOSITORY = Path(__file__).resolve().parents[2]
RUN = ("--variant", "audio_only", "--seed", "1")
# Each verb, an output of it, and the function that does its work.
VERBS: dict[str, tuple[tuple[str, ...], str, str]] = {
    "draw": ((), "data/drawn", "foalnet.drawn.write.draw"),
    "inventory": (("drawn",), "data/drawn", "foalnet.stages.inventory.take"),
    "manifest": (("drawn",), "reports/drawn", "foalnet.stages.manifest.build.build"),
    "shards": (("drawn",), "data/drawn/shards", "foalnet.stages.shards.staging.stage"),
    "shards: a session": (("drawn",), "data/drawn/shards/Session1", "foalnet.stages.shards.staging.stage"),
    "shards: the account": (("drawn",), "reports/drawn", "foalnet.stages.shards.staging.stage"),
    "features": (("drawn",), "data/drawn/features", "foalnet.stages.features.encode.encode"),
    "train": (("drawn", *RUN), "models/drawn/audio_only-s1", "foalnet.stages.train.training.train_run"),
    "evaluate": (("drawn", *RUN), "reports/drawn/runs", "foalnet.stages.evaluate.scoring.evaluate_run"),
    "final": (("drawn",), "models/drawn/final", "foalnet.stages.final.model.final_run"),
    "report": (("drawn",), "reports/drawn", "foalnet.evidence.report.build"),
    "shards: the work cache": (("drawn",), "work", "foalnet.stages.shards.staging.stage"),
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_params(tmp_path)
    monkeypatch.setattr("foalnet.cli.entries.check_runs", lambda: None)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def began(*_: Any, **__: Any) -> None:
    raise AssertionError("work was begun")


def read_only(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let nothing be written in a folder, and nothing else be wrong with it, as on a read-only disk."""
    real = Path.open

    def opened(path: Path, mode: str = "r", *more: Any, **options: Any) -> Any:
        if set(mode) & set("wax+") and path.absolute().parent == folder.absolute():
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        return real(path, mode, *more, **options)

    monkeypatch.setattr(Path, "open", opened)


@red_when("stages/base.py", "a verb does not ask whether its outputs can be written")
@pytest.mark.parametrize("name", VERBS)
def test_t5_a_read_only_output_is_refused_before_any_work(
    project: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    arguments, folder, works = VERBS[name]
    (project / folder).mkdir(parents=True)
    read_only(monkeypatch, project / folder)
    monkeypatch.setattr(works, began)
    done = CliRunner().invoke(cli, [name.partition(":")[0], *arguments])
    assert isinstance(done.exception, MachineError), done.exception
    assert done.exception.exit_code == 4 and done.exception.file == folder
    assert done.exception.what == f"the folder cannot be written, so nothing was started: {os.strerror(errno.EROFS)}"
    assert str(done.exception.stage).startswith(name.partition(":")[0]) and "permissions" in str(done.exception.action)


@red_when("core/files.py", "a folder that is not there is not asked for")
@pytest.mark.parametrize("name", [name for name in VERBS if "work" not in name and "session" not in name])
def test_t5_an_output_in_a_folder_that_cannot_be_made_is_refused_before_any_work(
    project: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A file stands where its parent belongs: that stops root too."""
    arguments, folder, works = VERBS[name]
    blocked = (project / folder).parent
    blocked.parent.mkdir(parents=True, exist_ok=True)
    blocked.write_text("")
    monkeypatch.setattr(works, began)
    done = CliRunner().invoke(cli, [name.partition(":")[0], *arguments])
    assert isinstance(done.exception, MachineError), done.exception
    assert done.exception.exit_code == 4
    assert done.exception.what.startswith("the folder cannot be written, so nothing was started")
    assert str(done.exception.file) == blocked.relative_to(project).as_posix()


@red_when("core/files.py", "the probe stays")
def test_t5_the_check_leaves_nothing_and_makes_no_folder(tmp_path: Path) -> None:
    need_writable([tmp_path, tmp_path / "not" / "there"])
    assert list(tmp_path.iterdir()) == []


def as_somebody(act: Callable[[], None]) -> int:
    """Run in a child that is not root, and return how it ended: 0, or the exit code of a typed error."""
    child = os.fork()
    if child == 0:
        code = 70
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
            act()
            code = 0
        except MachineError as error:
            code = error.exit_code if os.strerror(errno.EACCES) in error.what else 71
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@red_when("core/files.py", "no probe is written")
def test_t5_the_kernel_decides_about_permissions(tmp_path: Path) -> None:
    """Root may write anywhere: the question is put by a process that gave its rights up."""
    for folder in (tmp_path, *tmp_path.parents[:3]):
        if os.stat(folder).st_uid == os.geteuid():
            folder.chmod(0o755)
    for name, mode in (("open", 0o777), ("closed", 0o555)):
        (tmp_path / name).mkdir()
        (tmp_path / name).chmod(mode)
    assert as_somebody(lambda: need_writable([tmp_path / "open"])) == 0
    assert as_somebody(lambda: need_writable([tmp_path / "closed"])) == 4
    assert as_somebody(lambda: need_writable([tmp_path / "closed" / "below"])) == 4


REAL = """
import pathlib, subprocess, sys
subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "none", "models"], check=True)
sys.exit(subprocess.run([sys.executable, "-m", "foalnet", *sys.argv[1:]]).returncode)
"""


@pytest.mark.long
@red_when("stages/base.py", "a verb does not ask whether its outputs can be written")
def test_t5_a_read_only_disk_stops_train_at_once_for_root_too(mountable: None, tmp_path: Path) -> None:  # noqa: F811
    write_corpus(tmp_path, make_store(per_group=4))
    write_params(tmp_path, epochs=1)
    (tmp_path / "models").mkdir()
    command = ["unshare", "-m", sys.executable, "-c", REAL, "train", "drawn", *RUN]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "FOALNET_DEVICE": "cpu"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 4, done.stderr
    assert os.strerror(errno.EROFS) in done.stderr and "next: " in done.stderr
    assert "train drawn" not in done.stderr, "it did not come to the line that training begins with"
    assert not list((tmp_path / "work").glob("train/*"))
