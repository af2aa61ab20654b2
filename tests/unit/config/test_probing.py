"""The block `probe` of params.yaml: off without an entry, its names and bounds checked."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from foalnet.config.load import parse_file
from foalnet.config.probing import Probe
from foalnet.core.errors import UsageError
from tests.support.projects import REPOSITORY

PATH = Path("params.yaml")


def with_block(block: str) -> str:
    params = yaml.safe_load((REPOSITORY / "params.yaml").read_text())
    return yaml.safe_dump(params | {"probe": yaml.safe_load(block)}, sort_keys=False)


def test_no_corpus_is_probed_unless_it_has_an_entry() -> None:
    assert parse_file(with_block("{}"), PATH).probe == {}
    assert parse_file(with_block("{drawn: {}}"), PATH).probe == {"drawn": Probe()}
    one = parse_file(with_block("{drawn: {snr_db: [5], learning_curve: true, variants: [foal]}}"), PATH).probe["drawn"]
    assert (one.snr_db, one.learning_curve, one.variants, one.seeds) == ([5.0], True, ["foal"], None)


@pytest.mark.parametrize(
    ("block", "says"),
    [
        ("{dravn: {}}", "probe.dravn: no corpus 'dravn'; did you mean 'drawn'"),
        ("{drawn: {snr: [5]}}", "did you mean 'snr_db'"),
        ("{drawn: {frames_missing: 1.0}}", "frames_missing"),
        ("{drawn: {permutations: 1}}", "permutations"),
        ("{drawn: {sessions: []}}", "sessions"),
    ],
)
def test_a_wrong_entry_is_named(block: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        parse_file(with_block(block), PATH)
