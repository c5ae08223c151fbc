"""Replace a supervisor of a version that does not know the request `upgrade`.

It leaves as on SIGTERM, and the next one, which the unit or this command starts, takes over
from the keeper.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
from collections.abc import Callable
from typing import Any

import gapless
from gapless.base import clock
from gapless.base.errors import TimedOutError, UnavailableError
from gapless.cli.upgrade import silence
from gapless.client import Client
from gapless.supervisor import succession
from gapless.supervisor.upgrade.inheritance import Inheritance
from gapless.supervisor.upgrade.renewal import TOO_OLD
from gapless.supervisor.upgrade.replacement import TRIAL_S, read_answer

UNIT_S = 20.0
"""How long the unit of systemd may take to start the next one."""
PAUSE_S = 0.02


def replace(
    client: Client,
    found: dict[str, Any],
    argv: list[str],
    told: Callable[[dict[str, Any]], None],
) -> dict[str, Any]:
    """Let the supervisor leave, and the next one take over; return the report.

    *found* is what it says of itself, *argv* the command of the installed version.
    Raises GaplessError: then the one that runs is what it was.
    """
    pid = int(found["pid"])
    if pid == 1:
        raise UnavailableError(
            f"the supervisor of version {found.get('version')} is the first process here, "
            "and cannot replace itself",
            hint="start the container again with the new version",
        )
    answer = _try(client, argv)
    told({"step": "tried", **answer})
    started_by = found.get("started_by", succession.COMMAND)
    in_unit = started_by == succession.SUPERVISE and _is_in_unit(pid)
    told({"step": "handing over", "version": answer["version"]})
    began = clock.monotonic()
    os.kill(pid, signal.SIGTERM)
    _wait_until_gone(client, pid, UNIT_S)
    if not (in_unit and _comes_back(client, pid)):
        client.start()
    took = silence.until(client, lambda now: now.get("pid") != pid)
    gone_ms = round((clock.monotonic() - began) * 1000, 1)
    now = client.ping() or {}
    keeper = {"pid": found.get("keeper_pid"), "version": "", "package": ""}
    return {
        "supervisor": {
            "old": {"version": found.get("version"), "pid": pid, "package": ""},
            "new": {
                "version": now.get("version"),
                "pid": now.get("pid"),
                "package": now.get("package"),
            },
        },
        "keeper": {"old": keeper, "new": keeper, "stays": TOO_OLD, "took_ms": 0.0},
        "without_control_ms": None if took is None else gone_ms,
    }


def _try(client: Client, argv: list[str]) -> dict[str, Any]:
    """Let the installed version say whether it could take over.  Raises GaplessError."""
    given = Inheritance(trial=True).argument()
    try:
        done = subprocess.run(
            [*argv, client.home.path, given],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=TRIAL_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        reason = f"version {gapless.__version__} has not started in {TRIAL_S:g} s"
        raise TimedOutError(reason) from None
    return read_answer(done.stdout)


def _is_in_unit(pid: int) -> bool:
    """Return whether systemd has started a process, so that it starts the next one."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return b"INVOCATION_ID=" in file.read()
    except OSError:
        return False


def _wait_until_gone(client: Client, pid: int, limit_s: float) -> None:
    until = clock.monotonic() + limit_s
    while (found := client.ping()) is not None and found.get("pid") == pid:
        if clock.monotonic() >= until:
            raise TimedOutError(
                f"the supervisor (pid {pid}) has not left in {limit_s:g} s",
                hint="it serves on; `gapless list` tells what it does",
            )
        select.select([], [], [], PAUSE_S)


def _comes_back(client: Client, pid: int) -> bool:
    """Return whether systemd has started the next supervisor."""
    until = clock.monotonic() + UNIT_S
    while clock.monotonic() < until:
        found = client.ping()
        if found is not None and found.get("pid") != pid:
            return True
        select.select([], [], [], PAUSE_S)
    return False
