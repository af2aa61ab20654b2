"""`dvc plots show` and `dvc metrics show`: pictures without a network, figures that a terminal holds, a clean git."""

from __future__ import annotations

import json
import re
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from foalnet.config import Settings
from foalnet.core.paths import Paths
from foalnet.stages.train.training import train_run
from tests.support.corpus.results import BEST, make_params, write_report
from tests.support.corpus.stores import corpus_params, make_store, write_corpus
from tests.support.projects import REPOSITORY, run

# A row of `dvc metrics show` on four variants and three differences had 11,659 letters.
WIDEST = 900


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a report, and DVC in it."""
    home = tmp_path_factory.mktemp("plots")
    write_report(home, make_params(), best=BEST)
    for name in ("dvc.yaml", "params.yaml", ".gitignore"):
        shutil.copy(REPOSITORY / name, home)
    run(home, "git", "init", "-q")
    run(home, "python", "-m", "dvc", "init", "-q")
    run(home, "git", "add", "-A")
    return home


def test_dvc_shows_pictures_without_a_network_and_git_sees_no_new_file(built: Path) -> None:
    run(built, "python", "-m", "dvc", "plots", "show")
    page = (built / "dvc_plots/index.html").read_text("utf-8")
    assert "http" not in page and "<script" not in page
    shown = re.findall(r'<img src="([^"]+)"', page)
    assert len(shown) == 2
    for name in shown:
        text = (built / "dvc_plots" / name).read_text("utf-8")
        assert "http" not in text.replace("http://www.w3.org/2000/svg", "")
        ET.fromstring(text)
        assert all(variant in text for variant in ("audio_only", "video_only", "baseline", "foal"))
    assert "??" not in run(built, "git", "status", "--porcelain").stdout


def test_the_metrics_that_dvc_shows_are_a_handful(built: Path) -> None:
    shown = run(built, "python", "-m", "dvc", "metrics", "show").stdout
    assert max(map(len, shown.splitlines())) < WIDEST and "headline.json" in shown
    headline = json.loads(Paths("drawn", built).headline.read_bytes())
    whole = json.loads(Paths("drawn", built).metrics.read_bytes())
    assert headline["foal"] == {key: whole["variants"]["foal"][key] for key in headline["foal"]}
    assert headline["foal"].keys() == {"ua", "ua_low", "ua_high", "wa", "macro_f1"}
    gap = whole["differences"]["foal_minus_baseline"]
    assert headline["foal_minus_baseline"] == {key: gap[key] for key in ("ua", "ua_low", "ua_high", "ua_p")}
    assert run(built, "git", "check-ignore", "reports/drawn/headline.json", check=False).returncode == 1


@pytest.mark.long
def test_a_table_of_training_can_be_drawn(tmp_path: Path) -> None:
    """With a network: DVC's own page fetches what draws a table."""
    paths = write_corpus(tmp_path, make_store(per_group=4))
    settings = Settings(work=tmp_path / "work", device="cpu", workers=1)
    train_run(corpus_params(epochs=1), settings, paths, variant="foal", seed=1)
    run(tmp_path, "git", "init", "-q")
    run(tmp_path, "python", "-m", "dvc", "init", "-q")
    shown = run(
        tmp_path, "python", "-m", "dvc", "plots", "show", "models/drawn/foal-s1/history.csv",
        "-x", "epoch", "-y", "dev_ua", "-t", "scatter", "--json",
    )  # fmt: skip
    assert "models/drawn/foal-s1/history.csv" in json.loads(shown.stdout)["data"]
