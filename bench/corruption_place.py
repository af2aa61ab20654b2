"""Writes the small project that bench.corruption damages, each file with the code that its stage uses.

Three sessions of two dialogues with four utterances each; random bytes replace sound and pictures, since nothing here
decodes them. Two variants and two seeds, a checkpoint per fold, vectors of a frozen encoder, a sealed model.

Shape letters: E epochs, N utterances, C classes, F frames, D numbers of a vector.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save

from foalnet.artifact.checkpoint import net_tensors, optimizer_tensors, to_bytes
from foalnet.artifact.model import FILE, Sealed, read_model, seal
from foalnet.artifact.results import read_train
from foalnet.artifact.seal import publish_sealed, read_sealed
from foalnet.artifact.table import manifest_files
from foalnet.config import Params, resolve
from foalnet.config.load import Entry, File
from foalnet.core.errors import DataError
from foalnet.core.files import json_bytes, publish_bytes, sha256_bytes, sha256_file
from foalnet.core.paths import Paths
from foalnet.core.records import Utterance
from foalnet.corpora.inventory import FileEntry, Inventory, checked_inventory
from foalnet.corpora.splits import loso_dev_session
from foalnet.evidence.gate import Side, decide, read_side
from foalnet.evidence.report.results import Results, read
from foalnet.shards import INDEX, Sample, ShardEntry, open_shards, write_shard
from foalnet.shards.features import INDEX as FEATURES
from foalnet.shards.features import FeatureFile, FeatureIndex, file_of, index_bytes, open_features
from foalnet.shards.index import index_bytes as shards_bytes
from foalnet.stages.evaluate.scoring import evaluate_run, read_logits
from foalnet.stages.final.model import folds_of
from foalnet.train.state import Progress, load_progress, previous_of, save_progress

CLASSES = {"happy": ["hap"], "neutral": ["neu"], "sad": ["sad"], "angry": ["ang"]}
VARIANTS, SEEDS = ("audio_only", "foal"), (1, 2)
SESSIONS, DIALOGUES, EACH, EPOCHS = 3, 2, 4, 3
FOLDS = ("Session1", "Session2", "Session3")
# The report's metrics that the gate reads; their values do not matter here.
METRICS: dict[str, Any] = {"data": {"utterances": 24}, "variants": {}}
AS_WRITTEN = "from the newest state that is whole, as it was written"
Reader = Callable[[], Any]


@dataclass(frozen=True, kw_only=True)
class Place:
    """The project: its params, its paths, and the kind of each file by path relative to `home`."""

    params: Params
    paths: Paths
    kinds: dict[str, str]


def params_of() -> Params:
    """Return the params of the project."""
    entry = {
        "reader": "iemocap",
        "source": "data/drawn/raw",
        "variants": list(VARIANTS),
        "seeds": list(SEEDS),
        "manifest": {"classes": CLASSES},
        "features": {"encoder": "clip_vit_b32", "frame_step": 1},
        **{block: {} for block in ("shards", "train", "evaluate", "report")},
        "final": {"variant": "foal", "seed": 1},
    }
    return resolve(File(corpora={"drawn": Entry.model_validate(entry)}, runs={}), "drawn")


def utterances_of() -> list[Utterance]:
    """Return the utterances, sorted by key."""
    names, utterances = list(CLASSES), []
    for session in range(1, SESSIONS + 1):
        for number in range(DIALOGUES):
            dialogue = f"Ses{session:02d}F_impro{number + 1:02d}"
            for place in range(EACH):
                utterances.append(
                    Utterance(
                        key=f"{dialogue}_F{place:03d}",
                        corpus="drawn",
                        session=f"Session{session}",
                        dialogue=dialogue,
                        speaker=f"Ses{session:02d}F",
                        side="left",
                        start_s=2.0 * place,
                        end_s=2.0 * place + 1.5,
                        raw_label=CLASSES[names[place]][0],
                        label=names[place],
                    )
                )
    return utterances


def write_project(home: Path, seed: int = 0) -> Place:
    """Write the project below `home` and return it; the same seed gives the same bytes."""
    random = Random(seed)  # noqa: S311  (bytes that can be made again, no secret)
    params, paths, rows = params_of(), Paths("drawn", home), utterances_of()
    entries = _shards(paths, rows, random)
    publish_bytes(paths.shards / INDEX, shards_bytes(paths.shards, "drawn", entries))
    _features(paths, params, entries, random)
    for path, data in manifest_files(paths.manifest, rows).items():
        publish_bytes(path, data)
    files = tuple(FileEntry(path=f"{u.key}.wav", size=9, sha256="0" * 64, role="audio") for u in rows)
    record = Inventory(corpus="drawn", reader="iemocap", files=files, ignored={"other": 0, "shadow": 1})
    publish_sealed(paths.inventory, asdict(record))
    publish_sealed(paths.counts, {"corpus": "drawn", "expected": None, "ledger": {"kept": len(rows)}, "entries": []})
    staged = {"staged": len(rows), "dropped": 0, "not_staged": 0}
    account: dict[str, Any] = {"corpus": "drawn", "tools": {"code": "a"}, "utterances": staged}
    account |= {"side_rule": "left", "dialogues": len(entries), "sound": {"rate_hz": 16000, "seconds": 1.0}}
    publish_sealed(paths.staging, account | {"shards": {"count": len(entries)}})
    for variant in VARIANTS:
        for run_seed in SEEDS:
            _model(paths, rows, variant, run_seed, random)
            evaluate_run(params, paths, variant=variant, seed=run_seed)
    _final(paths, params, random)
    for fold in FOLDS:
        for progress, net, optim in _epochs(fold):
            save_progress(state_of(paths, fold), progress, net, optim)
    written = sorted(path for path in home.rglob("*") if path.is_file())
    return Place(params=params, paths=paths, kinds={p.relative_to(home).as_posix(): kind_of(p) for p in written})


def kind_of(path: Path) -> str:
    """Return the kind of a file by its path in the project."""
    if path.suffix == ".tar":
        return "shard"
    if path.parent.name == "shards":
        return "index"
    if "features" in path.parts:
        return "features"
    if path.name.startswith("manifest."):
        return "manifest"
    if path.parent.parent.name == "runs":
        return "predictions"
    if path.name == FILE or "work" in path.parts:
        return "checkpoint"
    return "run" if "models" in path.parts else "account"


def _shards(paths: Paths, rows: list[Utterance], random: Random) -> list[ShardEntry]:
    entries = []
    for place, dialogue in enumerate(sorted({u.dialogue for u in rows})):
        mine = [u for u in rows if u.dialogue == dialogue]
        name = f"{mine[0].session}/{place % DIALOGUES:06d}.tar"
        entry = write_shard(
            paths.shards / name, [_sample(u.key, random) for u in mine], session=mine[0].session, group=dialogue
        )
        entries.append(replace(entry, path=name))
    return entries


def _sample(key: str, random: Random) -> Sample:
    faces, halves = ([random.randbytes(size) for size in (300, 0, 400)] for _ in range(2))
    from tests.support.corpus.samples import picture_sample

    return picture_sample(key, flac=random.randbytes(900), face=faces, half=halves)


def _features(paths: Paths, params: Params, entries: list[ShardEntry], random: Random) -> None:
    files = []
    for entry in entries:
        tensors: dict[str, np.ndarray] = {}
        for key in entry.keys:
            tensors[key] = np.frombuffer(random.randbytes(24), np.uint8).astype(np.float32).reshape(3, 8)
            tensors[f"{key}/mask"] = np.ones(3, np.uint8)
        path = paths.features / file_of(entry.path)
        publish_bytes(path, save(tensors))
        files.append(
            FeatureFile(
                path=file_of(entry.path), sha256=sha256_file(path), shard=entry.sha256, utterances=len(entry.keys)
            )
        )
    wanted = params.features
    index = FeatureIndex(
        schema=1,
        corpus="drawn",
        encoder=wanted.encoder,
        picture=wanted.picture,
        frame_step=wanted.frame_step,
        dims=8,
        files=files,
    )
    publish_bytes(paths.features / FEATURES, index_bytes(index))


def _model(paths: Paths, rows: list[Utterance], variant: str, seed: int, random: Random) -> None:
    """Write a run's outputs as `train` writes them."""
    folder, numbers = paths.model(variant, seed), np.random.default_rng(random.randrange(2**32))
    tensors: dict[str, np.ndarray] = {}
    index: dict[str, Any] = {"classes": list(CLASSES), "folds": {}}
    files: dict[str, bytes] = {"history.csv": b"fold,epoch\n"}
    for fold in loso_dev_session({u.session for u in rows}):
        index["folds"][fold.name] = {}
        for part in ("dev", "test"):
            keys = [u.key for u in rows if fold.part_of(u.session) == part]
            tensors[f"{fold.name}/{part}"] = numbers.normal(size=(EPOCHS, len(keys), 4)).astype(np.float32)
            index["folds"][fold.name][part] = keys
        weights = {"w": torch.from_numpy(numbers.normal(size=(4, 4)))}
        files[f"fold-{fold.name}.safetensors"] = to_bytes(weights, {"variant": variant, "seed": seed})
    files |= {"logits.safetensors": save(tensors), "logits.json": json_bytes(index)}
    for name, data in files.items():
        publish_bytes(folder / name, data)
    facts = {"corpus": "drawn", "variant": variant, "seed": seed, "split": "dev", "code": "c", "params": "p"}
    folds = {name: {"chosen_epoch": 1, "epochs_run": EPOCHS} for name in index["folds"]}
    digests = {name: sha256_bytes(data) for name, data in files.items()}
    publish_sealed(folder / "train.json", facts | {"classes": list(CLASSES), "folds": folds, "files": digests})


