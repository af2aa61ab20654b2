"""`import foalnet`: the public names exist, are typed, documented with their actual signatures, and loaded lazily."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

import foalnet

CALLABLES = ["load", "score", "compare", "open_shards", "read_manifest", "load_params", "load_settings"]
METHODS = ["Model.predict", "Model.predict_sample", "ShardSet.samples"]


@pytest.fixture(scope="module")
def api(repository: Path) -> str:
    return (repository / "docs" / "predict.md").read_text()


@pytest.mark.parametrize("name", foalnet.__all__)
def test_every_public_name_is_there_documented_and_in_dir(name: str, api: str) -> None:
    assert getattr(foalnet, name) is not None and name in dir(foalnet)
    assert re.search(rf"\b{name}\b", api), name


@pytest.mark.parametrize("name", [*CALLABLES, *METHODS])
def test_the_documented_signature_is_the_true_one(name: str, api: str) -> None:
    target = foalnet
    for part in name.split("."):
        target = getattr(target, part)
    signature = str(inspect.signature(target)).replace("PosixPath", "Path")
    assert (name + signature).replace("'", "").replace('"', "") in api.replace("'", "").replace('"', "")
    assert inspect.getdoc(target)


def test_every_field_of_the_records_is_documented(api: str) -> None:
    for record in (foalnet.Utterance, foalnet.ClipPrediction, foalnet.Sample):
        for field in dataclasses.fields(record):
            assert f"`{field.name}`" in api, f"{record.__name__}.{field.name}"


def test_names_for_the_type_checker_are_the_names_at_run_time(repository: Path) -> None:
    tree = ast.parse((repository / "foalnet" / "__init__.py").read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    typed = {alias.name: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    late = {name: module for module, names in foalnet._HOMES.items() for name in names}
    assert typed == late and set(late) | {"__version__"} == set(foalnet.__all__)
    assert (repository / "foalnet" / "py.typed").exists()


def test_an_unknown_name_is_an_attribute_error_that_lists_the_known_ones() -> None:
    with pytest.raises(AttributeError, match="open_shards"):
        _ = foalnet.open_shard  # type: ignore[attr-defined]
    assert foalnet.__version__ == version("foalnet")


def test_errors_and_records_are_at_hand_without_torch() -> None:
    code = (
        "import sys, foalnet\n"
        "foalnet.DataError, foalnet.Utterance, foalnet.read_manifest, foalnet.load_params, foalnet.open_shards\n"
        "print('torch' in sys.modules)\n"
        "foalnet.load\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["False", "True"], done.stderr


def test_own_predictions_are_scored_as_documented_without_torch(api: str) -> None:
    from foalnet.evidence.metrics import ua

    [example] = re.findall(r"(?s)```python\n(import foalnet\n\nclusters.*?)```", api)
    done = subprocess.run(
        [sys.executable, "-c", f"{example}\nimport sys\nassert 'torch' not in sys.modules"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and re.match(r"UA 0\.\d{3} \[.*\], macro-F1", done.stdout), done.stderr
    labels, given = ["a", "a", "b", "b", "c"], ["a", "b", "b", "b", "a"]
    clusters = ["1", "1", "2", "2", "3"]
    scores = foalnet.score(labels, given, clusters)
    assert scores.ua.estimate == pytest.approx(ua(np.array(labels), np.array(given))) == 0.5
    assert (scores.wa.estimate, scores.macro_f1) == pytest.approx((0.6, (0.5 + 0.8 + 0.0) / 3))
    assert foalnet.compare(labels, labels, given, clusters).interval.estimate == pytest.approx(0.5)
    with pytest.raises(foalnet.UsageError, match="5 labels, 4 predictions, 5 clusters"):
        foalnet.score(labels, given[:4], clusters)
