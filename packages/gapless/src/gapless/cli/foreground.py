"""Stay in the foreground until the apps are over: for containers, also as process 1.

What the apps print is printed.  SIGTERM and SIGINT let them finish and end; other signals
are passed on.  The exit code is the app's own, 128 and the signal's number if one ended it.
"""

from __future__ import annotations

import glob
import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Collection
from typing import Any

from gapless.base import wakeup
from gapless.base.errors import GaplessError
from gapless.cli.followed_log import Followed
from gapless.client import Client
from gapless.supervisor.act import log_settings
from gapless.supervisor.memory import spec

LOOK_S = 0.1
ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
PASSED_ON = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH)
_OVER = ("stopped", "gave up")


def run(
    client: Client, wanted: Collection[spec.AppSpec], start: Callable[[], int]
) -> int:
    """Start apps with *start*, stay until these are over; return the exit code.

    A supervisor that was here before is left here, with its other apps.
    """
    was_running = client.is_running()
    numbers = wakeup.on((*ENDING, *PASSED_ON))
    followed = _follow(client, wanted)
    try:
        code = start()
    except GaplessError:
        if not was_running:
            client.request("shutdown")
        raise
    stay = _Stay(client, [each.name for each in wanted], followed)
    if code:
        stay.hear(signal.SIGTERM)  # one that could not start takes the others with it
    while not stay.is_over():
        select.select([numbers], [], [], LOOK_S)
        try:
            for number in numbers.recv(256):
                stay.hear(number)
        except BlockingIOError:
            pass
        stay.print_logs()
        _reap()
    stay.print_logs()
    if not was_running:
        client.request("shutdown")
    _reap()
    return exit_code(stay.exit_codes()) or code


def exit_code(codes: Collection[int | None]) -> int:
    """Return what a shell would say of how apps ended: the first that is not 0."""
    told = [128 - code if code < 0 else code for code in codes if code is not None]
    return next((code for code in told if code), 0)


class _Stay:
    """What goes on until the apps are over."""

    def __init__(
        self, client: Client, names: Collection[str], followed: dict[str, Followed]
    ) -> None:
        self._client, self._names, self._followed = client, names, followed
        self._is_ending = False
        self._rows = self._look()
        for row in self._rows:
            described = client.request("describe", app=row["name"])
            for log in described["logs_by_instance"]:
                error = log["error"] if log["error"] != log["output"] else ""
                followed.setdefault(log["output"], Followed(log["output"]))
                if error:
                    followed.setdefault(error, Followed(error, sys.stderr.buffer))

    def is_over(self) -> bool:
        """Tell whether no app runs any more."""
        self._rows = self._look()
        return all(row["status"] in _OVER for row in self._rows)

    def exit_codes(self) -> list[int | None]:
        """Return how the apps ended."""
        return [row["exit_code"] for row in self._rows]

    def _look(self) -> list[dict[str, Any]]:
        rows = self._client.request("list")["apps"]
        return [row for row in rows if row["name"] in self._names]

    def hear(self, number: int) -> None:
        """Do what a signal asks for."""
        if number in PASSED_ON:
            for row in self._rows:
                name = signal.Signals(number).name
                self._ask("signal", row["name"], signal=name)
        elif number in ENDING and not self._is_ending:
            self._is_ending = True
            for row in self._rows:
                ask = threading.Thread(
                    target=self._ask, args=("stop", row["name"]), daemon=True
                )
                ask.start()

    def print_logs(self) -> None:
        """Print what the apps have printed since."""
        for file in self._followed.values():
            while file.print_new():
                pass

    def _ask(self, op: str, app: str, **fields: Any) -> None:
        try:
            self._client.request(op, app=app, **fields)
        except GaplessError as error:
            print(f"gapless: {error.message}", file=sys.stderr)


def _follow(client: Client, wanted: Collection[spec.AppSpec]) -> dict[str, Followed]:
    """Return the logs of before, so that only what is new is printed."""
    followed: dict[str, Followed] = {}
    for each in wanted:
        output = each.log.output or client.home.app_log(each.name)
        for path in {output, each.log.error or output}:
            pattern = glob.escape(path)
            if each.log.by_instance:
                pattern = log_settings.log_path(pattern, "*")
            out = sys.stdout.buffer if path == output else sys.stderr.buffer
            for found in glob.glob(pattern):
                followed[found] = Followed(found, out)
                followed[found].skip()
    return followed


def _reap() -> None:
    """Take note of children that ended: process 1 is given those of others too."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return