def _final(paths: Paths, params: Params, random: Random) -> None:
    content = Sealed(
        corpus="drawn",
        variant="foal",
        seed=1,
        classes=tuple(CLASSES),
        rate_hz=16000,
        frame=(8,),
        shards=params.shards,
        train=params.train,
        tools={"code": "a"},
        digests={"manifest": "m"},
        card={"schema": 1},
    )
    weights = torch.frombuffer(bytearray(random.randbytes(64)), dtype=torch.uint8)
    seal(paths.final / FILE, {"w": weights}, content)


def readers_of(place: Place) -> dict[str, Reader]:
    """Return stage -> a reader that it uses; each returns a value that can be compared."""
    params, paths = place.params, place.paths
    runs = [(variant, seed) for variant in VARIANTS for seed in SEEDS]
    kept = {fold: _kept(state_of(paths, fold), fold) for fold in FOLDS}

    def train() -> Any:
        shards = open_shards(paths.shards, corpus="drawn")
        samples = list(shards.samples())
        features = open_features(paths.features, params.features, shards)
        assert features is not None
        vectors = [tuple(array.tobytes() for array in features.rows(sample)) for sample in samples]
        return [(s.key, s.shard, dict(s.members)) for s in samples], vectors, features.facts

    def evaluate() -> Any:
        results: list[Any] = []
        for variant, seed in runs:
            facts = read_train(paths, variant=variant, seed=seed)
            folds = read_logits(paths.model(variant, seed), facts, list(CLASSES))
            each = [(f.name, f.keys, {part: a.tobytes() for part, a in f.logits_ENC.items()}) for f in folds]
            results.append((facts, each))
        return results

    def states() -> Any:
        return [_resumed(state_of(paths, fold), fold, kept[fold]) for fold in FOLDS]

    def final() -> Any:
        facts = {"params": "p"}
        return folds_of(paths, params, facts), read_sealed(paths.staging, again="shards@drawn")

    def predict() -> Any:
        weights, content = read_model(paths.final)
        return _plain((weights, asdict(content)))

    def manifest() -> Any:
        from foalnet.artifact.table import read_manifest

        return read_manifest(paths.manifest, corpus="drawn")

    return {
        "manifest": lambda: checked_inventory(paths.inventory, params),
        "shards": manifest,
        "train": train,
        "resumed": states,
        "evaluate": evaluate,
        "final": final,
        "predict": predict,
        "report": lambda: read(params, paths),
        "gate": lambda: read_side(paths, metrics=METRICS),
        "champion": lambda: read_side(paths, metrics=METRICS, champion=True),
    }


