"""Watch an app on this host for a while: it must stay as healthy as it was."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Callable
from typing import Any

from gapless.base import app_status, clock
from gapless.base.errors import GaplessError
from gapless.client import Client

POLL_S = 0.25
CHECK_S = 1.0
"""How often the caller checks whether the app still has to be watched."""
BAD_ANSWERS = 3
"""A failure is so many bad answers in a row."""
ANSWER_S = 5.0


class HealthWatch:
    """Polls one app until its time is over."""

    def __init__(
        self, client: Client, app: str, path: str, *, has_listened: bool
    ) -> None:
        """*path* is requested at the app's own address; empty: its probe's.

        An app that *has_listened* here before is no job, which may end.
        """
        self._client, self._app, self._path = client, app, path
        self._has_listened = has_listened or bool(path)
        self._bad_answers = 0
        self._last_answer = ""

    def failure(
        self, for_s: float, stopping: threading.Event, check: Callable[[], None]
    ) -> str:
        """Return what failed within *for_s*, or nothing.

        *check* raises an error of its own to end the watch.  Raises GaplessError if
        *stopping* is set before.
        """
        until = clock.monotonic() + for_s
        checked_at = clock.monotonic()
        before = self._describe()
        while True:
            now = self._describe()
            if self._is_job_done(now):
                return ""
            if why := self._failure_since(before, now):
                return why
            if clock.monotonic() >= until:
                return ""
            if clock.monotonic() >= checked_at + CHECK_S:
                check()
                checked_at = clock.monotonic()
            if stopping.wait(min(POLL_S, max(0.01, until - clock.monotonic()))):
                raise GaplessError(f"{self._app}: the agent was ended")

    def _describe(self) -> dict[str, Any]:
        found: dict[str, Any] = self._client.request("describe", app=self._app)
        self._has_listened |= bool(found["addresses"])
        return found

    def _is_job_done(self, now: dict[str, Any]) -> bool:
        """Return whether the app never listens, and has ended as it was meant to."""
        meant = {0, *now["spec"]["restart"]["stop_exit_codes"]}
        ended = bool(now.get("finished")) and now["exit_code"] in meant
        return ended and not self._has_listened

    def _failure_since(self, before: dict[str, Any], now: dict[str, Any]) -> str:
        if app_status.is_over(now["status"]):
            if now.get("finished"):
                return f"the app ended by itself, with code {now['exit_code']}"
            why = f": {now['reason']}" if now["reason"] else ""
            return f"the app {now['status']}{why}"
        if now["restarts"] > before["restarts"]:
            return "an instance crashed" + (
                f": {now['reason']}" if now["reason"] else ""
            )
        ready = now["spec"]["ready"]
        path = self._path or (str(ready["path"]) if ready["when"] == "http" else "")
        asked = [each for each in now["addresses"] if not each.startswith("udp:")]
        if not path or not asked:
            return ""
        is_good = self._answers(asked[0], path)
        self._bad_answers = 0 if is_good else self._bad_answers + 1
        return f"{path} {self._last_answer}" if self._bad_answers >= BAD_ANSWERS else ""

    def _answers(self, address: str, path: str) -> bool:
        """Return whether the app answers a request without an error."""
        connection = _connection(address)
        try:
            connection.request("GET", path, headers={"Connection": "close"})
            status = connection.getresponse().status
        except (TimeoutError, OSError, http.client.HTTPException) as error:
            self._last_answer = f"was not answered: {error}"
            return False
        finally:
            connection.close()
        self._last_answer = f"was answered {status}"
        return status < 400


class _PathConnection(http.client.HTTPConnection):
    """A connection to a Unix-domain path."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=ANSWER_S)
        self._path = path

    def connect(self) -> None:
        """Connect.  Raises OSError."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(ANSWER_S)
        self.sock.connect(self._path)


def _connection(address: str) -> http.client.HTTPConnection:
    """Return a connection to an address of an app, not opened yet."""
    if address.startswith("unix:"):
        return _PathConnection(address.removeprefix("unix:"))
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - asks
    return http.client.HTTPConnection(host, int(port), timeout=ANSWER_S)
