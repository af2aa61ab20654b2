"""The progress line: what stands in it, whichever process trains."""

from __future__ import annotations

import io
import re
from typing import Any

from tqdm import tqdm

from foalnet.train.line import Line, Teller, Told, line, words
from foalnet.train.machine import Stop
from foalnet.train.parallel import side_by_side
from foalnet.train.state import Midway, Progress
from tests.stores import make_run, make_store
from tests.unit.test_train import train_one


def test_losses_and_speed_stand_behind_the_bar() -> None:
    told = Told(epochs=2, utterances=420, losses={"loss": 1.25, "cross_entropy": 1.0, "avel": 2.5, "mem": 0.5})
    assert words(told, 2.0) == "loss 1.250 ce 1.000 avel 2.500 mem 0.500, 210 utterances/s"
    assert words(Told(epochs=2, utterances=42), 2.0) == "21 utterances/s"
    now, drawn = [0.0], io.StringIO()
    with tqdm(total=10, unit="epoch", file=drawn, mininterval=0, miniters=0) as bar:
        shown = Line(bar, clock=lambda: now[0])
        now[0] = 4.0
        shown.update(told)
        shown.update(Told(epochs=1, utterances=0), before=5)
        assert bar.n == 6, "a fold that goes on counts behind those that are done"
    assert "loss 1.250" in drawn.getvalue() and "105 utterances/s" in drawn.getvalue()


def test_every_step_of_a_training_is_told() -> None:
    import torch

    synthetic = make_store(per_group=4)
    seen: list[Told] = []
    teller = Teller(seen.append)
    train_one(make_run(synthetic, "foal"), synthetic, tick=lambda p: teller.epoch(p.epochs), show=teller.step)
    # 12 clips in batches of 8, two epochs.
    assert [(told.epochs, told.utterances) for told in seen] == [(0, 8), (0, 12), (1, 12), (1, 20), (1, 24), (2, 24)]
    assert all(set(told.losses) == {"loss", "cross_entropy", "avel", "mem"} for told in seen)
    progress = Progress(midway=Midway())
    assert progress.midway is not None
    progress.midway.add(loss=torch.tensor(0.5), avel=None)
    teller.step(progress, 1)
    assert seen[-1].losses == {"loss": 0.5}


def test_what_children_tell_is_summed() -> None:
    def job(epochs: int, _stop: Stop, tell: Any) -> None:
        tell(Told(epochs=epochs, utterances=10 * epochs, losses={"loss": 0.5}))

    from functools import partial

    seen: list[Told] = []
    side_by_side([partial(job, n) for n in (1, 2, 3)], workers=2, stop=Stop(), tick=seen.append)
    assert seen[-1] == Told(epochs=6, utterances=60, losses={"loss": 0.5})


def test_where_nobody_looks_nothing_is_drawn(capsys: Any) -> None:
    for shown in (True, False):
        with line("foal s1", 3, shown=shown) as each:
            each.update(Told(epochs=1, utterances=8, losses={"loss": 1.0}))
    assert not re.search(r"\S", capsys.readouterr().err)