def state_of(paths: Paths, fold: str) -> Path:
    """Return the path of a fold's training checkpoint."""
    return paths.home / "work" / "train" / "key" / f"{fold}.safetensors"


def _net() -> tuple[Any, torch.optim.Optimizer]:
    torch.manual_seed(1)
    net = torch.nn.Linear(3, 3)
    return net, torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)


def _epochs(fold: str) -> Iterator[tuple[Progress, Any, torch.optim.Optimizer]]:
    """Yield a fold's training progress after its first epoch, then after its second."""
    net, optim = _net()
    progress = Progress(owner=fold)
    for epoch in range(2):
        net(torch.rand(2, 3)).sum().backward()
        optim.step()
        progress.rows.append({"epoch": epoch + 1, "loss": 1.0 / (epoch + 1)})
        progress.test_NC.append(torch.rand(4, 4))
        progress.dev_NC.append(torch.rand(4, 4))
        progress.best_net = net_tensors(net)
        yield progress, net, optim


def _content(progress: Progress, net: Any, optim: torch.optim.Optimizer) -> Any:
    """Return everything that the next epoch depends on, as comparable values."""
    # safetensors returns names in any order
    named = [*sorted(progress.best_net.items()), *sorted(optimizer_tensors(optim).items())]
    tensors = [*progress.test_NC, *progress.dev_NC, *(tensor for _, tensor in named), *net.parameters()]
    return [dict(row) for row in progress.rows], progress.owner, [tensor.tolist() for tensor in tensors]


