"""The report: its content against its inputs; gaps are stated; no heavy package is imported."""

from __future__ import annotations

import re
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import run

import numpy as np
import pytest
from markdown_it import MarkdownIt
from scipy.stats import t

from foalnet.artifact.seal import publish_sealed, read_sealed
from foalnet.config import Params
from foalnet.core.errors import DataError
from foalnet.core.files import jsonl_bytes, publish_bytes, read_json, read_jsonl
from foalnet.core.paths import Paths
from foalnet.evidence.crossed import Contrast, Crossed
from foalnet.evidence.report import build, headline
from foalnet.evidence.report.phrases import hours, listed, percent, plural, points, verdict
from foalnet.evidence.report.provenance import CODE
from foalnet.stages.evaluate.scoring import evaluate_run
from tests.structure import code_deps
from tests.support.corpus.results import BEST, VARIANTS, make_params
from tests.support.corpus.results import write_report as make
from tests.support.corpus.rows import make_speakers, make_utterances
from tests.support.pages import Page, markdown_tables
from tests.support.sealing import reseal, revouch_run

Built = tuple[Params, Paths]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The report of a drawn corpus of 420 used utterances in 30 dialogues."""
    params = make_params()
    return params, make(tmp_path_factory.mktemp("drawn"), params, best=BEST)


@pytest.fixture(scope="module")
def speakers(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The report of a corpus folded by speaker: 16 clusters, two seeds, a table of features as picture."""
    params = make_params(
        "ravdess4", reader="ravdess", seeds=[1, 2], train={"picture": "features", "fold_by": "speaker"}
    )
    return params, make(tmp_path_factory.mktemp("speakers"), params, make_speakers(params))


def page_of(built: Built) -> Page:
    return Page(built[1].report_html.read_text())


def test_page_one_answers_in_this_order(drawn: Built) -> None:
    text = drawn[1].report_html.read_text()
    titles = re.findall(r"<h2>(.*?)</h2>", text)
    assert titles[:5] == [
        "The result",
        "How sure are we",
        "Which data",
        "Which protocol",
        "What was dropped, and why",
    ]
    assert "What was published" not in titles, "published figures do not belong on the page of a drawn corpus"


def test_the_headline_is_what_the_runs_say(drawn: Built) -> None:
    params, paths = drawn
    table = page_of(drawn).tables[0]
    assert table[0] == ["Variant", "UA %", "WA %", "macro-F1 %", "best possible UA %"]
    assert [row[0].split()[0] for row in table[1:]] == params.variants
    for row in table[1:]:
        pooled = read_json(paths.run(row[0].split()[0], 1) / "metrics.json")["pooled"]
        assert row[1].split()[0] == percent(pooled["ua"])
        assert row[2].split()[0] == percent(pooled["wa"])
        assert row[3] == percent(pooled["macro_f1"])
    assert [row[4] for row in table[1:]] == ["74.0", "62.0", "86.0", "86.0"]


def test_the_recall_of_a_class_has_the_interval_over_sessions(drawn: Built) -> None:
    paths = drawn[1]
    rows = [row for row in read_jsonl(paths.run("foal", 1) / "predictions.jsonl") if row["label"] == "sad"]
    by_session = {name: [row for row in rows if row["session"] == name] for name in {row["session"] for row in rows}}
    assert len({len(each) for each in by_session.values()}) == 1, "the plain t interval needs sessions of one size"
    share_K = np.array([np.mean([row["predicted"] == "sad" for row in each]) for each in by_session.values()])
    half = t.ppf(0.975, 4) * share_K.std(ddof=1) / 5**0.5
    stored = read_json(paths.metrics)["variants"]["foal"]
    assert stored["recall"]["sad"] == pytest.approx(share_K.mean(), abs=1e-6)
    assert stored["recall_low"]["sad"] == pytest.approx(share_K.mean() - half, abs=1e-6)
    assert stored["recall_high"]["sad"] == pytest.approx(min(1.0, share_K.mean() + half), abs=1e-6)
    shown = next(row for table in page_of(drawn).tables for row in table if row[0] == "sad" and len(row) == 6)
    assert shown[1] == str(len(rows)) and shown[5].startswith(percent(stored["recall"]["sad"]))


def test_a_class_that_all_recognise_has_the_exact_bound(tmp_path: Path) -> None:
    params, paths = make_params(variants=["foal"]), make(tmp_path, make_params(variants=["foal"]))
    path = paths.run("foal", 1) / "predictions.jsonl"
    rows = read_jsonl(path)
    publish_bytes(path, jsonl_bytes([row | ({"predicted": "sad"} if row["label"] == "sad" else {}) for row in rows]))
    revouch_run(path.parent)
    stored = build(params, paths)["variants"]["foal"]
    assert (stored["recall"]["sad"], stored["recall_high"]["sad"]) == (1.0, 1.0)
    assert stored["recall_low"]["sad"] == pytest.approx(0.025 ** (1 / 5), abs=1e-6)


