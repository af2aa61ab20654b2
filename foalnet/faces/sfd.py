"""`sfd`: face-alignment's S3FD, the choice for a GPU; it is slow on a CPU.

The network and its weights are face-alignment's. This detector does not use `detect_from_batch`, which lets cuDNN
choose kernels by timing them, so that sums differ between runs. Instead, pictures of one size pass through the network
in batches of one fixed size, the last filled with black pictures: the kernels are the same whatever the other pictures
are. The outputs of each picture are then decoded separately.

Its boxes are not adjusted: how they fit a face was not measured, as the weights were not available (docs/staging.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from functools import cached_property
from typing import Any

import numpy as np

from foalnet.artifact.provenance import versions
from foalnet.config import Settings
from foalnet.config.blocks import Shards
from foalnet.core.files import content_key
from foalnet.core.records import Box
from foalnet.core.shim import one_torch_thread, torch_device
from foalnet.faces.base import at_least, best_first
from foalnet.faces.weights import WeightFile, find_weights, loading

# The file's name holds the digest's first ten digits, as torch.hub requires.
WEIGHTS = WeightFile(
    name="s3fd-619a316812.pth",
    detector="sfd",
    sha256="619a31681264d3f7f7fc7a16a42cbbe8b23f31a256f75a366e5a1bcd59b33543",
    origin="the face-alignment project (github.com, 1adrianb/face-alignment), which fetches it from its author's site",
    address="https://www.adrianbulat.com/downloads/python-fan/s3fd-619a316812.pth",
)
# Pictures per pass. On a CPU a batch is no faster than its pictures one by one.
BATCH = {"cpu": 1, "cuda": 16}
# Means of the network's training pictures: blue, green, red.
MEAN_BGR = (104.0, 117.0, 123.0)
# Boxes with a larger intersection over union are the same face: face-alignment's value.
SAME = 0.3
# The network halves its input five times.
MIN_SIDE_PX = 64


class SfdDetector:
    """Finds faces of at least `min_face_px` pixels; the score is the network's probability."""

    name = "sfd"

    def __init__(self, *, min_face_px: int, min_score: float, settings: Settings, batch: int | None = None) -> None:
        self._min_face_px = min_face_px
        self._min_score = min_score
        # Checked at once: a missing file must stop a run before its first dialogue.
        self._path = find_weights(WEIGHTS, settings)
        self._device = torch_device(settings.device)
        self._batch = batch or BATCH.get(self._device.type, 1)

    def digest(self) -> str:
        """Return a SHA-256 over the weight file's digest, the settings, the kind of device and torch's version."""
        return content_key(
            {
                "batch": self._batch,
                # Sums round differently on another device, so a box can move slightly.
                "device": self._device.type,
                "min_face_px": self._min_face_px,
                "min_score": self._min_score,
                "rules": [*MEAN_BGR, SAME, MIN_SIDE_PX],
                "torch": versions()["torch"],
                "weights": WEIGHTS.sha256,
            }
        )

    def weights(self) -> dict[str, str]:
        """Return name and SHA-256 of the weight file."""
        return {WEIGHTS.name: WEIGHTS.sha256}

    def detect(self, frames: Sequence[np.ndarray]) -> list[list[Box]]:
        """Return the faces of each frame [H, W, 3] uint8 RGB, best first; frames of one size share passes."""
        faces: list[list[Box]] = [[] for _ in frames]
        by_size: dict[tuple[int, ...], list[int]] = {}
        for index, frame_HWC in enumerate(frames):
            by_size.setdefault(frame_HWC.shape, []).append(index)
        for members in by_size.values():
            for start in range(0, len(members), self._batch):
                part = members[start : start + self._batch]
                for index, rows in zip(part, self._pass([frames[i] for i in part]), strict=True):
                    faces[index] = self._boxes(rows)
        return faces

    @cached_property
    def _net(self) -> Any:
        from face_alignment.detection.sfd import FaceDetector

        # With the path given it downloads nothing, and it reads the weights by torch's safe loader (weights_only).
        with loading(self._path):
            return FaceDetector(str(self._device), path_to_detector=str(self._path)).face_detector

    def _pass(self, frames: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Run one batch through the network; return each frame's rows [N, 5] (left, top, right, bottom, score)."""
        import torch
        from face_alignment.detection.sfd.bbox import nms
        from face_alignment.detection.sfd.detect import get_predictions

        inputs_BHWC = np.stack([at_least(frame_HWC, MIN_SIDE_PX) for frame_HWC in frames])
        empty = np.zeros((self._batch - len(frames), *inputs_BHWC.shape[1:]), np.uint8)
        inputs_BCHW = np.concatenate([inputs_BHWC, empty])[..., ::-1].transpose(0, 3, 1, 2)
        with ExitStack() as stack:
            stack.enter_context(one_torch_thread())
            stack.enter_context(torch.inference_mode())
            stack.enter_context(torch.backends.cudnn.flags(benchmark=False, deterministic=True, allow_tf32=False))
            means = torch.tensor(MEAN_BGR, device=self._device).view(1, 3, 1, 1)
            inputs = torch.from_numpy(np.ascontiguousarray(inputs_BCHW)).to(self._device, torch.float32) - means
            outputs = self._net(inputs)
            # Outputs alternate between classes and places, from the finest grid to the coarsest.
            outputs[0::2] = [classes.softmax(dim=1) for classes in outputs[0::2]]
            outputs = [output.cpu().numpy() for output in outputs]
        rows_by_frame = []
        for index in range(len(frames)):
            alone = [output[index : index + 1] for output in outputs]
            rows = np.asarray(get_predictions(alone, 1), dtype=np.float64).reshape(-1, 5)
            rows_by_frame.append(rows[nms(rows, SAME)])
        return rows_by_frame

    def _boxes(self, rows_N5: np.ndarray) -> list[Box]:
        return best_first(
            Box(left=left, top=top, right=right, bottom=bottom, score=min(score, 1.0))
            for left, top, right, bottom, score in rows_N5.tolist()
            if score >= self._min_score and bottom - top >= self._min_face_px
        )


def make_sfd(params: Shards, settings: Settings) -> SfdDetector:
    """Build the detector (90 MB of weights); MachineError (exit 4) if the file or device is missing or differs."""
    return SfdDetector(min_face_px=params.min_face_px, min_score=params.detector_score, settings=settings)
