"""Trains one setting of one variant over the folds of split `dev` and scores it on their dev parts.

A record contains scores of dev parts and nothing of test parts, neither logits nor labels. It is stored in
`work/tune/` under the same key as the run's checkpoints (code, params, inputs, device), so that a search can resume.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from foalnet.artifact.seal import publish_sealed, read_sealed
from foalnet.config import Settings
from foalnet.core.errors import DataError, UsageError
from foalnet.evidence.metrics import rounded
from foalnet.stages.train.group import Group, Job
from foalnet.stages.train.training import train_folds
from foalnet.train.batches import Store
from foalnet.train.plan import Run
from foalnet.train.speed import measured
from foalnet.tune.sampler import STAGE


class Bench(Group):
    """The trials of one corpus."""

    def reach(self, job: Job) -> dict[str, Any]:
        """Return a run's result; train the run if it has no record.

        Interrupted (exit 5) after a stop request: finished epochs are kept in the run's checkpoints.
        """
        result = recorded(job)
        if result is None:
            corpus = speed_name(self.params.corpus)
            for single in job.singles:
                if "failed" in (reached := self.reach(single)):
                    return reached
                # A record may outlive the checkpoints, which hold the encoders.
                self.trained(single)
            try:
                store = self.store(job)
            except UsageError as error:
                result = {"failed": error.what}
            else:
                with measured(job.run, self.settings, corpus, job.folder, device=job.device):
                    result = score_run(job.run, store, self.settings, job.folder)
            publish_sealed(record_of(job), result)
        return result


def speed_name(corpus: str) -> str:
    """Return the name for the recorded speed of a corpus' trials; no corpus can have this name."""
    return f"{corpus}-tune"


def record_of(job: Job) -> Path:
    """Return the path of a run's record."""
    return job.folder.parents[1] / "tune" / f"{job.folder.name}.json"


def recorded(job: Job) -> dict[str, Any] | None:
    """Return a run's recorded result; None if it was not trained to its end, or the record cannot be read."""
    try:
        result = read_sealed(record_of(job), again=STAGE)
    except DataError:
        return None
    return result if "folds" in result or "failed" in result else None


def forget(jobs: Iterable[Job], *, spare: Iterable[Path] = ()) -> None:
    """Delete the checkpoints of recorded runs, except those in `spare`."""
    stay = set(spare)
    for job in jobs:
        for folder in (job.folder, *(single.folder for single in job.singles)):
            if folder not in stay:
                shutil.rmtree(folder, ignore_errors=True)


def score_run(run: Run, store: Store, settings: Settings, work: Path) -> dict[str, Any]:
    """Train all folds of a run; return dev UA, chosen epoch (from 1) and epochs of each, or the reason of failure.

    A run fails because of its setting: non-finite losses, or a network that cannot be built.
    """
    try:
        done = train_folds(run, store, settings, work)
    except (DataError, UsageError) as error:
        return {"failed": error.what}
    return {
        "folds": {
            name: {"dev_ua": progress.best_ua, "epoch": progress.best + 1, "epochs_run": progress.epochs}
            for name, progress in done.items()
        }
    }


def mean_ua(reached: Iterable[Mapping[str, Any]]) -> float:
    """Return the mean dev UA over all folds of all runs of a trial.

    >>> mean_ua([{"folds": {"Session1": {"dev_ua": 0.5}, "Session2": {"dev_ua": 0.75}}}])
    0.625
    """
    scores = [fold["dev_ua"] for each in reached for fold in each["folds"].values()]
    return rounded(sum(scores) / len(scores))
