"""Weights with a wrong digest are refused, and fetched weights need no network: T87, T88."""

from __future__ import annotations

import json
import os
import pickle
import socket
from pathlib import Path
from typing import Any

import pytest

from foalnet.config import Settings
from foalnet.core.errors import DataError, MachineError, UsageError
from foalnet.core.files import sha256_file
from foalnet.encoders import CATALOGUE, open_weights
from foalnet.encoders.fetch import fetch_weights, record_weights
from foalnet.methods import build_net
from foalnet.nets import InputShape
from tests.support.corpus.stores import make_params
from tests.support.hub import hub, needs_transformers, pin, recorded, write_clip, write_wavlm
from tests.support.processes import HostilePickle
from tests.support.projects import program, verb

NAME = "wavlm_base"


@pytest.fixture
def origin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub's repository on disk, pinned in the catalogue."""
    needs_transformers()
    import huggingface_hub.constants

    # Building the checkpoint set it; a process that fetches never imports transformers before.
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    write_wavlm(tmp_path / "hub", NAME, pickle=True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    pin(monkeypatch, NAME, tmp_path / "hub")
    return tmp_path / "hub"


def fetched(origin: Path, root: Path, patch: pytest.MonkeyPatch, name: str = NAME) -> list[str]:
    with hub(name, origin) as (address, requests):
        patch.setenv("HF_ENDPOINT", address)
        list(fetch_weights(name, Settings(weights=root)))
    return requests


def test_t87_a_weight_file_with_another_digest_is_refused_with_both(
    origin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = sha256_file(origin / "pytorch_model.bin")
    with (origin / "pytorch_model.bin").open("ab") as handle:
        handle.write(b"more")
    actual = sha256_file(origin / "pytorch_model.bin")
    with pytest.raises(MachineError) as error:
        fetched(origin, tmp_path / "w", monkeypatch)
    assert error.value.exit_code == 4 and expected in error.value.what and actual in error.value.what
    left = {path.name for path in (tmp_path / "w" / NAME).rglob("*") if path.is_file()}
    assert left <= {".lock"}, "a refused file must not stay"
    with pytest.raises(MachineError, match="not ready"):
        open_weights(NAME, Settings(weights=tmp_path / "w"))


@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "preprocessor_config.json"])
def test_t87_a_file_that_changed_after_the_fetch_is_refused_with_both(
    origin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    fetched(origin, tmp_path / "w", monkeypatch)
    path = tmp_path / "w" / NAME / file
    before = sha256_file(path)
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(MachineError) as error:
        open_weights(NAME, Settings(weights=tmp_path / "w"))
    text = str(error.value)
    assert before in text and sha256_file(path) in text and file in text and f"weights fetch {NAME}" in text


def test_t87_weights_other_than_params_ask_for_are_refused_with_both(tmp_path: Path) -> None:
    """A user's own weights need their digest in params; and params that name another digest are not served."""
    needs_transformers()
    own = recorded(tmp_path, "clip_vit_b32")
    published = CATALOGUE["clip_vit_b32"].files["pytorch_model.bin"]
    for digest, expected in ((None, published), ("a" * 64, "a" * 64)):
        with pytest.raises(MachineError) as error:
            open_weights("clip_vit_b32", Settings(weights=tmp_path), own=digest)
        assert str(expected) in error.value.what and own.sha256 in error.value.what
    assert open_weights("clip_vit_b32", Settings(weights=tmp_path), own=own.sha256).sha256 == own.sha256


def test_t88_after_the_first_fetch_nothing_needs_the_network(
    origin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = fetched(origin, tmp_path / "w", monkeypatch)
    assert any(path.endswith("pytorch_model.bin") for path in requests)

    def refuse(*_: Any) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    settings = Settings(weights=tmp_path / "w")
    pretrained = open_weights(NAME, settings)
    assert pretrained.sha256 == sha256_file(origin / "pytorch_model.bin")
    params = make_params(audio={"encoder": NAME})
    build_net("audio_only", params, classes="abcd", shape=InputShape(rate_hz=16000, frame=(6,)), pretrained=pretrained)
    assert os.environ["HF_HUB_OFFLINE"] == "1"
    assert list(fetch_weights(NAME, settings)) == [f"{NAME}: ready, nothing to fetch"]


def test_t88_files_put_there_by_hand_are_recorded_without_the_network(
    origin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("a socket was opened"))
    settings = Settings(weights=tmp_path / "w")
    (tmp_path / "w").mkdir()
    origin.rename(tmp_path / "w" / NAME)
    assert "ready" in list(fetch_weights(NAME, settings))[-1]
    lock = json.loads((tmp_path / "w" / NAME / "foalnet-weights.json").read_text())
    assert lock["revision"] == CATALOGUE[NAME].revision and str(tmp_path) not in json.dumps(lock)
    assert open_weights(NAME, settings).sha256 == lock["source"]


def test_a_fetch_that_fails_says_what_to_do_and_goes_on_later(
    origin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (origin / "pytorch_model.bin").rename(tmp_path / "held")
    with pytest.raises(MachineError, match=r"pytorch_model.bin .*cannot be fetched") as error:
        fetched(origin, tmp_path / "w", monkeypatch)
    assert error.value.exit_code == 4 and f"weights fetch {NAME}" in str(error.value)
    (tmp_path / "held").rename(origin / "pytorch_model.bin")
    fetched(origin, tmp_path / "w", monkeypatch)
    first = (tmp_path / "w" / NAME / "model.safetensors").read_bytes()
    assert {p.name for p in (tmp_path / "w" / NAME).iterdir()} == {
        ".lock", "config.json", "preprocessor_config.json", "model.safetensors", "foalnet-weights.json",
    }  # fmt: skip
    fetched(origin, tmp_path / "v", monkeypatch)
    assert (tmp_path / "v" / NAME / "model.safetensors").read_bytes() == first, "conversion gives the same bytes"


@pytest.mark.parametrize("content", [HostilePickle(), {"a": 1}, [1, 2]])
def test_t87_a_pickle_that_holds_more_than_tensors_is_never_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "w" / NAME
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "preprocessor_config.json").write_text("{}")
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(content))
    with pytest.raises(DataError, match="pickle"):
        list(record_weights(NAME, Settings(weights=tmp_path / "w")))
    assert not (tmp_path / "loaded").exists() and not (folder / "model.safetensors").exists()


def test_the_verbs_say_what_is_here_and_what_mends_it(tmp_path: Path, repository: Path) -> None:
    (tmp_path / "foalnet").symlink_to(repository / "foalnet")
    home = {"FOALNET_WEIGHTS": "w"}
    listed = verb(tmp_path, "weights", **home).stdout
    for name, entry in CATALOGUE.items():
        assert f"{name}: {entry.repository} at revision {entry.revision}: not ready" in listed
        assert f"foalnet weights fetch {name}" in listed
    unknown = verb(tmp_path, "weights", "fetch", "wavlm_larg", check=False, **home)
    assert unknown.returncode == 2 and "did you mean 'wavlm_large'?" in unknown.stderr
    offline = program(tmp_path, "weights", "fetch", "wavlm_base", check=False, HF_ENDPOINT="http://127.0.0.1:9", **home)
    assert offline.returncode == 4 and "next:" in offline.stderr and "Traceback" not in offline.stderr


def test_the_verb_records_own_weights_and_lists_them_as_not_published(tmp_path: Path, repository: Path) -> None:
    needs_transformers()
    (tmp_path / "foalnet").symlink_to(repository / "foalnet")
    write_clip(tmp_path / "w" / "clip_vit_b32", pickle=True)
    done = verb(tmp_path, "weights", "record", "clip_vit_b32", FOALNET_WEIGHTS="w")
    digest = sha256_file(tmp_path / "w" / "clip_vit_b32" / "pytorch_model.bin")
    assert f"weights: {digest}" in done.stdout
    assert digest in verb(tmp_path, "weights", FOALNET_WEIGHTS="w").stdout


def test_every_pin_is_a_whole_commit_and_digest() -> None:
    for name, entry in CATALOGUE.items():
        assert entry.name == name and len(entry.revision) == 40 and len(entry.files) == 3
        assert all(digest is None or len(digest) == 64 for digest in entry.files.values())
    with pytest.raises(UsageError, match="clip_vit_b32"):
        open_weights("clip_vit_b33", Settings())
