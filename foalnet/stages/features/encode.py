"""Encodes each dialogue's pictures once with a frozen encoder; caches results by content, publishes them at the end."""

from __future__ import annotations

import importlib.metadata
import multiprocessing
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from foalnet.artifact.provenance import code_digest
from foalnet.artifact.speeds import write_speed
from foalnet.config import Params, Settings
from foalnet.config.blocks import Features
from foalnet.core.errors import MachineError
from foalnet.core.files import (
    Content,
    content_key,
    need_free,
    others_below,
    publish_bytes,
    publish_together,
    sha256_bytes,
    sha256_file,
)
from foalnet.core.processes import die_with_parent
from foalnet.core.progress import counted
from foalnet.encoders import Pretrained, open_weights
from foalnet.encoders.catalogue import published
from foalnet.shards import ShardEntry, ShardSet, open_shards
from foalnet.shards.features import INDEX, MASK, SCHEMA, FeatureFile, FeatureIndex, file_of, index_bytes

if TYPE_CHECKING:
    from foalnet.stages.features.clip import ClipImages

STAGE = "features"
CODE = ("core/shim", "encoders", "media/images", "shards", "stages/features/clip", "stages/features/encode")
PACKAGES = ("numpy", "opencv-python", "pillow", "torch", "transformers")


@dataclass(frozen=True, kw_only=True)
class Work:
    """What one dialogue's vectors depend on, and where they are kept: `key` names all of it but the dialogue.

    `device`: the setting, `kind`: what it stands for here; `workers`: how many processes compute them, which does not
    change them; one on a GPU.
    """

    pretrained: Pretrained
    params: Features
    shards: ShardSet
    device: str
    kind: str
    workers: int
    folder: Path
    key: str

    def place(self, entry: ShardEntry) -> Path:
        """Return where a dialogue's vectors are kept between runs; its digest is in a file next to it."""
        return self.folder / f"{content_key([self.key, entry.sha256])}.safetensors"

    def done(self, entry: ShardEntry) -> bool:
        """Return whether a dialogue's vectors are cached and undamaged."""
        place = self.place(entry)
        seal = place.with_suffix(".sha256")
        return place.is_file() and seal.is_file() and seal.read_text("ascii") == sha256_file(place)


def encode(params: Params, settings: Settings, shards_folder: Path, out: Path) -> str:
    """Compute the features that params ask for into `out`, index last; return a line on what was done.

    Without an encoder the index says so, and nothing heavy is loaded. Finished dialogues are kept in `settings.work`
    and not computed again. UsageError (2), DataError (3), MachineError (4) as their messages say.
    """
    work = work_of(params, settings, shards_folder)
    if work is None:
        _publish(FeatureIndex(schema=SCHEMA, corpus=params.corpus, encoder=None), [], out)
        return "no encoder in params (features.encoder), nothing to compute"
    todo = [entry for entry in work.shards.entries if not work.done(entry)]
    began = time.monotonic()
    with counted(STAGE, len(todo), "dialogues") as one_more:
        for _ in _computed(work, todo):
            one_more()
    if todo:
        note = speed_facts(work, todo) | {"wall_s": round(time.monotonic() - began, 3)}
        write_speed(settings, f"{STAGE}-{params.corpus}", note)
    index = FeatureIndex(
        schema=SCHEMA,
        corpus=params.corpus,
        encoder=work.pretrained.name,
        weights=work.pretrained.sha256,
        preprocessing=content_key(dict(work.pretrained.preprocessor)),
        picture=work.params.picture,
        frame_step=work.params.frame_step,
        dims=_dims(work),
        versions=_versions(),
    )
    _publish(index, [(work.place(entry), entry) for entry in work.shards.entries], out)
    return f"{len(work.shards.entries)} dialogues, {len(todo)} computed now"


def work_of(params: Params, settings: Settings, shards_folder: Path) -> Work | None:
    """Return what the stage computes from, weights and shards checked; None without an encoder in params.

    Nothing is written. UsageError (2), DataError (3), MachineError (4) as their messages say.
    """
    features = params.features
    if features.encoder is None:
        return None
    published(features.encoder, kind="clip", key="features.encoder")
    pretrained = open_weights(features.encoder, settings, own=features.weights)
    shards = open_shards(shards_folder, corpus=params.corpus)
    from foalnet.core.shim import torch_device

    device = torch_device(settings.device)
    preprocessing = content_key(dict(pretrained.preprocessor))
    shaping = [
        pretrained.name,
        pretrained.sha256,
        dict(pretrained.config),
        preprocessing,
        features.picture,
        features.frame_step,
    ]
    return Work(
        pretrained=pretrained,
        params=features,
        shards=shards,
        device=settings.device,
        kind=device.type,
        workers=1 if device.type == "cuda" else settings.workers,
        folder=settings.work / "features",
        key=content_key([shaping, _versions(), device.type, code_digest(CODE)]),
    )


