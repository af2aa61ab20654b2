"""S3FD: the real network and loading code, with random weights in the layout of the published file."""

from __future__ import annotations

import pickle
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from foalnet.config import Settings
from foalnet.config.blocks import Shards
from foalnet.core.errors import MachineError
from foalnet.core.files import sha256_file
from foalnet.faces import detect_all, get_detector, sfd
from foalnet.faces.sfd import SfdDetector
from tests.support.marks import red_when
from tests.support.processes import HostilePickle

# The second finest grid: 8 pixels a cell, a box of 32 around it.
GRID, CELL_PX, BOX_PX = "conv4_3_norm_mbox_conf", 8, 32
WIRED = ("conv1_1", "conv1_2", "conv2_1", "conv2_2", *(f"conv{i}_{j}" for i in (3, 4) for j in (1, 2, 3)))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write random weights as the published file holds them (a plain state dict), all heads at "background".

    Only one road through the network is wired by hand: red above its mean passes the first ten layers as it is, and the
    second finest grid calls it a face.
    """
    from face_alignment.detection.sfd.net_s3fd import s3fd

    with torch.random.fork_rng():
        torch.manual_seed(5)
        state = s3fd().state_dict()
    for name in state:
        if name.endswith("conf.weight") or name.rpartition(".")[0] in WIRED:
            state[name].zero_()
        if name.endswith("conf.bias"):
            # Background first, face last; the finest grid has three backgrounds.
            state[name].copy_(torch.tensor([5.0] * (len(state[name]) - 1) + [-5.0]))
        if name.endswith("loc.weight") or name.endswith("loc.bias"):
            state[name].zero_()
    # The network is fed blue, green, red.
    state["conv1_1.weight"][0, 2, 1, 1] = 1.0
    for layer in WIRED[1:]:
        state[f"{layer}.weight"][0, 0, 1, 1] = 1.0
    # Normalised features are 8 where there is anything and 0 elsewhere.
    state[f"{GRID}.weight"][1, 0, 1, 1] = 2.0
    path = tmp_path_factory.mktemp("sfd") / sfd.WEIGHTS.name
    torch.save(state, path)
    return path


@pytest.fixture
def published(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings under which the random file passes for the published one, on a machine without network."""

    def no_network(*_: Any, **__: Any) -> Any:
        raise AssertionError("a detector opened a connection")

    monkeypatch.setattr(socket.socket, "connect", no_network)
    monkeypatch.setattr(sfd, "WEIGHTS", replace(sfd.WEIGHTS, sha256=sha256_file(checkpoint)))
    return Settings(device="cpu", weights=checkpoint.parent)


def picture(*cells: tuple[int, int], height: int = 128, width: int = 160, colour: int = 0) -> np.ndarray:
    """Return a black picture with a "face" in each cell (column, row)."""
    frame = np.zeros((height, width, 3), np.uint8)
    for x, y in cells:
        frame[y * CELL_PX : (y + 1) * CELL_PX, x * CELL_PX : (x + 1) * CELL_PX, colour] = 255
    return frame


def boxed(x: int, y: int) -> list[float]:
    middle_x, middle_y = (x + 0.5) * CELL_PX, (y + 0.5) * CELL_PX
    half = BOX_PX / 2
    return [middle_x - half, middle_y - half, middle_x + half, middle_y + half]


def places(boxes: Any) -> list[list[float]]:
    return sorted([box.left, box.top, box.right, box.bottom] for box in boxes)


@pytest.mark.long
def test_faces_are_detected_in_the_pixels_of_their_own_picture(published: Settings) -> None:
    detector = get_detector(Shards(detector="sfd"), published)
    frames = [picture((3, 4)), picture(), picture((5, 2), (14, 9)), picture((6, 6), height=96, width=104)]
    assert [places(b) for b in detector.detect(frames)] == [
        [boxed(3, 4)],
        [],
        [boxed(5, 2), boxed(14, 9)],
        [boxed(6, 6)],
    ]
    assert all(0.99 < box.score <= 1.0 for boxes in detector.detect(frames) for box in boxes)
    # Red is what this network was wired to; the other colours are nothing to it.
    assert detector.detect([picture((3, 4), colour=1), picture((3, 4), colour=2)]) == [[], []]
    assert detector.detect([]) == [] and detector.detect([np.zeros((7, 5, 3), np.uint8)]) == [[]]


