"""The two arms of bench.ravdess: a support vector machine, and foalnet's networks through its own training code.

Both learn from all of a fold's training actors and predict its test actors. The SVM chooses its settings on the last
group of training actors and is then fitted to all; the networks choose nothing.

Shape letters: N utterances, X features.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import balanced_accuracy_score
from sklearn.svm import SVC

from bench.ravdess_data import Corpus
from foalnet.core.files import content_key, json_bytes, publish_bytes, read_json
from foalnet.corpora.splits import Fold
from foalnet.train.environment import Stop, determined, device
from foalnet.train.fold import train_fold
from foalnet.train.plan import plan

ARMS = {"svm_units": (True, False), "svm_sound": (False, True), "svm_both": (True, True)}
# Searched on the last group of training actors. `even`: sound and units have equal weight, whatever their numbers of
# features; `plain`: each feature has equal weight.
GRID: dict[str, Sequence[Any]] = {
    "scale": ("even", "plain"),
    "kernel": ("rbf", "linear"),
    "c": (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0),
    "gamma": (0.1, 0.3, 1.0, 3.0),
}
CLIP = 5.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One training; `groups` is the number of the fold's groups of actors that train (0: all)."""

    count: int
    variant: str
    seed: int
    fold: str
    groups: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """Predictions of one network or SVM for a fold's test actors; `dev_ua` is the score that selected the SVM."""

    job: Job
    dev_ua: float | None
    chosen: str
    predicted: Mapping[str, str]


def shortened(fold: Fold, groups: int) -> Fold:
    """Return the fold with only its first `groups` groups of training actors (0: all)."""
    return replace(fold, train=fold.train[:groups]) if groups else fold


def svm(corpus: Corpus, job: Job) -> Answer:
    """Return an SVM's predictions for the test actors.

    The grid is fitted on all but the last group of training actors; the first SVM that is best on that group is then
    fitted to all training actors.
    """
    fold = shortened(next(f for f in corpus.folds if f.name == job.fold), job.groups)
    units, sound = ARMS[job.variant]
    blocks = [block() for block, wanted in ((corpus.sound_NX, sound), (corpus.units_NX, units)) if wanted]
    groups = corpus.groups
    group_N = np.array([groups[key] for key in corpus.keys])
    all_N, tuned_N, dev_N, test_N = (
        np.isin(group_N, list(part)) for part in (fold.train, fold.train[:-1], fold.train[-1:], fold.test)
    )
    label_N = np.array([str(u.label) for u in corpus.utterances])

    def predicted(said: Mapping[str, Any], train_N: np.ndarray, test_N: np.ndarray) -> np.ndarray:
        x_NX = _scaled([_standardised(block_NX, train_N) for block_NX in blocks], said["scale"])
        machine = SVC(kernel=said["kernel"], C=said["c"], gamma=said["gamma"], class_weight="balanced")
        return machine.fit(x_NX[train_N], label_N[train_N]).predict(x_NX[test_N])

    best_ua, best_said = -1.0, dict[str, Any]()
    for said in _points(len(blocks)):
        ua = float(balanced_accuracy_score(label_N[dev_N], predicted(said, tuned_N, dev_N)))
        if ua > best_ua:
            best_ua, best_said = ua, said
    guessed = predicted(best_said, all_N, test_N)
    tested = [key for key, mine in zip(corpus.keys, test_N, strict=True) if mine]
    chosen = ", ".join(f"{name} {value}" for name, value in best_said.items())
    return Answer(job=job, dev_ua=best_ua, chosen=chosen, predicted=dict(zip(tested, map(str, guessed), strict=True)))


def _points(blocks: int) -> Iterator[dict[str, Any]]:
    """Yield the grid without points that describe the same SVM twice."""
    for values in product(*GRID.values()):
        said = dict(zip(GRID, values, strict=True))
        if said["kernel"] == "linear" and said["gamma"] != GRID["gamma"][0]:
            continue
        if blocks == 1 and said["scale"] == "plain":
            continue
        yield said


