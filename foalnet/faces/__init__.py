"""Faces: detectors by name, the track of one person through an utterance, and the crops.

A new detector is one file, one line here (two where it needs a weight file) and one test: docs/add-a-detector.md.
"""

from __future__ import annotations

from collections.abc import Callable

from foalnet.config import Settings, nearest
from foalnet.config.blocks import Shards
from foalnet.core.errors import UsageError
from foalnet.faces import blazeface, sfd, yunet
from foalnet.faces.base import Detector, Found, find_faces
from foalnet.faces.blazeface import make_blazeface
from foalnet.faces.crop import crop, window
from foalnet.faces.fixed import FixedDetector, make_fixed
from foalnet.faces.haar import make_haar
from foalnet.faces.search import enlarged, looked_at, search
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

# What `foalnet weights` lists and fetches: the files of the detectors that need any.
WEIGHT_FILES: dict[str, tuple[WeightFile, ...]] = {
    "blazeface": (blazeface.WEIGHTS, blazeface.ANCHORS),
    "sfd": (sfd.WEIGHTS,),
    "yunet": (yunet.WEIGHTS,),
    "yunet_2023mar": (yunet.WEIGHTS_2023,),
}

__all__ = [
    "DETECTORS",
    "WEIGHT_FILES",
    "Detector",
    "FixedDetector",
    "Found",
    "count_jumps",
    "crop",
    "enlarged",
    "find_faces",
    "get_detector",
    "looked_at",
    "search",
    "track",
    "window",
]


def get_detector(params: Shards, settings: Settings) -> Detector:
    """Build the detector that the params name (UsageError, exit 2, where there is none of that name)."""
    make = DETECTORS.get(params.detector)
    if make is None:
        raise UsageError(
            f"shards.detector: no detector '{params.detector}'; {nearest(params.detector, DETECTORS)}",
            file="params.yaml",
            action="correct the name",
        )
    return make(params, settings)
