"""The stages of dvc.yaml in their order: the CLI, `--dry-run`, `verify`, `gc` and the code lists of dvc.yaml use it.

>>> [stage.name for stage in STAGES]
['draw', 'inventory', 'manifest', 'shards', 'features', 'train', 'evaluate', 'final', 'report']
>>> [stage.name for stage in STAGES if stage.forecast is not None]  # those with `--dry-run`
['draw', 'shards', 'features', 'train', 'final']
"""

from __future__ import annotations

from foalnet.stages import draw, evaluate, features, final, inventory, manifest, report, shards, train

STAGES = (
    draw.STAGE,
    inventory.STAGE,
    manifest.STAGE,
    shards.STAGE,
    features.STAGE,
    train.STAGE,
    evaluate.STAGE,
    final.STAGE,
    report.STAGE,
)
BY_NAME = {stage.name: stage for stage in STAGES}
