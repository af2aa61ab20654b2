"""The files of face detectors: one verb fetches them, only as published, and one function locates them: T87, T88."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from foalnet.cli.main import cli
from foalnet.core.errors import MachineError
from foalnet.core.files import sha256_bytes
from foalnet.faces import DETECTORS, WEIGHT_FILES
from foalnet.faces.weights import WeightFile, checkpoint_folder
from tests.support.hub import serving
from tests.support.projects import program, verb

FILES = {"one.onnx": b"the published numbers", "two.npy": b"and their anchors"}
# No detector may be built from the made-up files; the verbs only find, fetch and check them.
NAME = "blazeface"


@contextmanager
def site(files: dict[str, bytes], *, short_by: int = 0) -> Iterator[tuple[str, list[str]]]:
    """Serve files on loopback: (address, paths requested); `short_by`: the connection ends that many bytes early."""
    requests: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            requests.append(self.path)
            data = files.get(self.path.removeprefix("/"))
            if data is None:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[: len(data) - short_by])

        def log_message(self, *_: Any) -> None:
            pass

    with serving(Handler) as address:
        yield address, requests


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without weights, and its weights folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("FOALNET_WEIGHTS", str(tmp_path / "w"))
    for proxy in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(proxy, raising=False)
    return tmp_path / "w"


def publish(patch: pytest.MonkeyPatch, address: str | None) -> None:
    files = tuple(
        WeightFile(
            name=name,
            detector=NAME,
            sha256=sha256_bytes(data),
            origin="the repository of somebody",
            address=address and f"{address}/{name}",
        )
        for name, data in FILES.items()
    )
    patch.setitem(WEIGHT_FILES, NAME, files)


def weights(*args: str) -> Result:
    return CliRunner().invoke(cli, ["weights", *args])


def refused(*args: str) -> MachineError:
    error = weights(*args).exception
    assert isinstance(error, MachineError) and error.exit_code == 4
    return error


def test_t88_a_detectors_files_are_fetched_once_and_then_need_no_network(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with site(FILES) as (address, requests):
        publish(monkeypatch, address)
        assert f"{NAME}: one.onnx: not ready" in weights().output
        done = weights("fetch", NAME)
        assert done.exit_code == 0, done.output
        assert requests == ["/one.onnx", "/two.npy"]
        for name, data in FILES.items():
            assert (folder / name).read_bytes() == data and sha256_bytes(data) in done.output
        weights("fetch", NAME)
        assert len(requests) == 2, "what is there is not fetched again"
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("a socket was opened"))
    assert weights("fetch", NAME).exit_code == 0
    listed = weights().output
    assert all(f"{NAME}: {name}: ready, sha256 {sha256_bytes(data)}" in listed for name, data in FILES.items())
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)


def test_t87_a_fetched_file_with_another_digest_is_dropped_with_both_shown(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with site(FILES | {"two.npy": b"altered"}) as (address, _):
        publish(monkeypatch, address)
        said = str(refused("fetch", NAME))
    assert "two.npy" in said and sha256_bytes(FILES["two.npy"]) in said and sha256_bytes(b"altered") in said
    assert str(folder / "two.npy") in said and "the repository of somebody" in said
    assert [path.name for path in folder.iterdir()] == ["one.onnx"], "a refused file must not stay"


def test_t87_a_file_put_there_by_hand_that_is_not_the_published_one_is_refused_by_name(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(monkeypatch, "http://127.0.0.1:9")
    folder.mkdir()
    (folder / "one.onnx").write_bytes(b"damaged")
    (folder / "two.npy").write_bytes(FILES["two.npy"])
    error = refused("fetch", NAME)
    assert str(error.file) == str(folder / "one.onnx")
    assert sha256_bytes(b"damaged") in str(error) and sha256_bytes(FILES["one.onnx"]) in str(error)
    assert f"foalnet weights fetch {NAME}" in str(error)
    listed = weights().output
    assert f"{NAME}: one.onnx: not ready" in listed and f"{NAME}: two.npy: ready" in listed
    (folder / "one.onnx").write_bytes(FILES["one.onnx"])
    assert weights("fetch", NAME).exit_code == 0, "files laid by hand need no network"


def test_t88_files_that_face_alignment_left_are_used_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(monkeypatch, "http://127.0.0.1:9")
    checkpoint_folder().mkdir(parents=True)
    for name, data in FILES.items():
        (checkpoint_folder() / name).write_bytes(data)
    assert weights("fetch", NAME).output.count("ready, sha256") == 2 and not folder.exists()


@pytest.mark.parametrize("fault", ["nobody", "404", "cut"])
def test_a_fetch_that_fails_says_what_to_do_and_leaves_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    with site({} if fault == "404" else FILES, short_by=3) as (address, _):
        publish(monkeypatch, "http://127.0.0.1:9" if fault == "nobody" else address)
        error = refused("fetch", NAME)
    assert "one.onnx" in error.what and str(folder / "one.onnx") in str(error.action)
    assert not folder.exists() or list(folder.iterdir()) == []


def test_without_an_address_the_way_of_a_local_file_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(monkeypatch, None)
    error = refused("fetch", NAME)
    assert "no address" in error.what and sha256_bytes(FILES["one.onnx"]) in error.what
    assert "the repository of somebody" in str(error.action) and str(folder / "one.onnx") in str(error.action)
    assert "weights fetch" not in weights().output.partition(f"{NAME}: one.onnx")[2].partition("sfd:")[0]


def test_every_detector_that_needs_a_file_is_listed_with_digest_and_address() -> None:
    assert set(WEIGHT_FILES) == set(DETECTORS) - {"haar", "fixed"}
    for name, files in WEIGHT_FILES.items():
        for file in files:
            assert file.detector == name and len(file.sha256) == 64
            assert file.address is not None and file.address.startswith("https://")
            assert file.address.endswith(f"/{file.name}")


def test_the_verbs_answer_for_detectors(tmp_path: Path, repository: Path) -> None:
    (tmp_path / "foalnet").symlink_to(repository / "foalnet")
    home = {"FOALNET_WEIGHTS": "w", "TORCH_HOME": "torch", "https_proxy": "http://127.0.0.1:9"}
    offline = program(tmp_path, "weights", "fetch", "yunet", check=False, **home)
    assert offline.returncode == 4 and "next:" in offline.stderr and "Traceback" not in offline.stderr
    assert "needs no file" in verb(tmp_path, "weights", "fetch", "haar", **home).stdout
    unknown = verb(tmp_path, "weights", "fetch", "yunt", check=False, **home)
    assert unknown.returncode == 2 and "did you mean 'yunet'?" in unknown.stderr
    own = verb(tmp_path, "weights", "record", "sfd", check=False, **home)
    assert own.returncode == 2 and "foalnet weights fetch sfd" in own.stderr
