"""The keeper becomes the version of the supervisor that has just taken over.

A keeper replaces itself (spec/keeper.md, `renew`); what it could not do changes nothing.
One of a version that does not know how stays as it is until `gapless shutdown`.
"""

from __future__ import annotations

from typing import Any

import gapless
from gapless.base import clock, codec, wire
from gapless.supervisor.control.control_connection import ControlConnection
from gapless.supervisor.memory.keeper_connection import KeeperConnection
from gapless.supervisor.observe.membership import Membership
from gapless.supervisor.upgrade import installed
from gapless.supervisor.upgrade.inheritance import Inheritance, Running

RENEW_S = 60.0
"""How long a keeper may take to become another version."""
MOST_DEATHS = 3
"""How many keepers may die of it, or meanwhile, before the upgrade goes on without."""
TOO_OLD = "it is of a version that cannot replace itself"


class KeeperRenewal:
    """Lets the keeper renew itself once, and reports the whole upgrade."""

    def __init__(
        self, keeper: KeeperConnection, membership: Membership, given: Inheritance
    ) -> None:
        """Use what was *given* to this supervisor."""
        self._keeper, self._membership, self._before = keeper, membership, given.before
        self._waiters: list[ControlConnection] = []
        self._report: dict[str, Any] | None = None
        self._keeper_before = Running()
        self._began_at: float | None = None
        self._asked_pid = self._deaths = 0

    def begin(self, pid: int) -> None:
        """Ask the keeper to become this version; *pid* is that of this supervisor."""
        self._after = Running(
            version=gapless.__version__, pid=pid, package=installed.package_directory()
        )
        self._keeper_before = self._keeper_now()
        self._began_at = clock.monotonic()
        self._asked_pid, self._deaths = self._keeper_before.pid, 0
        self._keeper.renew()

    def _keeper_now(self) -> Running:
        return Running(version=self._keeper.version, pid=self._membership.keeper_pid)

    def wait(self, connection: ControlConnection) -> None:
        """Answer a client when the upgrade is over, or at once if it is."""
        if self._report is None:
            self._waiters.append(connection)
        else:
            connection.send({"result": self._report}, last=True)

    def wait_until(self) -> float | None:
        """Return when `expire` has something to do."""
        return None if self._began_at is None else self._began_at + RENEW_S

    def expire(self, now: float) -> None:
        """End the wait for a keeper that says nothing."""
        until = self.wait_until()
        if until is not None and now >= until:
            self._end(f"it has not answered in {RENEW_S:g} s")

    def heard(self, message: wire.Message) -> bool:
        """Take in what the keeper answers to `renew`; return whether it is that."""
        if self._began_at is None:
            return False
        if message.get("event") == "welcome":
            self._ask_again(int(message["pid"]))
            return False
        if message.get("event") == "renewed":
            self._end("")
            return True
        if message.get("event") == "not_renewed":
            self._end(str(message.get("reason") or "it does not say why"))
            return True
        if message.get("event") == "misunderstood" and message.get("op") == "renew":
            self._end(TOO_OLD)
            return True
        return False

    def _ask_again(self, pid: int) -> None:
        """Ask a keeper that follows a dead one: it does not know what that one tried."""
        if pid == self._asked_pid:
            return  # it is another version now, and says so next
        self._asked_pid, self._deaths = pid, self._deaths + 1
        if self._deaths > MOST_DEATHS:
            self._end(f"{self._deaths} keepers have died meanwhile")
        else:
            self._keeper.renew()

    def _end(self, reason: str) -> None:
        assert self._began_at is not None
        took_s, self._began_at = clock.monotonic() - self._began_at, None
        self._report = {
            "supervisor": {
                "old": codec.encode(self._before),
                "new": codec.encode(self._after),
            },
            "keeper": {
                "old": codec.encode(self._keeper_before),
                "new": codec.encode(self._keeper_now()),
                "stays": reason or None,
                "took_ms": round(took_s * 1000, 1),
            },
        }
        for waiter in self._waiters:
            waiter.send({"result": self._report}, last=True)
        self._waiters = []
