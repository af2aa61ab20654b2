"""A lack of the machine is exit 4 and never blamed on a clip; a name that is too long is a usage error (exit 2)."""

from __future__ import annotations

import errno
import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from foalnet.core.errors import MachineError, UsageError, named, reason
from foalnet.core.faults import fault_of
from foalnet.core.files import not_read, publish_bytes
from foalnet.media import extract_sound, probe_streams
from tests.support.corpus.videos import ffmpeg, numbered_video
from tests.support.projects import REPOSITORY, verb

# Written where a library has its own: the picture is decoded by ffmpeg's process, its stamps lie in a temporary file.
DECODE = """
import contextlib, sys, tempfile
from pathlib import Path
import foalnet.media.decode as decode
from foalnet.core.errors import FoalnetError
from foalnet.media import extract_sound
def unusual(*_):
    raise decode.Unusual
decode.decode_inside = unusual
clip, kind, place, inodes = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), sys.argv[4] == "True"
# Python looks for a folder that takes files once; the disk fills up later.
assert tempfile.gettempdir() == str(place)
with contextlib.suppress(OSError):
    if inodes:
        for number in range(100):
            (place / str(number)).touch()
    else:
        with (place / "fill").open("wb", buffering=0) as file:
            while True:
                file.write(b"x" * 512)
try:
    if kind == "picture":
        print(len(list(decode.decode_frames(clip))))
    else:
        extract_sound(clip, place / "track.wav")
except FoalnetError as error:
    print(error)
    sys.exit(error.exit_code)
except OSError as error:
    from foalnet.core.faults import fault_of
    print(fault_of(error))
    sys.exit(fault_of(error).exit_code)
"""


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of 40 pictures with three seconds of sound."""
    folder = tmp_path_factory.mktemp("clip")
    picture = numbered_video(folder / "p.avi", 40)
    whole = folder / "clip.avi"
    ffmpeg("-i", str(picture), "-f", "lavfi", "-i", "sine=d=3", "-c:v", "copy", "-c:a", "pcm_s16le", str(whole))
    return whole


def on_a_full_disk(place: Path, clip: Path, kind: str, *, inodes: bool) -> subprocess.CompletedProcess[str]:
    """Decode with every temporary file on a disk that is full; skip where a test may not mount one."""
    script = (
        f"mount -t tmpfs -o size={'4m,nr_inodes=9' if inodes else '64k'} none {place} || exit 99\n"
        f'exec "{sys.executable}" -c "$SCRIPT" {clip} {kind} {place} {inodes}\n'
    )
    env = os.environ | {"TMPDIR": str(place), "SCRIPT": DECODE, "PYTHONPATH": str(REPOSITORY)}
    try:
        done = subprocess.run(["unshare", "-Urm", "sh", "-c", script], env=env, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("needs unshare to mount a small disk")
    if done.returncode == 99 or "unshare" in done.stderr:
        pytest.skip(f"may not mount a small disk here: {done.stderr.strip()}")
    return done


@pytest.mark.parametrize("inodes", [False, True], ids=["bytes", "inodes"])
@pytest.mark.parametrize("kind", ["sound", "picture"])
def test_a_full_temporary_folder_is_no_bad_clip(tmp_path: Path, clip: Path, kind: str, *, inodes: bool) -> None:
    done = on_a_full_disk(tmp_path, clip, kind, inodes=inodes)
    assert done.returncode == 4, done.stdout + done.stderr
    assert ("no inode is free" if inodes else "0 bytes are free") in done.stdout or "temporary directory" in done.stdout


def test_a_full_disk_under_the_sound_is_no_bad_clip(clip: Path) -> None:
    with pytest.raises(MachineError, match="No space left on device"):
        extract_sound(clip, Path("/dev/full"))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.ENOMEM])
def test_these_are_the_machines(number: int) -> None:
    fault = fault_of(OSError(number, os.strerror(number)))
    assert isinstance(fault, MachineError) and os.strerror(number) in fault.what and fault.action


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        ImportError("libx.so: failed to map segment from shared object"),
        RuntimeError("can't start new thread"),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory: you tried 9 bytes"
        ),
        FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']"),
    ],
)
def test_so_is_a_lack_of_memory_or_of_any_temporary_folder(error: Exception) -> None:
    assert isinstance(fault_of(error), MachineError)


@pytest.mark.parametrize(
    "error", [ValueError("x"), FileNotFoundError(errno.ENOENT, "x"), RuntimeError("x"), KeyError(1)]
)
def test_a_bug_stays_one(error: Exception) -> None:
    assert fault_of(error) is None


def test_inodes_are_named_where_they_are_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.statvfs(tmp_path)
    gone = os.statvfs_result([*real[:5], 10, 0, 0, *real[8:10]])
    monkeypatch.setattr("foalnet.core.faults.os.statvfs", lambda _: gone)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(MachineError, match="no inode is free"):
        publish_bytes(tmp_path / "a", b"x")


LONG = "x" * 300


@pytest.mark.parametrize(
    "arguments",
    [
        ("add-corpus", "ravdess", "--root", LONG),
        ("predict", "a.mp4", "--model", LONG),
        ("show", LONG),
        ("verify", LONG),
        ("sheet", LONG),
        ("train", LONG, "--variant", "foal", "--seed", "1"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_name_that_is_too_long_is_usage(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    for name in ("params.yaml", "dvc.yaml"):
        (tmp_path / name).write_bytes((REPOSITORY / name).read_bytes())
    done = verb(tmp_path, *arguments, check=False, PYTHONPATH=str(REPOSITORY))
    assert done.returncode == 2, done.stderr


def test_a_clip_with_too_long_a_name_is_usage() -> None:
    with pytest.raises(UsageError, match="longer than this disk takes"):
        probe_streams(Path(LONG))


def test_memory_that_ends_while_a_verb_is_imported_is_the_machines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def short(*_: object) -> None:
        raise MemoryError

    entry = importlib.import_module("foalnet.cli.main")
    monkeypatch.setattr(entry.Verbs, "get_command", short)
    monkeypatch.setattr(sys, "argv", ["foalnet", "doctor"])
    with pytest.raises(SystemExit) as ended:
        entry.main()
    assert ended.value.code == 4 and "memory" in capsys.readouterr().err


def shell(command: str) -> subprocess.CompletedProcess[str]:
    """Run a line of bash; its exit status is that of the first failed program of the pipe."""
    env = os.environ | {"PYTHONPATH": str(REPOSITORY), "FOALNET": f"{sys.executable} -m foalnet"}
    line = f"set -o pipefail; {command}"
    return subprocess.run(["bash", "-c", line], env=env, cwd=REPOSITORY, capture_output=True, text=True)


# More than a pipe and Python's own buffers hold.
MUCH = """python -c "
import click, sys
from foalnet.cli.main import cli, main
sys.argv = ['foalnet', 'much']
cli.command('much')(lambda: click.echo('y' * 10**6))
main()" """.replace("python", sys.executable, 1)


