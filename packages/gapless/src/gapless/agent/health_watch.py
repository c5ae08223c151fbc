"""Watch an app on this host for a while: whether it stays as well as it was."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable
from typing import Any

from gapless.base import clock
from gapless.base.errors import GaplessError
from gapless.client import Client

LOOK_S = 0.25
ASK_S = 1.0
"""How often is asked whether it is to be watched still."""
BAD_ANSWERS = 3
"""So many in a row are no accident."""
ANSWER_S = 5.0


class Watch:
    """Looks at one app until its time is over."""

    def __init__(self, client: Client, app: str, path: str) -> None:
        """*path* is asked for at the app's own address; empty: only its life counts."""
        self._client, self._app, self._path = client, app, path
        self._bad = 0
        self._said = ""

    def failure(
        self, for_s: float, over: threading.Event, ask: Callable[[], None]
    ) -> str:
        """Return what went wrong within *for_s*; nothing if nothing did.

        *ask* raises what it likes if there is nothing to watch for any more.  Raises
        GaplessError if *over* was set before.
        """
        until = clock.monotonic() + for_s
        asked_at = clock.monotonic()
        before = self._describe()
        while True:
            now = self._describe()
            if why := self._worse(before, now):
                return why
            if clock.monotonic() >= until:
                return ""
            if clock.monotonic() >= asked_at + ASK_S:
                ask()
                asked_at = clock.monotonic()
            if over.wait(min(LOOK_S, max(0.01, until - clock.monotonic()))):
                raise GaplessError(f"{self._app}: the agent was ended")

    def _describe(self) -> dict[str, Any]:
        found: dict[str, Any] = self._client.request("describe", app=self._app)
        return found

    def _worse(self, before: dict[str, Any], now: dict[str, Any]) -> str:
        if now["status"] in ("stopped", "gave up"):
            why = f": {now['reason']}" if now["reason"] else ""
            return f"the app {now['status']}{why}"
        if now["restarts"] > before["restarts"]:
            return "an instance crashed" + (
                f": {now['reason']}" if now["reason"] else ""
            )
        ready = now["spec"]["ready"]
        path = self._path or (str(ready["path"]) if ready["when"] == "http" else "")
        if not path or not now["addresses"]:
            return ""
        self._bad = 0 if self._answers(now["addresses"][0], path) else self._bad + 1
        return f"{path} {self._said}" if self._bad >= BAD_ANSWERS else ""

    def _answers(self, address: str, path: str) -> bool:
        host, _, port = address.rpartition(":")
        host = host.strip("[]")
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - asks
        line = http.client.HTTPConnection(host, int(port), timeout=ANSWER_S)
        try:
            line.request("GET", path, headers={"Connection": "close"})
            status = line.getresponse().status
        except (TimeoutError, OSError, http.client.HTTPException) as error:
            self._said = f"was not answered: {error}"
            return False
        finally:
            line.close()
        self._said = f"was answered {status}"
        return status < 400
