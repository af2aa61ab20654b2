"""Detectors: chosen by name, deterministic, robust against any input."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from foalnet import faces
from foalnet.config import Settings
from foalnet.config.blocks import Shards
from foalnet.core.errors import MachineError, UsageError
from foalnet.core.files import sha256_bytes
from foalnet.core.records import Box
from foalnet.faces import DETECTORS, Detections, FixedDetector, detect_all, get_detector, yunet
from foalnet.faces.blazeface import WEIGHTS, merged, square_tiles
from foalnet.faces.fixed import frame_digest
from foalnet.faces.weights import checkpoint_folder, find_weights
from tests.support.marks import red_when

GREY = np.full((120, 160, 3), 127, np.uint8)


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine without any weight file."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path


def test_the_registry_names_the_detectors_as_params_do() -> None:
    assert sorted(DETECTORS) == list(DETECTORS) == ["blazeface", "fixed", "haar", "sfd", "yunet", "yunet_2023mar"]
    assert get_detector(Shards(), Settings()).name == "haar"


def test_an_unknown_detector_is_named_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'haar'") as error:
        get_detector(Shards(detector="harr"), Settings())
    assert error.value.exit_code == 2


def test_haar_sees_nothing_in_nothing_and_in_a_picture_too_small_for_a_face() -> None:
    haar = get_detector(Shards(), Settings())
    assert haar.detect([GREY, np.zeros((10, 10, 3), np.uint8)]) == [[], []] and haar.detect([]) == []
    assert get_detector(Shards(detector_score=1.0), Settings()).detect([GREY]) == [[]]


def test_haar_puts_opencvs_threads_back() -> None:
    import cv2

    before = cv2.getNumThreads()
    get_detector(Shards(), Settings()).detect([GREY])
    assert cv2.getNumThreads() == before


def test_a_digest_changes_with_what_changes_boxes() -> None:
    digests = [
        get_detector(params, Settings()).digest()
        for params in (Shards(), Shards(min_face_px=30), Shards(detector_score=0.6), Shards(detector="fixed"))
    ]
    assert len(set(digests)) == 4 and digests[0] == get_detector(Shards(stride=2), Settings()).digest()


def test_fixed_gives_what_its_mapping_holds_and_the_middle_elsewhere() -> None:
    known = np.zeros((120, 160, 3), np.uint8)
    box = Box(left=1, top=2, right=3, bottom=4, score=0.9)
    fixed = FixedDetector({frame_digest(known): [box], frame_digest(GREY[:50]): []})
    assert fixed.detect([known, GREY, GREY[:50]]) == [[box], [Box(left=50, top=30, right=110, bottom=90)], []]
    assert fixed.digest() != FixedDetector().digest()


class Broken:
    """A detector that fails on black frames in one of several ways."""

    name = "broken"

    def __init__(self, how: str) -> None:
        self.how = how

    def digest(self) -> str:
        return ""

    def weights(self) -> dict[str, str]:
        return {}

    def detect(self, frames: Any) -> Any:
        if any(frame.max() == 0 for frame in frames):
            if self.how == "raises":
                raise RuntimeError("shape mismatch")
            if self.how == "machine":
                raise MachineError("no weights")
            if self.how == "nothing":
                return None
            if self.how == "short":
                return [[]] * (len(frames) - 1)
        answers: list[Any] = [[Box(left=1, top=1, right=9, bottom=9)] for _ in frames]
        for answer, frame in zip(answers, frames, strict=True):
            if frame.max() == 0 and self.how == "nan":
                answer.append(Box(left=float("nan"), top=1, right=9, bottom=9))
        if self.how == "none inside":
            answers = [None if frame.max() == 0 else a for a, frame in zip(answers, frames, strict=True)]
        return answers


@red_when("faces/base.py", "after a failed call no frame is asked alone")
@pytest.mark.parametrize("how", ["raises", "nothing", "short", "nan", "none inside"])
def test_t54_a_detector_that_breaks_on_one_frame_loses_that_frame_only(how: str) -> None:
    black = np.zeros_like(GREY)
    detections = detect_all(Broken(how), [GREY, black, GREY])
    assert detections.failed == (1,)
    assert [len(boxes) for boxes in detections.boxes] == [1, 1 if how == "nan" else 0, 1]


@red_when("faces/base.py", "errors that say what is wrong are taken for no answer")
def test_t54_a_fault_of_the_machine_is_not_a_frame_without_a_face() -> None:
    with pytest.raises(MachineError, match="no weights"):
        detect_all(Broken("machine"), [np.zeros_like(GREY)])


def test_find_faces_without_frames() -> None:
    assert detect_all(Broken("raises"), []).boxes == ()


def test_missing_weights_name_file_origin_digest_and_where_they_were_looked_for(bare: Path) -> None:
    with pytest.raises(MachineError) as error:
        get_detector(Shards(detector="blazeface"), Settings(weights=bare / "mine"))
    said = str(error.value)
    for part in (
        "blazeface.pth",
        WEIGHTS.sha256,
        "hollance/BlazeFace-PyTorch",
        str(bare / "mine"),
        "checkpoints",
    ):
        assert part in said
    assert error.value.exit_code == 4 and "foalnet weights fetch blazeface" in said


@pytest.mark.parametrize("name", ["blazeface", "yunet", "yunet_2023mar"])
def test_t87_each_detector_wants_its_own_file_and_shows_both_digests(bare: Path, name: str) -> None:
    wanted = {"blazeface": WEIGHTS, "yunet": yunet.WEIGHTS, "yunet_2023mar": yunet.WEIGHTS_2023}[name]
    with pytest.raises(MachineError) as error:
        get_detector(Shards(detector=name), Settings(weights=bare))
    assert wanted.name in str(error.value) and wanted.sha256 in str(error.value)
    (bare / wanted.name).write_bytes(b"another network")
    with pytest.raises(MachineError) as error:
        get_detector(Shards(detector=name), Settings(weights=bare))
    assert wanted.sha256 in str(error.value) and sha256_bytes(b"another network") in str(error.value)


def test_t87_a_network_that_opencv_cannot_read_stops_the_run(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (bare / yunet.WEIGHTS.name).write_bytes(b"no network")
    monkeypatch.setattr(yunet, "WEIGHTS", replace(yunet.WEIGHTS, sha256=sha256_bytes(b"no network")))
    detector = get_detector(Shards(detector="yunet"), Settings(weights=bare))
    with pytest.raises(MachineError, match="cannot be loaded") as error:
        detect_all(detector, [GREY])
    assert "constraints.txt" in str(error.value) and error.value.exit_code == 4


def test_yunet_reads_no_uninitialised_memory(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenCV answers pictures of up to 32 pixels with boxes at NaN and a score of 1, others at every call."""
    detector = get_detector(Shards(detector="yunet", min_face_px=1), Settings(weights=shared_data / "weights"))
    noise = np.random.default_rng(0).integers(0, 256, (360, 360, 3)).astype(np.uint8)
    frames = [noise[:height, :width] for height in (1, 16, 31, 32, 33, 240) for width in (1, 20, 32, 33, 360)]
    assert detect_all(detector, frames * 2) == Detections(boxes=((),) * 60, failed=())
    shapes: list[tuple[int, ...]] = []
    net = SimpleNamespace(detect=lambda frame: (shapes.append(frame.shape), None))
    monkeypatch.setattr(detector, "_net", lambda height, width: net)
    detector.detect(frames)
    assert len(shapes) == 30 and min(min(shape[:2]) for shape in shapes) == 64


