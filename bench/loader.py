"""Measures loading: utterances per second of one core from shards and features, against one file per item and modality.

    python -m bench.loader [--corpus drawn] [--epochs 96] [--batch 16] [--width 512]

Run it in a project whose corpus is staged. The rival is the released recipe: a wav and a `.npy` of vectors per
utterance, both read again for every item of every epoch (soundfile, numpy), sound cut or padded to 6 s and vectors to
the longest, batches by torch's DataLoader in the same process. Its files are written beforehand and stay in the page
cache. The vectors are random numbers, `--width` per frame, for the frames that training would see.

Ours is training's own loading: everything is decoded once, checked by digest and kept in memory; an epoch then makes
batches from memory. The script prints the first epoch (with decoding), the later ones, and all together. 96 epochs over
all utterances are what a run of the drawn corpus reads: five folds of 32 epochs over three fifths of them, one store.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from foalnet.artifact.table import read_manifest
from foalnet.config import Params, load_params
from foalnet.config.blocks import Train
from foalnet.core.files import publish_bytes, sha256_file
from foalnet.core.paths import Paths
from foalnet.core.records import Utterance
from foalnet.core.shim import one_torch_thread
from foalnet.shards import ShardSet, open_shards
from foalnet.shards.features import INDEX, FeatureFile, FeatureIndex, FeatureSet, file_of, index_bytes
from foalnet.train.batches import load_store, train_batches, train_order

CUT_S = 6.0


class Items(torch.utils.data.Dataset[tuple[torch.Tensor, torch.Tensor, int]]):
    """The released recipe's items: one wav and one table of vectors per utterance, read on access."""

    def __init__(self, folder: Path, keys: Sequence[str], labels: dict[str, int], *, rate_hz: int, steps: int) -> None:
        self.folder, self.keys, self.labels, self.steps = folder, list(keys), labels, steps
        self.samples = round(CUT_S * rate_hz)

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, place: int) -> tuple[torch.Tensor, torch.Tensor, int]:
        import soundfile

        key = self.keys[place]
        wave_N, _ = soundfile.read(self.folder / f"{key}.wav", dtype="float32")
        rows_FD = np.load(self.folder / f"{key}.npy", allow_pickle=False)
        wave = np.zeros(self.samples, np.float32)
        wave[: min(len(wave_N), self.samples)] = wave_N[: self.samples]
        table = np.zeros((self.steps, rows_FD.shape[1]), np.float32)
        table[: len(rows_FD)] = rows_FD[: self.steps]
        return torch.from_numpy(wave), torch.from_numpy(table), self.labels[key]


def write_items(folder: Path, shards: ShardSet, params: Train, width: int) -> tuple[int, int]:
    """Write wav and vectors of every utterance; return (steps, rate_hz)."""
    import soundfile

    generator, steps, rate_hz = np.random.default_rng(0), 0, 1
    for sample in shards.samples():
        wave_N, rate_hz = sample.sound()
        count = -(-len(_times(sample)) // params.frame_step)
        steps = max(steps, count)
        soundfile.write(folder / f"{sample.key}.wav", wave_N, rate_hz, subtype="PCM_16")
        np.save(folder / f"{sample.key}.npy", generator.standard_normal((count, width), dtype=np.float32))
    return steps, rate_hz


def _times(sample: Any) -> list[float]:
    return list(sample.meta.video.times_s)


def write_features(folder: Path, items: Path, shards: ShardSet, frame_step: int, width: int) -> FeatureSet:
    """Write the vectors of `items` in the layout of the stage `features`, and open them."""
    from safetensors.numpy import save_file

    files = []
    for entry in shards.entries:
        tensors: dict[str, np.ndarray] = {}
        for key in entry.keys:
            tensors[key] = np.load(items / f"{key}.npy", allow_pickle=False)
            tensors[f"{key}/mask"] = np.ones(len(tensors[key]), np.uint8)
        path = folder / file_of(entry.path)
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, path)
        file = FeatureFile(
            path=file_of(entry.path), sha256=sha256_file(path), shard=entry.sha256, utterances=len(entry.keys)
        )
        files.append(file)
    index = FeatureIndex(
        schema=1, corpus=shards.corpus, encoder="random", frame_step=frame_step, dims=width, files=files
    )
    publish_bytes(folder / INDEX, index_bytes(index))
    return FeatureSet(folder, index, shards)


