"""The report as a browser shows it: whole, readable on a phone and in the dark, without a word to the network."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.corpus.results import BEST, make_params, write_report
from tests.support.pages import Page

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-logging=stderr",
    "--v=0",
)
# No name is resolved: whatever asks for one, the browser too, gets no answer and sends nothing.
NO_NETWORK = "--host-resolver-rules=MAP * ~NOTFOUND"
HEIGHT_PX = 844
WIDTHS = [pytest.param(1280, marks=pytest.mark.long), 390]
SCHEMES = {"dark": 0, "light": 1}
POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')
# Told to the frame's parent, which writes it into its title, where --dump-dom shows it.
MEASURE = """<script>parent.postMessage(JSON.stringify({
 inner: innerWidth, wide: document.documentElement.scrollWidth,
 dark: matchMedia("(prefers-color-scheme: dark)").matches}), "*")</script>"""
# The browser's own requests (its clock, its updates) have this in place of an origin.
ITS_OWN = "not an origin"


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What one run of the browser gave: its document, what the page said on its console, what it asked the network."""

    dom: str
    console: list[str]
    requested: list[str]


@dataclass(frozen=True, kw_only=True)
class Browser:
    """A browser without a window, a network or a memory of earlier runs beside this module's."""

    program: str
    home: Path

    def run(self, page: Path, *options: str) -> Shown:
        log = self.home / "net.json"
        log.unlink(missing_ok=True)
        done = subprocess.run(
            [
                self.program,
                *OPTIONS,
                NO_NETWORK,
                f"--user-data-dir={self.home / 'profile'}",
                f"--log-net-log={log}",
                *options,
                page.as_uri(),
            ],
            env=os.environ | {"HOME": str(self.home)},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
        events = [event.get("params", {}) for event in json.loads(log.read_text())["events"]]
        requested = {
            e["url"] for e in events if e.get("initiator", ITS_OWN) != ITS_OWN and e.get("url", "").startswith("http")
        }
        return Shown(dom=done.stdout, console=console, requested=sorted(requested))

    def dump(self, page: Path, *options: str) -> Shown:
        return self.run(page, "--dump-dom", *options)

    def framed(self, page: Path, width_px: int, scheme: str, *options: str) -> Shown:
        """Show a page in a frame: a window without a head is never as narrow as a phone."""
        frame = self.home / "frame.html"
        frame.write_text(
            f'<!doctype html><title>none</title><body style="margin:0">'
            f'<iframe src="{page.as_uri()}" style="border:0;display:block;width:{width_px}px;height:{HEIGHT_PX}px">'
            "</iframe><script>addEventListener('message', e => { document.title = e.data })</script>"
        )
        return self.run(frame, f"--blink-settings=preferredColorScheme={SCHEMES[scheme]}", *options)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Browser:
    program = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if program is None:
        pytest.skip(f"needs a browser: none of {', '.join(BROWSERS)} is on PATH")
    return Browser(program=program, home=tmp_path_factory.mktemp("browser"))


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(tmp_path_factory.mktemp("report"), make_params(), best=BEST).report_html


@pytest.fixture
def copy(report: Path, tmp_path: Path) -> Callable[[str], Path]:
    """Return a copy of the page with something at its end, and without the policy that would keep it from acting."""

    def make(end: str) -> Path:
        text, policies = POLICY.subn("", report.read_text())
        assert policies == 1, "the page has a content security policy"
        path = tmp_path / "copy.html"
        path.write_text(text + end)
        return path

    return make


def measured(shown: Shown) -> dict[str, int]:
    title = re.search(r"<title>(.*?)</title>", shown.dom)
    assert title is not None and title[1] != "none", "the copy has not spoken"
    return dict(json.loads(title[1]))


def test_the_page_stands_whole_without_a_complaint_or_a_request(browser: Browser, report: Path) -> None:
    shown = browser.dump(report)
    assert (shown.console, shown.requested) == ([], [])
    titles = re.findall(r"<h[12]>.*?</h[12]>", report.read_text(), re.DOTALL)
    assert len(titles) > 5 and re.findall(r"<h[12]>.*?</h[12]>", shown.dom, re.DOTALL) == titles
    page = Page(shown.dom)
    assert "The result" in page.text and page.tables
    assert [address for address in page.addresses if not address.startswith(("data:", "#"))] == []
    assert page.handlers == [] and "script" not in page.elements


@pytest.mark.long
def test_without_its_policy_too_it_asks_for_nothing(browser: Browser, copy: Callable[[str], Path]) -> None:
    shown = browser.dump(copy(""))
    assert (shown.console, shown.requested) == ([], [])


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width_px", WIDTHS)
def test_nothing_is_wider_than_the_window(
    browser: Browser, copy: Callable[[str], Path], width_px: int, scheme: str
) -> None:
    shown = browser.framed(copy(MEASURE), width_px, scheme, "--dump-dom")
    sizes = measured(shown)
    assert sizes["inner"] == width_px and sizes["wide"] <= width_px
    assert sizes["dark"] == (scheme == "dark") and (shown.console, shown.requested) == ([], [])


@pytest.mark.parametrize("width_px", WIDTHS)
def test_it_is_drawn_and_dark_where_requested(browser: Browser, report: Path, width_px: int) -> None:
    pictures = {}
    for scheme in SCHEMES:
        file = browser.home / f"{scheme}.png"
        browser.framed(report, width_px, scheme, f"--window-size={width_px},{HEIGHT_PX}", f"--screenshot={file}")
        pictures[scheme] = np.asarray(Image.open(io.BytesIO(file.read_bytes())).convert("L"), np.float64)
        assert pictures[scheme].shape == (HEIGHT_PX, width_px)
        assert pictures[scheme].std() > 10, "a page with text on it is not one colour"
    assert np.median(pictures["light"]) > 200 and np.median(pictures["dark"]) < 60


def test_it_prints(browser: Browser, report: Path) -> None:
    file = browser.home / "page.pdf"
    shown = browser.run(report, f"--print-to-pdf={file}")
    data = file.read_bytes()
    assert data.startswith(b"%PDF-") and data.rstrip().endswith(b"%%EOF") and shown.console == []
    assert len(re.findall(rb"/Type\s*/Page\b(?!s)", data)) >= 1


@pytest.mark.long
def test_these_eyes_are_open(browser: Browser, copy: Callable[[str], Path]) -> None:
    """What the tests above look for is seen where it is: a request, an error of a script, a thing too wide."""
    asking = browser.dump(copy('<img src="https://example.org/a.png">'))
    assert asking.requested == ["https://example.org/a.png"]
    wrong = browser.dump(copy("<script>nobody()</script>"))
    assert len(wrong.console) == 1 and "nobody is not defined" in wrong.console[0]
    wide = browser.framed(copy('<div style="width: 900px">wide</div>' + MEASURE), 390, "light", "--dump-dom")
    assert measured(wide)["wide"] >= 900
