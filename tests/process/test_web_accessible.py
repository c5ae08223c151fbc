"""The web page for those who use keys alone or a screen reader, as axe-core sees it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from rig import wait
from rig.fixtures.web_page import Page, Shop, begin_rollouts, start_page
from rig.hosts.host import ROOT, Host
from rig.programs import npm
from rig.screens.browser import ENTER, ESCAPE, Browser, browser

pytestmark = pytest.mark.soak

TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
WIDTHS = (1200, 400)
LEAST_CONTRAST = 4.5
FILLS = """
const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
svg.setAttribute('class', 'picture');
document.body.append(svg);
const fill = (tag, name) => {
  const made = document.createElementNS(svg.namespaceURI, tag);
  made.setAttribute('class', name);
  svg.append(made);
  return getComputedStyle(made).fill;
};
const back = getComputedStyle(document.body).backgroundColor;
const found = [[fill('text', ''), back, 'text'], [fill('text', 'quiet'), back, 'quiet']];
for (const kind of arguments[0]) found.push([fill('text', 'in'), fill('rect', kind), kind]);
svg.remove();
return found;
"""
"""The colours of a text in a picture, and of what is behind it: axe-core cannot tell."""
KINDS = (
    *("starting", "ready", "serving", "standby", "draining", "stopping", "failed"),
    *("waiting", "finished", "unknown", "cut"),
)


@pytest.fixture
def window() -> Iterator[Browser]:
    """Return a window of a browser."""
    with browser() as found:
        yield found


@pytest.fixture(scope="module")
def axe() -> str:
    """Return the script that looks at a page."""
    modules = npm.node_modules(ROOT / "rig" / "programs" / "axe")
    return (modules / "axe-core" / "axe.min.js").read_text()


def violations(window: Browser, axe: str) -> list[str]:
    """Return what breaks a rule, in light and in dark, wide and narrow."""
    found = set()
    for dark in (False, True):
        window.prefer(dark=dark)
        for width in WIDTHS:
            window.resize(width, 900)
            window.run("if (!window.axe) { " + axe + " }")
            result: dict[str, Any] = window.run(
                "return axe.run(document, arguments[0])",
                {"runOnly": TAGS, "resultTypes": ["violations"]},
            )
            assert len(result["passes"]) > 5, "it has looked at nothing"
            for each in result["violations"]:
                nodes = [node["failureSummary"] for node in each["nodes"]]
                places = [node["html"][:200] for node in each["nodes"]]
                found.add(f"{each['id']} dark={dark} {width}: {places} {nodes}")
    return sorted(found)


def contrast(one: str, other: str) -> float:
    """Return the ratio of WCAG 2 of two colours of CSS, as `rgb(1, 2, 3)`."""

    def luminance(colour: str) -> float:
        parts = [int(each) / 255 for each in re.findall(r"[0-9]+", colour)[:3]]
        red, green, blue = (
            each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4
            for each in parts
        )
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    low, high = sorted(map(luminance, (one, other)))
    return (high + 0.05) / (low + 0.05)


def test_words_in_pictures_can_be_read(host: Host, window: Browser) -> None:
    """Those in each kind of bar, and those beside them, in light and in dark."""
    port = wait.free_port()
    start_page(host, port)
    window.open(f"http://127.0.0.1:{port}/?token={Page(host, port).token}")
    window.sees("#apps", "page")
    for dark in (False, True):
        window.prefer(dark=dark)
        found = window.run(FILLS, KINDS)
        assert len({behind for _, behind, _ in found}) > 5
        weak = [each for each in found if contrast(*each[:2]) < LEAST_CONTRAST]
        assert weak == []


def test_no_rule_of_wcag_is_broken(host: Host, window: Browser, axe: str) -> None:
    """Apps, a release under way, its question, reports, a failed one, rollouts."""
    begin_rollouts(host)
    port = wait.free_port()
    host.ok("start", Shop(host).declare("first", healthy=30.0))
    start_page(host, port, "--actions")
    page = Page(host, port)
    window.open(f"http://127.0.0.1:{port}/enter")
    window.sees("main", "Token")
    assert violations(window, axe) == []
    window.open(f"http://127.0.0.1:{port}/?token={page.token}")
    window.sees("#apps", "shop")
    window.sees("#fleets", "rolling")
    assert violations(window, axe) == []
    window.tab_to("shop")
    window.press(ENTER)
    window.sees("#log", "first")
    window.tab_to("Reload")
    window.press(ENTER)
    window.sees("#question", "Reload shop")
    assert violations(window, axe) == []
    window.press(ESCAPE)
    Shop(host).declare("first", code="raise SystemExit('broken')")
    assert host.gapless("reload", "shop").returncode == 1
    window.sees("#reports", "failed")
    window.run("document.querySelector('#reports button').focus()")
    window.press(ENTER)
    window.sees("#report", "exited with code 1")
    Shop(host).declare("second", healthy=30.0)
    window.run("document.querySelector('[data-action=reload]').focus()")
    window.press(ENTER)
    window.run("document.querySelector('#question-yes').focus()")
    window.press(ENTER)
    window.sees("#release", "generation 3")
    window.sees("#deeds", "reload shop")
    assert violations(window, axe) == []
    assert window.text("#release"), "the release was over before it was looked at"
    assert window.troubles() == []
