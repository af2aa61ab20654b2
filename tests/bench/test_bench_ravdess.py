"""The bench on a small tree that any machine can write, and its smoke test on the real clips where they are."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from bench import ravdess, ravdess_arms
from bench.ravdess import main, plan_jobs
from bench.ravdess_arms import Answer, Job, shortened
from bench.ravdess_data import Corpus, params_of, stage_corpus
from bench.ravdess_table import Scores, lines
from foalnet.corpora.splits import groups_of, loso_all_others
from tests.support.trees import ravdess_tree

ACTORS = 7
# Only a hang takes so long.
LONGEST_S = 180


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven actors with four clips each; the table's first column is the emotion."""
    return ravdess_tree(tmp_path_factory.mktemp("ravdess"), actors=range(1, ACTORS + 1))


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def corpus(tree: Path, work: Path) -> Corpus:
    return stage_corpus(tree, 4, work, {"epochs": 1})


def test_quick_prints_every_arm_with_its_interval_and_goes_on_from_its_answers(
    tree: Path, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["--root", str(tree), "--quick", "--variants", "video_only,foal", "--work", str(work)]
    first = CliRunner().invoke(main, arguments)
    assert first.exit_code == 0, first.output
    for text in ("a smoke test", "svm_units", "svm_sound", "svm_both", "video_only", "foal - svm_both", "yardstick"):
        assert text in first.output
    monkeypatch.setattr(ravdess_arms, "train_fold", None)
    monkeypatch.setattr(ravdess_arms, "SVC", None)
    again = CliRunner().invoke(main, arguments)
    assert again.output == first.output, "everything was answered already"


def test_nothing_is_computed_on_several_threads_before_the_fork(
    tree: Path, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fork after torch's thread pool had worked never came back."""
    before, seen = torch.get_num_threads(), []
    torch.set_num_threads(2)

    def watched(inner: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: object, **more: object) -> Any:
            seen.append(torch.get_num_threads())
            return inner(*args, **more)

        return counted

    for name in ("stage_corpus", "answers_of"):
        monkeypatch.setattr(ravdess, name, watched(getattr(ravdess, name)))
    arguments = ["--root", str(tree), "--quick", "--variants", "video_only", "--work", str(work)]
    assert CliRunner().invoke(main, arguments).exit_code == 0
    assert seen == [1, 1] and torch.get_num_threads() == 2
    torch.set_num_threads(before)


@pytest.mark.long
def test_trainings_side_by_side_end_and_answer_the_same(
    tree: Path, work: Path, tmp_path: Path, repository: Path
) -> None:
    arguments = [sys.executable, "-m", "bench.ravdess", "--root", str(tree), "--quick", "--variants", "video_only,foal"]
    command = [*arguments, "--jobs", "2", "--work", str(tmp_path)]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, timeout=LONGEST_S)
    assert done.returncode == 0, done.stderr
    alone = CliRunner().invoke(main, [*arguments[3:], "--work", str(work)])
    assert done.stdout == alone.output


def test_folds_are_the_products_and_an_svm_of_the_emotion_itself_is_right(corpus: Corpus, tree: Path) -> None:
    assert corpus.folds == loso_all_others(groups_of(corpus.utterances, "speaker").values())
    assert params_of(4, {}).train.fold_by == "speaker"
    answers = [
        ravdess_arms.svm(corpus, Job(count=4, variant="svm_units", seed=0, fold=fold.name)) for fold in corpus.folds
    ]
    scores = Scores(corpus, answers)
    interval = scores.ua("svm_units")
    assert interval is not None and interval.estimate == 1.0 and interval.clusters == ACTORS


def test_an_svm_never_sees_a_label_of_a_tested_actor(corpus: Corpus) -> None:
    from dataclasses import replace

    fold = corpus.folds[0]
    other = [replace(u, label="angry") if corpus.groups[u.key] in fold.test else u for u in corpus.utterances]
    job = Job(count=4, variant="svm_both", seed=0, fold=fold.name)
    assert ravdess_arms.svm(corpus, job) == ravdess_arms.svm(replace(corpus, utterances=other), job)


def test_a_network_on_fewer_groups_learns_from_those_alone(corpus: Corpus, tmp_path: Path) -> None:
    fold = corpus.folds[0]
    assert shortened(fold, 2).train == fold.train[:2] and shortened(fold, 0) == fold
    answer = ravdess_arms.network(
        corpus, Job(count=4, variant="video_only", seed=1, fold=fold.name, groups=1), tmp_path
    )
    assert set(answer.predicted) == {key for key, group in corpus.groups.items() if group in fold.test}
    assert not list((tmp_path / "states").glob("*.safetensors"))


def test_jobs_are_every_variant_seed_and_fold_and_the_curve(corpus: Corpus) -> None:
    jobs = plan_jobs(corpus, 4, variants=["foal", "mem"], seeds=[1, 2], folds=5, curve=True)
    assert len(set(jobs)) == len(jobs) == 3 * 5 + 2 * 2 * 5 + 2 * 2 * 5
    keys = {ravdess_arms.key_of(corpus, job) for job in jobs}
    assert len(keys) == len(jobs)


def test_differences_pair_the_same_clips_and_average_over_seeds(corpus: Corpus) -> None:
    truth = {u.key: str(u.label) for u in corpus.utterances}
    wrong = dict.fromkeys(truth, "none")

    def answer(variant: str, seed: int, predicted: dict[str, str]) -> Answer:
        return Answer(
            job=Job(count=4, variant=variant, seed=seed, fold="group1"), dev_ua=0.5, chosen="", predicted=predicted
        )

    part = {key: truth[key] for key in list(truth)[:8]}
    scores = Scores(corpus, [answer("foal", 1, truth), answer("foal", 2, wrong), answer("svm_both", 0, part)])
    assert set(scores.right("foal").values()) == {0.5}
    assert set(scores.right("foal", seeds={1}).values()) == {1.0}, "the learning curve compares equal seeds"
    gap = scores.gap("foal", "svm_both")
    assert gap is not None and gap.interval.estimate == pytest.approx(-0.5)
    assert gap.interval.clusters == len({key[-2:] for key in part})
    said = "\n".join(lines(4, scores, ["foal"]))
    assert "foal loses at most 2 points against it: no by the estimate" in said


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--variants", "fool"], "'fool' is not known"),
        (["--classes", "5"], "valid: 4, 8"),
        ([], "RAVDESS is not given"),
    ],
)
def test_a_wrong_option_is_a_usage_error(
    more: list[str], said: str, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FOALNET_SHARED_DATA", raising=False)
    result = CliRunner().invoke(main, [*more, *(["--root", str(tree)] if more else [])])
    assert result.exit_code == 2 and said in result.output


@pytest.mark.long
def test_quick_on_the_real_clips(shared_data: Path, tmp_path: Path) -> None:
    root = shared_data / "ravdess"
    if not root.is_dir():
        pytest.skip("needs the real clips of RAVDESS beside the checkout, absent here")
    arguments = ["--root", str(root), "--quick", "--variants", "video_only,foal", "--work", str(tmp_path)]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert "448 clips, 16 actors" in result.output
    line = next(line for line in result.output.splitlines() if line.startswith("foal  "))
    assert np.isfinite(float(line.split()[1]))
