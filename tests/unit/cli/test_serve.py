"""`foalnet serve` from the shell: it says where the page is, and Ctrl-C ends it without a trace."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from click.testing import CliRunner

from foalnet.cli.main import cli
from tests.structure import REPOSITORY
from tests.support.models import sealed_model


@pytest.mark.long
def test_it_says_where_the_page_is_and_ends_with_ctrl_c(tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    model = sealed_model(tmp_path / "model")
    process = subprocess.Popen(
        [sys.executable, "-m", "foalnet", "serve", "--model", str(model), "--port", "0"],
        stderr=subprocess.PIPE, text=True, cwd=tmp_path,
        env={"TMPDIR": str(tmp_path / "tmp"), "PYTHONPATH": str(REPOSITORY), "FOALNET_DEVICE": "cpu"},
    )  # fmt: skip
    try:
        assert process.stderr is not None
        address = re.search(r"http://127\.0\.0\.1:\d+/", process.stderr.readline())
        assert address is not None
        with urllib.request.urlopen(address[0], timeout=20) as page:
            assert "Drop a clip" in page.read().decode()
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0 and process.stderr.read() == ""
    finally:
        process.kill()
        process.wait()
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--window", "0"], "a window of 0 s"), (["--step", "9"], None), (["--port", "70000"], "70000")],
)
def test_wrong_options_and_a_missing_model_are_refused(
    tmp_path: Path, arguments: list[str], message: str | None
) -> None:
    done = CliRunner().invoke(cli, ["serve", "--model", str(tmp_path / "nowhere"), *arguments], standalone_mode=False)
    assert (message or "there is no such model") in str(done.exception)