def _standardised(block_NX: np.ndarray, train_N: np.ndarray) -> np.ndarray:
    mean_X, deviation_X = block_NX[train_N].mean(axis=0), block_NX[train_N].std(axis=0)
    return np.clip((block_NX - mean_X) / np.maximum(deviation_X, 1e-3), -CLIP, CLIP)


def _scaled(blocks: Sequence[np.ndarray], scale: str) -> np.ndarray:
    """Concatenate blocks, scaled to a mean squared length of about 1 per block (`even`) or in total (`plain`)."""
    widths = [block_NX.shape[1] for block_NX in blocks]
    by = widths if scale == "even" else [sum(widths)] * len(blocks)
    return np.concatenate([block_NX / np.sqrt(n) for block_NX, n in zip(blocks, by, strict=True)], axis=1)


def network(corpus: Corpus, job: Job, work: Path) -> Answer:
    """Train one fold of a variant and seed as `foalnet train` does; a kill loses at most one epoch."""
    run = plan(corpus.params, corpus.utterances, variant=job.variant, seed=job.seed, split="four")
    fold = shortened(next(f for f in run.folds if f.name == job.fold), job.groups)
    seen = {key: group for key, group in run.groups.items() if group in (*fold.train, *fold.test)}
    labels = {key: run.labels[key] for key in seen}
    task = replace(run, folds=(fold,), labels=labels, groups=seen).task(fold, corpus.store)
    state = work / "states" / f"{key_of(corpus, job)}.safetensors"
    state.parent.mkdir(parents=True, exist_ok=True)
    with determined(run.params.determinism, 1):
        done = train_fold(task, corpus.store, state, device=device(corpus.settings), stop=Stop())
    place_N = done.test_NC[done.best].argmax(dim=1).tolist()
    with suppress(OSError):
        state.unlink()
    return Answer(
        job=job,
        dev_ua=None,
        chosen=f"epoch {done.best + 1}",
        predicted={key: run.classes[place] for key, place in zip(task.test, place_N, strict=True)},
    )


def key_of(corpus: Corpus, job: Job) -> str:
    """Return a digest of everything that determines a job's result: inputs, code, params, versions, the job itself."""
    grid = [GRID, CLIP] if job.variant in ARMS else []
    return content_key([dict(corpus.facts), dict(corpus.inputs), corpus.params.corpus, asdict(job), grid])


def file_of(corpus: Corpus, job: Job, work: Path) -> Path:
    """Return the path of a job's stored result."""
    return work / "answers" / f"{job.count}-{job.variant}-s{job.seed}-{job.fold}-{key_of(corpus, job)[:16]}.json"


def stored(corpus: Corpus, job: Job, work: Path) -> Answer | None:
    """Return a job's stored result; None where there is none."""
    path = file_of(corpus, job, work)
    if not path.exists():
        return None
    row = read_json(path)
    return Answer(**{**row, "job": Job(**row["job"])})


_CORPORA: dict[int, Corpus] = {}


def _one(job: Job, work: Path) -> Answer:
    corpus = _CORPORA[job.count]
    answer = svm(corpus, job) if job.variant in ARMS else network(corpus, job, work)
    publish_bytes(file_of(corpus, job, work), json_bytes(asdict(answer)))
    return answer


def answers_of(
    corpora: Mapping[int, Corpus], jobs: Sequence[Job], work: Path, *, workers: int, report: Callable[[Answer], object]
) -> list[Answer]:
    """Return the results of all jobs, stored ones first; the others are computed in `workers` processes."""
    _CORPORA.update(corpora)
    known = {job: stored(corpora[job.count], job, work) for job in jobs}
    answers = [answer for answer in known.values() if answer is not None]
    left = [job for job, answer in known.items() if answer is None]
    if workers == 1 or len(left) < 2:
        fresh = (_one(job, work) for job in left)
        return answers + [_reported(answer, report) for answer in fresh]
    # Forked processes inherit the clips and functionals that were computed before.
    with ProcessPoolExecutor(workers, mp_context=get_context("fork")) as pool:
        try:
            return answers + [_reported(answer, report) for answer in pool.map(_one, left, [work] * len(left))]
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _reported(answer: Answer, report: Callable[[Answer], object]) -> Answer:
    report(answer)
    return answer
