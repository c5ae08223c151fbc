"""Leave the service of fleets by hand, unless no other host of one serves."""

from __future__ import annotations

import http.client
import select
from collections.abc import Callable, Collection

from gapless.agent import setup
from gapless.agent.address import split
from gapless.agent.health_endpoint import path_of
from gapless.agent.membership import Membership
from gapless.base import clock
from gapless.base.errors import GaplessError, UnavailableError
from gapless.coordinator.leases import Clock
from gapless.rollout import drain_rules
from gapless.rollout.board import Complain
from gapless.rollout.drain_rights import Rights
from gapless.rollout.model import HostReport

LOOK_S = 0.25
ANSWER_S = 1.0
GONE_S = 90.0
"""Where no rollout says how long a host may be silent."""
STALE_S = 300.0
LOOK_AGAIN_S = 60.0
Say = Callable[[str], None]


class Departure:
    """The right of this host to leave one fleet."""

    def __init__(self, membership: Membership, say: Say, complain: Complain) -> None:
        self._board = setup.board(membership.fleet, complain)
        self.app, self.host = self._board.app, membership.host
        self._say = say
        self._rights = self._board.rights()
        self._alive: set[str] = set()
        """Who gave a sign of life since the command began."""
        self._beats: dict[str, int] = {}

    def take(self) -> None:
        """Take the right.  Raises GaplessError with the reason it is refused."""
        at = clock.stamp(clock.wall())
        if refused := self._rights.take(self.host, at, self._refusal):
            raise GaplessError(
                f"{self.app}: no other host would serve: {refused}",
                hint="wait for them, or drain all the same: --force",
            )

    def insist(self) -> None:
        """Write down that this host drains, whoever else does."""
        self._rights.insist(self.host, clock.stamp(clock.wall()))

    def is_held(self) -> bool:
        """Tell whether others know that this host drains."""
        return self.host in self._rights.draining()

    def give_back(self) -> None:
        """Let others count on this host again."""
        self._rights.give_back(self.host)

    def answers_balancers(self) -> bool:
        """Tell whether the agent here tells balancers that this host leaves."""
        own = self._board.reports().get(self.host)
        return own is not None and bool(own.health)

    # --- who else is there --------------------------------------------------------------

    def _refusal(self, draining: Collection[str]) -> str:
        reports = self._board.reports()
        if refused := drain_rules.refusal(self.host, list(reports.values()), draining):
            return refused
        own = reports.get(self.host)
        if own is None or not own.serves:
            return ""
        others = drain_rules.serving(reports.values(), draining, but=self.host)
        if self._alive & set(others) or self._wait_for_life(others):
            return ""
        return f"{', '.join(others)} gave no sign of life"

    def _wait_for_life(self, hosts: Collection[str]) -> bool:
        """Wait until one of some hosts shows that it is there, not only was."""
        rollout, _ = self._board.rollout()
        silent_s = rollout.policy.gone_s if rollout else GONE_S
        until, said = clock.monotonic() + silent_s, False
        while True:
            reports = self._board.reports()
            for host in hosts:
                if host in reports and self._lives(reports[host]):
                    self._alive.add(host)
                    return True
            if clock.monotonic() >= until:
                return False
            if not said:
                self._say(f"{self.app}: waits for a word of {', '.join(hosts)}")
                said = True
            select.select([], [], [], LOOK_S)

    def _lives(self, report: HostReport) -> bool:
        """Tell whether a host said something since we look, or says that it serves."""
        before = self._beats.setdefault(report.host, report.beat)
        if report.beat != before:
            return True
        return bool(report.health) and _serves(report.health, self.app)


class Return:
    """Keeps the record of those that drain true of this host, whatever died before."""

    def __init__(self, rights: Rights, host: str, now: Clock) -> None:
        self._rights, self._host, self._now = rights, host, now
        self._since: float | None = None
        """Since when it is in the record and does not drain."""
        self._look_at = 0.0

    def look(self, *, drains: bool) -> None:
        """Write down that it drains, or after a while that it does not any more.

        A command that was just given the right has not begun to drain yet.  Raises
        UnavailableError.
        """
        now = self._now()
        if not drains and now < self._look_at:
            return  # a host at rest hardly asks
        self._look_at = now + LOOK_AGAIN_S
        listed = self._host in self._rights.draining()
        if drains and not listed:
            self._rights.insist(self._host, clock.stamp(clock.wall()))
        if drains or not listed:
            self._since = None
        elif self._since is None:
            self._since = now
        elif now >= self._since + STALE_S:
            self._rights.give_back(self._host)


def _serves(address: str, app: str) -> bool:
    """Ask the agent of another host whether the app serves there."""
    host, port = split(address)
    line = http.client.HTTPConnection(host, int(port), timeout=ANSWER_S)
    try:
        line.request("GET", path_of(app))
        return line.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        line.close()


def take_all(departures: Collection[Departure]) -> None:
    """Take the rights of every fleet, or none.  Raises GaplessError."""
    taken: list[Departure] = []
    try:
        for departure in departures:
            had = departure.is_held()
            departure.take()
            if not had:
                taken.append(departure)
    except UnavailableError as error:
        give_back_all(taken)
        raise UnavailableError(
            f"whether another host serves cannot be known: {error.message}",
            hint="drain all the same: --force",
        ) from error
    except GaplessError:
        give_back_all(taken)
        raise


def give_back_all(departures: Collection[Departure]) -> list[str]:
    """Give rights back; return which could not be."""
    left = []
    for departure in departures:
        try:
            departure.give_back()
        except GaplessError as error:
            left.append(f"{departure.app}: {error.message}")
    return left
