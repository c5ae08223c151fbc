"""A start is tried again where its declaration says so: the first, and after a boot."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from rig.fixtures.declarations import Declarations, ask
from rig.hosts import processes
from rig.wait import until

NEEDS = "if (!require('node:fs').existsSync('dep')) throw new Error('no dependency');"
"""What an app begins with that cannot run before another one does."""


def needy(declared: Declarations, **more: object) -> dict[str, object]:
    """Declare an app that listens once `dep` is there."""
    text = (declared.host.directory / "http.js").read_text()
    declared.write("needy.js", NEEDS + text)
    return {**declared.http(), "script": "needy.js", **more}


def test_a_dependency_that_comes_late_is_waited_for(declared: Declarations) -> None:
    """Each crash is told, and when it is tried again; the command ends well."""
    app = needy(declared, restart_delay=300)
    declared.declare(app)
    started = declared.host.begin("pm2", "start", "app.json")
    log = declared.host.home / "logs/web-error.log"
    until(lambda: log.exists() and log.read_text().count("no dep") > 3, "two crashes")
    declared.write("dep", "")
    said, _ = started.communicate(timeout=60)
    assert started.returncode == 0, said
    assert said.count("tried again in 0.3 s") >= 2
    assert ask(declared.port, "/").startswith(b"release 1")

    declared.host.ok("save")
    declared.host.ok("delete", "web")
    (declared.host.directory / "dep").unlink()
    resurrected = declared.host.begin("pm2", "resurrect")
    until(lambda: declared.host.app("web").get("status") == "starting", "a start")
    declared.write("dep", "")
    said, _ = resurrected.communicate(timeout=60)
    assert resurrected.returncode == 0, said


def test_a_command_is_not_held_for_ever(declared: Declarations) -> None:
    """After the time to be ready it ends with code 1, and the app is tried on."""
    app = needy(declared, exp_backoff_restart_delay=100, listen_timeout=1100)
    declared.declare(app)
    done = declared.host.gapless("start", "app.json")
    assert done.returncode == 1
    assert "it is tried on, as after a boot" in done.stdout
    shown = declared.host.app("web")
    assert shown["status"] == "starting"
    assert shown["reason"].endswith("it is tried again")
    assert declared.host.gapless("start", "app.json").returncode == 1
    declared.write("dep", "")
    until(lambda: declared.host.status("web") == "online", "the app")


def test_what_gives_up_or_asks_for_nothing_fails(declared: Declarations) -> None:
    """After its short lives, or at once; gapless.toml and PM2's files alike."""
    declared.declare(needy(declared, max_restarts=2) | {"name": "twice"})
    twice = declared.host.gapless("start", "app.json")
    assert (twice.returncode, twice.stdout.count("generation 1 crashed")) == (1, 2)
    assert "gave up on instance 0" in twice.stdout
    declared.declare(needy(declared))
    once = declared.host.gapless("start", "app.json")
    assert (once.returncode, once.stdout.count("crashed")) == (1, 1)

    command = json.dumps(["sh", "-c", "echo x >> tries; exit 1"])
    for keys, count in (("max = 2", 3), ("min_uptime_s = 2", 1)):
        tries = declared.host.directory / "tries"
        tries.unlink(missing_ok=True)
        declared.host.configure(
            f"[app.own]\ncommand = {command}\nrestart = {{ {keys} }}\n"
        )
        assert declared.host.gapless("start", "gapless.toml").returncode == 1
        assert tries.read_text() == "x\n" * count


@pytest.mark.parametrize(
    "keys", [{"restart_delay": 500}, {"exp_backoff_restart_delay": 100}]
)
def test_everything_comes_back_after_a_boot(
    declared: Declarations, keys: dict[str, int]
) -> None:
    """Nothing is left of the supervisor, the keeper and the apps; two seats were empty.

    One instance had died before, one dies of its seat's own accord, and after a boot no
    seat waits for a delay that nobody began.
    """
    host = declared.host
    declared.start(declared.http(instances=2, **keys))
    first = host.app("web")["pids"][0]
    processes.signal_all({first}, signal.SIGKILL)
    until(lambda: _pids(declared) and first not in _pids(declared), "its successor")
    processes.kill_all(set(host.processes()))
    host.start_supervisor()
    until(lambda: host.row("web")["instances"]["ready"] == 2, "the app")
    assert ask(declared.port, "/")

    # A boot that finds the seats empty: what they need is not there yet.
    script = Path(host.directory, "http.js")
    text = script.read_text()
    script.write_text(NEEDS + text)
    processes.kill_all(set(host.processes()))
    host.start_supervisor()
    until(lambda: "no dependency" in declared.log("web", "error-0"), "a crash")
    processes.kill_all(set(host.processes()))
    host.start_supervisor()
    declared.write("dep", "")
    until(lambda: host.row("web")["instances"]["ready"] == 2, "the app")


def _pids(declared: Declarations) -> list[int]:
    row = declared.host.app("web")
    return row["pids"] if row["instances"]["ready"] == 2 else []
