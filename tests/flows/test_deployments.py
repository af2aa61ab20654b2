"""prefect.yaml as committed: one paused deployment per corpus, and nothing of a machine in it."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import yaml
from prefect import Flow

from flows import POOL


def test_every_corpus_has_a_deployment_that_starts_paused_and_one_at_a_time(repository: Path) -> None:
    corpora = yaml.safe_load((repository / "params.yaml").read_text())["corpora"]
    deployments = yaml.safe_load((repository / "prefect.yaml").read_text())["deployments"]
    flows = (
        "flows/retrain.py:retrain",
        "flows/staging.py:stage_corpus",
        "flows/training.py:train_and_evaluate",
        "flows/study.py:study",
    )
    deployed = sorted((d["name"], d["entrypoint"]) for d in deployments)
    assert deployed == sorted((corpus, flow) for corpus in corpora for flow in flows)
    for deployment in deployments:
        assert deployment["parameters"] == {"corpus": deployment["name"]}
        scheduled = deployment["entrypoint"] == "flows/retrain.py:retrain"
        assert [s["active"] for s in deployment["schedules"]] == ([False] if scheduled else [])
        assert deployment["concurrency_limit"] == 1
        assert deployment["work_pool"]["name"] == POOL


def test_the_entrypoint_is_a_flow_and_its_parameters_are_the_deployments(repository: Path) -> None:
    for deployment in yaml.safe_load((repository / "prefect.yaml").read_text())["deployments"]:
        path, name = deployment["entrypoint"].split(":")
        flow = getattr(importlib.import_module(path.removesuffix(".py").replace("/", ".")), name)
        assert isinstance(flow, Flow)
        assert set(deployment["parameters"]) <= set(flow.parameters.properties)


def test_no_path_and_no_address_of_a_machine(repository: Path) -> None:
    text = (repository / "prefect.yaml").read_text()
    values = re.sub(r"#.*", "", text)
    assert not re.search(r"""["'\s](/|~|[A-Z]:\\)""", values)
    assert "://" not in values
