"""Trains Foal-Net's auxiliary tasks on the drawn corpus in several settings; prints their scores on unseen speakers.

    python -m bench.own_tasks                          # the corpus as it is drawn by default
    python -m bench.own_tasks --world redundant        # sound and face of every utterance show its class
    python -m bench.own_tasks --keep CLONE --seeds 1 --only "as of METHOD"

It stages the corpus in a clone of this checkout (`--keep` leaves it there, and the same command resumes) and trains the
settings of SETTINGS on all folds. foalnet.evidence.own_tasks scores AVEL's retrieval and MEM's matching.
With `--epoch last` every fold trains all epochs and its last weights are scored; with `chosen` those of the best UA on
the dev part, as in the headline, which may be from before MEM has learned.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.first_run import HOME, folder_of
from bench.meld import run
from bench.study import WORLDS
from foalnet.config import Params, Settings
from foalnet.config.load import load_params
from foalnet.config.space import with_values
from foalnet.config.yamls import read_yaml
from foalnet.core.files import json_bytes, publish_bytes
from foalnet.core.markdown import table
from foalnet.core.paths import Paths
from foalnet.drawn.rule import joint, own_task_best
from foalnet.evidence.metrics import ua
from foalnet.evidence.own_tasks import Answers, own_task_scores
from foalnet.methods import build_net
from foalnet.stages.train.group import Group, Job
from foalnet.stages.train.training import ready
from foalnet.train.environment import Stop, determined
from foalnet.train.fold import train_fold
from foalnet.train.own_tasks import own_tasks
from foalnet.train.state import Progress

CORPUS, CPU = "drawn", torch.device("cpu")
STAGES = (("draw",), *((verb, CORPUS) for verb in ("inventory", "manifest", "shards", "features")))
NEGATIVES, HEAD, BETA = (f"methods.foal.{name}" for name in ("negatives", "match_head", "beta"))
UNIFORM, HIDDEN, STRONG = {NEGATIVES: "uniform"}, {HEAD: "mlp"}, {BETA: 1.0}
# Setting -> variant, and its params below `train` besides those of the corpus' entry.
SETTINGS: dict[str, tuple[str, dict[str, Any]]] = {
    "foal, as in params.yaml": ("foal", {}),
    "uniform negatives": ("foal", UNIFORM),
    "beta 1": ("foal", STRONG),
    "beta 1, uniform": ("foal", {**STRONG, **UNIFORM}),
    "hidden layer": ("foal", HIDDEN),
    "hidden layer, beta 1": ("foal", {**HIDDEN, **STRONG}),
    "hidden layer, uniform": ("foal", {**HIDDEN, **UNIFORM}),
    "hidden layer, beta 1, uniform": ("foal", {**HIDDEN, **STRONG, **UNIFORM}),
    "hidden layer, beta 1, uniform, without AVEL": ("mem", {**HIDDEN, **STRONG, **UNIFORM}),
}
COLUMNS = (
    "setting",
    "matching %",
    "own pairs %",
    "foreign pairs %",
    "MEM loss",
    "sound to picture %",
    "back %",
    "UA %",
)


def main() -> None:
    """Stage the corpus, train the settings, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--world", choices=WORLDS, default="mixed", help="shares of the drawn corpus [mixed]")
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds [3]")
    parser.add_argument("--folds", type=int, default=5, help="of --epoch last: the first so many folds [5]")
    parser.add_argument("--only", nargs="+", choices=SETTINGS, metavar="SETTING", help="[all of this bench]")
    parser.add_argument("--epoch", choices=["last", "chosen"], default="last", help="which weights are scored [last]")
    parser.add_argument("--keep", type=Path, metavar="CLONE", help="clone to here and leave it")
    arguments = parser.parse_args()
    with folder_of(arguments.keep) as folder:
        params = staged(folder, arguments.world)
        group = Group.of(params, Settings(work=folder / "work"), Paths(CORPUS, folder))
        rows = []
        for name in arguments.only or SETTINGS:
            rows.append(scored(group, name, arguments))
            print(*rows[-1], sep="; ", file=sys.stderr, flush=True)
    best = own_task_best(joint(params.draw))
    size = f"{arguments.seeds} seeds, {5 if arguments.epoch == 'chosen' else arguments.folds} folds"
    print(f"World {arguments.world}, {arguments.epoch} epoch, {size}: mean ± sd over seeds.")
    print(
        f"Best possible: matching {100 * best['matching']:.1f}, sound to picture {100 * best['sound_to_picture']:.1f}, "
        f"back {100 * best['picture_to_sound']:.1f} %.\n"
    )
    print(*table(COLUMNS, rows, labels=1), sep="\n")