@pytest.mark.long
def test_small_faces_and_unsure_ones_are_left_out(published: Settings) -> None:
    for wanted in (Shards(detector="sfd", min_face_px=33), Shards(detector="sfd", detector_score=1.0)):
        assert get_detector(wanted, published).detect([picture((3, 4))]) == [[]]
    assert get_detector(Shards(detector="sfd", min_face_px=32), published).detect([picture((3, 4))]) != [[]]


@pytest.mark.long
@red_when("faces/sfd.py", "the last batch is not filled up")
@pytest.mark.parametrize("batch", [1, 2, 4])
def test_t56_one_pass_takes_a_whole_batch_and_neighbours_change_nothing(published: Settings, batch: int) -> None:
    detector = SfdDetector(min_face_px=24, min_score=0.5, settings=published, batch=batch)
    passes: list[tuple[int, ...]] = []
    detector._net.register_forward_pre_hook(lambda _, inputs: passes.append(tuple(inputs[0].shape)))
    frames = [picture((i, 2), (11 - i, 6), height=64, width=96) for i in range(2, 5)]
    together = detector.detect(frames)
    assert passes == [(batch, 3, 64, 96)] * -(-len(frames) // batch)
    assert together == [detector.detect([frame])[0] for frame in frames] == detector.detect(frames[::-1])[::-1]
    assert [places(boxes) for boxes in together] == [[boxed(i, 2), boxed(11 - i, 6)] for i in range(2, 5)]


def test_torch_is_left_as_it_was(published: Settings) -> None:
    flags: Callable[[], tuple[Any, ...]] = lambda: (  # noqa: E731
        torch.get_num_threads(),
        torch.backends.cudnn.benchmark,
        torch.backends.cudnn.deterministic,
        torch.backends.cudnn.allow_tf32,
        torch.is_grad_enabled(),
    )
    before = flags()
    get_detector(Shards(detector="sfd"), published).detect([picture((3, 4))])
    assert flags() == before


def test_the_digest_says_weights_device_and_rules(published: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def digest(**changes: Any) -> str:
        return get_detector(Shards(detector="sfd", **changes), published).digest()

    assert len({digest(), digest(min_face_px=30), digest(detector_score=0.7)}) == 3 and digest() == digest(stride=2)
    assert get_detector(Shards(detector="sfd"), published).weights() == {sfd.WEIGHTS.name: sfd.WEIGHTS.sha256}
    on_cpu = digest()
    monkeypatch.setattr(sfd, "torch_device", lambda *_, **__: torch.device("cuda"))
    assert digest() != on_cpu


def test_t87_another_file_under_the_published_name_is_refused(checkpoint: Path) -> None:
    with pytest.raises(MachineError) as error:
        get_detector(Shards(detector="sfd"), Settings(device="cpu", weights=checkpoint.parent))
    assert sfd.WEIGHTS.sha256 in str(error.value) and sha256_file(checkpoint) in str(error.value)
    # torch.hub's rule: the file's name holds the first ten digits of its digest.
    assert sfd.WEIGHTS.sha256.startswith(sfd.WEIGHTS.name.split("-")[1].removesuffix(".pth"))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_t87_a_pickle_in_the_weight_file_s_place_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / sfd.WEIGHTS.name
    path.write_bytes(pickle.dumps(HostilePickle()))
    monkeypatch.setattr(sfd, "WEIGHTS", replace(sfd.WEIGHTS, sha256=sha256_file(path)))
    monkeypatch.chdir(tmp_path)
    detector = get_detector(Shards(detector="sfd"), Settings(device="cpu", weights=tmp_path))
    with pytest.raises(MachineError, match="cannot be loaded") as error:
        detect_all(detector, [picture((3, 4))])
    assert error.value.exit_code == 4 and not (tmp_path / "loaded").exists()


def test_a_device_that_is_not_there_is_said_before_the_first_dialogue(checkpoint: Path, published: Settings) -> None:
    with pytest.raises(MachineError, match="cuda:99"):
        get_detector(Shards(detector="sfd"), published.model_copy(update={"device": "cuda:99"}))
