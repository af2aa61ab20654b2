"""Extracts features of a user's clips: sound, crops, boxes, encoders' vectors, by the code of staging and prediction.

Shape letters: N samples, F frames, T steps, D width, H and W pixels.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from foalnet import media
from foalnet.config import Params, Settings
from foalnet.config.blocks import Shards
from foalnet.core.errors import printable
from foalnet.core.files import json_bytes, make_folder, not_written, publish_bytes
from foalnet.export.tables import write_parquet
from foalnet.faces import Detector, get_detector
from foalnet.predict.live import LiveFeatures
from foalnet.predict.model import Model, Vectors
from foalnet.predict.request import Request
from foalnet.predict.staging import StagedClip, Stager
from foalnet.shards import Sample, VideoMeta
from foalnet.shards.format import STREAMS
from foalnet.stages.shards.staging import tools_of

FACTS = "facts.json"
# Staging cuts no utterance; the pictures of an hour exceed its limit on memory, which an error then names.
LONGEST_S = 3600.0
TEXT = "<U16"


@dataclass(frozen=True, kw_only=True)
class Source:
    """Stages and encodes clips: by a sealed model, or by the params of a corpus.

    `shards`: the params of staging. `stage` returns one sample per person. `encode` returns name -> (vectors [T, D],
    mask_T). `made_by`: what facts.json says of it.
    """

    shards: Shards
    stage: Callable[[Request], list[StagedClip]]
    encode: Callable[[StagedClip], dict[str, Vectors]]
    made_by: Mapping[str, Any]


def of_model(model: Model) -> Source:
    """Return the staging and the encoders of a sealed model."""
    sealed = model.sealed
    facts = {
        "corpus": sealed.corpus,
        "variant": sealed.variant,
        "licence": sealed.card.get("licence", ""),
        "preprocessing": model.preprocessing,
    }
    made_by = {"model": facts} | _staging(sealed.shards, model.settings)
    return Source(shards=sealed.shards, stage=model.stage, encode=model.encode, made_by=made_by)


def _staging(shards: Shards, settings: Settings) -> dict[str, Any]:
    """Return the params and tools of staging on this machine."""
    return {"shards": shards.model_dump(mode="json"), "tools": tools_of(shards, settings, ())}


def of_params(params: Params, settings: Settings) -> Source:
    """Return the staging of a corpus' params, with their frozen picture encoder if they name one.

    MachineError (exit 4) if its weights are not ready here.
    """
    shards, features = params.shards, params.features

    @cache
    def detector() -> Detector:
        return get_detector(shards, settings)

    stager = Stager(
        params=shards,
        inputs=("audio", "video"),
        sees=True,
        detector=detector,
        longest_s=LONGEST_S,
        timeout_s=settings.ffmpeg_timeout_s,
        held_bytes=settings.frames_mib << 20,
    )
    live = None
    if features.encoder is not None:
        live = LiveFeatures({**features.model_dump(), "preprocessing": None}, settings)

    def stage(request: Request) -> list[StagedClip]:
        with tempfile.TemporaryDirectory(prefix="foalnet-") as work:
            return stager.stage(request, Path(work))

    def encode(staged: StagedClip) -> dict[str, Vectors]:
        return {} if live is None or not staged.has_picture else {"picture": live.rows(staged.sample)}

    facts = {"corpus": params.corpus, "features": features.model_dump(mode="json")}
    made_by = {"params": facts} | _staging(shards, settings)
    return Source(shards=shards, stage=stage, encode=encode, made_by=made_by)


def extract(source: Source, request: Request, folders: Sequence[Path], *, parquet: bool) -> Iterator[dict[str, Any]]:
    """Write the files of each person of a clip into its folder, facts.json last; yield folder and facts as a row.

    Errors as of `Model.predict`; MachineError (exit 4) if a file cannot be written.
    """
    for staged, folder in zip(source.stage(request), folders, strict=True):
        arrays = dict(_arrays(staged, source.shards))
        vectors = source.encode(staged)
        for name, (values_TD, mask_T) in vectors.items():
            arrays |= {f"{name}_vectors": values_TD, f"{name}_vectors_mask": mask_T}
        facts = {
            "clip": printable(request.clip.name),
            **_facts(staged),
            "arrays": {name: {"dtype": str(each.dtype), "shape": list(each.shape)} for name, each in arrays.items()},
            "made_by": dict(source.made_by),
        }
        make_folder(folder)
        path = folder
        try:
            for name, each in arrays.items():
                path = folder / f"{name}.npy"
                np.save(path, each, allow_pickle=False)
        except OSError as error:
            raise not_written(error, path) from error
        if parquet:
            _write_tables(folder, staged, vectors)
        publish_bytes(folder / FACTS, json_bytes(facts))
        yield {"folder": str(folder)} | {name: each for name, each in facts.items() if name not in ("clip", "made_by")}


def _arrays(staged: StagedClip, params: Shards) -> Iterator[tuple[str, np.ndarray]]:
    """Yield (name, array) of what staging made: sound, and of the frames times, boxes, and the streams of pictures."""
    sample = staged.sample
    if staged.heard:
        yield "sound", sample.sound()[0]
    if not staged.has_picture:
        return
    video = _video(sample)
    yield "times_s", np.array(video.times_s, np.float64)
    yield "boxes", np.array(video.boxes, np.float64).reshape(-1, 4)
    yield "scores", np.array(video.scores, np.float64)
    yield "sources", np.array(video.sources, TEXT)
    yield "reasons", np.array(video.reasons, TEXT)
    sizes = {"half": (params.half_height_px, params.half_width_px)}
    for stream in STREAMS:
        if sample.has(stream):
            jpegs = sample.pictures(stream)  # type: ignore[arg-type]
            frames_FHWC = np.zeros((len(jpegs), *sizes.get(stream, (params.face_px, params.face_px)), 3), np.uint8)
            for frame_HWC, jpeg in zip(frames_FHWC, jpegs, strict=True):
                if jpeg:
                    frame_HWC[:] = media.read_jpeg(jpeg)
            yield stream, frames_FHWC
            yield f"{stream}_mask", np.array([bool(jpeg) for jpeg in jpegs], bool)


def _facts(staged: StagedClip) -> dict[str, Any]:
    """Return what is one value per clip."""
    meta = staged.sample.meta
    facts: dict[str, Any] = {"side": staged.side, "start_s": meta.start_s, "end_s": meta.end_s, "sound": None}
    if staged.heard and (sound := meta.audio) is not None:
        facts["sound"] = {"rate_hz": sound.rate_hz, "samples": sound.samples, "reason": sound.reason}
    facts["frames"] = None
    if staged.has_picture:
        video = _video(staged.sample)
        counts = {name: video.sources.count(name) for name in ("detected", "bridged", "missing")}
        facts["frames"] = {"total": len(video.times_s), **counts, "area": video.area}
    return facts | {"notes": list(staged.notes)}


def _write_tables(folder: Path, staged: StagedClip, vectors: Mapping[str, Vectors]) -> None:
    """Write frames.parquet with a row per frame, and of each encoder a file with a row per step."""
    import pyarrow as pa

    if staged.has_picture:
        video = _video(staged.sample)
        edges = ("left", "top", "right", "bottom")
        columns = {"frame": pa.int64(), "time_s": pa.float64(), **dict.fromkeys((*edges, "score"), pa.float64())}
        columns |= {"source": pa.string(), "reason": pa.string()}
        each = zip(video.times_s, video.boxes, video.scores, video.sources, video.reasons, strict=True)
        rows = [
            {"frame": number, "time_s": time_s, "score": score, "source": source, "reason": reason}
            | dict(zip(edges, box, strict=True))
            for number, (time_s, box, score, source, reason) in enumerate(each)
        ]
        write_parquet(folder / "frames.parquet", rows, columns)
    for name, (values_TD, mask_T) in vectors.items():
        columns = {"step": pa.int64(), "valid": pa.bool_(), "vector": pa.list_(pa.float32())}
        steps = [
            {"step": step, "valid": bool(valid), "vector": vector_D}
            for step, (vector_D, valid) in enumerate(zip(values_TD, mask_T, strict=True))
        ]
        write_parquet(folder / f"{name}_vectors.parquet", steps, columns)


def _video(sample: Sample) -> VideoMeta:
    assert sample.meta.video is not None, "a clip is staged with pictures"
    return sample.meta.video
