"""Trains many variants and seeds of one corpus in one process, and compares them: the stage `study`."""

from foalnet.study.run import run_study, train_part
from foalnet.study.search import searched

__all__ = ["run_study", "searched", "train_part"]
