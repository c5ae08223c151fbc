"""`after`: apps start behind those that they name, and end before them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from rig.hosts import processes
from rig.hosts.host import Host
from rig.wait import until

PROGRAM = """
import signal, sys, time
name, path = sys.argv[1:3]
def note(word):
    with open(path, "a") as file:
        file.write(f"{word} {name}\\n")
def end(*_):
    note("ends")
    sys.exit()
signal.signal(signal.SIGTERM, end)
note("begins")
while True:
    time.sleep(60)
"""
AFTER = {"web": ["mid"], "mid": ["db"], "db": []}
"""In the order of the file."""


class Order:
    """Three apps, and the file in which each notes when it begins and ends."""

    def __init__(self, host: Host) -> None:
        self.host, self.path = host, host.directory / "order"
        program = host.directory / "app.py"
        program.write_text(PROGRAM)
        self.commands = {
            name: [sys.executable, str(program), name, str(self.path)] for name in AFTER
        }

    def declare(self, more: str = "") -> None:
        """Write the file."""
        text = "".join(
            f"[app.{name}]\ncommand = {json.dumps(self.commands[name])}\n"
            f"after = {json.dumps(after)}\nmin_healthy_s = 0\n"
            f"restart = {{ min_uptime_s = 0.2 }}\n"
            for name, after in AFTER.items()
        )
        self.host.configure(text + more)

    def take(self) -> list[str]:
        """Return what was noted since the last call."""
        lines = self.path.read_text().splitlines()
        self.path.write_text("")
        return lines


UP = ["begins db", "begins mid", "begins web"]
DOWN = ["ends web", "ends mid", "ends db"]


def test_apps_start_and_end_in_order(host: Host) -> None:
    """A start, a stop, a shutdown, and a boot at which nothing is left of before."""
    order = Order(host)
    order.declare()
    host.ok("start", "gapless.toml")
    assert order.take() == UP
    host.ok("stop", "all")
    assert order.take() == DOWN
    host.ok("start", "all")
    assert order.take() == UP
    processes.kill_all(set(host.processes()))
    host.start_supervisor()
    until(lambda: Path(order.path).read_text().count("begins") == 3, "all of them")
    assert order.take() == UP
    host.ok("shutdown")
    assert order.take() == DOWN


def test_a_reload_keeps_order_and_an_app_is_told_what_failed(host: Host) -> None:
    """`after` orders and does not require: what waited for a failed start goes on."""
    order = Order(host)
    order.declare()
    host.ok("start", "gapless.toml")
    order.commands["db"] = ["false"]
    order.declare()
    order.take()
    done = host.gapless("reload", "db", "mid")
    assert done.returncode == 1
    warning = "mid: warning: db was not reloaded, and serves as before: "
    assert warning in done.stdout
    assert "reload done" in done.stdout
    begun = [line for line in order.take() if "begins" in line]
    assert begun == ["begins db", "begins mid"]  # the old db came back first

    host.gapless("restart", "all")
    begun = [line for line in order.take() if "begins" in line]
    assert begun == UP
    host.ok("stop", "db", "mid")
    done = host.gapless("start", "gapless.toml")
    assert "mid: warning: db did not start: instance 0 of" in done.stdout
    remarks = host.app("mid")["generations"][0]["order_remarks"]
    assert "`after` orders and does not require" in remarks[0]


def test_limits_that_cannot_be_set_are_told(host: Host) -> None:
    """Where no control group can be made: at the start, by `check` and by `describe`."""
    host.environment["GAPLESS_CGROUPS"] = "off"
    order = Order(host)
    order.declare("[app.lim]\ncommand = 'sleep 60'\nlimits = { memory_mb = 50 }\n")
    text = "limits.memory_mb has no effect: GAPLESS_CGROUPS is off"
    assert f"warning: lim: {text}" in host.gapless("check").stderr
    assert f"lim: warning: {text}" in host.ok("start", "gapless.toml")
    assert host.app("lim")["limits_trouble"] == text
    assert f"50.0M of memory for each instance; {text}" in host.ok("describe", "lim")
    assert "memory_mb" in host.ok("doctor")
