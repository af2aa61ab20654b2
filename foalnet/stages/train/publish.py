"""Publishes a finished run; train.json comes last, is sealed, and has the digest of every other file.

Shape letters: E epochs, N utterances, C classes.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from foalnet.artifact.checkpoint import to_bytes
from foalnet.artifact.results import OWN_TASKS, TRAIN
from foalnet.artifact.seal import sealed_bytes
from foalnet.core.files import Content, json_bytes, publish_together, sha256_bytes
from foalnet.methods import CROSS_ENTROPY, Method, build_net, method_of
from foalnet.train.batches import Store
from foalnet.train.fold import LOSS
from foalnet.train.plan import Run
from foalnet.train.state import Progress

SCHEMA = 1


def publish(
    out: Path, run: Run, store: Store, done: Mapping[str, Progress], *, corpus: str, facts: Mapping[str, Any]
) -> None:
    """Write history.csv, one checkpoint a fold, logits.safetensors, logits.json and, last, train.json.

    A method with own tasks also gets own_tasks.safetensors, `fold/name` of foalnet.train.own_tasks.

    MachineError (exit 4) where the disk does not hold them; an earlier run's files are then all as they were.
    """
    digests: dict[str, str] = {}
    files: dict[Path, Content] = {}

    def put(name: str, make: Callable[[], bytes]) -> None:
        # Created only when it is written: the checkpoints of all folds together may exceed the memory.
        files[out / name] = partial(_write, make, name, digests)

    put("history.csv", partial(_history, method_of(run.variant, run.params), done))
    logits: dict[str, torch.Tensor] = {}
    index: dict[str, Any] = {}
    for fold in run.folds:
        progress, task = done[fold.name], run.task(fold, store)
        put(f"fold-{fold.name}.safetensors", partial(to_bytes, progress.best_net, model_facts(run, store, fold.name)))
        logits[f"{fold.name}/test"] = torch.stack(progress.test_NC)
        if len(progress.best_affect_NE):
            logits[f"{fold.name}/affect"] = progress.best_affect_NE
        index[fold.name] = {"test": list(task.test)}
        if task.dev:
            logits[f"{fold.name}/dev"] = torch.stack(progress.dev_NC)
            index[fold.name]["dev"] = list(task.dev)
    put("logits.safetensors", partial(save, logits))
    if answers := {f"{name}/{what}": rows for name, one in done.items() for what, rows in one.own_tasks.items()}:
        put(OWN_TASKS, partial(save, answers))
    put("logits.json", partial(json_bytes, {"classes": list(run.classes), "folds": index}))
    content = _facts(run, store, done, corpus) | dict(facts)
    files[out / TRAIN] = lambda temp: temp.write_bytes(sealed_bytes(TRAIN, content | {"files": digests}))
    publish_together(files, marker=out / TRAIN)


def _write(make: Callable[[], bytes], name: str, digests: dict[str, str], path: Path) -> None:
    data = make()
    digests[name] = sha256_bytes(data)
    path.write_bytes(data)


def model_facts(run: Run, store: Store, fold: str) -> dict[str, Any]:
    """Return the facts from which the network is rebuilt and its input prepared."""
    return {
        "variant": run.variant,
        "seed": run.seed,
        "split": run.split,
        "fold": fold,
        "classes": list(run.classes),
        "rate_hz": store.shape.rate_hz,
        "frame": list(store.shape.frame),
        "text": store.shape.text,
        "train": run.params.model_dump(),
        "features": dict(store.features) if store.features else None,
        "texts": dict(store.texts) if store.texts else None,
        "pretrained": run.pretrained.facts() if run.pretrained else None,
    }


def _history(method: type[Method], done: Mapping[str, Progress]) -> bytes:
    columns = ("fold", "epoch", "lr", "padding", LOSS, CROSS_ENTROPY, *method.losses, "dev_ua")
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    for progress in done.values():
        writer.writerows(progress.rows)
    return text.getvalue().encode()


def _facts(run: Run, store: Store, done: Mapping[str, Progress], corpus: str) -> dict[str, Any]:
    """Return the facts of the run for train.json, besides its provenance; they hold no label of a test part."""
    ledger = Counter(entry.reason for entry in store.ledger.entries if entry.reason)
    counts = Counter(dict.fromkeys((*method_of(run.variant, run.params).counts, "bad_steps"), 0))
    for progress in done.values():
        counts.update(progress.counts)
    counts.update({"audio_truncated": ledger["audio_truncated"], "video_missing": ledger["video_missing"]})
    if "text" in run.params.variant(run.variant).inputs:
        counts["text_truncated"] = ledger["text_truncated"]
    counts["not_in_shards"] = sum(key not in store for key in run.labels)
    bare = replace(run.pretrained, folder=None) if run.pretrained else None
    net = build_net(run.variant, run.params, classes=run.classes, shape=store.shape, pretrained=bare)
    counts["parameters"] = sum(p.numel() for p in net.parameters())
    folds = {}
    for fold in run.folds:
        progress, task = done[fold.name], run.task(fold, store)
        folds[fold.name] = {
            "chosen_epoch": progress.best + 1,
            "epochs_run": progress.epochs,
            "dev_ua": [row["dev_ua"] for row in progress.rows if task.dev],
            "utterances": {"train": len(task.train), "dev": len(task.dev), "test": len(task.test)},
            "bad_steps": progress.bad_steps,
        }
    return {
        "schema": SCHEMA,
        "corpus": corpus,
        "variant": run.variant,
        "seed": run.seed,
        "classes": list(run.classes),
        "split": run.split,
        **({} if run.named_split is None else {"named_split": dict(run.named_split)}),
        "counts": dict(sorted(counts.items())),
        "folds": folds,
    }
