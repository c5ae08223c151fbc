"""`gapless top` on a real supervisor: driven by textual's pilot, and in a terminal."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, RichLog

from gapless.cli.tui.screen import TopScreen
from gapless.client import Client
from gapless.rollout.model import State
from rig import wait
from rig.crash.publisher.site import Site
from rig.fixtures.web_page import begin_rollouts, rollout_of_shop
from rig.hosts.host import GAPLESS, Host
from rig.screens.terminal import terminal

NOISY = (
    "import time\n"
    "print('\\x1b[31mred\\x1b[0m \\x1b[2J [bold]markup', flush=True)\n"
    "while True: time.sleep(1)\n"
)
FLOOD = (
    "import time\n"
    "number = 0\n"
    "while True:\n"
    "    print(''.join(f'line {number + n} of many\\n' for n in range(1000)), end='',"
    " flush=True)\n"
    "    number += 1000\n"
    "    time.sleep(0.1)\n"
)
Drive = Callable[[TopScreen, "Pilot[None]"], Awaitable[None]]


def started(host: Host, program: str = NOISY, **more: str) -> None:
    """Start an app that runs a program."""
    (host.directory / "program.py").write_text(program)
    name = more.get("name", "web")
    host.configure(
        f'[app.{name}]\ncommand = ["python3", "program.py"]\nmin_healthy_s = 0.3\n'
        f'directory = "{host.directory}"\nrestart = {{ min_uptime_s = 0.1 }}\n'
    )
    host.ok("start", "gapless.toml")


def drive(
    host: Host, how: Drive, size: tuple[int, int] = (80, 24), *, config: str = ""
) -> None:
    """Open the screen, and drive it; *config* is a file in the directory of the host."""
    file = str(host.directory / config) if config else ""

    async def run() -> None:
        screen = TopScreen(Client(str(host.home), starts=False), file)
        async with screen.run_test(size=size) as pilot:
            await how(screen, pilot)

    asyncio.run(run())


async def until(
    pilot: Pilot[None], fact: Callable[[], Any], what: str, timeout_s: float = 30.0
) -> None:
    """Wait until something is true, while the screen goes on."""
    deadline = time.monotonic() + timeout_s * wait.SLOWER
    while not fact():
        if time.monotonic() > deadline:
            raise AssertionError(f"not in time: {what}\n{text(pilot.app)}")
        await pilot.pause(0.2)


def text(screen: Any) -> str:
    """Return what stands on the screen."""
    strips = screen.screen._compositor.render_strips()
    return "\n".join(strip.text for strip in strips)


def shows(screen: TopScreen, *words: str) -> Callable[[], bool]:
    """Return whether all these words stand on the screen, as a fact to wait for."""

    def fact() -> bool:
        seen = text(screen)
        return all(word in seen for word in words)

    return fact


def test_an_app_is_seen_and_reloaded_after_a_question(host: Host) -> None:
    """No is no; the report; its log, in which only colours pass; a dead supervisor."""
    started(host)

    async def how(screen: TopScreen, pilot: Pilot[None]) -> None:
        await until(pilot, shows(screen, "web", "online", "1.0"), "the app")
        await pilot.press("s")
        await until(pilot, shows(screen, "Stop web?"), "a question")
        await pilot.press("n", "r")
        await until(pilot, shows(screen, "Reload web"), "a question")
        await pilot.press("y", "2")
        done = shows(screen, "web: reload done", "generation 1 -> 2")
        await until(pilot, done, "the report")
        await pilot.press("3")
        log = shows(screen, "red \\x1b[2J [bold]markup")
        await until(pilot, log, "the log")
        os.kill(host.supervisor_pid(), signal.SIGKILL)
        said = shows(screen, "no supervisor runs; the apps serve on", "web")
        await until(pilot, said, "its death")

    drive(host, how)
    host.start_supervisor()
    assert host.row("web")["generation"] == 2
    assert host.status("web") == "online"


def test_what_was_shown_is_meant_and_not_what_followed(host: Host) -> None:
    """A colleague acts while the question is open: nothing is done by a late yes."""
    site = Site(host, releases=4)
    first = site.path_of(4).name

    async def on_this_host(screen: TopScreen, pilot: Pilot[None]) -> None:
        await until(pilot, shows(screen, "shop", "online"), "the app")
        await pilot.press("b")
        await until(pilot, shows(screen, "release before", f"{first}?"), "a question")
        await asyncio.to_thread(host.ok, "rollback", "shop")
        await pilot.press("y")
        await until(pilot, shows(screen, "rollback failed"), "a refusal")
        assert (site.serving(), site.linked()) == ("3", "3")
        await asyncio.to_thread(host.ok, "stop", "shop")
        await asyncio.to_thread(host.ok, "rollback", "shop")
        await until(pilot, shows(screen, "stopped"), "it to be stopped")
        await pilot.press("b")
        await until(pilot, shows(screen, "to the release before?"), "a question")
        await pilot.press("y")
        await until(pilot, lambda: site.linked() == "1", "what is before the link's")

    drive(host, on_this_host, config="gapless.toml")


def test_the_rollout_that_was_shown_is_meant(host: Host) -> None:
    """Another one follows it while the question is open: it is left as it is."""
    started(host, name="shop")
    (host.directory / "gapless.toml").unlink()
    store = begin_rollouts(host)

    async def in_a_fleet(screen: TopScreen, pilot: Pilot[None]) -> None:
        await until(pilot, shows(screen, "shop", "online"), "the app")
        for number, (key, question, end) in enumerate(
            (
                ("h", "Hold rollout 2 of shop", "hold failed"),
                ("H", "Resume rollout 3 of shop", "resume failed"),
                ("b", "Roll the fleet of shop back", "rollback failed"),
            ),
            2,
        ):
            await pilot.press("4")
            await until(pilot, shows(screen, f"shop: rollout {number} "), "the rollout")
            await pilot.press(key)
            await until(pilot, shows(screen, question), "a question")
            store.begin("shop-20260101000009", rollout_of_shop, "")
            await pilot.press("y")
            await until(pilot, shows(screen, end), end)
            rollout, _ = store.rollout()
            assert rollout is not None
            assert (rollout.number, rollout.state) == (number + 1, State.ROLLING)

    drive(host, in_a_fleet, config="gapless.toml")


@pytest.mark.soak
def test_every_key_does_what_it_says(host: Host) -> None:
    """Scale, filter, stop, start; what has no release says so; a small terminal."""
    started(host)

    async def how(screen: TopScreen, pilot: Pilot[None]) -> None:
        await until(pilot, shows(screen, "web", "online", "1.0"), "the app")
        await pilot.press("c")
        await until(pilot, shows(screen, "How many"), "a question")
        await pilot.press("backspace", "2", "enter")
        scaled = shows(screen, "web: scale done", "2/2", ".1 ")
        await until(pilot, scaled, "two instances")
        await pilot.press("3")
        await until(pilot, shows(screen, "markup"), "the log")
        await pilot.press("slash", *"nothing")
        await until(pilot, lambda: not shows(screen, "markup")(), "the filter")
        await pilot.press("enter", "escape")
        for key, question, end in (
            ("s", "Stop web?", "web: stop done"),
            ("t", "Start web?", "web: start done"),
            ("b", "Roll web back", "rollback failed"),
            ("h", "Hold the rollout", "hold failed"),
            ("H", "Resume the rollout", "resume failed"),
        ):
            await pilot.press(key)
            await until(pilot, shows(screen, question), "a question")
            await pilot.press("y")
            await until(pilot, shows(screen, end), end)
            await pilot.press("escape")
        await pilot.press("4")
        await until(pilot, shows(screen, "gapless.toml"), "why there is no fleet")
        assert not screen.query_one(Input).has_focus
        await pilot.resize_terminal(50, 10)
        await until(pilot, shows(screen, "too small: 50 x 10"), "a word about it")

    drive(host, how)


@pytest.mark.soak
def test_a_flood_of_log_lines_is_bounded_and_said(host: Host) -> None:
    """10,000 lines a second: the newest are shown, the others are counted."""
    started(host, FLOOD)

    async def how(screen: TopScreen, pilot: Pilot[None]) -> None:
        await until(pilot, lambda: "web" in text(screen), "the app")
        await pilot.press("3")
        await until(pilot, lambda: "lines left out" in text(screen), "what is left out")
        await until(pilot, lambda: "of many" in text(screen), "the newest lines")
        log = screen.query_one(RichLog)
        assert len(log.lines) <= 2000

    drive(host, how)


@pytest.mark.soak
def test_in_a_terminal_of_80_columns(host: Host, tmp_path: Path) -> None:
    """All headings are seen; q restores the terminal."""
    started(host)
    with terminal(tmp_path) as shown:
        shown.run([GAPLESS, "top"], {"GAPLESS_HOME": str(host.home)})
        seen = shown.wait_for("web", "cpu trend", "connections", "q quit")
        assert "online" in seen
        shown.type("q")
        shown.wait_for("ended with 0")
        assert shown.shows_cursor()

        shown.run([GAPLESS, "top"], {"GAPLESS_HOME": str(host.home)})
        shown.wait_for("web", "cpu trend", "online")
        found = host.processes().items()
        (pid,) = (pid for pid, words in found if words.endswith("gapless top "))
        os.kill(pid, signal.SIGTERM)
        assert "cpu trend" not in shown.wait_for("ended with 0")
        assert shown.shows_cursor()


def test_without_a_terminal_it_says_what_to_type(host: Host) -> None:
    """A cron job, or a pipe."""
    done = host.gapless("top")
    assert (done.returncode, "gapless list" in done.stderr) == (2, True)


@pytest.mark.soak
def test_an_open_screen_costs_the_supervisor_one_percent(host: Host) -> None:
    """With 100 apps, over some looks."""
    program = host.directory / "sleeps"
    program.write_text("#!/bin/sh\nexec sleep 1000\n")
    program.chmod(0o755)
    host.configure(
        "".join(
            f'[app.app{number:03}]\ncommand = ["{program}"]\nmin_healthy_s = 0.1\n'
            "restart = { min_uptime_s = 0.1 }\n"
            for number in range(100)
        )
    )
    host.ok("start", "gapless.toml")
    pid = host.supervisor_pid()

    def spent_s() -> float:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9

    async def how(screen: TopScreen, pilot: Pilot[None]) -> None:
        await until(pilot, lambda: "100 online" in text(screen), "all apps")
        before, began = spent_s(), time.monotonic()
        await pilot.pause(30)
        share = (spent_s() - before) / (time.monotonic() - began)
        assert share <= 0.01, share

    drive(host, how)
