"""Tables for papers and programs: every figure once, as stored; LaTeX that compiles."""

from __future__ import annotations

import csv
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner

from foalnet.artifact.seal import publish_sealed
from foalnet.cli.main import cli
from foalnet.core.errors import UsageError
from foalnet.core.files import read_json
from foalnet.core.paths import Paths
from foalnet.evidence.report import headline, tables_as
from tests.support.corpus.results import make_params, write_report
from tests.support.corpus.rows import make_utterances

CLASSES = ("happy", "neutral", "sad", "angry")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    params = make_params()
    return write_report(tmp_path_factory.mktemp("report"), params, make_utterances(params))


def test_csv_has_every_figure_as_it_is_stored(built: Paths) -> None:
    metrics = read_json(built.metrics)
    rows = list(csv.DictReader(tables_as(built, "csv").splitlines()))
    of = {(row["table"], row["row"], row["column"]): row for row in rows}
    assert len(of) == len(rows)
    for name, scores in metrics["variants"].items():
        row = of["scores", name, "UA %"]
        assert [float(row[key]) for key in ("value", "low", "high")] == [
            scores[key] for key in ("ua", "ua_low", "ua_high")
        ]
        for true, counts in zip(CLASSES, scores["confusion"], strict=True):
            recall = of["recall by class", true, f"{name} %"]
            assert [float(recall[key]) for key in ("value", "low", "high")] == [
                scores[key][true] for key in ("recall", "recall_low", "recall_high")
            ]
            assert [int(of[f"confusion of {name}", true, to]["value"]) for to in CLASSES] == counts
            # JSON sorts the names of recalls; the matrix has the order of the classes.
            assert counts[CLASSES.index(true)] / sum(counts) == pytest.approx(scores["recall"][true], abs=1e-6)
    gap = metrics["differences"]["foal_minus_baseline"]
    assert of["differences of UA", "foal minus baseline", "verdict"]["value"] == gap["verdict"]
    assert float(of["differences of UA", "foal minus baseline", "p, Holm"]["value"]) == gap["ua_p"]
    assert float(of["differences of UA", "foal minus baseline", "d_z"]["value"]) == gap["ua_d_z"]


def test_latex_has_as_many_cells_as_columns_and_no_bare_sign(built: Paths) -> None:
    text = tables_as(built, "latex")
    blocks = text.split("\\begin{tabular}")[1:]
    assert len(blocks) == text.count("\\end{tabular}") == text.count("\\toprule") >= 6
    for block in blocks:
        columns = len(block[1 : block.index("}")])
        for line in (line for line in block.splitlines() if line.endswith("\\\\")):
            assert line.count(" & ") == columns - 1
            bare = line.replace("\\%", "").replace("\\_", "").replace(" & ", "").replace("$-$", "").replace("$<$", "")
            assert not set(bare) & set("%_&#$~^")


def test_figures_of_an_older_version_are_refused_in_words(built: Paths, tmp_path: Path) -> None:
    metrics = read_json(built.metrics)
    del metrics["variants"]["foal"]["confusion"], metrics["differences"]["foal_minus_baseline"]["verdict"]
    older = Paths(built.corpus, tmp_path)
    publish_sealed(older.metrics, {name: value for name, value in metrics.items() if name != "seal"})
    for show in (headline, partial(tables_as, form="csv")):
        with pytest.raises(UsageError, match="an older version wrote these figures"):
            show(older)


def test_the_verb_prints_them(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(repository)
    result = CliRunner().invoke(cli, ["show", "drawn", "--format", "csv"])
    assert result.exit_code == 0 and result.output.startswith(
        "table,row,column,value,low,high\nscores,audio_only,UA %,"
    )
