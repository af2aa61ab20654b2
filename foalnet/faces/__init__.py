"""Face detectors by name, the track of one person through an utterance, and face crops.

A new detector is one file, one line here (two if it needs a weight file) and one test: docs/add-a-detector.md.
"""

from __future__ import annotations

from collections.abc import Callable

from foalnet.config import Settings, nearest
from foalnet.config.blocks import Shards
from foalnet.core.errors import UsageError
from foalnet.faces import blazeface, sfd, yunet
from foalnet.faces.base import Detections, Detector, detect_all
from foalnet.faces.blazeface import make_blazeface
from foalnet.faces.crop import crop, window
from foalnet.faces.fixed import FixedDetector, make_fixed
from foalnet.faces.haar import make_haar
from foalnet.faces.search import detector_input, search, to_picture
from foalnet.faces.sfd import make_sfd
from foalnet.faces.track import count_jumps, track
from foalnet.faces.weights import WeightFile
from foalnet.faces.yunet import make_yunet, make_yunet_2023

DETECTORS: dict[str, Callable[[Shards, Settings], Detector]] = {
    "blazeface": make_blazeface,
    "fixed": make_fixed,
    "haar": make_haar,
    "sfd": make_sfd,
    "yunet": make_yunet,
    "yunet_2023mar": make_yunet_2023,
}

# The weight files that `foalnet weights` lists and fetches.
WEIGHT_FILES: dict[str, tuple[WeightFile, ...]] = {
    "blazeface": (blazeface.WEIGHTS, blazeface.ANCHORS),
    "sfd": (sfd.WEIGHTS,),
    "yunet": (yunet.WEIGHTS,),
    "yunet_2023mar": (yunet.WEIGHTS_2023,),
}

__all__ = [
    "DETECTORS",
    "WEIGHT_FILES",
    "Detections",
    "Detector",
    "FixedDetector",
    "count_jumps",
    "crop",
    "detect_all",
    "detector_input",
    "get_detector",
    "search",
    "to_picture",
    "track",
    "window",
]


def get_detector(params: Shards, settings: Settings) -> Detector:
    """Build the detector that the params name; UsageError (exit 2) if there is no such detector."""
    make = DETECTORS.get(params.detector)
    if make is None:
        raise UsageError(
            f"shards.detector: no detector '{params.detector}'; {nearest(params.detector, DETECTORS)}",
            file="params.yaml",
            action="correct the name",
        )
    return make(params, settings)
