"""Trains the runs of a study in one process, scores them, and writes predictions and the board.

A finished run is kept in `work/study` under the digest of what determines its bytes, so that an interrupted study
resumes and a changed one trains the changed runs alone.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from foalnet.artifact.results import METRICS, PREDICTIONS
from foalnet.artifact.seal import keyed_rows, read_sealed, sealed_bytes, verified_bytes
from foalnet.config import Settings
from foalnet.core.errors import DataError
from foalnet.core.files import Content, jsonl_bytes, others_below, publish_together, sha256_bytes
from foalnet.core.paths import HEADLINE, Paths, run_name
from foalnet.core.records import Prediction
from foalnet.methods import build_net
from foalnet.stages.evaluate.scoring import FoldLogits, score_folds
from foalnet.stages.train.group import Group, Job
from foalnet.study.board import Trained, board
from foalnet.study.page import page
from foalnet.study.plan import Plan
from foalnet.train.batches import Store
from foalnet.train.environment import at_start
from foalnet.train.state import Progress

BOARD = "board.json"
PAGE = "board.md"


def run_study(plan: Plan, settings: Settings, paths: Paths, *, say: Callable[[str], None] = lambda _: None) -> str:
    """Train, score and compare the runs of a study; return the page.

    Writes `reports/<corpus>/studies/<name>/`: board.json, board.md, and the predictions of every run. `say` gets a line
    for every run. Interrupted (exit 5) after a stop request; UsageError (2), DataError (3), MachineError (4) as their
    messages say.
    """
    group = Group.of(plan.params, settings, paths)
    again = f"study@{plan.name}"
    used = {u.key: u for u in group.utterances if u.used}
    say(f"study {plan.name}: {at_start(settings, plan.params.train)}")
    runs, files, spent = dict[str, list[Trained]](), dict[Path, Content](), set[Path]()
    out = paths.study(plan.name)
    every = list(plan.runs())
    for number, (variant, seed, train) in enumerate(every, 1):
        job = group.job(variant, seed, train)
        kept = settings.work / "study" / job.folder.name
        if not _whole(kept, again):
            group.check(job)
            progress = group.trained(job)
            store = group.store(job)
            folds = [_logits(job, name, one, store) for name, one in progress.items()]
            rows, metrics = score_folds(plan.params, HEADLINE, folds, used, variant=variant, seed=seed)
            _keep(kept, rows, metrics | {"facts": _facts(job, progress, store)})
        spent |= {job.folder, *(single.folder for single in job.singles)}
        metrics = read_sealed(kept / METRICS, again=again)
        data = verified_bytes(kept / PREDICTIONS, metrics["predictions"]["sha256"], by=kept / METRICS, again=again)
        rows = keyed_rows(Prediction, data, kept / PREDICTIONS, again=again)
        runs.setdefault(variant, []).append(Trained(seed=seed, metrics=metrics, rows={row.key: row for row in rows}))
        folder = out / run_name(variant, seed)
        files |= {folder / name: partial(shutil.copyfile, kept / name) for name in (PREDICTIONS, METRICS)}
        say(f"{number} of {len(every)}: {run_name(variant, seed)}, UA {100 * metrics['pooled']['ua']:.1f} %")
    for folder in spent:
        shutil.rmtree(folder, ignore_errors=True)
    facts = board(plan, runs)
    text = page(facts)
    files |= {out / PAGE: text.encode(), out / BOARD: sealed_bytes(BOARD, facts)}
    belongs = {path.relative_to(out).as_posix() for path in files}
    publish_together(files, marker=out / BOARD, stale=others_below(out, belongs))
    return text


def _whole(folder: Path, again: str) -> bool:
    """Return whether a finished run is in the work cache, undamaged."""
    try:
        metrics = read_sealed(folder / METRICS, again=again)
        verified_bytes(folder / PREDICTIONS, metrics["predictions"]["sha256"], by=folder / METRICS, again=again)
    except (DataError, KeyError):
        return False
    return True


def _keep(folder: Path, rows: list[Prediction], metrics: Mapping[str, Any]) -> None:
    data = jsonl_bytes(asdict(row) for row in rows)
    recorded = {**metrics, "predictions": {"rows": len(rows), "sha256": sha256_bytes(data)}}
    publish_together(
        {folder / PREDICTIONS: data, folder / METRICS: sealed_bytes(METRICS, recorded)}, marker=folder / METRICS
    )


def _logits(job: Job, name: str, progress: Progress, store: Store) -> FoldLogits:
    """Return the stored logits of one fold, as the stage `train` publishes them."""
    import torch

    (fold,) = (fold for fold in job.run.folds if fold.name == name)
    task = job.run.task(fold, store)
    logits: dict[str, np.ndarray] = {
        "dev": torch.stack(progress.dev_NC).numpy(), "test": torch.stack(progress.test_NC).numpy(),
    }  # fmt: skip
    return FoldLogits(name=name, keys={"dev": task.dev, "test": task.test}, logits_ENC=logits)


def _facts(job: Job, progress: Mapping[str, Progress], store: Store) -> dict[str, Any]:
    """Return what the board says of a run's network: its size, and how well it did on the dev parts."""
    run = job.run
    net = build_net(run.variant, run.params, classes=len(run.classes), shape=store.shape, pretrained=run.pretrained)
    one = run.params.variant(run.variant)
    return {
        "method": one.method,
        "inputs": list(one.inputs),
        "parameters": sum(p.numel() for p in net.parameters()),
        "trained_parameters": sum(p.numel() for p in net.parameters() if p.requires_grad),
        "dev_ua": float(np.mean([fold.best_ua for fold in progress.values()])),
        "epochs": float(np.mean([fold.epochs for fold in progress.values()])),
    }
