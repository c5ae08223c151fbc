"""A load on one app: a thread and a selector drive all its clients.

Rule 1: each request is sent once; what becomes of it is written down.
Rule 2: it goes to this machine only, and its number is bounded.
"""

from __future__ import annotations

import selectors
import threading
from collections.abc import Iterable

from gapless.base import clock
from gapless.rehearsal.load.client import Client, Place
from gapless.rehearsal.load.model import Request, Traffic

MOST_REQUESTS = 2_000_000
LONGEST_WAIT_S = 0.2
BEHIND_S = 1.0
"""Who is later than this with its next request leaves out what it has missed."""


class Load:
    """Sends requests from `start` to `stop`."""

    def __init__(self, place: Place, traffics: Iterable[Traffic]) -> None:
        self.requests: list[Request] = []
        """All that have ended; only appended to."""
        self.trouble: BaseException | None = None
        """What has ended the load itself: a fault of ours."""
        self._selector = selectors.DefaultSelector()
        self._count = 0
        now = clock.monotonic()
        self._clients = [
            Client(
                place,
                traffic,
                self._selector,
                first_at=now + traffic.every_s * each / traffic.clients,
                ended=self.requests.append,
            )
            for traffic in traffics
            for each in range(traffic.clients)
        ]
        self._stopping, self._is_abandoned = threading.Event(), False
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def stop(self) -> None:
        """Send no more, wait for the answers of what was sent, and hang up."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._selector.close()

    def abandon(self) -> None:
        """Hang up at once: nobody wants the answers."""
        self._is_abandoned = True
        self.stop()

    def _run(self) -> None:
        try:
            while not self._is_abandoned and self._turn():
                pass
        except Exception as error:  # noqa: BLE001 - the thread has nobody else to tell
            self.trouble = error
        finally:
            for client in self._clients:
                client.hang_up()

    def _turn(self) -> bool:
        """Do what is due and wait; return whether there is more to do."""
        now = clock.monotonic()
        goes_on = not self._stopping.is_set() and self._count < MOST_REQUESTS
        busy = False
        for client in self._clients:
            client.tick(now)
            if client.request is None and goes_on and now >= client.resume_at:
                if now - client.resume_at > BEHIND_S:
                    client.resume_at = now
                self._count += 1
                client.begin(self._count, now)
            busy |= client.request is not None
        if not (goes_on or busy):
            return False
        waits = [c.wait_s(now) for c in self._clients if goes_on or c.request]
        for selected, _ in self._selector.select(
            max(0.0, min([LONGEST_WAIT_S, *waits]))
        ):
            selected.data.go_on()
        return True
