"""The learning curve: the same recipe trained with fewer sessions (or groups of speakers), tested on the same parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch

from foalnet.config.blocks import encoders_from
from foalnet.core.files import content_key
from foalnet.corpora.splits import Fold
from foalnet.stages.train.group import Group, Job, encoders_of


def with_sessions(fold: Fold, count: int) -> Fold | None:
    """Return the fold with `count` training groups, those that follow its dev group; None if it has no more than that.

    Over the folds of a corpus each group so trains equally often.

    >>> fold = Fold(name="S4", train=("S1", "S2", "S3"), dev=("S5",), test=("S4",))
    >>> with_sessions(fold, 1).train, with_sessions(fold, 2).train, with_sessions(fold, 3)
    (('S1',), ('S1', 'S2'), None)
    """
    if count >= len(fold.train):
        return None
    last, ordered = max(fold.dev or fold.test), sorted(fold.train)
    following = [name for name in ordered if name > last] + [name for name in ordered if name < last]
    return replace(fold, train=tuple(sorted(following[:count])))


def trained_with(group: Group, job: Job, count: int) -> Mapping[str, str] | None:
    """Train every fold of a run with `count` sessions; return the predicted class of each tested utterance by key.

    None if a fold has no more training groups than that. The encoders that a run takes from others are trained with the
    same sessions. States are kept in the work folder, so that an interrupted curve resumes. Errors as of training.
    """
    folds = [with_sessions(fold, count) for fold in job.run.folds]
    predicted: dict[str, str] = {}
    for fold in folds:
        if fold is None:
            return None
        small = _with_fold(job, fold)
        progress = group.trained(small)[fold.name]
        numbers_N = torch.stack(progress.test_NC)[progress.best].argmax(dim=1).tolist()
        task = small.run.task(fold, group.store(small))
        predicted |= {key: task.classes[number] for key, number in zip(task.test, numbers_N, strict=True)}
    return predicted


def _with_fold(job: Job, fold: Fold) -> Job:
    """Return the run on one fold alone, which no other utterance can enter, with encoders of the same fold."""
    singles = {one.run.variant: _with_fold(one, fold) for one in job.singles}
    inside = {*fold.train, *fold.dev, *fold.test}
    groups = {key: name for key, name in job.run.groups.items() if name in inside}
    labels = {key: label for key, label in job.run.labels.items() if key in groups}
    run = replace(job.run, folds=(fold,), groups=groups, labels=labels)
    if singles:
        sources = {modality: singles[name] for modality, name in encoders_from(run.variant, job.train).items()}
        run = replace(run, encoders=encoders_of(sources))
    folder = job.folder.parent / content_key([job.folder.name, fold.name, list(fold.train)])
    return replace(job, run=run, folder=folder, singles=tuple(singles.values()))
