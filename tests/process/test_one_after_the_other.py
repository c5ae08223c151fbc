"""Where state exists once, an instance starts when nothing is left of the one before."""

from __future__ import annotations

import json
import os
import signal
import sys

import pytest

from rig.hosts.host import APPS, Host
from rig.matrix import matrix
from rig.wait import free_port, until

WRAPPED = [sys.executable, str(APPS / "state" / "wrapped.py")]


@pytest.mark.parametrize("what", ["listens", "listens nowhere"])
@pytest.mark.parametrize("ready", matrix([True, False], True))
def test_what_a_dead_leader_left_ends_before_the_next_one_starts(
    host: Host, what: str, ready: bool
) -> None:
    """The leader is killed, its child has a lock for one second more: no second copy."""
    notes = host.directory / "notes"
    notes.touch()
    variables = {"NOTES": str(notes), "LOCK": str(host.directory / "lock")}
    if what == "listens":
        variables["PORT"] = str(free_port())
    said = ", ".join(f"{name} = {json.dumps(each)}" for name, each in variables.items())
    host.configure(
        f"[app.app]\ncommand = {json.dumps(WRAPPED)}\nenvironment = {{ {said} }}\n"
        "restart = { max = 5, min_uptime_s = 0.2 }\n"
        + ("overlap = false\n" if what == "listens" else "")
        + ("" if ready else 'ready = { when = "notify", timeout_s = 60 }\n')
    )
    start = host.begin("start", "gapless.toml")
    until(lambda: notes.read_text() == "begins\n", "its child")
    if ready:
        assert start.wait(30) == 0
    (pid,) = host.app("app")["pids"]
    os.kill(pid, signal.SIGKILL)
    until(lambda: len(notes.read_text().splitlines()) > 2, "the next one")
    assert notes.read_text().splitlines()[:3] == ["begins", "ends", "begins"]
    host.ok("stop", "app")
    start.communicate(timeout=30)