def speed_facts(work: Work, todo: Sequence[ShardEntry]) -> dict[str, Any]:
    """Return the facts that a measured speed depends on: params of features, device and packages."""
    return {
        "params": work.params.model_dump(mode="json"),
        "device": work.kind,
        "packages": _versions(),
        "shard_bytes": sum(entry.size for entry in todo),
        "workers": min(work.workers, len(todo)),
    }


def _versions() -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in PACKAGES}


def _computed(work: Work, todo: list[ShardEntry]) -> Iterator[None]:
    """Encode dialogues; on a CPU in several processes of one thread each, with the same bytes."""
    if work.workers == 1 or len(todo) <= 1:
        encoder = None
        for entry in todo:
            encoder = encoder or _encoder(work)
            _dialogue(encoder, work, entry)
            yield
        return
    # spawn: a forked child would inherit locks of threads that it does not have.
    context = multiprocessing.get_context("spawn")
    count = min(work.workers, len(todo))
    with ProcessPoolExecutor(count, mp_context=context, initializer=_start, initargs=(work, os.getpid())) as pool:
        try:
            for done in as_completed([pool.submit(_job, entry) for entry in todo]):
                yield done.result()
        except BrokenProcessPool as error:
            raise MachineError(
                "a process that computed features died; finished dialogues are kept",
                action="if memory ran out, lower FOALNET_WORKERS; then run the same command again",
            ) from error
        except BaseException:
            for child in multiprocessing.active_children():
                child.kill()
            raise


_state: dict[str, Any] = {}


def _start(work: Work, parent: int) -> None:
    """Load the encoder once in a worker process; the process ends with its parent."""
    die_with_parent(parent)
    _state.update(work=work, encoder=_encoder(work))


def _job(entry: ShardEntry) -> None:
    _dialogue(_state["encoder"], _state["work"], entry)


def _encoder(work: Work) -> ClipImages:
    from foalnet.stages.features.clip import ClipImages

    return ClipImages(work.pretrained, device=work.device)


def _dialogue(encoder: ClipImages, work: Work, entry: ShardEntry) -> None:
    """Compute one dialogue's vectors and keep them, their digest last."""
    from safetensors.numpy import save

    from foalnet.stages.features.clip import encode_sample

    tensors: dict[str, np.ndarray] = {}
    for sample in replace(work.shards, entries=(entry,)).samples():
        rows_FD, mask_F = encode_sample(encoder, sample, work.params)
        tensors |= {sample.key: rows_FD, sample.key + MASK: mask_F}
    data = save(tensors)
    place = work.place(entry)
    place.with_suffix(".sha256").unlink(missing_ok=True)
    publish_bytes(place, data)
    publish_bytes(place.with_suffix(".sha256"), sha256_bytes(data).encode())


def _dims(work: Work) -> int:
    """Return D, read from the first dialogue's vectors."""
    from safetensors.numpy import load_file

    for entry in work.shards.entries:
        for name, value in load_file(work.place(entry)).items():
            if not name.endswith(MASK):
                return int(value.shape[1])
    return 0


def _publish(index: FeatureIndex, files: list[tuple[Path, ShardEntry]], out: Path) -> None:
    """Publish the vectors and, last, the index; without it the folder is no data set."""
    belongs = {INDEX, *(file_of(entry.path) for _, entry in files)}
    needed = sum(source.stat().st_size for source, _ in files)
    need_free(out, needed)
    rows = [
        FeatureFile(path=file_of(entry.path), sha256=sha256_file(source), shard=entry.sha256, utterances=entry.count)
        for source, entry in files
    ]
    index_data = index_bytes(replace(index, files=rows))
    together: dict[Path, Content] = {
        out / file_of(entry.path): partial(shutil.copyfile, source) for source, entry in files
    }
    publish_together(
        together | {out / INDEX: index_data},
        marker=out / INDEX,
        stale=others_below(out, belongs),
        needed_bytes=needed,
    )
