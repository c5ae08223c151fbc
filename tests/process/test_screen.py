"""Long work in a real terminal: the picture, its end, an interruption, lines instead."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from rig.fleets.fleet import MakeFleet
from rig.hosts.host import GAPLESS, Host
from rig.matrix import matrix
from rig.screens.terminal import Terminal, terminal
from rig.wait import free_port, until

SLEEP = (
    '[app.{name}]\ncommand = ["sleep", "1000"]\nmin_healthy_s = 2\n'
    "restart = {{ min_uptime_s = 0.1 }}\n"
)


def started(host: Host) -> None:
    """Start an app whose reloads take some seconds."""
    port = free_port()
    host.start("web", ["node", "app.js"], port=port, more="min_healthy_s = 2")


def run(shown: Terminal, host: Host, *words: str, **environment: str) -> None:
    """Run a command in a terminal."""
    shown.run([GAPLESS, *words], {"GAPLESS_HOME": str(host.home), **environment})


def test_a_reload_is_a_picture_that_leaves_its_report(
    host: Host, tmp_path: Path
) -> None:
    """Phase, generations old -> new; a narrower terminal leaves nothing behind.

    An interrupted one leaves a terminal as it was, and the reload goes on.
    """
    started(host)
    with terminal(tmp_path) as shown:
        run(shown, host, "reload", "web")
        shown.wait_for("proves itself", "1 -> 2", "watched for 2 s")
        shown.resize(30, 24)
        text = shown.wait_for("reload done", "ended with 0")
        assert "proves" not in text
        assert text.count("web: reload done") == 1

        shown.resize(80, 24)
        run(shown, host, "reload", "web")
        shown.wait_for("proves itself", "2 -> 3")
        shown.type("C-c")
        text = shown.wait_for("interrupted; an operation", "ended with 130")
        assert "proves itself" in text
        assert shown.shows_cursor()
    until(lambda: host.row("web")["generation"] == 3, "the reload to go on")
    until(lambda: host.status("web") == "online", "its end")


@pytest.mark.parametrize(
    ("words", "environment", "is_picture"),
    matrix(
        [
            ((), {"NO_COLOR": "1"}, True),
            ((), {"TERM": "dumb"}, False),
            (("--plain",), {}, False),
            (("--json",), {}, False),
        ]
    ),
)
def test_a_picture_only_where_it_is_wanted(
    host: Host,
    tmp_path: Path,
    words: tuple[str, ...],
    environment: dict[str, str],
    *,
    is_picture: bool,
) -> None:
    """Without colours it is a picture still; a dumb terminal gets lines."""
    started(host)
    with terminal(tmp_path, 120) as shown:
        run(shown, host, "reload", "web", *words, **environment)
        if is_picture:
            shown.wait_for("proves itself", "1 -> 2")
            assert "\x1b" not in shown.painted().replace("\x1b[39m", "")
        text = shown.wait_for("ended with 0")
        assert ("generation 2 takes all new" in text) is (
            not words and not is_picture
        ) or ("--plain" in words)


@pytest.mark.soak
def test_many_apps_are_a_picture_that_fits(host: Host, tmp_path: Path) -> None:
    """What is under way is shown, the rest is counted; what failed is named above."""
    names = [f"app{number:02}" for number in range(30)]
    text = "".join(SLEEP.format(name=name) for name in names)
    host.configure(text)
    host.ok("start", "gapless.toml")
    host.configure(text.replace('["sleep", "1000"]', '["false"]', 1))
    with terminal(tmp_path, 60, 12) as shown:
        run(shown, host, "reload", "all")
        shown.wait_for("and ", " active", "app")
        shown.wait_for("ended with 1", timeout_s=60)


@pytest.mark.soak
def test_a_supervisor_that_dies_is_not_seen_in_the_picture(
    host: Host, tmp_path: Path
) -> None:
    """The next one goes on, and so does the picture."""
    started(host)
    pid = host.supervisor_pid()
    with terminal(tmp_path) as shown:
        run(shown, host, "reload", "web")
        shown.wait_for("proves itself")
        os.kill(pid, signal.SIGKILL)
        text = shown.wait_for("ended with 0")
        assert text.count("reload done") == 1


@pytest.mark.soak
def test_a_rollout_is_a_picture_of_hosts(make_fleet: MakeFleet, tmp_path: Path) -> None:
    """Publish in a fleet: the app's line, and one for each host with its phase."""
    fleet = make_fleet(count=2, policy='slots = 1\nbake_s = 3\ncanary = ["s1"]')
    fleet.start()
    host = fleet.publisher
    own = tmp_path / "terminal"
    own.mkdir()
    with terminal(own, 100) as shown:
        file = host.directory / "gapless.toml"
        run(shown, host, "publish", str(fleet.tarball("2")), "-c", str(file))
        shown.wait_for("s1 ", "watching", "s0 ", "waiting", timeout_s=60)
        text = shown.wait_for("done", "ended with 0", timeout_s=60)
        assert "waiting" not in text
    assert set(fleet.runs().values()) == {"2"}