@pytest.mark.parametrize("command", ["$FOALNET --help", MUCH], ids=["a few lines", "much"])
def test_a_full_stdout_is_named_and_a_closed_pipe_is_a_normal_end(command: str) -> None:
    full = shell(f"{command} > /dev/full")
    assert full.returncode == 4, full.stderr
    assert full.stderr.splitlines() == [
        "foalnet: the output cannot be written: No space left on device",
        "  file: stdout",
        "  next: free space where stdout is written, or redirect it elsewhere, then run the same command again",
    ]
    closed = shell(f"{command} | head -c 1")
    assert (closed.returncode, closed.stderr, len(closed.stdout)) == (0, "", 1)


def test_a_stderr_that_takes_nothing_changes_no_exit_code() -> None:
    for stderr in ("2> /dev/full", "2>&1 >&- | true", "2>&-"):
        assert shell(f"$FOALNET show nothing {stderr}").returncode == 2, stderr


@pytest.mark.parametrize(
    ("error", "said", "with_kind"),
    [
        (MemoryError(), "out of memory", "MemoryError"),
        (TimeoutError(), "TimeoutError", "TimeoutError"),
        (OSError(), "OSError", "OSError"),
        (
            OSError(errno.EIO, os.strerror(errno.EIO), "x"),
            "Input/output error",
            "OSError: [Errno 5] Input/output error: 'x'",
        ),
        (KeyError("folds"), "no 'folds'", "KeyError: 'folds'"),
        (ValueError(" "), "ValueError", "ValueError"),
    ],
)
def test_a_reason_is_never_empty(error: Exception, said: str, with_kind: str) -> None:
    assert (reason(error), named(error)) == (said, with_kind)


def test_messages_end_with_a_reason() -> None:
    fault = fault_of(MemoryError())
    assert fault is not None and fault.what.endswith("does not suffice: out of memory")
    assert not_read(OSError(), Path("x")).what == "the file cannot be read: OSError"
