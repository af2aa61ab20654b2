"""The parts that params name are parts that there are: looked up before the first stage runs, not by each stage."""

from __future__ import annotations

from collections.abc import Collection

from foalnet.config import Params, load_settings, nearest
from foalnet.config.load import DEFAULT_PARAMS
from foalnet.corpora import READERS, get_reader
from foalnet.errors import UsageError
from foalnet.faces import DETECTORS
from foalnet.manifest import check_classes, contract_of
from foalnet.nets.registry import AUDIO_ENCODERS, FUSIONS, PRETRAINED_AUDIO, VIDEO_ENCODERS
from foalnet.weights import CATALOGUE


def check_names(params: Params) -> None:
    """Refuse (UsageError, exit 2) a reader, detector, encoder or fusion that is not there, and wrong settings."""
    load_settings()
    pictures = [name for name, each in CATALOGUE.items() if each.kind == "clip"]
    asked: dict[str, tuple[str | None, Collection[str]]] = {
        "reader": (params.reader, READERS),
        "shards.detector": (params.shards.detector, DETECTORS),
        "features.encoder": (params.features.encoder, pictures),
        "train.audio.encoder": (params.train.audio.encoder, [*AUDIO_ENCODERS, *PRETRAINED_AUDIO]),
        "train.video.encoder": (params.train.video.encoder, VIDEO_ENCODERS),
        "train.fusion.kind": (params.train.fusion.kind, FUSIONS),
    }
    wrong = [
        f"{key}: no '{name}'; {nearest(name, known)}"
        for key, (name, known) in asked.items()
        if name is not None and name not in known
    ]
    file = f"{DEFAULT_PARAMS} (corpora.{params.corpus})"
    if wrong:
        raise UsageError("\n".join(wrong), file=file, action="correct these names")
    reader = get_reader(params.reader)
    check_classes(params.manifest.classes, reader, params.manifest.contract, file=file)
    contract_of(params.manifest.contract, reader, params.manifest.classes)