def test_yunet_keeps_a_network_for_each_size_and_not_too_many(
    shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector = get_detector(Shards(detector="yunet"), Settings(weights=shared_data / "weights"))
    loads: list[tuple[int, int]] = []

    def loaded(height: int, width: int) -> SimpleNamespace:
        loads.append((height, width))
        return SimpleNamespace(detect=lambda frame: (0, None))

    monkeypatch.setattr(detector, "_loaded", loaded)
    small, large = GREY[:64, :64], GREY[:96, :64]
    detector.detect([small, large] * 5)
    assert loads == [(64, 64), (96, 64)]
    detector.detect([GREY[: 64 + rows, :64] for rows in range(20)])
    assert len(vars(detector)["_nets"]) == yunet.MOST_NETS


def test_yunet_says_what_it_is_made_of_and_leaves_opencv_as_it_was(shared_data: Path) -> None:
    import cv2

    settings = Settings(weights=shared_data / "weights")
    detector = get_detector(Shards(detector="yunet"), settings)
    assert detector.weights() == {yunet.WEIGHTS.name: yunet.WEIGHTS.sha256}
    changed = (Shards(detector="yunet", min_face_px=30), Shards(detector="yunet", detector_score=0.6))
    assert len({detector.digest(), *(get_detector(params, settings).digest() for params in changed)}) == 3
    before = cv2.getNumThreads()
    detector.detect([GREY])
    assert cv2.getNumThreads() == before


def test_weights_in_torch_home_are_used_too(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = faces.weights.WeightFile(name="w.bin", detector="d", sha256=sha256_bytes(b"w"), origin="nowhere")
    folder = checkpoint_folder()
    assert folder == bare / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / "w.bin").write_bytes(b"w")
    assert find_weights(wanted, Settings(weights=bare / "empty")) == folder / "w.bin"
    monkeypatch.delenv("TORCH_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(bare / "cache"))
    assert checkpoint_folder() == bare / "cache" / "torch" / "hub" / "checkpoints"


@pytest.mark.parametrize(("width", "height"), [(360, 240), (240, 360), (352, 288), (100, 100), (31, 20), (720, 240)])
def test_every_face_is_whole_and_large_enough_in_some_tile(width: int, height: int) -> None:
    tiles = square_tiles(width, height, 24)
    assert all(left >= 0 and top >= 0 and left + s <= width and top + s <= height for left, top, s in tiles)
    for side in (24, 40, 60, 100, 140):
        if side > 0.6 * min(width, height):
            continue
        for x in np.linspace(0, width - side, 9):
            for y in np.linspace(0, height - side, 7):
                shows = [
                    s
                    for left, top, s in tiles
                    if left <= x and top <= y and x + side <= left + s and y + side <= top + s and side >= 0.12 * s
                ]
                assert shows, (side, x, y)


def test_tiles_that_agree_make_one_sure_box_and_a_lone_tile_an_unsure_one() -> None:
    tiles = [(0, 0, 100), (20, 0, 100), (40, 0, 100)]
    face = [Box(left=50 + d, top=30, right=80 + d, bottom=60, score=0.9) for d in (-1, 0, 1)]
    sure = merged(face, tiles)
    assert len(sure) == 1 and sure[0].score == pytest.approx(0.9) and sure[0].left == pytest.approx(50)
    assert merged(face[:1], tiles)[0].score == pytest.approx(0.3)
    apart = Box(left=85, top=70, right=99, bottom=84, score=0.9)
    assert [box.score for box in merged([*face, apart], tiles)] == pytest.approx([0.9, 0.3])
    inside = Box(left=55, top=35, right=70, bottom=50, score=0.8)
    assert len(merged([*face, inside], tiles)) == 1
