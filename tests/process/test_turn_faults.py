"""A fault of ours in the turn of one app hurts that app, and no other."""

from __future__ import annotations

import json
import sys
from datetime import datetime

import pytest

from gapless.supervisor.loop import FAULT_PAUSE_S
from rig.hosts.host import APPS, Host
from rig.hosts.replaced import replaced_supervisor
from rig.wait import free_port, until

TINY = [sys.executable, "-I", "-S", "tiny.py"]
MANY = 7
"""More than what happens to an instance that starts: each of that is an event."""
FAULTY = """
import os, sys
from gapless.supervisor import run
from gapless.supervisor.act import start_limit
from gapless.supervisor.decide import plan
start_limit.StartLimit.free = lambda self, now: 1
real = plan.plan
def faulty(desired, observed):
    begun = len(observed.generations) > 1 and observed.generations[-1].instances
    if begun and os.path.exists(sys.argv[2]):
        raise RuntimeError("a fault on purpose")
    return real(desired, observed)
plan.plan = faulty
run.main(sys.argv[1:2])
"""
"""One instance may start in a plan: the app waits for its turn when its plan raises."""
FAULTY_PROBE = """
import os, sys
from gapless.supervisor import run
from gapless.supervisor.act.generation_actions import GenerationActions
real = GenerationActions.send_probe
def faulty(self, app, generation):
    if os.path.exists(sys.argv[2]):
        raise RuntimeError("a fault on purpose")
    real(self, app, generation)
GenerationActions.send_probe = faulty
run.main(sys.argv[1:2])
"""
"""What was decided cannot be done, as often as it is tried."""


def _faults(host: Host) -> list[float]:
    """Return when a turn raised."""
    log = host.home / "logs" / "gapless.log"
    events = [json.loads(line) for line in log.read_text().splitlines()]
    return [
        datetime.fromisoformat(event["time"]).timestamp()
        for event in events
        if event["event"] == "turn-failed"
    ]


def test_a_turn_that_raises_ends_the_operation_of_its_app(host: Host) -> None:
    """The command says so, the other app is reloaded, and nothing is tried all the time."""
    command = [sys.executable, str(APPS / "small.py")]
    for name in ("good", "sick"):
        host.configure(
            f"[app.{name}]\ncommand = {json.dumps(command)}\ninstances = 2\n"
            f'environment = {{ PORT = "{free_port()}" }}\nmin_healthy_s = 0.2\n',
            f"{name}.toml",
        )
        host.ok("start", f"{name}.toml")
    fault = host.directory / "fault"
    with replaced_supervisor(host, FAULTY, str(fault)):
        fault.touch()
        done = host.gapless("reload", "sick")
        assert done.returncode == 1
        assert "an internal error: RuntimeError: a fault on purpose" in done.stdout
        until(lambda: len(_faults(host)) >= MANY, "it to be looked at again")
        times = _faults(host)
        assert times[-1] - times[-3] > FAULT_PAUSE_S, "it is looked at all the time"
        fault.unlink()
        host.ok("reload", "good")
        host.ok("reload", "sick")
    for name in ("good", "sick"):
        assert host.status(name) == "online"


@pytest.mark.parametrize("first", [False, True], ids=["release", "first start"])
def test_a_turn_that_raises_ends_the_trial_of_its_app(host: Host, first: bool) -> None:
    """It is not tried again and again; what served before serves, by its name."""
    port = free_port()
    more = 'ready = { http = "/" }'
    fault = host.directory / "fault"
    with replaced_supervisor(host, FAULTY_PROBE, str(fault)):
        if not first:
            host.start("app", TINY, port=port, more=more)
        fault.touch()
        host.declare("app", TINY, port=port, release="2", more=more)
        done = host.gapless("start" if first else "reload", "app.toml")
        assert done.returncode == 1
        assert "an internal error: RuntimeError: a fault on purpose" in done.stdout
        until(lambda: len(host.app("app")["generations"]) == (not first), "its end")
        assert len(_faults(host)) == 1
        assert "a fault on purpose" in json.dumps(host.app("app"))
        fault.unlink()
        host.ok("start" if first else "reload", "app.toml")
    assert host.status("app") == "online"
