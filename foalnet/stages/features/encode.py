"""Encodes each dialogue's pictures and words once with frozen encoders; caches by content, publishes at the end."""

from __future__ import annotations

import importlib.metadata
import multiprocessing
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from foalnet.artifact.provenance import code_digest
from foalnet.artifact.speeds import write_speed
from foalnet.config import Params, Settings
from foalnet.config.blocks import Features, TextFeatures
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
from foalnet.encoders import CATALOGUE, Pretrained, open_weights
from foalnet.encoders.catalogue import published
from foalnet.shards import Sample, ShardEntry, ShardSet, open_shards
from foalnet.shards.features import INDEX, MASK, SCHEMA, FeatureFile, FeatureIndex, file_of, index_bytes, text_folder

STAGE = "features"
CODE = ("core/shim", "encoders", "media/images", "shards", "stages/features")
PACKAGES = ("numpy", "opencv-python", "pillow", "torch", "transformers")
# A dialogue's samples -> key -> (vectors, mask), and the number of texts that were cut.
Encoder = Callable[[Sequence[Sample]], tuple[dict[str, tuple[np.ndarray, np.ndarray]], int]]
CUT = "cut"


# Kinds of encoders by the block that names them.
KINDS = {Features: ("clip",), TextFeatures: ("minilm", "roberta")}
Block = Features | TextFeatures


@dataclass(frozen=True, kw_only=True)
class Work:
    """What one dialogue's vectors depend on, and where they are kept: `key` names all of it but the dialogue.

    `params`: the block that names the encoder, of pictures or of text. `device`: the setting, `kind`: what it stands
    for here; `workers`: how many processes compute them, which does not change them; one on a GPU.
    """

    pretrained: Pretrained
    params: Block
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

    @property
    def noted_as(self) -> str:
        """The name of the notes on its speed."""
        return f"{STAGE}-{self.shards.corpus}{'-text' if isinstance(self.params, TextFeatures) else ''}"


def encode(params: Params, settings: Settings, shards_folder: Path, out: Path) -> str:
    """Compute the features that params name into `out`, indexes last; return a line on what was done.

    Those of pictures are in `out`, those of text in its folder `text`. Without an encoder an index says so, and nothing
    heavy is loaded. Finished dialogues are kept in `settings.work` and not computed again. UsageError (2), DataError
    (3), MachineError (4) as their messages say.
    """
    together: list[tuple[FeatureIndex, list[tuple[Path, ShardEntry]], Path]] = []
    lines = []
    for what, block, folder in parts_of(params, out):
        work = work_of(block, params.corpus, settings, shards_folder)
        if work is None:
            together.append((FeatureIndex(schema=SCHEMA, corpus=params.corpus, encoder=None), [], folder))
            continue
        computed = _compute(work, settings)
        together.append((_index(work), [(work.place(entry), entry) for entry in work.shards.entries], folder))
        cut = sum(_cut(work.place(entry)) for entry in work.shards.entries)
        longer = f", {cut} longer than {block.encoder} reads were cut to what it reads" if cut else ""
        lines.append(f"{what}: {len(work.shards.entries)} dialogues, {computed} computed now{longer}")
    _publish(together, out)
    return "; ".join(lines) or "no encoder in params (features.encoder, features.text.encoder), nothing to compute"


def parts_of(params: Params, out: Path) -> tuple[tuple[str, Block, Path], ...]:
    """Return (what is encoded, the block that names the encoder, the folder of its vectors)."""
    return ("text", params.features.text, text_folder(out)), ("pictures", params.features, out)


def _compute(work: Work, settings: Settings) -> int:
    """Compute the dialogues that the work cache lacks; return their number."""
    todo = [entry for entry in work.shards.entries if not work.done(entry)]
    began = time.monotonic()
    with counted(STAGE, len(todo), "dialogues") as one_more:
        for _ in _computed(work, todo):
            one_more()
    if todo:
        note = speed_facts(work, todo) | {"wall_s": round(time.monotonic() - began, 3)}
        write_speed(settings, work.noted_as, note)
    return len(todo)


def _index(work: Work) -> FeatureIndex:
    """Return the index of the vectors, without its files."""
    return FeatureIndex(
        schema=SCHEMA,
        corpus=work.shards.corpus,
        encoder=work.pretrained.name,
        weights=work.pretrained.sha256,
        preprocessing=content_key(dict(work.pretrained.preprocessor)),
        **{name: getattr(work.params, name) for name in work.params.made_by if name != "encoder"},
        dims=_dims(work),
        versions=_versions(),
    )


