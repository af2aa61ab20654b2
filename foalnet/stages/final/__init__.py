"""Stage `final`: the variant and seed that params name, trained on all sessions, sealed with a card."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foalnet.artifact.provenance import code_digest
from foalnet.artifact.results import METRICS, TRAIN
from foalnet.artifact.speeds import read_speed
from foalnet.artifact.table import read_manifest
from foalnet.config import Params, Settings
from foalnet.core.errors import FoalnetError
from foalnet.core.files import content_key
from foalnet.core.paths import run_name
from foalnet.shards import INDEX
from foalnet.stages.base import Context, Stage
from foalnet.stages.chain import Chain, link, real_names
from foalnet.stages.forecast import Forecast, free_bytes
from foalnet.stages.link import Link, differences, differs, first_few, ok, short_digest, shown
from foalnet.stages.train import training_bytes

if TYPE_CHECKING:
    from foalnet.stages.final.model import Prepared


def run(context: Context) -> Iterator[str]:
    """Train the run that `final` in params names on all sessions, for the epochs its folds fixed; seal it with a card.

    Interrupted, the same command resumes. `foalnet predict` and `foalnet.load` take the folder that it prints.
    """
    from foalnet.stages.final.model import final_run

    card = final_run(context.params, context.settings, context.paths, say=context.say)
    yield (
        f"final: {card['variant']} s{card['seed']}, {card['epochs']['trained']} epochs, sealed in {context.paths.final}"
    )


def _prepared(context: Context) -> Prepared:
    """Return what the stage trains from (UsageError, exit 2, and DataError, exit 3, as training raises them)."""
    from foalnet.shards import open_shards
    from foalnet.stages.final.model import prepare

    params, paths = context.params, context.paths
    shards = open_shards(paths.shards, corpus=params.corpus)
    return prepare(params, context.settings, paths, shards)


def cached_folders(context: Context) -> set[Path]:
    """Return the folder of the training's states in the work cache.

    Empty where the folds' result is not there, or of other params: then today's final model has no state to resume.
    """
    with suppress(FoalnetError):
        return {_prepared(context).folder}
    return set()


def forecast(context: Context) -> Forecast:
    """Return what `foalnet final` would do: the epochs that its states have not reached.

    UsageError (exit 2) and DataError (exit 3) as training itself raises them.
    """
    from foalnet.train.speed import reached

    params, settings, paths = context.params, context.settings, context.paths
    ready = _prepared(context)
    variant, seed = params.final.variant, params.final.seed
    trainings = [(name, most, *reached(state)) for name, most, state in ready.trainings()]
    to_do = sum(0 if finished else most - epochs for _, most, epochs, finished in trainings)
    used = sum(u.used for u in read_manifest(paths.manifest, corpus=params.corpus))
    per_epoch_s, measured = _rate(settings, ready.params, variant)
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
        left=to_do,
        time_s=None if per_epoch_s is None else to_do * per_epoch_s,
        measured=measured,
        disk_bytes=training_bytes(paths, variant, 1, 1) if to_do else 0,
        free_bytes=free_bytes(settings.work),
    )


def _rate(settings: Settings, params: Params, variant: str) -> tuple[float | None, str]:
    """Return seconds per epoch, where a final training with these params was measured on this device."""
    from foalnet.stages.final.model import speed_facts

    note = read_speed(settings, f"final-{params.corpus}-{variant}")
    facts = speed_facts(params.train, settings)
    try:
        if any(note[name] != value for name, value in facts.items()):
            return None, ""
        per_epoch_s = note["wall_s"] / note["epochs"]
    except (KeyError, TypeError, ZeroDivisionError):
        return None, ""
    return per_epoch_s, f"the last run took {per_epoch_s:.2f} s an epoch"


def check(chain: Chain) -> Iterator[Link]:
    """Compare the final model and its card with the inputs and the folds' results."""
    for name, one in (("final model", _model), ("final card", _card)):
        yield link(name, chain.stage("final"), partial(one, chain, name))


