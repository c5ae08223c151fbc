"""Where an app of a rehearsal listens, and the ports that are free for it."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterable, Mapping
from typing import Any

from gapless.base import clock
from gapless.base.errors import GaplessError
from gapless.rehearsal.load.client import Place
from gapless.rehearsal.model import Settings
from gapless.rehearsal.places import port_of
from gapless.rehearsal.stage.stage import Stage
from gapless.supervisor.memory.spec import AppSpec
from gapless.supervisor.observe import log_tail

LISTENS_S = 20.0
_PAUSE_S = 0.05
LIVES = ("online", "starting", "reloading")
_PATH = "unix:"
_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - read, not bound


def free_ports(told: Iterable[int]) -> dict[int, int]:
    """Return a free port of this machine for each of the ports that an app is told."""
    held: list[socket.socket] = []
    found = {}
    try:
        for port in told:
            sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            held.append(sock)
            sock.bind(("127.0.0.1", 0))
            found[port] = int(sock.getsockname()[1])
    finally:
        for sock in held:
            sock.close()
    return found


def settled(stage: Stage) -> dict[str, Any]:
    """Return the row of the app when it listens, or has crashed, or does not for long."""
    until = clock.monotonic() + LISTENS_S
    while True:
        (row,) = stage.request("list")["apps"]
        found: dict[str, Any] = row
        has_failed = row["restarts"] or row["status"] not in LIVES
        if _served(row["addresses"]) or has_failed or clock.monotonic() > until:
            return found
        select.select([], [], [], _PAUSE_S)


def log_lines(stage: Stage, app: str) -> list[str]:
    """Return the last lines that the first generation of an app has printed."""
    assert stage.client is not None
    return log_tail.last_lines({stage.client.home.app_log(app): 0}, 1)


def paths_of(stage: Stage, known: Iterable[str]) -> dict[str, str]:
    """Return other paths for the Unix-domain sockets of an app that runs here."""
    paths = [a.removeprefix(_PATH) for a in known if a.startswith(_PATH)]
    return {path: stage.place("tmp", f"{at}.sock") for at, path in enumerate(paths)}


def place_of(
    stage: Stage, spec: AppSpec, settings: Settings, ports: Mapping[int, int]
) -> Place:
    """Return where the app is asked; wait until it listens.  Raises GaplessError.

    *ports* are those that it has in the place of others.
    """
    found = _served(settled(stage)["addresses"])
    if not found:
        raise GaplessError(
            f"{spec.name} listens on no TCP port and no path: there is nothing to ask",
            hint="a rehearsal is for apps that answer HTTP",
        )
    asked = settings.port
    wanted = ports.get(asked, asked) if asked else 0
    chosen = [each for each in found if not wanted or port_of(each) == wanted]
    if not chosen:
        raise GaplessError(
            f"{spec.name} does not listen on port {settings.port}: it listens on "
            f"{', '.join(found)}"
        )
    told = list(ports.values())  # the most likely first
    chosen.sort(key=lambda a: told.index(port_of(a)) if port_of(a) in told else 99)
    return _place(chosen[0])


def _served(found: Iterable[str]) -> list[str]:
    return [each for each in found if not each.startswith("udp:")]


def _place(address: str) -> Place:
    if address.startswith(_PATH):
        path = address.removeprefix(_PATH)
        return Place(family=socket.AF_UNIX, address=path)
    host, _, port = address.rpartition(":")
    host = host.strip("[]").partition("%")[0]
    host = _ANY.get(host, host)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return Place(family=family, address=(host, int(port)))