def _kept(path: Path, fold: str) -> dict[str, Any]:
    """Return digest -> content of a fold's two checkpoints on disk, as they were saved."""
    contents = [_content(*each) for each in _epochs(fold)]
    return dict(zip((sha256_file(previous_of(path)), sha256_file(path)), contents, strict=True))


def _looked_at(path: Path) -> bytes:
    """Return a file's bytes without being recorded as a reader: bench.corruption records only paths of type str."""
    with open(os.fsencode(path), "rb") as file:  # noqa: PTH123
        return file.read()


def _resumed(path: Path, fold: str, kept: dict[str, Any]) -> str:
    """Return AS_WRITTEN where training resumes from the right checkpoint, else how it fails to.

    The newest file must be one of the fold's checkpoints, and the loaded content must be its content. If it is not,
    DataError holds what was logged: there must be a message, and the loaded content must come from a whole checkpoint.
    """
    there = {file: _looked_at(file) for file in (path, previous_of(path)) if file.is_file()}
    collected, (net, optim) = LogCollector(), _net()
    logger = logging.getLogger("foalnet.train.state")
    logger.addHandler(collected)
    logger.propagate = False
    try:
        progress = load_progress(path, net, optim, owner=fold)
    finally:
        logger.removeHandler(collected)
        logger.propagate = True
        for file, data in there.items():
            file.write_bytes(data)
    states = [kept.get(sha256_bytes(data)) for data in there.values()]
    due = next((state for state in states if state is not None), None)
    if (None if progress is None else _content(progress, net, optim)) != due:
        return "from something else than what was written"
    if collected.said:
        raise DataError("; ".join(collected.said))
    return AS_WRITTEN if states[:1] not in ([], [None]) else "without a word on a state that is not whole, or on none"


def stated_gap(place: Place, result: Any, expected: Any, touched: Sequence[str]) -> str | None:
    """Return the sentence that a reader states about a missing file; None where it states none.

    The report's sentence names the file. The gate's states that a champion's drops are not compared; it counts where an
    account is gone, as may happen in DVC's cache, and nothing else differs.
    """
    if isinstance(result, Results) and any(name in gap for name in touched for gap in result.gaps):
        return "; ".join(result.gaps)
    if isinstance(result, Side) and replace(result, staged=expected.staged, dropped=expected.dropped) == expected:
        accounts = [path.relative_to(place.paths.home).as_posix() for path in (place.paths.counts, place.paths.staging)]
        if any(name in accounts and not (place.paths.home / name).exists() for name in touched):
            params = place.params
            decision = decide(expected, result, corpus="drawn", commit=None, params=params.gate)
            return next((each["says"] for each in decision["checks"] if "not recorded" in each["says"]), None)
    return None


class LogCollector(logging.Handler):
    """Collects the messages of a logger."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Store the message."""
        self.said.append(record.getMessage())


def _plain(checkpoint: tuple[dict[str, torch.Tensor], Any]) -> Any:
    weights, facts = checkpoint
    return {name: value.tolist() for name, value in weights.items()}, facts
