"""The page in a real browser: its script runs, draws every cell and asks nobody for anything."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from pancyte.report import write_report

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
QUIET = (
    "--headless", "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-extensions",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
    "--enable-logging=stderr", "--dump-dom",
)  # fmt: skip


class Visit:
    """What a browser made of a page, what it printed, and what the page asked the network for."""

    def __init__(self, browser: str, url: str, folder: Path) -> None:
        log = folder / "network.json"
        command = [browser, *QUIET, f"--user-data-dir={folder / 'user'}", f"--log-net-log={log}"]
        done = subprocess.run([*command, url], capture_output=True, text=True, timeout=120)
        self.dom = done.stdout
        self.console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
        events = json.loads(log.read_text(encoding="utf-8"))["events"]
        asked = [event.get("params", {}) for event in events]
        # the browser's own requests have no origin; those of a page from a file have "null"
        self.requests = [ask["url"] for ask in asked if ask.get("initiator") == "null"]


@pytest.fixture(scope="module")
def browser() -> str:
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip(f"needs a browser: none of {', '.join(NAMES)} is installed")
    return found


@pytest.fixture(scope="module")
def url(report, tmp_path_factory) -> str:
    return write_report(tmp_path_factory.mktemp("page") / "report.html", report).as_uri()


@pytest.mark.parametrize(
    ("query", "renderers"), [("", {"webgl2", "canvas2d"}), ("?canvas", {"canvas2d"})]
)
def test_every_cell_is_drawn_and_nothing_is_asked_for(browser, url, query, renderers, tmp_path):
    visit = Visit(browser, url + query, tmp_path)
    assert re.findall(r'data-drawn="(\d+)"', visit.dom) == ["3274"] * 2
    assert set(re.findall(r'data-renderer="(\w+)"', visit.dom)) <= renderers
    assert visit.dom.count('type="radio"') == 4
    assert visit.console == []
    assert visit.requests == []


def test_a_page_that_does_ask_is_caught(browser, tmp_path):
    page = tmp_path / "leaky.html"
    page.write_text('<!doctype html><img src="http://127.0.0.1:9/pixel.png">', encoding="utf-8")
    visit = Visit(browser, page.as_uri(), tmp_path)
    assert set(visit.requests) == {"http://127.0.0.1:9/pixel.png"}
