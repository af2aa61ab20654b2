"""From a cell of the confusion matrix to its utterances: on the page, as CSV, by the verb."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from foalnet.config import Params
from foalnet.core.errors import UsageError
from foalnet.core.files import jsonl_bytes, publish_bytes, read_json, read_jsonl
from foalnet.core.paths import Paths
from foalnet.evidence.report import build, cell_as
from foalnet.evidence.report.cells import cell, errors
from foalnet.evidence.report.results import read
from tests.support.corpus.results import make_params, write_report
from tests.support.corpus.rows import make_utterances
from tests.support.sealing import revouch_run

Built = tuple[Params, Paths]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    params = make_params(seeds=[1, 2])
    return params, write_report(tmp_path_factory.mktemp("report"), params, make_utterances(params))


def test_the_cells_are_those_of_the_matrix(built: Built) -> None:
    metrics, cells = read_json(built[1].metrics)["variants"]["foal"], errors(read(*built), "foal")
    classes = read_json(built[1].metrics)["class_names"]
    counts = {(one.true, one.predicted): one.answers for one in cells}
    for true, line in zip(classes, metrics["confusion"], strict=True):
        for predicted, count in zip(classes, line, strict=True):
            assert counts.get((true, predicted), 0) == (0 if true == predicted else count)
    assert [one.answers for one in cells] == sorted(counts.values(), reverse=True)


def test_a_member_has_its_place_and_what_others_say(built: Built, tmp_path: Path) -> None:
    """One utterance is answered wrong by one seed alone: 0.7 sure; the sound's two seeds differ."""
    params = make_params(seeds=[1, 2])
    utterances = make_utterances(params)
    paths = write_report(tmp_path, params, utterances)
    first = next(u for u in utterances if u.label == "sad")
    wrong = {("foal", 1): ("happy", [0.7, 0.1, 0.1, 0.1]), ("audio_only", 1): ("sad", [0.1, 0.1, 0.7, 0.1])}
    wrong |= {("foal", 2): ("sad", [0.1, 0.1, 0.7, 0.1]), ("audio_only", 2): ("angry", [0.1, 0.1, 0.1, 0.7])}
    for (variant, seed), (predicted, probabilities) in wrong.items():
        path = paths.run(variant, seed) / "predictions.jsonl"
        new = {"predicted": predicted, "probabilities": probabilities}
        publish_bytes(path, jsonl_bytes([row | (new if row["key"] == first.key else {}) for row in read_jsonl(path)]))
        revouch_run(path.parent)
    one = next(m for m in cell(read(params, paths), "foal", "sad", "happy").members if m.key == first.key)
    assert (one.seeds, one.sure) == (1, pytest.approx(0.7))
    assert (one.file, one.start_s, one.end_s) == (first.video, first.start_s, first.end_s)
    assert one.others["audio_only"] == "angry 1, sad 1"
    build(params, paths)
    assert "sad predicted as happy" in paths.report_html.read_text()


def test_csv_has_every_utterance_the_surest_first(built: Built) -> None:
    rows = list(csv.DictReader(cell_as(*built, "csv", true="sad", predicted="happy").splitlines()))
    sure = [float(row["probability"]) for row in rows]
    assert sure == sorted(sure, reverse=True) and len({row["utterance"] for row in rows}) == len(rows) > 0
    assert {"dialogue", "file", "start_s", "end_s", "audio_only", "video_only"} < set(rows[0])
    text = cell_as(*built, "text", true="sad", predicted="happy", variant="audio_only").splitlines()
    assert "video_only" in text[0] and "audio_only" not in text[0]


@pytest.mark.parametrize(("variant", "true"), [("foal", "glad"), ("gmu", "sad")])
def test_what_does_not_exist_is_named(built: Built, variant: str, true: str) -> None:
    with pytest.raises(UsageError, match="of this report"):
        cell_as(*built, "csv", true=true, predicted="happy", variant=variant)