def staged(folder: Path, world: str) -> Params:
    """Clone, draw and stage the corpus in `folder`, unless that was done; return its params."""
    path = folder / "params.yaml"
    if not (folder / ".git").exists():
        subprocess.run(["git", "clone", "-q", str(HOME), str(folder)], check=True)
        tree = read_yaml(path)
        tree["draw"].update(WORLDS[world])
        # YAML reads JSON.
        publish_bytes(path, json_bytes(tree))
    params = load_params(CORPUS, path)
    if not Paths(CORPUS, folder).features.exists():
        for stage in STAGES:
            run(folder, "foalnet", *stage)
    return params


def scored(group: Group, name: str, arguments: argparse.Namespace) -> list[str]:
    """Train a setting with every seed; return its row of the table."""
    variant, values = SETTINGS[name]
    base = group.params.train
    runs = []
    for seed in range(1, arguments.seeds + 1):
        job = group.job(variant, seed, with_values(base, values), dict.fromkeys(("audio_only", "video_only"), base))
        to_the_end = arguments.epoch == "last"
        done = trained_to_the_end(job, group, arguments.folds) if to_the_end else group.trained(job)
        runs.append(measured(job, group, done))
    means = {key: [value for run in runs if (value := run[key]) is not None] for key in runs[0]}

    def cell(key: str, *, scale: float = 100, spread: bool = False, digits: int = 1) -> str:
        values = [scale * value for value in means[key]]
        if not values:
            return "-"
        sd = f" ± {np.std(values, ddof=1):.1f}" if spread and len(values) > 1 else ""
        return f"{np.mean(values):.{digits}f}{sd}"

    return [
        name,
        cell("matching", spread=True),
        cell("own"),
        cell("foreign"),
        cell("mem", scale=1, digits=3),
        cell("sound"),
        cell("picture"),
        cell("ua", spread=True),
    ]


def trained_to_the_end(job: Job, group: Group, folds: int) -> dict[str, Progress]:
    """Train the folds without a dev part, so that the last epoch's weights are kept and answer the own tasks."""
    for single in job.singles:
        group.trained(single)
    run, done = job.run, dict[str, Progress]()
    with determined(run.params.determinism, 1):
        store = ready(run, group.store(job), look=lambda: None)
        for fold in run.folds[:folds]:
            task, state = replace(run.task(fold, store), dev=()), job.folder.with_name(f"{job.folder.name}-last")
            done[fold.name] = train_fold(task, store, state / f"{fold.name}.safetensors", device=CPU, stop=Stop())
            net = build_net(run.variant, run.params, classes=run.classes, shape=store.shape)
            net.load_state_dict(done[fold.name].best_net)
            done[fold.name].own_tasks = own_tasks(net, store, task.test, CPU, run.params, run.seed, fold.name)
    return done


def measured(job: Job, group: Group, done: dict[str, Progress]) -> dict[str, float | None]:
    """Return the scores of one run on its folds' test parts, and MEM's mean loss in the last epoch."""
    number = {name: place for place, name in enumerate(job.run.classes)}
    folds, correct, loss = [], [], []
    for fold in (fold for fold in job.run.folds if fold.name in done):
        one, task = done[fold.name], job.run.task(fold, group.store(job))
        label_N = np.array([number[job.run.labels[key]] for key in task.test])
        folds.append(Answers.of({name: tensor.numpy() for name, tensor in one.own_tasks.items()}, label_N))
        correct.append((label_N, one.test_NC[one.best].numpy().argmax(axis=1)))
        loss.append(float(one.rows[-1].get("mem", "nan") or "nan"))
    scores = own_task_scores(folds)
    matching, retrieval = scores.get("matching", {}), scores.get("retrieval", {})
    return {
        "matching": matching.get("accuracy"),
        "own": matching.get("own"),
        "foreign": matching.get("foreign"),
        "mem": None if np.isnan(loss).any() else float(np.mean(loss)),
        "sound": retrieval.get("sound_to_picture", {}).get("p_at_1"),
        "picture": retrieval.get("picture_to_sound", {}).get("p_at_1"),
        "ua": ua(*map(np.concatenate, zip(*correct, strict=True))),
    }


if __name__ == "__main__":
    main()
