"""Lists the searched params without effect on a variant; they are still drawn, and the summary names them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from foalnet.config.blocks import HALF, Train
from foalnet.nets import PRETRAINED_AUDIO, Tasks, tasks_of


def _fused(tasks: Tasks) -> bool:
    return tasks.audio and tasks.video


# Param below `train`, or its prefix -> the variants that it affects. A param that is not listed affects all.
AFFECTS: dict[str, Callable[[Tasks], bool]] = {
    "audio.": lambda tasks: tasks.audio,
    "video.": lambda tasks: tasks.video,
    "picture": lambda tasks: tasks.video,
    "frame_step": lambda tasks: tasks.video,
    "fusion.kind": _fused,
    "fusion.layers": _fused,
    "fusion.heads": _fused,
    "fusion.dropout": _fused,
    "fusion.masking": _fused,
    # A single modality's network has a projection of its own.
    "fusion.project": lambda tasks: tasks.projects or not _fused(tasks),
    "objective.alpha": lambda tasks: tasks.avel,
    "objective.positives": lambda tasks: tasks.avel,
    "objective.max_scale": lambda tasks: tasks.projects,
    "objective.temperature": lambda tasks: tasks.projects,
    "objective.gather_grad": lambda tasks: tasks.projects,
    "objective.beta": lambda tasks: tasks.mem,
    "objective.no_negative": lambda tasks: tasks.mem,
    "objective.matched_pass": lambda tasks: tasks.mem,
}


def without_effect(variant: str, paths: Iterable[str], train: Train) -> list[str]:
    """Return the params without effect on what a variant learns, sorted.

    >>> without_effect("audio_only", ["lr", "objective.beta", "video.width"], Train())
    ['objective.beta', 'video.width']
    """
    tasks = tasks_of(variant)

    def affected(path: str) -> bool:
        if path == "picture" and variant.endswith(HALF):
            return False
        if path == "lr_encoder":
            return tasks.audio and train.audio.encoder in PRETRAINED_AUDIO
        return all(rule(tasks) for start, rule in AFFECTS.items() if path.startswith(start))

    return sorted(path for path in paths if not affected(path))
