"""Stage `evaluate`: the split's selection rules applied to one run, its test sessions scored."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial

from foalnet.artifact.results import METRICS, OWN_TASKS, PREDICTIONS, TRAIN
from foalnet.artifact.seal import SEAL
from foalnet.artifact.table import digest_file
from foalnet.config.blocks import PROTOCOLS, SPLIT_OF
from foalnet.core.paths import Paths
from foalnet.stages.base import Context, Stage
from foalnet.stages.chain import Chain, link, real_names
from foalnet.stages.evaluate.losses import HISTORY
from foalnet.stages.link import Link, differences, differs, first_few, ok, shown


def run(context: Context) -> list[str]:
    """Apply the split's selection rules and score the test sessions: the only verb that sees test labels."""
    from foalnet.stages.evaluate.scoring import evaluate_run

    one = context.one_run
    evaluate_run(context.params, context.paths, variant=one.variant, seed=one.seed, split=one.split)
    return []


def check(chain: Chain) -> Iterator[Link]:
    """Compare the stored predictions and metrics with those computed again from logits and manifest."""
    one = chain.one_run
    for protocol in (name for name in PROTOCOLS if SPLIT_OF[name] == one.split):
        yield link(f"{one.name} predictions", chain.stage("evaluate"), partial(_predictions, chain, protocol))
        yield link(f"{one.name} metrics", chain.stage("evaluate"), partial(_metrics, chain, protocol))


def _scored_again(chain: Chain) -> Paths:
    """Score the run from its logits and the manifest; return where its files are (Absent, DataError)."""
    from foalnet.stages.evaluate.scoring import evaluate_run

    one = chain.one_run
    own = chain.paths.model(one.variant, one.seed, one.split)
    folder = chain.scratch / "scores" / own.name
    paths = Paths(chain.params.corpus, folder)
    protocols = [name for name in PROTOCOLS if SPLIT_OF[name] == one.split]
    if not all((paths.run(one.variant, one.seed, name) / METRICS).exists() for name in protocols):
        inputs = [own / name for name in (TRAIN, "logits.json", "logits.safetensors")]
        listed = chain.outputs.json(chain.at(own / TRAIN))["files"]
        inputs += [own / name for name in (OWN_TASKS, HISTORY) if name in listed]
        chain.copy(folder, [*inputs, chain.paths.manifest, digest_file(chain.paths.manifest)])
        with real_names(folder):
            evaluate_run(chain.params, paths, variant=one.variant, seed=one.seed, split=one.split)
    return paths


def _pair(chain: Chain, protocol: str, file: str) -> tuple[str, bytes, bytes]:
    """Return a file's path, its bytes, and those that `evaluate` makes of what is here."""
    one = chain.one_run
    path = chain.at(chain.paths.run(one.variant, one.seed, protocol) / file)
    stored = chain.outputs.read(path)
    return path, stored, (_scored_again(chain).run(one.variant, one.seed, protocol) / file).read_bytes()


def _predictions(chain: Chain, protocol: str) -> Link:
    """Labels, predictions and probabilities are, byte for byte, those of the logits and the manifest."""
    name, action = f"{chain.one_run.name} predictions", chain.again("evaluate")
    path, stored, made = _pair(chain, protocol, PREDICTIONS)
    rows, expected = ({row["key"]: row for row in map(json.loads, data.splitlines())} for data in (stored, made))
    wrong = {key for key in rows.keys() | expected.keys() if rows.get(key) != expected.get(key)}
    if wrong:
        what = f"{len(wrong)} of {len(expected)} predictions are not those of the logits and labels: {first_few(wrong)}"
        return differs(name, f"{path}: {what}", action=action)
    if stored != made:
        return differs(name, f"{path} has the same predictions in other bytes", action=action)
    return ok(name, f"{len(rows)} predictions, {protocol}: labels and probabilities follow from logits and manifest")


def _metrics(chain: Chain, protocol: str) -> Link:
    """Epochs, scores, counts and facts of the training are, byte for byte, those of logits, manifest and train.json."""
    name, action = f"{chain.one_run.name} metrics", chain.again("evaluate")
    path, stored, made = _pair(chain, protocol, METRICS)
    expected = {key: value for key, value in json.loads(made).items() if key != SEAL}
    if differing := list(differences(expected, chain.outputs.json(path))):
        return differs(name, shown(differing, by="logits, manifest, train.json", at=path), action=action)
    if stored != made:
        return differs(name, f"{path} has the same values in other bytes", action=action)
    return ok(name, f"{protocol}: epochs, scores and counts follow from logits, manifest and train.json")


STAGE = Stage(
    name="evaluate",
    short="apply each selection rule, score the test sessions",
    code=("foalnet.stages.evaluate.scoring",),
    folders=lambda context: [context.paths.reports / "runs"],
    run=run,
    check=check,
    per_run=True,
)