def test_aggregate_metrics_are_small_and_hold_no_utterance(drawn: Built) -> None:
    metrics = read_json(drawn[1].metrics)
    assert set(metrics["variants"]) == set(VARIANTS)
    for row in metrics["variants"].values():
        assert row["ua_low"] <= row["ua"] <= row["ua_high"]
    assert metrics["data"] == {
        "cluster": "dialogue", "clusters": 30, "unit": "session", "units": 5, "speakers": 10, "utterances": 420
    }  # fmt: skip
    assert metrics["differences"]["foal_minus_baseline"]["ua"] == pytest.approx(
        metrics["variants"]["foal"]["ua"] - metrics["variants"]["baseline"]["ua"], abs=2e-6
    )
    assert len(drawn[1].metrics.read_bytes()) < 25_000
    assert b"Ses01" not in drawn[1].metrics.read_bytes()


def test_counts_and_reasons_stand_on_the_page_with_their_meaning(drawn: Built) -> None:
    page = page_of(drawn)
    assert "The corpus labels 480 utterances; 420 have one of the 4 classes." in page.text
    assert "60 for the reason “the raw label belongs to no class of this experiment”" in page.text
    assert "All 420 were scored." in page.text
    reasons = next(table for table in page.tables if table[0][-1] == "Count" and "Why" in table[0])
    assert ["staging", "repaired and used", "sentences/wav has no file; cut from dialog/wav", "2"] in reasons
    assert "1 utterance has no face in any frame" in page.text


def test_files_that_look_like_the_corpus_and_are_not_used_are_named(drawn: Built) -> None:
    rows = next(table for table in page_of(drawn).tables if table[0] == ["Why", "Count", "Files"])
    assert len(rows) == 2 and rows[1][0].startswith("looks like a file of this corpus") and rows[1][1] == "2"
    assert rows[1][2].endswith("Ses01F_impro02/Ses01F_impro01_F000.wav")


def without_four(drawn: Built, home: Path, *, dropped: bool) -> tuple[Params, Paths, list[str]]:
    """Inputs of a report with runs that lack four utterances, which staging dropped with a reason or did not."""
    params, paths = drawn[0], make(home, drawn[0])
    lost: list[str] = []
    for variant in params.variants:
        path = paths.run(variant, 1) / "predictions.jsonl"
        rows = read_jsonl(path)
        lost = [row["key"] for row in rows[:4]]
        publish_bytes(path, jsonl_bytes(rows[4:]))
        revouch_run(path.parent)
    account = read_sealed(paths.staging, again="shards@drawn")
    drops = [{"kind": "dropped", "item": key, "reason": "wav_missing", "detail": ""} for key in lost]
    account["ledger"]["entries"] += drops if dropped else []
    publish_sealed(paths.staging, account)
    return params, paths, lost


def test_lost_utterances_are_counted_with_their_reason(drawn: Built, tmp_path: Path) -> None:
    params, paths, _ = without_four(drawn, tmp_path, dropped=True)
    build(params, paths)
    assert "416 were scored; 4 were lost (1.0\N{NO-BREAK SPACE}%)" in paths.report_html.read_text()


def test_utterances_that_were_lost_without_a_reason_stop_the_report(drawn: Built, tmp_path: Path) -> None:
    params, paths, lost = without_four(drawn, tmp_path, dropped=False)
    paths.report_html.unlink(missing_ok=True)
    with pytest.raises(DataError, match=r"4 of 420 utterances were not scored, and staging\.json") as why:
        build(params, paths)
    assert all(key in why.value.what for key in lost) and not paths.report_html.exists()


def test_markdown_has_the_same_tables(drawn: Built, speakers: Built) -> None:
    for built in (drawn, speakers):
        web = page_of(built).tables
        twin = markdown_tables(built[1].report_md.read_text())
        assert len(web) == len(twin)
        for one, two in zip(web, twin, strict=True):
            flat = [[re.sub(r"[()]", "", cell).replace("  ", " ") for cell in row] for row in two]
            assert [[re.sub(r"[()]", "", cell.strip()) for cell in row] for row in one] == flat


def test_markdown_renders_as_tables_without_stray_markup(drawn: Built) -> None:
    source = drawn[1].report_md.read_text()
    rendered = MarkdownIt("commonmark").enable("table").render(source)
    assert rendered.count("<table>") == len(markdown_tables(source))
    assert "<em>only" not in rendered


def test_a_corpus_folded_by_speaker_speaks_of_speakers_and_warns_of_few(speakers: Built) -> None:
    text = page_of(speakers).text.replace("\N{NO-BREAK SPACE}", " ")
    assert "5, each tested on one group of speakers" in text
    assert "what other people and other seeds would give, by the spread over 16 speakers and 2 seeds." in text
    assert "Mean of seeds 1 and 2." in text
    assert "other recordings" not in text
    assert "not from the attention" in text
    assert "best possible" not in text


