"""What one sees of a training: the text, when it is written, and what it is made from, whichever process trains."""

from __future__ import annotations

import io
import os
import re
import signal
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch

import foalnet.core.progress
from foalnet.core.progress import EVERY_S
from foalnet.train.environment import Stop
from foalnet.train.parallel import Shared, side_by_side
from foalnet.train.progress_line import FoldStatus, ProgressLine, StatusReporter, end_text, progress_line, progress_text
from foalnet.train.state import Midway, Progress
from tests.support.corpus.stores import make_run, make_store
from tests.unit.test_train import train_one

LOSSES = {"loss": 1.25, "cross_entropy": 1.0, "avel": 2.5, "mem": 0.5}
MOST = {"fold Session1": 12, "fold Session2": 12, "fold Session3": 12}
ONE = FoldStatus(epochs=4, step=1, steps=2, utterances=2000, dev_ua=0.7126, best_ua=0.8, losses=LOSSES)
TWO = FoldStatus(epochs=3, utterances=1300, losses={"loss": 0.5, "cross_entropy": 0.5})
ENDED = FoldStatus(epochs=6, utterances=900, dev_ua=0.5, best_ua=0.69, finished=True)


def test_the_text_has_epochs_time_left_speed_and_every_fold_at_work() -> None:
    statuses = {"fold Session1": ONE, "fold Session2": TWO}
    assert progress_text("train foal-s1", MOST, statuses, 15.0) == (
        "train foal-s1: 20.8 %, 7 of 36 epochs, about 57 s left, 220 utterances/s; "
        "fold Session1 epoch 5 of 12, dev UA 71.3 %, loss 1.250 ce 1.000 avel 2.500 mem 0.500; "
        "fold Session2 epoch 4 of 12, loss 0.500 ce 0.500"
    )


def test_a_fold_that_stopped_early_has_nothing_left() -> None:
    statuses = {"fold Session1": ENDED, "fold Session2": TWO}
    text = progress_text("train foal-s1", MOST, statuses, 9.0)
    assert text == "train foal-s1: 30.0 %, 9 of 30 epochs, about 21 s left, 244 utterances/s; " + (
        "fold Session2 epoch 4 of 12, loss 0.500 ce 0.500"
    )


def test_epochs_of_an_earlier_command_are_no_speed_and_none_yet_is_said() -> None:
    resumed = FoldStatus(epochs=10, start=9.0, utterances=100)
    text = progress_text("train foal-s1", {"fold Session1": 12}, {"fold Session1": resumed}, 50.0)
    assert "10 of 12 epochs, 9 of them resumed, about 2 min left, 2 utterances/s" in text
    for statuses in ({}, {"fold Session1": FoldStatus(epochs=9, start=9.0)}):
        text = progress_text("train foal-s1", {"fold Session1": 12}, statuses, 50.0)
        assert text.endswith(" of 12 epochs, time left not known yet") or "not known yet; fold Session1" in text


def test_an_evaluation_after_the_last_epoch_is_of_that_epoch() -> None:
    status = FoldStatus(epochs=11, step=2, steps=2, utterances=9)
    assert "epoch 12 of 12" in progress_text("x", {"a": 12}, {"a": status}, 1.0)


def test_the_end_has_epochs_seconds_and_the_best_dev_ua_of_each_fold() -> None:
    other = FoldStatus(epochs=12, utterances=2100, best_ua=0.75, finished=True)
    text = end_text("train foal-s1", {"fold Session1": ENDED, "fold Session2": other}, 15.0)
    assert text == (
        "train foal-s1: 100.0 %, 18 of 18 epochs in 15.0 s, 200 utterances/s; "
        "best dev UA: fold Session1 69.0 %, fold Session2 75.0 %"
    )
    resumed = FoldStatus(epochs=12, start=10.0, utterances=210, finished=True)
    assert end_text("final foal-s1", {"foal": resumed}, 2.0) == (
        "final foal-s1: 100.0 %, 12 of 12 epochs, 10 of them resumed, in 2.0 s, 105 utterances/s"
    )


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(screen: io.StringIO | None, now: list[float]) -> ProgressLine:
    return ProgressLine("train foal-s1", MOST, screen=screen, clock=lambda: now[0])


