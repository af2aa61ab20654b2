"""A small synthetic store: each class has its own tone and its own bar in the picture, so that a network can learn it.

`make_store` gives clips, labels and groups, `make_run` a run over them, `write_corpus` the same as manifest and shards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from torch import Tensor

from foalnet.config import Params
from foalnet.config.blocks import Split, Train
from foalnet.config.load import merge
from foalnet.config.variants import HALF, VARIANTS, Modality
from foalnet.core.files import json_bytes, publish_bytes
from foalnet.core.ledger import Ledger
from foalnet.core.paths import Paths
from foalnet.corpora.splits import SPLITS
from foalnet.media import flac_bytes, jpeg_bytes
from foalnet.nets import Inputs, InputShape, Steps
from foalnet.shards import AudioMeta, Sample, write_shard
from foalnet.train.batches import Clip, Part, Store
from foalnet.train.plan import Run
from tests.support.corpus.entries import entry_params
from tests.support.corpus.rows import utterance
from tests.support.corpus.samples import picture_sample, table_sample
from tests.support.sealing import write_index, write_manifest

B = TypeVar("B", bound=Inputs)
RATE_HZ = 16000
CLASSES = ("happy", "neutral", "sad", "angry")
SIDE_PX = 16
DIMS = 6
TONES_HZ = (220.0, 500.0, 1200.0, 3000.0)

# Small enough that a fold of a few epochs takes a second.
SMALL: dict[str, Any] = {
    "audio": {"width": 16, "dropout": 0.0, "mels": 16, "augment": False},
    "video": {"width": 8, "dropout": 0.0, "augment": False},
    "methods": {
        "foal": {"layers": 2, "heads": 2, "dropout": 0.0, "project": 12, "project_dropout": 0.0, "head_dropout": 0.0},
        "single": {"project": 12, "project_dropout": 0.0, "head_dropout": 0.0},
    },
    "epochs": 2,
    "batch_size": 8,
}


@dataclass(frozen=True, kw_only=True)
class Synthetic:
    """A store, and key -> label, key -> group of all its clips."""

    store: Store
    labels: dict[str, str]
    groups: dict[str, str]


def make_clip(key: str, label: int, generator: np.random.Generator, *, frame: tuple[int, ...], frames: int) -> Clip:
    """One clip of 0.2 to 0.4 s; `label` decides tone and picture, `generator` the rest. `frames` 0: no picture."""
    samples = int(generator.integers(3200, 6400))
    phase = 2 * np.pi * TONES_HZ[label] * np.arange(samples) / RATE_HZ + generator.uniform(0, 6)
    wave_N = (0.1 * np.sin(phase) + 0.01 * generator.standard_normal(samples)).astype(np.float32)
    if len(frame) == 3:
        pictures = generator.integers(90, 110, (frames, *frame)).astype(np.uint8)
        edge = frame[1] // 4
        pictures[:, :, edge * label : edge * (label + 1)] = 220
    else:
        pictures = generator.standard_normal((frames, *frame)).astype(np.float32)
        pictures[:, label % frame[0]] = pictures[:, label % frame[0]] + 3
    return Clip.of(key, wave_N=wave_N, frames=pictures, frame_mask_F=np.ones(frames, bool))


def put(batch: B, modality: Modality, *, values: Tensor | None = None, mask_BT: Tensor | None = None) -> B:
    """The batch with other values or another mask of one modality."""
    old = batch.raw[modality]
    steps = Steps(
        values_BTD=old.values_BTD if values is None else values, mask_BT=old.mask_BT if mask_BT is None else mask_BT
    )
    return replace(batch, raw={**batch.raw, modality: steps})


def with_sound(clip: Clip, wave_N: np.ndarray) -> Clip:
    """The clip with another sound."""
    return clip.put("audio", Part(values=wave_N, mask_T=np.ones(len(wave_N), bool)))


def blind(clip: Clip) -> Clip:
    """The clip without any frame."""
    pictures = clip.parts["video"]
    return clip.put("video", Part(values=pictures.values[:0], mask_T=pictures.mask_T[:0]))


def make_store(
    *,
    groups: int = 5,
    per_group: int = 8,
    frame: tuple[int, ...] = (3, SIDE_PX, SIDE_PX),
    seed: int = 0,
    without_picture: int = 0,
    shuffled: bool = False,
) -> Synthetic:
    """Clips of four classes in equal parts over groups; the first `without_picture` of each group have no frame.

    `shuffled`: labels are drawn again, so that a clip says nothing about its label.
    """
    generator = np.random.default_rng(seed)
    clips, labels, group_of = {}, {}, {}
    for group in range(1, groups + 1):
        for place in range(per_group):
            key, label = f"g{group}_{place:03d}", place % len(CLASSES)
            frames = 0 if place < without_picture else int(generator.integers(1, 5))
            clips[key] = make_clip(key, label, generator, frame=frame, frames=frames)
            labels[key], group_of[key] = CLASSES[label], f"Session{group}"
    if shuffled:
        keys = sorted(labels)
        labels = dict(zip(keys, (labels[keys[i]] for i in generator.permutation(len(keys))), strict=True))
    store = Store(clips=dict(sorted(clips.items())), shape=InputShape(rate_hz=RATE_HZ, frame=frame), ledger=Ledger())
    return Synthetic(store=store, labels=labels, groups=group_of)


def make_params(**over: Any) -> Train:
    """Training params for small networks; keywords are merged over SMALL."""
    return Train.model_validate(merge(SMALL, over))


def make_run(
    synthetic: Synthetic, variant: str, *, seed: int = 1, params: Train | None = None, split: Split = "dev"
) -> Run:
    """A run over all groups of a synthetic store."""
    return Run(
        variant=variant,
        seed=seed,
        params=params or make_params(),
        classes=CLASSES,
        folds=tuple(SPLITS[split](synthetic.groups.values())),
        labels=synthetic.labels,
        groups=synthetic.groups,
        split=split,
    )


def corpus_params(corpus: str = "drawn", **train: Any) -> Params:
    """Return params of one corpus over the classes of the synthetic store, with small networks."""
    classes = {name: [name[:3]] for name in CLASSES}
    train = merge(SMALL, {"frame_step": 1} | train)
    methods = train.pop("methods")
    return entry_params(
        corpus, variants=["audio_only", "foal"], manifest={"classes": classes}, train=train, methods=methods
    )


def write_params(home: Path, **train: Any) -> None:
    """Write a params.yaml whose one corpus is what `write_corpus` leaves: `python -m foalnet` then runs in `home`."""
    params = corpus_params(**train)
    entry = params.model_dump(mode="json", include={"reader", "source", "variants", "seeds", "manifest", "train"})
    entry |= {
        "train": {name: value for name, value in entry["train"].items() if name not in ("methods", "variants")},
        "methods": entry["train"]["methods"],
        "shards": {},
        "evaluate": {},
        "report": {},
        "variants": [name for name in VARIANTS if not name.endswith(HALF)],
    }
    publish_bytes(home / "params.yaml", json_bytes({"corpora": {params.corpus: entry}, "runs": {}}))


def sample_of(clip: Clip, session: str) -> Sample:
    """The shard sample of a clip: face and half pictures, or a feature table, as the clip's frames are."""
    sound, video = clip.parts["audio"].values, clip.parts["video"].values
    audio = AudioMeta(rate_hz=RATE_HZ, samples=len(sound), reason="")
    given: dict[str, Any] = {"flac": flac_bytes(sound, RATE_HZ), "session": session, "start_s": 2.0, "audio": audio}
    if video.ndim == 2:
        return table_sample(clip.key, rows_FD=video, **given)
    return picture_sample(clip.key, face=_jpegs(clip, 1), half=_jpegs(clip, 2), fps=30, **given)


