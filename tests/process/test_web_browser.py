"""The web page in a real browser, used as people use it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from gapless.rollout.model import Action
from rig import wait
from rig.crash.publisher.site import Site
from rig.fixtures.web_page import Page, Shop, begin_rollouts, start_page
from rig.hosts.host import Host
from rig.screens.browser import ENTER, ESCAPE, SPACE, TAB, Browser, browser

pytestmark = pytest.mark.soak

ATTACK = "<img src=x onerror=document.title='pwned'>"


@pytest.fixture
def window() -> Iterator[Browser]:
    """Return a window of a browser."""
    with browser() as found:
        yield found


def opened(host: Host, window: Browser, *more: str) -> Page:
    """Start an app and the page, and open its link."""
    port = wait.free_port()
    host.ok("start", Shop(host).declare(ATTACK, healthy=3.0))
    start_page(host, port, *more)
    page = Page(host, port)
    window.open(f"http://127.0.0.1:{port}/?token={page.token}")
    window.sees("#apps", "shop")
    window.sees("#state", "live")
    assert "token" not in window.run("return location.href")
    return page


def test_a_release_is_asked_for_and_seen_by_keys_alone(
    host: Host, window: Browser
) -> None:
    """A question comes first, the release is a picture while it happens, then a report."""
    opened(host, window, "--actions")
    window.tab_to("shop")
    window.press(ENTER)
    window.sees("#log", "<b><img src=x")
    assert window.focused() == "shop"  # the heading of what was opened
    window.tab_to("Reload")
    window.press(ENTER)
    window.sees("#question", "Reload shop")
    assert window.focused() == "Cancel"
    window.press(ESCAPE)
    assert window.run("return document.querySelector('#question').open") is False
    assert window.focused() == "Reload"
    window.press(SPACE, TAB)
    assert window.focused() == "Reload"  # the one of the question
    window.press(ENTER)
    window.sees("#release", "generation 1")
    window.sees("#apps", "reloading")
    window.sees("#deed-list", "reload shop: done")
    window.sees("#reports", "1 → 2")
    assert window.run("return document.title") != "pwned"
    assert window.troubles() == []


def test_a_rollout_is_held_and_resumed_by_keys_alone(
    host: Host, window: Browser
) -> None:
    """A question names it; the focus stays where it was while the table is made anew."""
    store = begin_rollouts(host)
    opened(host, window, "--actions")
    window.sees("#fleets", "Rollout 2 to shop-20260101000002: rolling")
    window.tab_to("Hold")
    window.press(ENTER)
    window.sees("#question", "Hold rollout 2 of shop to shop-20260101000002?")
    window.press(ESCAPE)
    assert window.focused() == "Hold"
    window.press(ENTER, TAB, ENTER)
    window.sees("#deed-list", "hold shop: done rollout 2 is held")
    window.sees("#fleets", "held: hold by hand")
    window.tab_to("Resume")
    store.apply(Action.RESUME, "by somebody else")
    store.apply(Action.HOLD, "by somebody else")
    window.sees("#fleets", "held: by somebody else", 60)
    assert window.focused() == "Resume"
    window.press(ENTER, TAB, ENTER)
    window.sees("#fleets", "rolling: resume by hand")
    assert window.troubles() == []


def test_an_app_that_is_stopped_goes_back_from_its_link(
    host: Host, window: Browser
) -> None:
    """Somebody has rolled it back since it ran: the table shows the release it had then."""
    site = Site(host, releases=3)
    host.ok("stop", "shop")
    host.ok("rollback", "shop")
    port = wait.free_port()
    start_page(host, port, "--actions")
    window.open(f"http://127.0.0.1:{port}/?token={Page(host, port).token}")
    window.sees("#apps", site.path_of(3).name)
    window.tab_to("shop")
    window.press(ENTER)
    window.tab_to("Roll back")
    window.press(ENTER)
    window.sees("#question", "Roll shop back to the release before?")
    window.press(TAB, ENTER)
    window.sees("#deed-list", "rollback shop: done")
    assert site.linked() == "1"
    assert window.troubles() == []


def test_a_broken_release_is_told_and_the_old_one_serves(
    host: Host, window: Browser
) -> None:
    """Its report says why, in words, in a picture, and with what the app printed."""
    opened(host, window)
    window.open(window.run("return location.origin") + "/#app=shop")
    window.sees("#reports", "start")
    Shop(host).declare(ATTACK, code=f"raise SystemExit('{ATTACK[:9]}')")
    assert host.gapless("reload", "shop").returncode == 1
    window.sees("#reports", "failed")
    window.run("document.querySelector('#reports button').focus()")
    window.press(ENTER)
    window.sees("#report", "exited with code 1")
    window.sees("#report", "<img src=")
    found = window.run(
        "return [...document.querySelectorAll('rect')].map(e => e.className.baseVal)"
    )
    assert "failed" in found
    assert window.focused().startswith("reload failed")
    window.tab_to("Close the report")
    window.press(ENTER)
    assert window.run("return document.activeElement.dataset.name").startswith("reload")
    window.sees("#apps", "online")
    assert window.troubles() == []


def test_a_page_without_actions_has_no_buttons_and_refuses(
    host: Host, window: Browser
) -> None:
    """Also a script of the page itself."""
    begin_rollouts(host)
    opened(host, window)
    window.open(window.run("return location.origin") + "/#app=shop")
    window.sees("#instances", "ready")
    window.sees("#fleets", "Rollout 2")
    assert window.text("#buttons") == ""
    assert window.run("return document.querySelectorAll('#fleets button').length") == 0
    asked = (
        "return fetch('/actions', {method: 'POST', body: arguments[0], "
        "headers: {'Content-Type': 'application/json'}}).then(a => a.status)"
    )
    assert window.run(asked, '{"action": "stop", "app": "shop"}') == 403
    hold = '{"action": "hold", "app": "shop", "rollout": 2}'
    assert window.run(asked, hold) == 403
    assert host.status("shop") == "online"


def test_whatever_an_app_says_is_text(host: Host, window: Browser) -> None:
    """Names, releases, reasons, logs, reports: also such as gapless itself would refuse."""
    opened(host, window)
    row = dict.fromkeys(("name", "status", "reason", "release", "namespace"), ATTACK)
    told = {"rows": [row], "order": [ATTACK]}
    window.run("return import('/page/apps.js').then(m => m.update(arguments[0]))", told)
    window.sees("#apps", ATTACK)
    app = {
        "instances": [dict.fromkeys(("id", "phase", "status_text"), ATTACK)],
        "operation": {
            "action": ATTACK,
            "generation": {"old": ATTACK, "new": 2},
            "lanes": [{"label": ATTACK, "spans": []}],
            "marks": [{"step": "failed", "detail": ATTACK, "at_s": 0}],
            "ends_s": 1,
        },
        "last": {},
    }
    window.run(
        "document.querySelector('#app').hidden = false;"
        "return import('/page/details.js').then(m => {"
        "m.update(arguments[0]); m.log([arguments[1]]); })",
        app,
        ATTACK,
    )
    window.sees("#log", ATTACK)
    window.sees("#release", ATTACK)
    deed = dict.fromkeys(("id", "action", "app", "state", "text"), ATTACK)
    window.run(
        "return import('/page/actions.js').then(m => m.update([arguments[0]]))", deed
    )
    window.sees("#deed-list", ATTACK)
    assert window.run("return document.querySelectorAll('img').length") == 0
    assert window.run("return document.title") != "pwned"
    refused = window.run(
        "try { document.body.innerHTML = '<b>'; return 'taken' } catch { return 'refused' }"
    )
    assert refused == "refused"


def test_a_page_outlives_its_release_and_a_dead_supervisor(
    host: Host, window: Browser
) -> None:
    """The browser comes again by itself, and says what it does not know meanwhile."""
    opened(host, window)
    window.run("window.before = true")
    host.ok("reload", "page")
    wait.until(
        lambda: (
            window.text("#apps tbody tr:nth-child(2)").startswith("page")
            and "\t2\t" in window.text("#apps tbody tr:nth-child(2)")
            and "live" in window.text("#state")
        ),
        "the next page",
        60,
    )
    os.kill(host.supervisor_pid(), signal.SIGKILL)
    window.sees("#trouble", "the apps serve on", 60)
    host.ok("undrain")
    wait.until(lambda: not window.text("#trouble"), "the next supervisor", 60)
    assert window.run("return window.before") is True


def test_a_browser_that_leaves_is_asked_nothing_for(
    host: Host, window: Browser
) -> None:
    """The supervisor sleeps when nobody looks."""
    opened(host, window)
    pid = host.supervisor_pid()
    window.open("about:blank")
    found: list[int] = []

    def is_quiet() -> bool:
        found.append(_switches(pid))
        return len(found) > 40 and found[-40] == found[-1]

    wait.until(is_quiet, "the supervisor to sleep", 60)


def _switches(pid: int) -> int:
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.partition("\nvoluntary_ctxt_switches:")[2].split()[0])


def test_a_page_of_somebody_else_gets_nothing(host: Host, window: Browser) -> None:
    """Neither a frame, nor what is answered, nor an action by a form."""
    page = opened(host, window, "--actions")
    window.open("data:text/html,<title>other</title>")
    url = f"http://127.0.0.1:{page.port}"
    window.run(
        "const f = document.createElement('iframe'); f.src = arguments[0];"
        "document.body.append(f);",
        url,
    )
    asked = (
        "return fetch(arguments[0] + '/actions', {method: 'POST', mode: 'no-cors', "
        "credentials: 'include', body: arguments[1]}).then(a => a.type, e => 'refused')"
    )
    window.run(asked, url, '{"action": "stop", "app": "shop"}')
    read = (
        "return fetch(arguments[0] + '/reports?app=shop', {credentials: 'include'})"
        ".then(a => a.status, e => 'refused')"
    )
    assert window.run(read, url) == "refused"
    assert host.status("shop") == "online"
