"""Units of systemd for real: installed, enabled, restarted, stopped, and rebooted."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from rig import wait
from rig.vm import settings
from rig.vm.load import MachineLoad
from rig.vm.machine import BOOT_S, Done, Machine
from rig.vm.tree import CHECKOUT, GAPLESS

PROGRAM = f"/{CHECKOUT}/rig/apps/app.js"
BEGINS = "release 2 begins"
APP = f"""
[app.web]
command = ["sh", "-c", "echo release $RELEASE begins; exec node {PROGRAM}"]
environment = {{ PORT = "8080", RELEASE = "1" }}
instances = 2
min_healthy_s = 1
"""


class Unit:
    """The unit of one user in a machine, and the app that it keeps."""

    def __init__(self, machine: Machine, user: str) -> None:
        self.machine, self.user = machine, user
        home = "/root" if user == "root" else f"/home/{user}"
        self.file = f"{home}/web.toml"
        self.name = ""

    def gapless(self, *words: str) -> str:
        """Run a command of the user's, which has to succeed."""
        return self.machine.ok(GAPLESS, *words, user=self.user)

    def declare(self, release: str) -> None:
        """Write the configuration of a release."""
        content = APP.replace('RELEASE = "1"', f'RELEASE = "{release}"')
        self.machine.ok(
            "sh", "-c", f"cat > {self.file} <<'E'{content}E", user=self.user
        )

    def listed(self) -> dict[str, object]:
        """Return the row of the app."""
        (row,) = json.loads(self.gapless("list", "--json"))["apps"]
        found: dict[str, object] = row
        return found

    def wait_until_it_serves(self) -> None:
        """Wait for an answer: on a slow machine a program is "ready" before it listens."""
        wait.until(lambda: self._asks().code == 0, "an answer", BOOT_S)

    def answer(self) -> str:
        """Return what the app answers; empty if nothing does."""
        return self._asks().output

    def _asks(self) -> Done:
        return self.machine.run("curl", "-s", "http://127.0.0.1:8080/")

    def systemctl(self, *words: str) -> str:
        """Run systemctl as root."""
        return self.machine.ok("systemctl", *words, self.name)


@pytest.fixture(params=["root", settings.USER])
def unit(machine: Machine, request: pytest.FixtureRequest) -> Iterator[Unit]:
    """Install the unit of a user; take it away again."""
    found = Unit(machine, request.param)
    found.declare("1")
    machine.ok(GAPLESS, "startup", "-u", found.user)
    listed = machine.ok("systemctl", "list-unit-files", "--no-legend", "gapless*")
    (found.name,) = (line.split()[0] for line in listed.splitlines())
    try:
        yield found
    finally:
        machine.run("systemctl", "stop", found.name)
        machine.run(GAPLESS, "startup", "-u", found.user, "--remove")


def test_it_is_restarted_stopped_and_rebooted(unit: Unit) -> None:
    """The apps serve through a restart and a crash; a boot brings them and logs back."""
    machine = unit.machine
    unit.systemctl("start")
    unit.gapless("start", unit.file)
    unit.wait_until_it_serves()
    pids = unit.listed()["pids"]
    load = MachineLoad(machine, unit.user)
    load.wait_for_answers(60)
    unit.systemctl("restart")
    unit.systemctl("kill", "--kill-who=main", "--signal=KILL")
    assert unit.listed()["pids"] == pids
    unit.declare("2")
    unit.gapless("reload", unit.file)
    report = load.stop()
    assert report["lost"] == 0, report
    assert report["versions"].keys() == {"1", "2"}
    assert unit.gapless("logs", "web", "-n", "50").count(BEGINS) == 2

    machine.reboot()
    unit.wait_until_it_serves()
    assert "release 2" in unit.answer()
    assert unit.gapless("logs", "web", "-n", "50").count(BEGINS) == 4

    unit.systemctl("stop")
    assert not unit.answer()
    assert "gapless keeper" not in machine.ok("ps", "ax")