def _jpegs(clip: Clip, wider: int) -> list[bytes]:
    pictures = np.repeat(clip.parts["video"].values.transpose(0, 2, 3, 1), wider, axis=2)
    return [
        jpeg_bytes(picture, 95) if valid else b""
        for picture, valid in zip(pictures, clip.parts["video"].mask_T, strict=True)
    ]


def write_shards(folder: Path, samples: Sequence[tuple[Sample, str]]) -> None:
    """Write samples as shards, one for each session, and their index."""
    entries = []
    for session in sorted({session for _, session in samples}):
        path = folder / session / "000000.tar"
        mine = [sample for sample, where in samples if where == session]
        entry = write_shard(path, mine, session=session, group=f"{session}_d1")
        entries.append(replace(entry, path=f"{session}/000000.tar"))
    write_index(folder, "drawn", entries)


def write_corpus(home: Path, synthetic: Synthetic) -> Paths:
    """Write manifest and shards of a synthetic store below `home`, as the stages before training leave them."""
    paths = Paths("drawn", home)
    clips = synthetic.store.clips
    write_shards(
        paths.shards, [(sample_of(clip, synthetic.groups[key]), synthetic.groups[key]) for key, clip in clips.items()]
    )
    rows = [
        utterance(
            key, corpus="drawn", session=synthetic.groups[key], dialogue=f"{synthetic.groups[key]}_d1",
            speaker=f"{synthetic.groups[key]}F", side="left", start_s=2.0, end_s=2.0 + clip.samples / RATE_HZ,
            raw_label=synthetic.labels[key][:3], label=synthetic.labels[key],
        )
        for key, clip in clips.items()
    ]  # fmt: skip
    write_manifest(paths.manifest, rows)
    return paths