def _model(chain: Chain, name: str) -> Link:
    """The final model is what it was sealed as; its inputs are those of this folder, its card the one next to it."""
    from foalnet.artifact.model import FILE, read_model
    from foalnet.stages.final.card import card_md
    from foalnet.stages.train.answers import SAMPLE, answers

    folder, outputs, action = chain.at(chain.paths.final), chain.outputs, chain.again("final")
    with real_names(chain.scratch / "final"):
        weights, sealed = read_model(outputs.copy(f"{folder}/{FILE}", chain.scratch / "final"))
    expected = _expected(chain)
    digests = expected["digests"]
    actual = {
        "classes": list(sealed.classes),
        "shards": sealed.shards.model_dump(mode="json"),
        "train": sealed.train.model_dump(mode="json"),
        "digests": {what: sealed.digests.get(what) for what in digests},
    }
    actual |= {field: getattr(sealed, field) for field in ("corpus", "variant", "seed", "tools")}
    if differing := list(differences(expected, actual)):
        return differs(name, shown(differing, by="this folder", at=f"{folder}/{FILE}"), action=action)
    card = json.loads(outputs.read(f"{folder}/card.json"))
    if differing := list(differences({**sealed.card, "digests": sealed.digests}, _without(card, "loss"))):
        return differs(name, shown(differing, by=FILE, at=f"{folder}/card.json"), action=action)
    if outputs.read(f"{folder}/card.md").decode(errors="replace") != card_md(sealed.card):
        return differs(name, f"{folder}/card.md is not the card that {FILE} holds", action=action)
    sample = [key for shard in chain.shards() for key in shard["keys"]][:SAMPLE]
    if not answers(chain, weights, asdict(sealed), sample, file=Path(folder) / FILE).isfinite().all():
        return differs(name, f"its network gives no finite logits of {first_few(sample)}", action=action)
    manifest, shards = short_digest(digests["manifest"]), short_digest(digests["shards"])
    held = f"manifest {manifest}, index of shards {shards}, code and params"
    return ok(name, f"its seal holds; {held}: those here; its network answers; card.json, card.md are its own")


def _expected(chain: Chain) -> dict[str, Any]:
    """Return what the sealed model must say of its inputs, by what is in this folder."""
    from foalnet.stages.final.model import CODE as FINAL
    from foalnet.stages.train.training import code_of

    params, outputs = chain.params, chain.outputs
    manifest, shards = chain.at(chain.paths.manifest), chain.at(chain.paths.shards / INDEX)
    read = outputs.digests([manifest, shards])
    train = params.train.of(params.final.variant)
    return {
        "corpus": params.corpus,
        "variant": params.final.variant,
        "seed": params.final.seed,
        "classes": list(params.manifest.classes),
        "shards": params.shards.model_dump(mode="json"),
        "train": train.model_dump(mode="json"),
        "tools": outputs.json(chain.at(chain.paths.staging))["tools"],
        "digests": {
            "manifest": read[manifest].sha256,
            "shards": read[shards].sha256,
            "code": code_digest(code_of(train, params.final.variant)),
            "params": content_key(train.model_dump()),
            "final": code_digest(FINAL),
        },
    }


def _without(value: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {each: what for each, what in value.items() if each not in names}


def _card(chain: Chain, name: str) -> Link:
    """The card quotes this folder's epochs, scores and utterances; sound's length, ranges and machine are its own."""
    from foalnet.stages.final.card import card_facts
    from foalnet.stages.final.model import UNKNOWN

    params, outputs, paths = chain.params, chain.outputs, chain.paths
    variant, seed = params.final.variant, params.final.seed
    account = outputs.json(chain.at(paths.staging))
    card = json.loads(outputs.read(chain.at(paths.final / "card.json")))
    folds = outputs.json(chain.at(paths.model(variant, seed) / TRAIN))["folds"]
    chosen = {fold: int(row["chosen_epoch"]) for fold, row in folds.items()}
    staged = {key for shard in chain.shards() for key in shard["keys"]}
    used = [row for row in chain.manifest() if row.used and row.key in staged]
    expected = card_facts(
        params.model_copy(update={"train": params.train.of(variant)}),
        used,
        chosen=chosen,
        epochs=math.ceil(statistics.median(chosen.values())),
        metrics=outputs.json(chain.at(paths.run(variant, seed) / METRICS)),
        seconds=card["data"]["seconds"],
        ranges=card["data"]["ranges"],
        machine=card["machine"],
        licence=account.get("licence", UNKNOWN),
        drawn=account.get("drawn", False),
    )
    if differing := list(differences(expected, _without(card, "loss", "digests"))):
        return differs(name, shown(differing, by="folds, manifest", at="card.json"), action=chain.again("final"))
    return ok(name, f"{len(used)} utterances, {expected['epochs']['trained']} epochs and the folds' scores: those here")


STAGE = Stage(
    name="final",
    short="train on all sessions and seal the model",
    code=("foalnet.stages.final.model",),
    folders=lambda context: [context.paths.final],
    run=run,
    forecast=forecast,
    check=check,
    cached=cached_folders,
    cache_kind="train",
    processes=True,
)
