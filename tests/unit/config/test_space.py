"""The search space: params without effect on a variant, errors by name, the space in params.yaml."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from foalnet.config import Params, Settings, resolve
from foalnet.config.blocks import Train
from foalnet.config.load import Entry, File, load_params
from foalnet.config.space import with_values
from foalnet.core.errors import UsageError
from foalnet.core.paths import Paths
from foalnet.methods.params import check_method_space, kinds_of, value_of
from foalnet.stages.train.training import train_folds
from foalnet.tune import tune
from foalnet.tune.effect import without_effect
from tests.support.corpus.stores import CLASSES, corpus_params, make_params, make_run, make_store


def test_what_has_no_effect_has_none() -> None:
    """The table is held to networks that learn: what it calls idle for a variant changes none of its logits."""
    synthetic = make_store(per_group=4)
    values: dict[str, Any] = {
        "audio.width": 8, "video.width": 16, "lr_encoder": 0.1, "methods.single.project": 6,
        "methods.foal.layers": 1, "methods.foal.heads": 1, "methods.foal.dropout": 0.3, "methods.foal.project": 6,
        "methods.foal.alpha": 5.0, "methods.foal.beta": 5.0, "methods.foal.positives": "sum",
        "methods.foal.temperature": "divisor", "methods.foal.matched_pass": "twice",
    }  # fmt: skip

    def logits(variant: str, params: Train, folder: Path) -> torch.Tensor:
        run = make_run(synthetic, variant, params=params)
        run = replace(run, folds=run.folds[:1])
        return train_folds(run, synthetic.store, Settings(device="cpu", workers=1), folder)["Session1"].test_NC[-1]

    for variant in ("audio_only", "video_only", "baseline", "avel"):
        with tempfile.TemporaryDirectory() as folder:
            params = make_params(epochs=1, methods={"foal": {"dropout": 0.1, "project_dropout": 0.1}})
            plain = logits(variant, params, Path(folder) / "plain")
            for path in values:
                other = logits(variant, with_values(params, {path: values[path]}), Path(folder) / path)
                idle = path in without_effect(variant, values, params)
                assert torch.equal(plain, other) == idle, f"{variant} {path}"


def spaced(**space: Any) -> Params:
    entry = Entry.model_validate({
        "reader": "iemocap", "source": "data/drawn/raw", "variants": ["foal"], "seeds": [1],
        "manifest": {"classes": {name: [name[:3]] for name in CLASSES}}, "shards": {}, "train": {},
        "evaluate": {}, "report": {}, "tune": {"space": space},
    })  # fmt: skip
    return resolve(File(corpora={"drawn": entry}, runs={}), "drawn")


@pytest.mark.parametrize(
    ("space", "says"),
    [
        ({"audio.droput": {"low": 0, "high": 1}}, "did you mean 'audio.dropout'?"),
        ({"train.lr": {"low": 0.1, "high": 1}}, "did you mean 'lr'?"),
        ({"lr": {"low": -1.0, "high": 1}}, "greater than 0"),
        ({"audio.dropout": {"low": 0.0, "high": 1.5}}, "less than 1"),
        ({"batch_size": {"low": 1.5, "high": 8}}, "integer"),
        ({"sampler": {"low": 0, "high": 1}}, "not a number; write choices"),
        ({"sampler": {"choices": ["plain", "balanceed"]}}, "balanceed"),
        ({"lr": {"low": 1.0, "high": 0.1}}, "low below high"),
        ({"lr": {"low": 0.1}}, "low below high"),
        ({"alpha": {"choices": [1.0]}}, "at least two"),
        ({"methods.foal.alpha": {"low": 0.0, "high": 1.0, "log": True}}, "above 0 if log is true"),
        ({"fold_by": {"choices": ["session", "speaker"]}}, "cannot be searched"),
        ({"lr": {"low": 0.1, "hihg": 1.0}}, "did you mean 'high'?"),
    ],
)
def test_a_space_that_leads_nowhere_is_refused_by_name(space: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError) as refused:
        spaced(**space)
    assert refused.value.exit_code == 2 and says in str(refused.value) and "tune.space" in str(refused.value)


@pytest.mark.parametrize(
    ("space", "says"),
    [
        ({"methods.foal.alhpa": {"low": 0.1, "high": 1}}, "did you mean 'methods.foal.alpha'?"),
        ({"methods.foil.alpha": {"low": 0.1, "high": 1}}, "did you mean 'methods.foal.alpha'?"),
        ({"methods.foal": {"low": 0.1, "high": 1}}, "no such param below train"),
        ({"methods.foal.heads": {"low": 0, "high": 4}}, "greater than or equal to 1"),
        ({"methods.foal.positives": {"low": 0, "high": 1}}, "not a number; write choices"),
        ({"methods.foal.positives": {"choices": ["sum", "maen"]}}, "maen"),
    ],
)
def test_params_of_methods_are_searched_by_the_same_rules(space: dict[str, Any], says: str) -> None:
    params = spaced(**space)
    with pytest.raises(UsageError) as refused:
        check_method_space(params.tune, params.train, file="params.yaml")
    assert refused.value.exit_code == 2 and says in str(refused.value) and "tune.space" in str(refused.value)


def test_an_entrys_space_replaces_that_of_the_file(repository: Path, tmp_path: Path) -> None:
    data = yaml.safe_load((repository / "params.yaml").read_text())
    data["corpora"]["drawn"]["tune"] = {"space": {"lr": {"low": 0.1, "high": 0.2}}, "trials": 3}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(data))
    tune = load_params("drawn", tmp_path / "params.yaml").tune
    assert (list(tune.space), tune.trials, tune.random) == (["lr"], 3, data["tune"]["random"])


def test_the_committed_space_holds_the_committed_values(repository: Path) -> None:
    params = load_params("drawn", repository / "params.yaml")
    for path, dimension in params.tune.space.items():
        assert dimension.low is not None and dimension.high is not None
        value = value_of(params.train, path)
        assert isinstance(value, float) and dimension.low <= value <= dimension.high, path
    assert kinds_of("clip_norm") == kinds_of("methods.foal.alpha") == {float} and kinds_of("epochs") == {int}
    assert not kinds_of("audio.augment")


def test_an_empty_space_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="empty"):
        tune(corpus_params(), Settings(work=tmp_path), Paths("drawn", tmp_path))
