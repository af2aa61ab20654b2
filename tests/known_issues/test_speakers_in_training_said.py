"""Where the speakers of a test part train too, every place with a figure says so, and no page says the opposite."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from flows import artifacts
from foalnet.config import Params
from foalnet.core.errors import DataError
from foalnet.core.files import read_json
from foalnet.core.paths import Paths
from foalnet.corpora.named import NAMED
from foalnet.evidence.report import build, headline
from foalnet.stages.final.card import card_facts, card_md
from tests.support.corpus.results import make_params, write_report
from tests.support.corpus.rows import make_parts, make_speakers, make_utterances
from tests.support.sealing import reseal, revouch_run

# What a page may say only where no tested speaker trains.
OPPOSITE = (
    "never saw in training",
    "unseen people.",
    "had not seen its speaker",
    "had never met",
    "Every utterance is",
)
PROTOCOLS = ["loso_dev_session", "loso_fixed_epochs", "paper_best_on_test"]


def params_of(name: str, **more: object) -> Params:
    """Return params of a corpus that is folded by a named split."""
    classes = {label: list(raws) for label, raws in NAMED[name].classes.items()}
    return make_params("own", reader=NAMED[name].reader, manifest={"classes": classes}, train={"fold_by": name}, **more)


def page(paths: Paths) -> str:
    """Return the report's Markdown in one line."""
    return " ".join(paths.report_md.read_text().split())


def card_of(params: Params, paths: Paths) -> str:
    """Return the card of a model of the corpus in one line."""
    metrics = read_json(paths.run("foal", 1) / "metrics.json")
    card = card_facts(
        params,
        make_utterances(params),
        chosen=dict.fromkeys(metrics["folds"], 3),
        epochs=3,
        metrics=metrics,
        seconds=1.0,
        ranges={},
        machine=dict.fromkeys(("device", "threads", "processor", "instructions"), "x"),
        licence="x",
        drawn=False,
    )
    return " ".join(card_md(card).split())


@pytest.fixture(scope="module")
def meld(tmp_path_factory: pytest.TempPathFactory) -> tuple[Params, Paths]:
    """The report of a corpus in the layout of MELD, small, under all protocols."""
    params = params_of("meld-official", protocols=PROTOCOLS)
    return params, write_report(tmp_path_factory.mktemp("meld"), params, make_parts(params))


def test_the_page_says_who_trains_and_is_tested(meld: tuple[Params, Paths]) -> None:
    text = page(meld[1])
    assert "on 420 utterances of 3 speakers. This is no test on unseen people: 3 of 3 tested speakers" in text
    assert "are in the training data too: the scores do not show how well unseen people are recognised" in text
    assert "(95 % interval for other dialogues: " in text
    assert "The speakers are in training and test part alike: the intervals say nothing of other people." in text
    assert [words for words in OPPOSITE if words in text] == []


def test_the_page_names_the_split_its_parts_and_the_counts_that_differ(meld: tuple[Params, Paths]) -> None:
    text, split = page(meld[1]), NAMED["meld-official"]
    assert f"Named split:** meld-official, digest {split.digest[:16]}; MELD (Poria" in text
    assert "Folds:** 1, of fixed train, dev and test parts" in text
    assert "21 counts differ (train neutral: 4710 expected, 60 here;" in text
    assert "1,260 have one of the 7 classes. The test part has 420 of them;" in text and "All 420 were scored." in text
    assert "the train part trains, the dev part chooses the epoch, the test part is tested." in text
    assert "The dev part trains where none is kept for choosing" in text
    assert "session" not in text.replace(r"loso\_dev\_session", "").replace("loso_dev_session", "")


def test_terminal_task_and_metrics_say_it_too(meld: tuple[Params, Paths]) -> None:
    paths = meld[1]
    said = "split meld-official (3 of 3 tested speakers, with 420 tested utterances, are in the training data too)"
    assert said in headline(paths) and said in artifacts.metrics(paths)
    metrics = read_json(paths.metrics)
    assert metrics["data"]["cluster"] == "dialogue" and metrics["data"]["clusters"] == 30
    assert metrics["named_split"]["digest"] == NAMED["meld-official"].digest
    run = read_json(paths.run("foal", 1) / "metrics.json")
    assert run["unpredicted"] == [] and list(run["folds"]) == ["test"]