def rival(items: Items, batch: int) -> float:
    """Return the seconds of one epoch of the released recipe's loading."""
    loader = torch.utils.data.DataLoader(items, batch_size=batch, shuffle=True, num_workers=0)
    began = time.perf_counter()
    for _ in loader:
        pass
    return time.perf_counter() - began


def ours(
    shards: ShardSet, labels: dict[str, int], params: Train, features: FeatureSet | None, *, epochs: int, batch: int
) -> list[float]:
    """Return the seconds of each epoch of training's own loading; the first one decodes."""
    spent = []
    began = time.perf_counter()
    store = load_store(shards, labels, params, features)
    for epoch in range(epochs):
        order = train_order(labels, "plain", "bench", epoch)
        for _ in train_batches(store, order, labels, batch):
            pass
        spent.append(time.perf_counter() - began)
        began = time.perf_counter()
    return spent


def line(name: str, spent: Sequence[float], count: int, base: float) -> str:
    """Return one arm's row: utterances per second in the first epoch, the best later one, over all, and the ratio."""
    later = min(spent[1:], default=spent[0])
    overall = len(spent) * count / sum(spent)
    return f"{name:28s}  {count / spent[0]:9.0f}  {count / later:9.0f}  {overall:9.0f}  {overall / base:6.1f} x"


def measure(params: Params, shards: ShardSet, utterances: Sequence[Utterance], args: argparse.Namespace) -> list[str]:
    """Return the table."""
    classes = sorted({u.label for u in utterances if u.label is not None})
    inside = {key for entry in shards.entries for key in entry.keys}
    labels = {u.key: classes.index(u.label) for u in utterances if u.label is not None and u.key in inside}
    with tempfile.TemporaryDirectory(prefix="foalnet-bench-") as name, one_torch_thread():
        folder = Path(name)
        (folder / "items").mkdir()
        steps, rate_hz = write_items(folder / "items", shards, params.train, args.width)
        vectors = write_features(folder / "features", folder / "items", shards, params.train.frame_step, args.width)
        items = Items(folder / "items", sorted(labels), labels, rate_hz=rate_hz, steps=steps)
        spent = [rival(items, args.batch) for _ in range(args.epochs)]
        base = args.epochs * len(labels) / sum(spent)
        rows = [
            f"{len(labels)} utterances, {args.epochs} epochs, batches of {args.batch}, one core",
            f"{'utterances a second':28s}  {'1st epoch':>9s}  {'later':>9s}  {'all':>9s}  of the recipe's",
            line("a file per item, 6 s", spent, len(labels), base),
        ]
        for arm, train, features in (
            ("from shards, face crops", params.train.model_copy(update={"picture": "face"}), None),
            ("from features", params.train.model_copy(update={"picture": "features"}), vectors),
        ):
            spent = ours(shards, labels, train, features, epochs=args.epochs, batch=args.batch)
            rows.append(line(arm, spent, len(labels), base))
    return rows


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.loader", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--corpus", default="drawn")
    parser.add_argument("--epochs", type=int, default=96)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--width", type=int, default=512, help="numbers of a picture's vector")
    args = parser.parse_args(argv)
    params, paths = load_params(args.corpus), Paths(args.corpus)
    shards = open_shards(paths.shards)
    print("\n".join(measure(params, shards, read_manifest(paths.manifest), args)))


if __name__ == "__main__":
    main()