def test_the_score_over_seeds_is_the_mean_of_the_seeds(speakers: Built) -> None:
    paths = speakers[1]
    seeds = [read_json(paths.run("foal", seed) / "metrics.json")["pooled"]["ua"] for seed in (1, 2)]
    assert read_json(paths.metrics)["variants"]["foal"]["ua"] == pytest.approx(sum(seeds) / 2, abs=2e-6)


def test_real_iemocap_gets_the_published_tables_with_their_caution(tmp_path: Path) -> None:
    params = make_params("iemocap", variants=["foal"])
    page = Page(make(tmp_path, params).report_html.read_text())
    assert "may be exchanged" in page.text
    rows = [row[:6] for table in page.tables for row in table]
    assert ["Foal-Net", "A+V", "foal", "2024", "80.10", "79.45"] in rows
    assert "nothing is compared" in page.text


@pytest.mark.parametrize("name", ["staging", "counts", "inventory", "manifest"])
def test_an_absent_file_is_a_stated_gap(tmp_path: Path, name: str) -> None:
    params = make_params(variants=["foal", "baseline"])
    paths = make(tmp_path, params)
    path: Path = getattr(paths, name)
    path.unlink()
    build(params, paths)
    assert f"{path.relative_to(tmp_path).as_posix()} is absent" in paths.report_html.read_text()


def test_a_run_that_is_not_there_is_named_and_none_at_all_is_an_error(tmp_path: Path) -> None:
    params = make_params(variants=["foal", "baseline"])
    paths = make(tmp_path, params)
    shutil.rmtree(paths.run("baseline", 1))
    build(params, paths)
    assert "Variant baseline, seed 1 has not been evaluated" in paths.report_html.read_text()
    shutil.rmtree(paths.run("foal", 1))
    with pytest.raises(DataError, match="no run has been evaluated"):
        build(params, paths)


def relabel(paths: Paths) -> None:
    path = paths.run("baseline", 1) / "predictions.jsonl"
    rows = read_jsonl(path)
    rows[0]["label"] = "sad" if rows[0]["label"] != "sad" else "happy"
    publish_bytes(path, jsonl_bytes(rows))
    revouch_run(path.parent)


def other_protocol(paths: Paths) -> None:
    path = paths.run("baseline", 1) / "metrics.json"
    reseal(path, lambda facts: facts | {"protocol": "paper_best_on_test"})


@pytest.mark.parametrize(
    ("change", "says"),
    [(relabel, "the label is"), (other_protocol, "belongs to another run, .*protocol paper_best_on_test")],
)
def test_runs_that_answer_different_questions_are_refused(
    tmp_path: Path, change: Callable[[Paths], None], says: str
) -> None:
    params = make_params(variants=["foal", "baseline"])
    paths = make(tmp_path, params)
    change(paths)
    with pytest.raises(DataError, match=says):
        build(params, paths)


def test_weights_of_another_epoch_than_the_scored_one_are_reported(tmp_path: Path) -> None:
    params = make_params(variants=["foal"])
    utterances = make_utterances(params, dialogues=2)
    paths = make(tmp_path, params, utterances)
    assert "the weights that were kept" not in paths.report_html.read_text()
    file = paths.model("foal", 1) / "train.json"
    train = read_json(file)
    train["folds"]["Ses02"]["chosen_epoch"] = 99
    publish_sealed(file, train)
    evaluate_run(params, paths, variant="foal", seed=1)
    build(params, paths)
    assert "foal, seed 1, fold Ses02: epoch" in paths.report_html.read_text()
    assert "the stored weights are those of epoch 99." in paths.report_html.read_text()


def test_the_page_shows_what_training_counted_and_its_machine(drawn: Built) -> None:
    rows = [row for table in page_of(drawn).tables for row in table]
    assert ["weights of the network", *["123,456"] * 4] in rows
    assert ["Determinism of training", "strict"] in rows
    assert ["torch", "2.13.0"] in rows
    assert ["Digest of the training code", "d" * 16] in rows


def test_the_page_names_the_detector_its_digest_and_its_weight_files(drawn: Built) -> None:
    page = page_of(drawn)
    rows = [row for table in page.tables for row in table]
    assert ["Digest of the detector “haar”", "c" * 16] in rows
    assert ["Weight file cascade.xml", "d" * 16] in rows
    assert "The detector “haar” detected a face" in drawn[1].report_html.read_text()


def test_one_dialogue_a_session_still_gives_a_report(tmp_path: Path) -> None:
    params = make_params()
    paths = make(tmp_path, params, make_utterances(params, dialogues=1, used=8, unused=0))
    assert "the spread over 5 sessions; so few say little of their own spread" in paths.report_html.read_text()