def test_the_card_says_it_and_that_the_model_trained_on_the_test_part(meld: tuple[Params, Paths]) -> None:
    text = card_of(*meld)
    assert "3 of its 3 test speakers, with 420 utterances, are in the train part too" in text
    assert "trained on all parts, the test part included, and has been scored on nothing" in text
    assert "The corpus has other counts than the split (21 differ)" in text
    assert [words for words in OPPOSITE if words in text] == []


def test_a_fixed_test_part_of_other_speakers_is_of_unseen_people(tmp_path: Path) -> None:
    params = params_of("meld-official")
    paths = write_report(tmp_path, params, make_parts(params, shared=False))
    text = page(paths)
    assert "3 speakers that it never saw in training" in text
    assert "No speaker of the test part is in the train part, so every score is about unseen people." in text
    assert "no test speaker is in its train part" in card_of(params, paths)
    assert headline(paths).splitlines()[0].endswith("protocol loso_dev_session, split meld-official")


@pytest.mark.long
def test_a_held_out_dev_part_shares_speakers_with_training_alone(tmp_path: Path) -> None:
    params = params_of("gban-4490", protocols=PROTOCOLS)
    rows = make_utterances(params, dialogues=12)
    named = [replace(row, session=f"Session{row.session[-1]}") for row in rows]
    text = page(write_report(tmp_path, params, named))
    assert "chooses its epoch on a small share of the utterances of the others" in text
    assert "The speakers of the dev part train too. No speaker of the test part is in the train part" in text
    assert "of the others a small dev part chooses the epoch, the rest trains." in text
    assert "10 speakers that it never saw in training" in text
    assert "What was published" not in text, "the paper's tables are of other classes"


def test_folds_of_actors_are_groups_of_speakers(tmp_path: Path) -> None:
    params = params_of("ravdess-luna5")
    paths = write_report(tmp_path, params, make_speakers(params, speakers=24, each=16))
    assert "Folds:** 5, each tested on one group of speakers" in page(paths)
    assert read_json(paths.metrics)["data"]["cluster"] == "speaker"
    assert "by the one fold that had not seen its speaker. Split ravdess-luna5" in card_of(params, paths)


def test_without_a_named_split_no_file_has_one(tmp_path: Path) -> None:
    params = make_params()
    paths = write_report(tmp_path, params)
    assert ", split" not in headline(paths) and "named_split" not in paths.metrics.read_text()
    assert "named_split" not in json.dumps(read_json(paths.run("foal", 1) / "metrics.json"))
    assert "420 utterances of 10 speakers that it never saw in training.**" in page(paths)


def test_runs_of_two_splits_are_not_compared(tmp_path: Path) -> None:
    params = params_of("meld-official")
    paths = write_report(tmp_path, params, make_parts(params))

    def other(facts: dict[str, object]) -> None:
        facts["train"]["named_split"]["digest"] = "0" * 64  # type: ignore[index]

    reseal(paths.run("foal", 1) / "metrics.json", other)
    with pytest.raises(DataError, match="split is meld-official 000000"):
        build(params, paths)


def test_an_utterance_of_the_test_part_that_was_not_scored_is_missed(tmp_path: Path) -> None:
    params = params_of("meld-official")
    rows = make_parts(params)
    paths = write_report(tmp_path, params, rows)
    lost = next(row.key for row in rows if row.session == "test")
    for variant in params.variants:
        folder = paths.run(variant, 1)
        kept = [line for line in (folder / "predictions.jsonl").read_text().splitlines() if lost not in line]
        (folder / "predictions.jsonl").write_text("\n".join(kept) + "\n")
        reseal(folder / "metrics.json", lambda facts: facts | {"unpredicted": [lost]})
        revouch_run(folder)
    with pytest.raises(DataError, match=f"1 of 1260 utterances were not scored.*{lost}"):
        build(params, paths)
