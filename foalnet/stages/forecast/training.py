"""What `foalnet train` and `foalnet final` would do: the epochs that their states have not reached."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from foalnet.artifact.speeds import read_speed
from foalnet.artifact.table import read_manifest
from foalnet.config import Params, Settings
from foalnet.config.blocks import Split
from foalnet.core.errors import DataError
from foalnet.core.files import read_json
from foalnet.core.paths import Paths, run_name
from foalnet.stages.forecast.base import Forecast, free_bytes


def train_forecast(
    params: Params, settings: Settings, paths: Paths, *, variant: str, seed: int, split: Split = "dev"
) -> Forecast:
    """Return what `foalnet train` would do (DataError, exit 3, without manifest and shards)."""
    from foalnet.nets import tasks_of
    from foalnet.shards import open_shards
    from foalnet.stages.train import given_for, state_folder, told_of
    from foalnet.train.encoders import published_encoders
    from foalnet.train.plan import plan
    from foalnet.train.speed import reached

    tasks_of(variant)
    utterances = [u for u in read_manifest(paths.manifest, corpus=params.corpus, stage="train") if u.used]
    shards = open_shards(paths.shards, corpus=params.corpus, stage="train")
    encoders = published_encoders(params, paths, variant=variant, seed=seed, split=split)
    given = given_for(params, settings, paths, shards, variant=variant, encoders=encoders)
    run = plan(params, utterances, variant=variant, seed=seed, split=split, pretrained=given.pretrained)
    told = told_of(params, settings, given)
    folder = state_folder(params, settings, paths, run, told)
    states = {fold.name: reached(folder / f"{fold.name}.safetensors") for fold in run.folds}
    most = params.train.epochs
    steps, left = [], 0
    for name, (epochs, finished) in states.items():
        rest = 0 if finished else most - epochs
        left += rest
        steps.append(f"fold {name}: {epochs} epochs done, " + (f"at most {rest} left" if rest else "finished"))
    per_epoch_s, measured = training_rate(settings, params, variant, device=told["device"])
    return Forecast(
        verb=f"train {params.corpus} {run_name(variant, seed, split)}",
        steps=(f"{len(run.folds)} folds, {len(run.labels)} utterances, device {told['device']}", *steps),
        left=left,
        time_s=None if per_epoch_s is None else left * per_epoch_s,
        measured=measured,
        disk_bytes=training_bytes(paths, variant, len(run.folds), settings.workers) if left else 0,
        free_bytes=free_bytes(settings.work),
    )


def final_forecast(params: Params, settings: Settings, paths: Paths) -> Forecast:
    """Return what `foalnet final` would do (UsageError, exit 2, and DataError, exit 3, as training it raises them)."""
    from foalnet.shards import open_shards
    from foalnet.stages.final import STAGE, prepare
    from foalnet.train.speed import reached

    shards = open_shards(paths.shards, corpus=params.corpus, stage=STAGE)
    ready = prepare(params, settings, paths, shards)
    variant, seed = params.final.variant, params.final.seed
    trainings = [(name, most, *reached(state)) for name, most, state in ready.trainings()]
    left = sum(0 if finished else most - epochs for _, most, epochs, finished in trainings)
    used = sum(u.used for u in read_manifest(paths.manifest, corpus=params.corpus, stage=STAGE))
    per_epoch_s, measured = _final_rate(settings, ready.params, variant)
    return Forecast(
        verb=f"final {params.corpus} {run_name(variant, seed)}",
        steps=(
            f"all sessions, {used} utterances, device {ready.digests['device']}",
            *(
                f"{name}: {most} epochs, as the folds' choices fixed them: {epochs} done, "
                + ("finished" if finished else f"{most - epochs} left")
                for name, most, epochs, finished in trainings
            ),
        ),
        left=left,
        time_s=None if per_epoch_s is None else left * per_epoch_s,
        measured=measured,
        disk_bytes=training_bytes(paths, variant, 1, 1) if left else 0,
        free_bytes=free_bytes(settings.work),
    )


def _final_rate(settings: Settings, params: Params, variant: str) -> tuple[float | None, str]:
    """Return seconds per epoch, where a final training with these params was measured on this device."""
    from foalnet.stages.final import speed_facts

    note = read_speed(settings, f"final-{params.corpus}-{variant}")
    facts = speed_facts(params.train, settings)
    try:
        if any(note[name] != value for name, value in facts.items()):
            return None, ""
        per_epoch_s = note["wall_s"] / note["epochs"]
    except (KeyError, TypeError, ZeroDivisionError):
        return None, ""
    return per_epoch_s, f"the last run took {per_epoch_s:.2f} s an epoch"


def training_rate(
    settings: Settings,
    params: Params,
    variant: str,
    *,
    device: str,
    noted_as: str | None = None,
    free: Iterable[str] = (),
) -> tuple[float | None, str]:
    """Return seconds per epoch of a fold, where a run with these params was measured on this device.

    `noted_as`: the name that the speed was noted under, where it is not the corpus'. `free`: dotted params below
    `train` that may be others.
    """
    from foalnet.nets import picture_of
    from foalnet.train.ranks import processes
    from foalnet.train.speed import speed_file

    looked_at = params.train.model_copy(update={"picture": picture_of(variant, params.train.picture)})
    unlike = {"epochs", "patience", *free}
    try:
        note = read_json(speed_file(settings, noted_as or params.corpus, variant))
        same = {k: v for k, v in _flat(note["params"]).items() if k not in unlike}
        asked = {k: v for k, v in _flat(looked_at.model_dump(mode="json")).items() if k not in unlike}
        where = (device, settings.workers, processes(settings))
        if same != asked or (note["device"], note["workers"], note["processes"]) != where:
            return None, ""
        per_epoch_s = note["wall_s"] / note["epochs"]
    except (DataError, KeyError, TypeError, AttributeError, ZeroDivisionError):
        return None, ""
    return per_epoch_s, f"the last run took {per_epoch_s:.2f} s an epoch"


def _flat(tree: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Return a tree of params as dotted path -> value."""
    found: dict[str, Any] = {}
    for name, value in tree.items():
        found |= _flat(value, f"{path}{name}.") if isinstance(value, Mapping) else {f"{path}{name}": value}
    return found


def training_bytes(paths: Paths, variant: str, folds: int, beside: int) -> int | None:
    """Return the bytes of states, models and DVC's copy of them, by a published model of the same variant.

    `beside`: folds that are trained at a time.
    """
    known = sorted(paths.model(variant, 0).parent.glob(f"{variant}-s*/fold-*.safetensors"))
    if not known:
        return None
    # A state holds weights, best weights and two moments, and a fold at work keeps the one before; a model is published
    # once and cached once.
    return (folds * (4 + 2) + min(beside, folds) * 4) * max(path.stat().st_size for path in known)
