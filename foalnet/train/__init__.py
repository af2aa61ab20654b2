"""Training of one variant and seed over all folds, resumable, the same bytes whatever interrupted it."""

from foalnet.train.plan import Run, plan
from foalnet.train.run import train_folds, train_run

__all__ = ["Run", "plan", "train_folds", "train_run"]
