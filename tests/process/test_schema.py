"""What verbs really print with --json has no key that their JSON Schema does not have."""

from __future__ import annotations

import json

import pytest

from rig import printed
from rig.fleets.fleet import APP, MakeFleet
from rig.hosts.host import Host

SLEEP = (
    '[app.{name}]\ncommand = ["sleep", "1000"]\nmin_healthy_s = 0.1\n'
    "restart = {{ min_uptime_s = 0.1 }}\n"
)
SHORT = ["list", "describe a"]
LONG = [
    *SHORT,
    *(
        "check",
        "env a",
        "pid all",
        "reset all",
        "flush",
        "signal CONT a",
        "procedures a",
    ),
    *("doctor", "save", "resurrect", "reload a --dry-run", "reload all", "restart a"),
    *("scale a 2", "drain", "undrain", "list", "describe a", "upgrade", "describe no"),
    *("stop all", "list", "describe a", "resurrect", "delete all", "shutdown", "list"),
]


def says(host: Host, command: str) -> None:
    """Run a command, and compare what it prints with its schema."""
    words = command.split()
    flags = [] if words[0] == "jlist" else ["--json"]
    done = host.gapless(*words, *flags)
    assert done.stdout, done.stderr
    found = json.loads(done.stdout)
    assert printed.mistakes(words[0], found, is_closed=True) == [], command


def test_what_is_printed_is_in_the_schema(host: Host) -> None:
    """Of an app that runs."""
    host.configure(SLEEP.format(name="a"))
    says(host, "start gapless.toml")
    for command in SHORT:
        says(host, command)


@pytest.mark.soak
def test_what_every_verb_prints_is_in_the_schema(host: Host) -> None:
    """Of two apps, one of which does not start."""
    host.configure(SLEEP.format(name="a") + SLEEP.format(name="b"))
    says(host, "start gapless.toml")
    host.configure(SLEEP.format(name="a") + '[app.c]\ncommand = "false"\n')
    says(host, "start gapless.toml")
    for command in [*LONG[:-2], "jlist", *LONG[-2:]]:
        says(host, command)


@pytest.mark.soak
def test_what_a_fleet_prints_is_in_the_schema(make_fleet: MakeFleet) -> None:
    """Of rollouts, before, while and after."""
    fleet = make_fleet(kind="node")
    fleet.start()
    publisher = fleet.publisher
    says(publisher, f"rollout status {APP}")
    done = fleet.publish("2", "--json")
    found = json.loads(done.stdout.splitlines()[-1])
    assert printed.mistakes("publish", found, is_closed=True) == []
    for command in ("status", "history", "hold", "resume"):
        says(publisher, f"rollout {command} {APP}")
    says(publisher, f"releases {APP}")
