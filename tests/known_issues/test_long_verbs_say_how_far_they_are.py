"""Every verb that works for minutes writes a line each 30 s where stderr is no terminal, and one at its end."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import foalnet.core.progress
import foalnet.stages.shards.staging
from flows.progress import LINE
from foalnet.config import Settings
from foalnet.config.draw import Draw
from foalnet.core.progress import EVERY_S, counted
from foalnet.corpora.inventory import DigestCache
from foalnet.drawn.write import draw
from foalnet.shards import open_shards
from foalnet.stages.features import encode as features
from foalnet.train.batches import load_store
from tests.support.corpus.staging import Place
from tests.support.corpus.stores import corpus_params, make_params, make_store, write_corpus
from tests.support.corpus.trees import clips_tree
from tests.support.hub import needs_transformers, recorded

SMALLEST = Draw(
    dialogues_per_session=1, used_per_dialogue=1, unused_per_dialogue=1, length_max_s=1.3, rate_fps="15000/1001"
)


def drawing(home: Path) -> None:
    draw(SMALLEST, home / "raw")


def listing(home: Path) -> None:
    for name in "abcde":
        (home / name).write_text(name)
    DigestCache(Settings(work=home / "work"), "tiny").digests(home, "abcde")


def staging(home: Path) -> None:
    Place(home=home, root=clips_tree(home / "root")).stage()


def reading(home: Path) -> None:
    synthetic = make_store(per_group=4)
    paths = write_corpus(home, synthetic)
    load_store(open_shards(paths.shards), synthetic.labels.keys(), make_params(frame_step=1))


def encoding(home: Path) -> None:
    needs_transformers()
    paths = write_corpus(home, make_store(per_group=4))
    pretrained = recorded(home / "weights", "clip_vit_b32", pickle=True)
    params = corpus_params(picture="features", video={"encoder": "linear"})
    block = {"encoder": pretrained.name, "weights": pretrained.sha256, "picture": "half", "frame_step": 1}
    params = params.model_copy(update={"features": params.features.model_copy(update=block)})
    settings = Settings(work=home / "work", weights=home / "weights", device="cpu", workers=1)
    features.encode(params, settings, paths.shards, paths.features)


@pytest.mark.parametrize(
    ("work", "what", "unit"),
    [
        (drawing, "draw", "dialogues"),
        (listing, "inventory", "files"),
        (staging, "shards", "dialogues"),
        (encoding, "features", "dialogues"),
        (reading, "reading the clips", "utterances"),
    ],
)
def test_a_line_comes_with_part_done_and_time_left(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    work: Callable[[Path], None],
    what: str,
    unit: str,
) -> None:
    monkeypatch.setattr(foalnet.core.progress, "EVERY_S", 1e-9)
    work(tmp_path)
    written = capsys.readouterr()
    assert written.out == ""
    *lines, last = [line for line in written.err.splitlines() if line.startswith(f"{what}: ")]
    count = len(lines)
    assert count > 2
    for done, line in enumerate(lines, 1):
        percent = re.escape(f"{int(1000 * done / count) / 10:.1f} %, {done} of {count} {unit}")
        assert re.fullmatch(rf"{what}: {percent}, about \d+ s left", line), line
    assert re.fullmatch(rf"{what}: 100\.0 %, {count} of {count} {unit} in \d+ s", last)
    if " " not in what:  # a part of a training would set back the progress of its stage
        assert all(map(LINE.match, lines))


def test_lines_are_30_s_apart_and_short_work_writes_none(capsys: pytest.CaptureFixture[str]) -> None:
    now = [0.0]
    with counted("shards", 100, "dialogues", clock=lambda: now[0]) as one_more:
        for _ in range(100):
            now[0] += 1.0
            one_more()
    assert EVERY_S == 30.0
    assert capsys.readouterr().err.splitlines() == [
        "shards: 30.0 %, 30 of 100 dialogues, about 70 s left",
        "shards: 60.0 %, 60 of 100 dialogues, about 40 s left",
        "shards: 90.0 %, 90 of 100 dialogues, about 10 s left",
        "shards: 100.0 %, 100 of 100 dialogues in 2 min",
    ]
    with counted("shards", 0, "dialogues"):
        pass
    with pytest.raises(KeyboardInterrupt), counted("shards", 2, "dialogues") as one_more:
        one_more()
        raise KeyboardInterrupt
    assert capsys.readouterr().err == ""


def test_at_a_terminal_it_is_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(screen, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", screen)
    with counted("shards", 2, "dialogues") as one_more:
        one_more()
        one_more()
    assert "shards: " in screen.getvalue() and "####" in screen.getvalue()
