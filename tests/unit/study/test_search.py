"""The search before a study: equal points, dev parts alone, resumed, and its parts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from foalnet.config import Settings
from foalnet.config.studies import Study
from foalnet.core.errors import DataError, UsageError
from foalnet.core.files import read_json
from foalnet.core.paths import Paths
from foalnet.study import run_study, searched, train_part
from foalnet.study.plan import Plan
from foalnet.study.search import SPACE, points, settings_of
from foalnet.train.plan import Run
from tests.support.corpus.stores import corpus_params, make_store, write_corpus


def plan(**changes: object) -> Plan:
    study = {"corpus": "drawn", "variants": ["foal", "audio_only"], "seeds": [1, 2], "reference": "foal", "search": 3}
    params = corpus_params(epochs=1)
    return Plan(name="small", study=Study.model_validate(study | changes), params=params)


@pytest.fixture
def place(tmp_path: Path) -> tuple[Paths, Settings]:
    synthetic = make_store(groups=5, per_group=8)
    return write_corpus(tmp_path, synthetic), Settings(work=tmp_path / "work", workers=1, device="cpu")


def test_each_drawn_point_is_in_another_part_of_every_range() -> None:
    grid = points(5, seed=1, lr=0.01)
    assert grid[0] == {} and grid == points(5, seed=1, lr=0.01) and grid != points(5, seed=2, lr=0.01)
    # Quarters of 0 to 0.5, and of two decades of the learning rate.
    assert sorted(int(point["head_dropout"] / 0.125) for point in grid[1:]) == [0, 1, 2, 3]
    for least, point in zip((1.0, 10**0.5, 10, 10**1.5), sorted(grid[1:], key=lambda each: each["lr"]), strict=True):
        assert 0.95 * least <= 1000 * point["lr"] <= 1.05 * least * 10**0.5
    assert all(SPACE["weight_decay"][0] <= point["weight_decay"] <= SPACE["weight_decay"][1] for point in grid[1:])
    assert points(1, seed=1, lr=0.01) == [{}]


def test_a_point_is_a_setting_of_the_variants_own_method() -> None:
    values = settings_of(plan(), "foal", {"lr": 0.5, "head_dropout": 0.25})
    assert values == {"lr": 0.5, "methods.foal.head_dropout": 0.25}
    train = plan().with_settings("foal", values).trains()["foal"]
    assert train.lr == 0.5 and train.methods["foal"]["head_dropout"] == 0.25


@pytest.fixture
def scored(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, float, tuple[str, ...]]]:
    """Training that scores small learning rates best; notes variant, seed, rate and folds."""
    seen: list[tuple[str, int, float, tuple[str, ...]]] = []

    def fake(run: Run, *_: Any) -> dict[str, Any]:
        seen.append((run.variant, run.seed, run.params.lr, tuple(fold.name for fold in run.folds)))
        if run.params.lr > 0.005:
            raise DataError("a loss that is not finite", action="lower train.lr")

        class Progress:
            best_ua = 1 - 100 * run.params.lr if run.variant == "foal" else 0.5

        return {fold.name: Progress for fold in run.folds}

    monkeypatch.setattr("foalnet.study.search.train_folds", fake)
    return seen


def test_the_best_point_is_chosen_and_of_equal_ones_the_first(
    place: tuple[Paths, Settings], scored: list[tuple[str, int, float, tuple[str, ...]]]
) -> None:
    paths, settings = place
    lines: list[str] = []
    chosen, said = searched(plan(search=4, search_folds=2), settings, paths, say=lines.append)
    rates = [plan().params.train.lr, *(point["lr"] for point in said["points"][1:])]
    expected = [None if lr > 0.005 else round(1 - 100 * lr, 6) for lr in rates]
    assert said["dev_ua"]["foal"] == pytest.approx(expected) and None in expected
    assert said["chosen"] == {"audio_only": 1, "foal": 3} and said["folds"] == 2
    assert chosen.trains()["foal"].lr == rates[2] and chosen.trains()["audio_only"].lr == rates[0]
    # One modality first; the first seed, and its first two folds.
    assert [each[0] for each in scored] == ["audio_only"] * 4 + ["foal"] * 4
    assert {each[1] for each in scored} == {1} and {len(each[3]) for each in scored} == {2}
    assert len(lines) == 8 and "search: foal point 1 of 4: dev UA" in lines[4]
    scored.clear()
    assert searched(plan(search=4, search_folds=2), settings, paths) == (chosen, said) and not scored
    searched(plan(search=4, search_folds=1), settings, paths)
    assert len(scored) == 8


def test_no_search_changes_nothing(place: tuple[Paths, Settings]) -> None:
    paths, settings = place
    assert searched(plan(search=0), settings, paths) == (plan(search=0), {})


@pytest.mark.long
def test_a_study_with_a_search_trains_with_its_choice_and_its_parts_wait(place: tuple[Paths, Settings]) -> None:
    paths, settings = place
    with pytest.raises(UsageError, match="the search of study small is not finished"):
        train_part(plan(), settings, paths, 1, 2)
    text = run_study(plan(), settings, paths)
    facts = read_json(paths.study("small") / "board.json")
    grid, chosen = facts["search"]["points"], facts["search"]["chosen"]
    for variant, number in chosen.items():
        assert facts["settings"][variant] == settings_of(plan(), variant, grid[number - 1])
        assert f"**{100 * facts['search']['dev_ua'][variant][number - 1]:.1f}**" in text
    assert "the same 3 points with seed 1, scored by UA on the dev part of the first fold;" in text
    # Checkpoints of the search are gone, its records stay, so that parts and a second run train nothing again.
    assert not list((settings.work / "train").glob("*")) and len(list((settings.work / "study-search").iterdir())) == 6
    assert train_part(plan(), settings, paths, 1, 2).startswith("part 1 of 2: 2 runs")
    assert run_study(plan(), settings, paths) == text
    # A plan with these settings and no search has the same scores.
    plain = replace(plan(), study=plan().study.model_copy(update={"search": 0, "settings": facts["settings"]}))
    run_study(plain, settings, paths)
    again = read_json(paths.study("small") / "board.json")
    assert again == {key: value for key, value in facts.items() if key != "search"} | {"seal": again["seal"]}
