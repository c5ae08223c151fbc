"""Stay in the foreground until the apps have ended: for containers, also as process 1.

What the apps print is printed.  SIGTERM and SIGINT let them finish and end; other signals
are passed on.  The exit code is the app's own, or 128 and the number of the signal that
ended it.
"""

from __future__ import annotations

import glob
import os
import select
import signal
import sys
from collections.abc import Callable, Collection
from typing import Any

from gapless.base import app_status, wakeup
from gapless.base.errors import GaplessError
from gapless.cli import sequence
from gapless.cli.followed_log import FollowedLog
from gapless.client import Client
from gapless.supervisor.act import log_settings
from gapless.supervisor.decide import order
from gapless.supervisor.memory import spec

POLL_S = 0.1
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
PASSED_ON = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH)


def run(
    client: Client, wanted: Collection[spec.AppSpec], start: Callable[[], int]
) -> int:
    """Start apps with *start*, stay until they have ended; return the exit code.

    A supervisor that ran before is left running, with its other apps.
    """
    was_running = client.is_running()
    signals = wakeup.on((*STOP_SIGNALS, *PASSED_ON))
    logs = _existing_logs(client, wanted)
    try:
        code = start()
    except GaplessError:
        if not was_running:
            client.request("shutdown")
        raise
    apps = _ForegroundApps(client, [each.name for each in wanted], logs)
    if code:
        apps.take_signal(signal.SIGTERM)  # if one could not start, the others end too
    while not apps.have_ended():
        select.select([signals], [], [], POLL_S)
        try:
            for number in signals.recv(256):
                apps.take_signal(number)
        except BlockingIOError:
            pass
        apps.print_logs()
        _reap()
    apps.print_logs()
    if not was_running:
        client.request("shutdown")
    _reap()
    return exit_code(apps.exit_codes()) or code


def exit_code(codes: Collection[int | None]) -> int:
    """Return the first exit code that is not 0; that of a signal as shells report it."""
    shown = [128 - code if code < 0 else code for code in codes if code is not None]
    return next((code for code in shown if code), 0)


class _ForegroundApps:
    """The apps that the command stays for, and their logs."""

    def __init__(
        self, client: Client, names: Collection[str], logs: dict[str, FollowedLog]
    ) -> None:
        self._client, self._names, self._logs = client, names, logs
        self._is_stopping = False
        self._rows = self._list()
        for row in self._rows:
            described = client.request("describe", app=row["name"])
            for log in described["logs_by_instance"]:
                error = log["error"] if log["error"] != log["output"] else ""
                logs.setdefault(log["output"], FollowedLog(log["output"]))
                if error:
                    logs.setdefault(error, FollowedLog(error, sys.stderr.buffer))

    def have_ended(self) -> bool:
        """Return whether no app runs any more."""
        self._rows = self._list()
        return all(app_status.is_over(row["status"]) for row in self._rows)

    def exit_codes(self) -> list[int | None]:
        """Return the exit codes of the apps; negative for a signal."""
        return [row["exit_code"] for row in self._rows]

    def _list(self) -> list[dict[str, Any]]:
        rows = self._client.request("list")["apps"]
        return [row for row in rows if row["name"] in self._names]

    def take_signal(self, number: int) -> None:
        """Pass a signal on, or stop the apps."""
        if number in PASSED_ON:
            for row in self._rows:
                name = signal.Signals(number).name
                self._request("signal", row["name"], signal=name)
        elif number in STOP_SIGNALS and not self._is_stopping:
            self._is_stopping = True
            names = [row["name"] for row in self._rows]
            after = {row["name"]: row.get("after", []) for row in self._rows}
            sequence.begin(
                names,
                order.backwards(names, after),
                lambda name, _begun: self._request("stop", name),
            )

    def print_logs(self) -> None:
        """Print what the apps have printed since the last call."""
        for log in self._logs.values():
            while log.print_new():
                pass

    def _request(self, op: str, app: str, **fields: Any) -> None:
        try:
            self._client.request(op, app=app, **fields)
        except GaplessError as error:
            print(f"gapless: {error.message}", file=sys.stderr)


def _existing_logs(
    client: Client, wanted: Collection[spec.AppSpec]
) -> dict[str, FollowedLog]:
    """Return the logs that exist before the start, each from its end on."""
    logs: dict[str, FollowedLog] = {}
    for each in wanted:
        output = each.log.output or client.home.app_log(each.name)
        for path in {output, each.log.error or output}:
            pattern = glob.escape(path)
            if each.log.by_instance:
                pattern = log_settings.log_path(pattern, "*")
            out = sys.stdout.buffer if path == output else sys.stderr.buffer
            for found in glob.glob(pattern):
                logs[found] = FollowedLog(found, out)
                logs[found].skip()
    return logs


def _reap() -> None:
    """Reap children that have ended: process 1 gets orphans of other processes too."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return
