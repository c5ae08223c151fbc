"""Upgrades of a supervisor: the one that it came from, and the one that it leaves by."""

from __future__ import annotations

import os
import selectors
from collections.abc import Callable
from typing import Any

from gapless.base import clock, events
from gapless.base.errors import UnavailableError
from gapless.supervisor.control.control_connection import ControlConnection
from gapless.supervisor.control.request import Request
from gapless.supervisor.keeper_events import KeeperEvents
from gapless.supervisor.memory.keeper_connection import KeeperConnection
from gapless.supervisor.observe.membership import Membership
from gapless.supervisor.upgrade import installed
from gapless.supervisor.upgrade.inheritance import Inheritance
from gapless.supervisor.upgrade.renewal import KeeperRenewal
from gapless.supervisor.upgrade.replacement import Replacement, Stage


class Upgrades:
    """Answers the requests for an upgrade, and does what each stage asks for."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        home: str,
        given: Inheritance,
        *,
        keeper: KeeperConnection,
        membership: Membership,
        notes: Callable[[], dict[str, Any]],
        wake: Callable[[], None],
        inherits: Callable[[], Inheritance],
        stays: Callable[[], None],
        keeper_events: KeeperEvents,
        log: events.Log,
    ) -> None:
        """Begin the renewal of the keeper, if this supervisor comes from an upgrade."""
        self._given, self._keeper = given, keeper
        self._began_at = clock.boottime()
        self._renewal = KeeperRenewal(keeper, membership, given)
        self._replacement = Replacement(
            selector,
            home,
            notes=notes,
            wake=wake,
            inherits=inherits,
            stays=stays,
            log=log,
        )
        keeper_events.answered = self._renewal.heard
        self.announce = self._replacement.announce
        if given.token and not given.failure:
            self._renewal.begin(os.getpid())

    def about(self) -> dict[str, Any]:
        """Return what a client is told of this process."""
        return {
            "keeper_version": self._keeper.version or None,
            "package": installed.package_directory(),
            "upgraded": None if self._given.failure else self._given.token or None,
        }

    def request(self, request: Request, connection: ControlConnection) -> None:
        """Begin an upgrade, or tell a client how the one ended that has begun this one.

        Raises GaplessError.
        """
        if request.token and request.token == self._given.token:
            if self._given.failure:
                raise UnavailableError(
                    f"the installed version did not take over: {self._given.failure}",
                    hint=f"the supervisor goes on as it was, with pid {os.getpid()}",
                )
            self._renewal.wait(connection)
        elif self._is_what_was_asked_for(request):
            self._given = Inheritance(token=request.token)
            self._renewal.begin(os.getpid())
            self._renewal.wait(connection)
        else:
            self._replacement.begin(request, connection)

    def _is_what_was_asked_for(self, request: Request) -> bool:
        """Return whether this supervisor came after one that died in that upgrade."""
        asked_at = request.asked_at
        return (
            not self._given.token
            and asked_at is not None
            and self._began_at > asked_at
            and request.package == installed.package_directory()
        )

    def go_on(self) -> bool:
        """Do what has to be done between two turns; return whether it hands over now."""
        if self._replacement.stage is Stage.FORKS:
            self._replacement.fork()
        return self._replacement.stage is Stage.HANDS_OVER

    def hand_over(self) -> Inheritance:
        """Let the successor take over, and end this process.

        If it could not, returns what this process begins with when it takes all back.
        """
        reason = self._replacement.hand_over()
        return Inheritance(token=self._replacement.token, failure=reason)

    def expire(self, now: float) -> None:
        """End what takes too long."""
        self._replacement.expire(now)
        self._renewal.expire(now)

    def wait_until(self) -> float | None:
        """Return when `expire` has something to do."""
        found = (self._replacement.wait_until(), self._renewal.wait_until())
        return min((each for each in found if each is not None), default=None)