def test_away_from_a_terminal_a_line_comes_every_30_s_and_none_before() -> None:
    now, screen = [0.0], io.StringIO()
    each, counts = shown(screen, now), []
    assert EVERY_S == 30.0
    for second in range(100):
        now[0] = float(second)
        each.update("fold Session1", FoldStatus(epochs=0, step=second, steps=100, utterances=second))
        counts.append(screen.getvalue().count("\n"))
    assert [counts.index(n) for n in (1, 2, 3)] == [30, 60, 90] and counts[-1] == 3
    assert all(re.fullmatch(r"train foal-s1: \d\.\d %, 0 of 36 epochs, about .+", row) for row in rows(screen))
    each.draw()
    assert screen.getvalue().count("\n") == 3
    each.end()
    assert rows(screen)[-1].startswith("train foal-s1: 100.0 %")


def rows(screen: io.StringIO) -> list[str]:
    return screen.getvalue().splitlines()


def test_while_nothing_is_trained_yet_a_line_comes_too() -> None:
    now, screen = [0.0], io.StringIO()
    each = shown(screen, now)
    now[0] = 31.0
    each.draw()
    assert rows(screen) == ["train foal-s1: 0.0 %, 0 of 36 epochs, time left not known yet"]


def test_a_training_that_had_nothing_to_do_or_is_anothers_to_show_writes_nothing() -> None:
    now, screen = [0.0], io.StringIO()
    each = shown(screen, now)
    each.update("fold Session1", FoldStatus(epochs=12, start=12.0, finished=True))
    each.end()
    assert screen.getvalue() == ""
    each = shown(None, now)
    for now[0] in (0.0, 40.0):
        each.update("fold Session1", ONE)
    each.end()


def test_at_a_terminal_a_bar_has_the_same_text() -> None:
    now, screen = [0.0], Terminal()
    each = shown(screen, now)
    assert each._screen._bar is not None
    each._screen._bar.mininterval = 0
    each.update("fold Session1", ENDED)
    now[0] = 9.0
    each.update("fold Session2", TWO)
    assert (
        "|######              | train foal-s1: 30.0 %, 9 of 30 epochs, about 21 s left, 244 utterances/s; fold Se"
        in screen.getvalue()
    )
    each.end()
    each.close()
    assert "9 of 9 epochs in 9.0 s" in screen.getvalue() and "\n" in screen.getvalue()


def test_a_fold_that_ended_in_a_child_keeps_what_the_child_trained() -> None:
    now, screen = [0.0], io.StringIO()
    each = shown(screen, now)
    each.update("fold Session1", ENDED)
    each.update("fold Session1", FoldStatus(epochs=6, start=6.0, finished=True))
    now[0] = 3.0
    each.end()
    assert rows(screen) == [
        "train foal-s1: 100.0 %, 6 of 6 epochs in 3.0 s, 300 utterances/s; best dev UA: fold Session1 69.0 %"
    ]


def test_a_training_reports_before_every_batch_and_after_every_step() -> None:
    synthetic = make_store(per_group=4)
    seen: list[FoldStatus] = []
    report = StatusReporter(seen.append)
    train_one(make_run(synthetic, "foal"), synthetic, before=report.before_batch, show=report.step)
    # 12 clips in batches of 8, two epochs, each with a batch of the test part and one of the dev part.
    first = [(0.0, 0), (0.5, 8), (0.5, 8), (1.0, 12), (1.0, 12), (1.0, 12)]
    assert [(each.done, each.utterances) for each in seen] == first + [(1 + done, 12 + n) for done, n in first]
    assert [each.epochs for each in seen] == [0] * 6 + [1] * 6, "an epoch is done once it is evaluated"
    assert all(set(each.losses) == {"loss", "cross_entropy", "avel", "mem"} for each in seen[1:])
    assert {each.start for each in seen} == {0.0} and seen[5].dev_ua is None and seen[6].dev_ua is not None


