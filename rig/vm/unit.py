"""The unit that starts the apps of a user in a machine, and the app that it keeps."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rig import wait
from rig.vm import settings
from rig.vm.machine import BOOT_S, Done, Machine
from rig.vm.tree import CHECKOUT, GAPLESS

PROGRAM = f"/{CHECKOUT}/rig/apps/app.js"
BEGINS = "release 2 begins"
"""What release 2 writes when it starts."""
APP = f"""
[app.web]
command = ["sh", "-c", "echo release $RELEASE begins; exec node {PROGRAM}"]
environment = {{ PORT = "8080", RELEASE = "1" }}
instances = 2
min_healthy_s = 1
ready = {{ timeout_s = 240 }}
"""


class Unit:
    """A unit of the machine, as `gapless startup` writes it for a user."""

    def __init__(self, machine: Machine, user: str) -> None:
        """Install it."""
        self.machine, self.user = machine, user
        self.home = "/root" if user == "root" else f"/home/{user}"
        self.file = f"{self.home}/web.toml"
        self.name = f"gapless-{user}.service"
        self.declare("1")
        self._install()

    def _install(self) -> None:
        self.machine.ok(GAPLESS, "startup", "-u", self.user)

    def remove(self) -> None:
        """Stop it, and take it away."""
        self.machine.run("systemctl", "stop", self.name)
        self.machine.run(GAPLESS, "startup", "-u", self.user, "--remove")
        self.machine.run("sh", "-c", f"rm -rf {self.home}/.gapless")

    def systemctl(self, *words: str) -> str:
        """Run systemctl as who may."""
        return self.machine.ok("systemctl", *words, self.name)

    def shown(self, name: str) -> str:
        """Return a property of the unit."""
        return self.systemctl("show", f"--property={name}", "--value").strip()

    def wait_for_other_than(self, pid: str) -> None:
        """Wait until the main process is another one."""
        wait.until(lambda: self.shown("MainPID") not in ("0", pid), "the next", BOOT_S)

    # --- gapless ------------------------------------------------------------------------

    def gapless(self, *words: str) -> str:
        """Run a command of the user's, which has to succeed."""
        return self.machine.ok(GAPLESS, *words, user=self.user)

    def declare(self, release: str, more: str = "") -> None:
        """Write the configuration of a release."""
        content = APP.replace('RELEASE = "1"', f'RELEASE = "{release}"') + more
        self.machine.ok(
            "sh", "-c", f"cat > {self.file} <<'E'{content}E", user=self.user
        )

    def listed(self, app: str = "web") -> dict[str, Any]:
        """Return the row of an app."""
        rows: list[dict[str, Any]] = json.loads(self.gapless("list", "--json"))["apps"]
        (row,) = (row for row in rows if row["name"] == app)
        return row

    # --- the app ------------------------------------------------------------------------

    def start(self) -> None:
        """Start the unit and the app, and wait until it serves."""
        self.systemctl("start")
        self.gapless("start", self.file)
        self.wait_until_it_serves()

    def wait_until_it_serves(self) -> None:
        """Wait for an answer: on a slow machine a program is "ready" before it listens."""
        wait.until(lambda: self._ask().code == 0, "an answer", BOOT_S)

    def answer(self) -> str:
        """Return what the app answers; empty if nothing does."""
        return self._ask().output

    def _ask(self) -> Done:
        return self.machine.run("curl", "-s", "http://127.0.0.1:8080/")


class UserUnit(Unit):
    """A unit of the user's own systemd, as docs/systemd.md tells to make it."""

    def _install(self) -> None:
        self.name = "gapless.service"
        self._as_user(f"{GAPLESS} startup --user-manager")

    def remove(self) -> None:
        """Stop it, and take it away."""
        self.systemctl("stop")
        self._as_user(f"{GAPLESS} startup --user-manager --remove")
        self._as_user(f"rm -rf {self.home}/.gapless")

    def systemctl(self, *words: str) -> str:
        """Run systemctl as the user."""
        return self.machine.ok("systemctl", "--user", *words, self.name, user=self.user)

    def _as_user(self, script: str) -> None:
        self.machine.ok("sh", "-ec", script, user=self.user)


UNITS: dict[str, Callable[[Machine], Unit]] = {
    "root": lambda machine: Unit(machine, "root"),
    settings.USER: lambda machine: Unit(machine, settings.USER),
    f"{settings.USER}-manager": lambda machine: UserUnit(machine, settings.USER),
}
"""The unit of root, of an ordinary user, and that of the user's own systemd."""


@contextmanager
def drop_in(unit: Unit, text: str) -> Iterator[None]:
    """Add lines to the section Service of a unit of the machine."""
    path = f"/etc/systemd/system/{unit.name}.d"
    script = f"mkdir -p {path}; printf '[Service]\\n{text}\\n' > {path}/rig.conf"
    reload = "systemctl daemon-reload"
    unit.machine.ok("sh", "-ec", f"{script}; {reload}")
    try:
        yield
    finally:
        unit.machine.run("sh", "-c", f"rm -rf {path}; {reload}")