def test_the_terminal_table_aligns_and_names_the_report(drawn: Built) -> None:
    lines = headline(drawn[1]).splitlines()
    assert lines[-1] == f"report: {drawn[1].report_html}"
    table = [line for line in lines if line.split(" ")[0] in ("variant", *VARIANTS)]
    assert [line.split()[0] for line in table] == ["variant", *VARIANTS]
    assert len({len(line) for line in table}) == 1
    assert "chance" not in lines[0]
    assert "guessing gives 25.0 % UA" in lines[0]


def test_report_loads_no_torch_and_takes_seconds(drawn: Built) -> None:
    start = time.process_time()
    build(drawn[0], drawn[1])
    assert time.process_time() - start < 10
    code = (
        "import sys, foalnet.evidence.report\n"
        "from foalnet.evidence.report import page, results, shown\n"
        "assert not {'torch', 'matplotlib', 'prefect'} & set(sys.modules)"
    )
    run([sys.executable, "-c", code], check=True)


def test_the_digest_covers_the_code_that_dvc_watches() -> None:
    rooms = {dep.removeprefix("foalnet/").removesuffix(".py") for dep in code_deps("report")}
    assert rooms == set(CODE)


def contrast(estimate: float, half: float, p: float, equal_p: float = 1.0, units: int = 5) -> Contrast:
    se = half / float(t.ppf(0.975, 4))
    gap = Crossed(
        estimate=estimate, se=se, df=4.0, low=estimate - half, high=estimate + half, p=p, level=0.95, units=units,
        seeds=3,
    )  # fmt: skip
    return Contrast(gap=gap, p=p, equal_p=equal_p, comparisons=1)


def test_verdicts_as_text() -> None:
    assert verdict("foal", "baseline", contrast(0.042, 0.031, 0.0212), 0.02) == (
        "foal is better than baseline: foal minus baseline is +4.2 points of UA (95 % interval +1.1 to +7.3; "
        "p = 0.021)."
    )
    assert verdict("foal", "baseline", contrast(-0.05, 0.03, 0.0004), 0.02).startswith(
        "baseline is better than foal: foal minus baseline is −5.0 points of UA (95 % interval −8.0 to −2.0; p < 0.001)"
    )
    assert verdict("foal", "baseline", contrast(0.001, 0.01, 0.8, equal_p=0.01), 0.02) == (
        "foal and baseline are equal within 2.0 points: foal minus baseline is +0.1 points of UA (95 % interval "
        "−0.9 to +1.1)."
    )
    # (2.776 + 0.941) standard errors of 0.03 / 2.776.
    assert verdict("foal", "baseline", contrast(0.01, 0.03, 0.5), 0.02) == (
        "It is not decided whether foal or baseline is better: foal minus baseline is +1.0 points of UA (95 % interval "
        "−2.0 to +4.0; p = 0.500). A true difference of 4.0 points would be detected in four of five such experiments."
    )


def test_numbers_as_text() -> None:
    assert (points(0.0004), points(-0.0004), points(-0.012)) == ("+0.04", "−0.04", "−1.2")
    assert (percent(None), percent(0.5)) == ("–", "50.0")
    assert (listed([]), listed(["a"]), listed(["a", "b", "c"])) == ("none", "a", "a, b and c")
    assert (plural(1, "speaker"), plural(5531, "utterance")) == ("1 speaker", "5,531 utterances")
    assert (hours(678), hours(25164)) == ("11.3 min", "6.99 h")


def test_calibration_is_shown_beside_what_chance_gives(drawn: Built) -> None:
    [table] = [each for each in page_of(drawn).tables if each[0][:2] == ["Variant", "ECE"]]
    metrics = read_json(drawn[1].metrics)["variants"]
    for row in table[1:]:
        of = metrics[row[0]]
        assert row[1:4] == [percent(of[key]) for key in ("ece", "ece_calibrated_mean", "ece_calibrated_high")]
        assert of["ece_calibrated_mean"] < of["ece_calibrated_high"] and of["nll_scaled"] <= of["nll"] + 0.1


def test_the_lowest_speaker_is_named(drawn: Built) -> None:
    [table] = [each for each in page_of(drawn).tables if each[0][1:4] == ["lowest", "speaker", "highest"]]
    rows = read_jsonl(drawn[1].run("foal", 1) / "predictions.jsonl")
    right: dict[str, list[bool]] = {}
    for row in rows:
        right.setdefault(row["speaker"], []).append(row["label"] == row["predicted"])
    worst = min(sorted(right), key=lambda name: sum(right[name]) / len(right[name]))
    assert table[-1][:3] == ["foal", percent(sum(right[worst]) / len(right[worst])), worst]