def test_what_was_trained_before_is_where_a_fold_starts() -> None:
    seen: list[FoldStatus] = []
    report = StatusReporter(seen.append)
    progress = Progress(rows=[{"dev_ua": 0.5}, {"dev_ua": 0.4}], best_ua=0.5, midway=Midway(steps=3))
    report.before_batch(progress)
    assert progress.midway is not None
    progress.midway.total = 4
    report.before_batch(progress)
    progress.midway.steps, progress.midway.losses = 4, {"loss": [torch.tensor(0.5)]}
    report.step(progress, 8)
    assert [(each.start, each.done) for each in seen] == [(2.0, 2.0), (2.75, 2.75), (2.75, 3.0)]
    assert (seen[-1].dev_ua, seen[-1].best_ua, seen[-1].losses) == (0.4, 0.5, {"loss": 0.5})
    progress.rows.append({"dev_ua": None})
    progress.midway, progress.finished = None, True
    report.before_batch(progress)
    assert seen[-1].done == 3.0 and seen[-1].finished and seen[-1].utterances == 8


@pytest.mark.parametrize("status", [ONE, TWO, ENDED, FoldStatus(epochs=2, start=1.75)])
def test_what_a_child_shares_is_what_its_parent_reads(status: FoldStatus) -> None:
    import multiprocessing

    shared = Shared(multiprocessing.get_context("fork"))
    assert shared.get() is None
    shared.put(status)
    assert shared.get() == status


def test_folds_side_by_side_are_shown_each_with_its_last_standing() -> None:
    def job(status: FoldStatus, _stop: Stop, send: Callable[[FoldStatus], None]) -> None:
        send(FoldStatus(epochs=0))
        send(status)

    seen: dict[str, Any] = {}
    jobs = {"a": partial(job, ONE), "b": partial(job, TWO), "c": partial(job, ENDED)}
    side_by_side(jobs, workers=2, stop=Stop(), show=seen.__setitem__)
    assert seen == {"a": ONE, "b": TWO, "c": ENDED}


def test_a_job_is_left_out_where_one_that_it_needs_fails() -> None:
    def fails(_stop: Stop, _send: Callable[[FoldStatus], None]) -> None:
        raise ValueError

    def ends(_stop: Stop, send: Callable[[FoldStatus], None]) -> None:
        send(ENDED)

    def killed(_stop: Stop, _send: Callable[[FoldStatus], None]) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    seen: dict[str, Any] = {}
    jobs = {"fails": fails, "after": ends, "killed": killed, "after it": ends, "first": ends, "second": ends}
    needs = {"after": ["fails"], "after it": ["killed"], "second": ["first"]}
    side_by_side(jobs, workers=2, stop=Stop(), show=seen.__setitem__, needs=needs)
    assert seen == {"first": ENDED, "second": ENDED}
    seen.clear()
    side_by_side({"fails": fails, "after": ends}, workers=1, stop=Stop(), show=seen.__setitem__, goes_on=False)
    assert not seen


def test_lines_go_to_stderr_and_an_interrupted_training_has_no_end(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(foalnet.core.progress, "EVERY_S", 1e-9)
    with progress_line("train foal-s1", MOST) as each:
        each.update("fold Session1", ENDED)
    written = capsys.readouterr()
    assert written.out == "" and [row.split(",")[0] for row in written.err.splitlines()] == [
        "train foal-s1: 20.0 %",
        "train foal-s1: 100.0 %",
    ]
    with pytest.raises(KeyboardInterrupt), progress_line("train foal-s1", MOST) as each:
        each.update("fold Session1", ENDED)
        raise KeyboardInterrupt
    assert "100.0 %" not in capsys.readouterr().err
