"""The right of this host to drain: refused if no other host of a fleet would serve."""

from __future__ import annotations

import http.client
import select
from collections.abc import Callable, Collection, Mapping

from gapless.agent.address import split
from gapless.agent.health.answer import path_of
from gapless.agent.membership import Membership
from gapless.agent.open_store import open_store
from gapless.base import clock
from gapless.base.errors import GaplessError, UnavailableError
from gapless.rollout import drain_rules
from gapless.rollout.model import HostReport
from gapless.rollout.record_reader import Complain

POLL_S = 0.25
ANSWER_S = 1.0
GONE_S = 90.0
"""`gone_s` where there was no rollout yet, which would say it."""
Say = Callable[[str], None]


class DrainRight:
    """The right of this host to drain in one fleet."""

    def __init__(self, membership: Membership, say: Say, complain: Complain) -> None:
        self._store = open_store(membership.fleet, complain)
        self.app, self.host = self._store.app, membership.host
        self._say = say
        self._rights = self._store.drain_rights
        self._alive: set[str] = set()
        """Hosts that were seen alive since the command began."""
        self._heartbeats: dict[str, int] = {}
        """By host: the heartbeat that was seen first."""

    def take(self) -> None:
        """Take the right.  Raises GaplessError with the reason it is refused."""
        at = clock.stamp(clock.wall())
        if refused := self._rights.take(self.host, at, self._refusal):
            raise GaplessError(
                f"{self.app}: no other host would serve: {refused}",
                hint="wait for them, or drain all the same: --force",
            )

    def force(self) -> None:
        """Write down that this host drains, whatever the others do."""
        self._rights.force(self.host, clock.stamp(clock.wall()))

    def is_held(self) -> bool:
        """Return whether the record says that this host drains."""
        return self.host in self._rights.draining()

    def give_back(self) -> None:
        """Let the other hosts count on this one again."""
        self._rights.give_back(self.host)

    def answers_balancers(self) -> bool:
        """Return whether the agent of this host has a health endpoint."""
        own = self._store.hosts.all().get(self.host)
        return own is not None and bool(own.health)

    # --- the other hosts ----------------------------------------------------------------

    def _refusal(self, draining: Collection[str]) -> str:
        """Return why this host must not drain, or nothing."""
        reports = self._store.hosts.all()
        hosts = list(reports.values())
        if refused := drain_rules.drain_refusal(self.host, hosts, draining):
            return refused
        own = reports.get(self.host)
        if own is None or not own.serves:
            return ""
        others = drain_rules.serving(hosts, draining, but=self.host)
        if self._alive & set(others):
            return ""
        if self._wait_for_alive({host: reports[host] for host in others}):
            return ""
        return f"{', '.join(others)} gave no sign of life"

    def _wait_for_alive(self, hosts: Mapping[str, HostReport]) -> bool:
        """Wait until one of some hosts is seen alive; return whether one was."""
        rollout, _ = self._store.rollout()
        policy_s = rollout.policy.gone_s if rollout else GONE_S
        own_s = (each.gone_after_s(policy_s) for each in hosts.values())
        gone_s = max(own_s, default=policy_s)
        until, is_announced = clock.monotonic() + gone_s, False
        while True:
            reports = self._store.hosts.all()
            for host in hosts:
                if host in reports and self._is_alive(reports[host]):
                    self._alive.add(host)
                    return True
            if clock.monotonic() >= until:
                return False
            if not is_announced:
                self._say(f"{self.app}: waits for a heartbeat of {', '.join(hosts)}")
                is_announced = True
            select.select([], [], [], POLL_S)

    def _is_alive(self, report: HostReport) -> bool:
        """Return whether a host's heartbeat has changed, or its agent says it serves."""
        first = self._heartbeats.setdefault(report.host, report.beat)
        if report.beat != first:
            return True
        return bool(report.health) and _serves(report.health, self.app)


def _serves(address: str, app: str) -> bool:
    """Ask the health endpoint of another host whether the app serves there."""
    host, port = split(address)
    connection = http.client.HTTPConnection(host, int(port), timeout=ANSWER_S)
    try:
        connection.request("GET", path_of(app))
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def take_all(rights: Collection[DrainRight]) -> None:
    """Take the rights of every fleet, or none.  Raises GaplessError."""
    taken: list[DrainRight] = []
    try:
        for right in rights:
            was_held = right.is_held()
            right.take()
            if not was_held:
                taken.append(right)
    except UnavailableError as error:
        give_back_all(taken)
        raise UnavailableError(
            f"whether another host serves cannot be known: {error.message}",
            hint="drain all the same: --force",
        ) from error
    except GaplessError:
        give_back_all(taken)
        raise


def give_back_all(rights: Collection[DrainRight]) -> list[str]:
    """Give rights back; return which could not be given back, and why."""
    failures = []
    for right in rights:
        try:
            right.give_back()
        except GaplessError as error:
            failures.append(f"{right.app}: {error.message}")
    return failures
