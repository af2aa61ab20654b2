"""Stage `train`: all folds of one variant, seed and split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foalnet.artifact.provenance import code_digest
from foalnet.artifact.results import TRAIN
from foalnet.artifact.table import read_manifest
from foalnet.config import Params, Settings
from foalnet.config.blocks import encoders_from
from foalnet.core.errors import DataError
from foalnet.core.files import content_key, read_json
from foalnet.core.paths import Paths, run_name
from foalnet.core.processor import made_elsewhere
from foalnet.corpora.named import NAMED, keys_tested, record_of
from foalnet.shards import INDEX
from foalnet.shards.features import text_folder
from foalnet.stages.base import Context, Stage
from foalnet.stages.chain import Chain, link, real_names
from foalnet.stages.forecast import Forecast, free_bytes
from foalnet.stages.link import Link, differences, differs, first_few, mismatch, ok, short_digest, shown

if TYPE_CHECKING:
    from foalnet.train.plan import Run as Planned


def run(context: Context) -> list[str]:
    """Train all folds of one variant and seed; interrupted, the same command resumes."""
    from foalnet.stages.train.group import check_order
    from foalnet.stages.train.training import train_run

    one = context.one_run
    check_order(context.params, read_manifest(context.paths.manifest, corpus=context.params.corpus), one.variant)
    train_run(
        context.params,
        context.settings,
        context.paths,
        variant=one.variant,
        seed=one.seed,
        split=one.split,
        say=context.say,
    )
    return []


def _planned(context: Context) -> tuple[Planned, dict[str, Any], Path]:
    """Return the run as the stage plans it, the facts that shape its bytes, and the folder of its states.

    DataError (exit 3) without manifest and shards, MachineError (exit 4) where an encoder's weights are not ready.
    """
    from foalnet.methods import config_of
    from foalnet.shards import open_shards
    from foalnet.stages.train.training import given_for, run_facts, state_folder
    from foalnet.train.encoders import published_encoders
    from foalnet.train.plan import plan

    params, settings, paths, one = context.params, context.settings, context.paths, context.one_run
    config_of(one.variant, params.train)
    utterances = read_manifest(paths.manifest, corpus=params.corpus)
    shards = open_shards(paths.shards, corpus=params.corpus)
    encoders = published_encoders(params, paths, variant=one.variant, seed=one.seed, split=one.split)
    given = given_for(params, settings, paths, shards, variant=one.variant, encoders=encoders)
    planned = plan(params, utterances, variant=one.variant, seed=one.seed, split=one.split, pretrained=given.pretrained)
    facts = run_facts(planned.params, settings, given, variant=one.variant)
    return planned, facts, state_folder(params, settings, paths, planned, facts)


def cached_folders(context: Context) -> set[Path]:
    """Return the folder of the run's states in the work cache (DataError, exit 3, without manifest and shards)."""
    return {_planned(context)[2]}


def forecast(context: Context) -> Forecast:
    """Return what `foalnet train` would do: the epochs that the folds' states have not reached.

    DataError (exit 3) without manifest and shards.
    """
    from foalnet.train.speed import reached

    params, settings, one = context.params, context.settings, context.one_run
    planned, facts, folder = _planned(context)
    states = {fold.name: reached(folder / f"{fold.name}.safetensors") for fold in planned.folds}
    most = params.train.epochs
    steps, to_do = [], 0
    for name, (epochs, finished) in states.items():
        rest = 0 if finished else most - epochs
        to_do += rest
        steps.append(f"fold {name}: {epochs} epochs done, " + (f"at most {rest} left" if rest else "finished"))
    per_epoch_s, measured = training_rate(settings, params, one.variant, device=facts["device"])
    return Forecast(
        verb=f"train {params.corpus} {run_name(one.variant, one.seed, one.split)}",
        steps=(f"{len(planned.folds)} folds, {len(planned.labels)} utterances, device {facts['device']}", *steps),
        left=to_do,
        time_s=None if per_epoch_s is None else to_do * per_epoch_s,
        measured=measured,
        disk_bytes=training_bytes(context.paths, one.variant, len(planned.folds), settings.workers) if to_do else 0,
        free_bytes=free_bytes(settings.work),
    )


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
    from foalnet.train.ranks import processes
    from foalnet.train.speed import speed_file

    unlike = {"epochs", "patience", *free}
    try:
        note = read_json(speed_file(settings, noted_as or params.corpus, variant))
        noted = {k: v for k, v in _flat(note["params"]).items() if k not in unlike}
        wanted = {k: v for k, v in _flat(params.train.of(variant).model_dump(mode="json")).items() if k not in unlike}
        where = (device, settings.workers, processes(settings))
        if noted != wanted or (note["device"], note["workers"], note["processes"]) != where:
            return None, ""
        per_epoch_s = note["wall_s"] / note["epochs"]
    except (DataError, KeyError, TypeError, AttributeError, ZeroDivisionError):
        return None, ""
    return per_epoch_s, f"the last run took {per_epoch_s:.2f} s an epoch"


