"""Clips: every dialogue decoded once, its speakers found, its sound cut, packed and accounted for."""

from foalnet.clips.dialogue import Staged, stage_dialogue, stage_samples
from foalnet.clips.plan import Job, plan
from foalnet.clips.staging import StageSummary, stage, tools_of
from foalnet.clips.warm import unstaged, warm

__all__ = [
    "Job",
    "StageSummary",
    "Staged",
    "plan",
    "stage",
    "stage_dialogue",
    "stage_samples",
    "tools_of",
    "unstaged",
    "warm",
]