def work_of(block: Block, corpus: str, settings: Settings, shards_folder: Path) -> Work | None:
    """Return what the stage computes from, weights and shards checked; None without an encoder in the block.

    Nothing is written. UsageError (2), DataError (3), MachineError (4) as their messages say.
    """
    if block.encoder is None:
        return None
    key = "features.text.encoder" if isinstance(block, TextFeatures) else "features.encoder"
    published(block.encoder, kinds=KINDS[type(block)], key=key)
    pretrained = open_weights(block.encoder, settings, own=block.weights)
    shards = open_shards(shards_folder, corpus=corpus)
    from foalnet.core.shim import torch_device

    device = torch_device(settings.device)
    preprocessing = content_key(dict(pretrained.preprocessor))
    shaping = [pretrained.name, pretrained.sha256, dict(pretrained.config), preprocessing]
    shaping += [getattr(block, name) for name in block.made_by if name != "encoder"]
    return Work(
        pretrained=pretrained,
        params=block,
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


def _encoder(work: Work) -> Encoder:
    """Return the function from a dialogue's samples to the vectors and mask of each, and the number of cut texts."""
    params = work.params
    if isinstance(params, TextFeatures):
        from foalnet.stages.features.text import TextVectors, encode_dialogue

        kind = CATALOGUE[work.pretrained.name].kind
        texts = TextVectors(work.pretrained, kind=kind, device=work.device)
        return lambda samples: (
            encode_dialogue(texts, samples, params),
            sum(texts.cuts(sample.meta.text) for sample in samples),
        )
    from foalnet.stages.features.clip import ClipImages, encode_sample

    images = ClipImages(work.pretrained, device=work.device)
    return lambda samples: ({sample.key: encode_sample(images, sample, params) for sample in samples}, 0)


def _dialogue(encoder: Encoder, work: Work, entry: ShardEntry) -> None:
    """Compute one dialogue's vectors and keep them, their digest last."""
    from safetensors.numpy import save

    tensors: dict[str, np.ndarray] = {}
    cut = 0
    samples = replace(work.shards, entries=(entry,)).samples()
    # Text needs the dialogue as a whole; of pictures one utterance at a time is in memory.
    for group in [list(samples)] if isinstance(work.params, TextFeatures) else ([sample] for sample in samples):
        vectors, more = encoder(group)
        cut += more
        for key, (rows_FD, mask_F) in vectors.items():
            tensors |= {key: rows_FD, key + MASK: mask_F}
    data = save(tensors, metadata={CUT: str(cut)} if cut else None)
    place = work.place(entry)
    place.with_suffix(".sha256").unlink(missing_ok=True)
    publish_bytes(place, data)
    publish_bytes(place.with_suffix(".sha256"), sha256_bytes(data).encode())


def _cut(place: Path) -> int:
    """Return how many texts of a dialogue were longer than the encoder reads."""
    from safetensors import safe_open

    with safe_open(place, framework="numpy") as file:
        return int((file.metadata() or {}).get(CUT, 0))


def _dims(work: Work) -> int:
    """Return D, read from the first dialogue's vectors."""
    from safetensors.numpy import load_file

    for entry in work.shards.entries:
        for name, value in load_file(work.place(entry)).items():
            if not name.endswith(MASK):
                return int(value.shape[1])
    return 0


def _publish(parts: list[tuple[FeatureIndex, list[tuple[Path, ShardEntry]], Path]], out: Path) -> None:
    """Publish the vectors and, last, the index of `out`; without it the folder is no data set."""
    needed = sum(source.stat().st_size for _, files, _ in parts for source, _ in files)
    need_free(out, needed)
    together: dict[Path, Content] = {}
    for index, files, folder in parts:
        rows = [
            FeatureFile(
                path=file_of(entry.path),
                sha256=sha256_file(source),
                shard=entry.sha256,
                utterances=entry.count,
                cut=_cut(source),
            )
            for source, entry in files
        ]
        together |= {folder / file_of(entry.path): partial(shutil.copyfile, source) for source, entry in files}
        together[folder / INDEX] = index_bytes(replace(index, files=rows))
    belongs = {path.relative_to(out).as_posix() for path in together}
    publish_together(together, marker=out / INDEX, stale=others_below(out, belongs), needed_bytes=needed)