def _flat(tree: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Return a tree of params as dotted path -> value."""
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        flat |= _flat(value, f"{path}{name}.") if isinstance(value, Mapping) else {f"{path}{name}": value}
    return flat


def training_bytes(paths: Paths, variant: str, folds: int, at_once: int) -> int | None:
    """Return the bytes of states, models and DVC's copy of them, by a published model of the same variant.

    `at_once`: folds that are trained at a time.
    """
    known = sorted(paths.model(variant, 0).parent.glob(f"{variant}-s*/fold-*.safetensors"))
    if not known:
        return None
    # A state holds weights, best weights and two moments, and a fold at work keeps the one before; a model is published
    # once and cached once.
    return (folds * (4 + 2) + min(at_once, folds) * 4) * max(path.stat().st_size for path in known)


def check(chain: Chain) -> Iterator[Link]:
    """Compare a run's train.json with code, params and inputs, its files with their digests, its networks' logits."""
    for what, one in (("facts", _facts), ("files", _files), ("checkpoints", _checkpoints), ("logits", _logit_keys)):
        name = f"{chain.one_run.name} {what}"
        yield link(name, chain.stage("train"), partial(one, chain, name))


def model_folder(chain: Chain, variant: str | None = None) -> str:
    """Return the folder of the trained run, or of the run of another variant with its seed and split."""
    one = chain.one_run
    return chain.at(chain.paths.model(variant or one.variant, one.seed, one.split))


def _equal(name: str, pairs: Mapping[str, tuple[Any, Any]], *, by: str, at: str, action: str, held: str) -> Link:
    """Compare values by name: (what is expected, what is there)."""
    wrong = [f"{what}: {mismatch(one, other, by=by, at=at)}" for what, (one, other) in pairs.items() if one != other]
    return differs(name, "; ".join(wrong), action=action) if wrong else ok(name, held)


def _facts(chain: Chain, name: str) -> Link:
    """train.json names the training code and params of this folder, and this run."""
    from foalnet.stages.train.training import code_of
    from foalnet.train.encoders import known_by

    stated, params, one = chain.outputs.json(f"{model_folder(chain)}/{TRAIN}"), chain.params, chain.one_run
    here = {
        "code": code_digest(code_of(params.train, one.variant)),
        "params": content_key(params.train.of(one.variant).model_dump()),
        "classes": list(params.manifest.classes),
        "corpus": params.corpus,
        "variant": one.variant,
        "seed": one.seed,
        "split": one.split,
    }
    if stated.get("inputs") is not None:
        names = {"manifest": chain.at(chain.paths.manifest), "shards": chain.at(chain.paths.shards / INDEX)}
        read = chain.outputs.digests(names.values())
        here["inputs"] = {name: read[path].sha256 for name, path in names.items()}
    if stated.get("features") is not None:
        index = chain.at(chain.paths.features / INDEX)
        here["features"] = chain.outputs.digests([index])[index].sha256
    if params.train.fold_by in NAMED:
        here["named_split"] = record_of(params, [u for u in chain.manifest() if u.used], one.split)
    if stated.get("texts") is not None:
        index = chain.at(text_folder(chain.paths.features) / INDEX)
        here["texts"] = chain.outputs.digests([index])[index].sha256
    if singles := encoders_from(one.variant, params.train):
        models = {run_name(single, one.seed, one.split): model_folder(chain, single) for single in singles.values()}
        here["encoders"] = {name: known_by(chain.outputs.json(f"{path}/{TRAIN}")) for name, path in models.items()}
    pairs = {what: (stated.get(what), value) for what, value in here.items()}
    code, values = short_digest(here["code"]), short_digest(here["params"])
    held = f"training code {code}, training params {values}: those of this folder"
    return _equal(name, pairs, by=TRAIN, at="this folder", action=chain.again("train"), held=held)


def _files(chain: Chain, name: str) -> Link:
    """Every file of the run has the SHA-256 that train.json says; none is missing, none is extra."""
    folder, action = model_folder(chain), chain.again("train")
    listed = {str(file): str(digest) for file, digest in chain.outputs.json(f"{folder}/{TRAIN}")["files"].items()}
    here = set(chain.outputs.names(folder)) - {TRAIN}
    if strange := here ^ listed.keys():
        what = f"{len(strange)} files are gone, or {TRAIN} does not name them: {first_few(strange)}"
        return differs(name, what, action=action)
    read = chain.outputs.digests(f"{folder}/{file}" for file in listed)
    pairs = {f"{folder}/{file}": (digest, read[f"{folder}/{file}"].sha256) for file, digest in listed.items()}
    held = f"{len(pairs)} files have the SHA-256 that {folder}/{TRAIN} says"
    return _equal(name, pairs, by=TRAIN, at="file", action=action, held=held)


def _checkpoints(chain: Chain, name: str) -> Link:
    """Every fold's checkpoint has its seal, is of this run, and its network gives a sample's logits as they are stored.

    The logits are those of the chosen epoch: the checkpoint holds its weights.
    """
    from safetensors.torch import load

    from foalnet.artifact.checkpoint import load_checkpoint
    from foalnet.stages.train.answers import SAMPLE, answers, depends_on_batch, unlike_logits

    folder, one, action = model_folder(chain), chain.one_run, chain.again("train")
    expected = {"variant": one.variant, "seed": one.seed, "split": one.split}
    expected["classes"] = list(chain.params.manifest.classes)  # type: ignore[assignment]
    train, keys = chain.outputs.json(f"{folder}/{TRAIN}"), chain.outputs.json(f"{folder}/logits.json")["folds"]
    stored, answered = load(chain.outputs.read(f"{folder}/logits.safetensors")), 0
    for fold, trained in sorted(train["folds"].items()):
        path = f"{folder}/fold-{fold}.safetensors"
        scratch = chain.scratch / "checkpoints"
        copy = chain.outputs.copy(path, scratch)
        with real_names(scratch):
            weights, sealed = load_checkpoint(copy)
        copy.unlink()  # those of a remote are many, and large
        here = {field: sealed[field] for field in (*expected, "fold")}
        if differing := list(differences(expected | {"fold": fold}, here)):
            return differs(name, shown(differing, by="params", at=path), action=action)
        sample = keys[fold]["test"][:SAMPLE]
        made_NC = answers(chain, weights, sealed, sample, file=Path(path))
        stored_NC = stored[f"{fold}/test"][trained["chosen_epoch"] - 1, : len(sample)]
        if not depends_on_batch(sealed) and (what := unlike_logits(made_NC, stored_NC, device=train["device"])):
            what = f"{path}: its network does not give the stored logits of {first_few(sample)}: {what}"
            return differs(name, what, action=action)
        answered += len(sample)
    held = f"{len(train['folds'])} folds' seals hold, they are of this run"
    elsewhere = made_elsewhere(train)
    return ok(
        name,
        f"{held}, their networks give the stored logits of {answered} utterances"
        + (f" but for rounding; {elsewhere}" if elsewhere else ""),
    )


def _logit_keys(chain: Chain, name: str) -> Link:
    """The folds' test parts are, once each, the utterances to be tested that the shards hold."""
    folds = chain.outputs.json(f"{model_folder(chain)}/logits.json")["folds"]
    tested = Counter(key for fold in folds.values() for key in fold["test"])
    staged = keys_tested(chain.params, [u for u in chain.manifest() if u.used])
    staged &= {key for shard in chain.shards() for key in shard["keys"]}
    wrong = (staged ^ tested.keys()) | {key for key, count in tested.items() if count > 1}
    if wrong:
        what = f"{len(wrong)} utterances are tested twice, or are not those of manifest and shards: {first_few(wrong)}"
        return differs(name, what, action=chain.again("train"))
    return ok(name, f"{len(folds)} folds test each of {len(staged)} utterances once")


STAGE = Stage(
    name="train",
    short="train all folds of one variant and seed",
    code=("foalnet.stages.train.training",),
    folders=lambda context: [context.paths.model(context.one_run.variant, context.one_run.seed, context.one_run.split)],
    run=run,
    forecast=forecast,
    check=check,
    cached=cached_folders,
    cache_kind="train",
    per_run=True,
    processes=True,
)
