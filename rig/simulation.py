"""A fleet of thousands without sockets: the decisions and slots of gapless, seeded.

Time is a number.  Each host has a clock of its own, off by up to an hour.  Hosts die for
good with a slot in hand, are paused for minutes in the middle of a change, lose their
agent, and cannot reach the coordinator for a while.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from gapless.coordinator.leases import Lease, Slots
from gapless.coordinator.memory import MemoryCoordinator
from gapless.rollout import decide
from gapless.rollout.model import HostReport, Phase, Rollout, State
from gapless.rollout.policy import Policy
from gapless.rollout.status import status_of

OLD, NEW = "app-20260101000001", "app-20260101000002"
TICK_S = 2.0
LONGEST_S = 40_000.0
HOUR_S = 3600.0


@dataclass(slots=True)
class SimulatedHost:
    """One host: its report, its lease, and its faults."""

    report: HostReport
    slots: Slots
    lease: Lease | None = None
    acts: bool = False
    """It was permitted, and has not finished."""
    until: float = 0.0
    """When its present phase ends."""
    away_until: float = 0.0
    dead: bool = False
    heartbeat_at: float = 0.0


@dataclass(slots=True)
class Simulation:
    """One rollout over many hosts."""

    seed: int
    count: int
    policy: Policy
    fault: float = 0.02
    """The probability of a fault in each phase of a turn."""
    failing: Callable[[str], bool] = field(default=lambda _: False)
    """Returns whether the new release fails on a host while it is watched.

    Such a host meets no other fault: one that dies before its turn ends never fails.
    """
    now: float = 0.0
    most_acting: int = 0
    fewest_serving: int = 0
    late_acts_refused: int = 0

    def run(self) -> Rollout:
        """Run to the end of the rollout and return it; every invariant is asserted."""
        draw = random.Random(self.seed)
        coordinator = MemoryCoordinator()
        hosts = [self._host(draw, coordinator, n) for n in range(self.count)]
        self.fewest_serving = self.count
        rollout = Rollout(
            app="app", number=2, release=NEW, previous=OLD, policy=self.policy
        )
        while rollout.state in (State.ROLLING, State.REVERTING):
            assert self.now < LONGEST_S, f"no end: {rollout}"
            self.now += TICK_S
            live = [h for h in hosts if not self._is_gone(h)]
            status = status_of(rollout, [h.report for h in live])
            if verdict := decide.verdict(rollout, status, self.now):
                after = decide.transition(rollout, *verdict)
                assert after is not None
                rollout = after
                continue
            slots = decide.slots(rollout, len(status.order))
            for host in hosts:
                if host.lease is not None:
                    self._go_on(draw, rollout, host, hosts)
            waiting = [h for h in live if not self._is_away(h) and h.lease is None]
            tries = max(3, slots - sum(h.lease is not None for h in hosts) + 3)
            for host in draw.sample(waiting, min(len(waiting), tries)):
                if decide.waits_for(rollout, status, host.report) is None:
                    self._begin(draw, rollout, host, slots)
            self._check(hosts, slots)
        return rollout

    def _host(
        self, draw: random.Random, coordinator: MemoryCoordinator, number: int
    ) -> SimulatedHost:
        name, offset = f"h{number:05}", draw.uniform(-HOUR_S, HOUR_S)
        slots = Slots(
            coordinator,
            "slots/app",
            name,
            self.policy.slot_ttl_s,
            lambda: self.now + offset,
        )
        return SimulatedHost(HostReport(host=name, release=OLD), slots)

    def _is_away(self, host: SimulatedHost) -> bool:
        return host.dead or self.now < host.away_until

    def _is_gone(self, host: SimulatedHost) -> bool:
        """Return whether others no longer count a host: it was silent for `gone_s`."""
        silent_s = self.now - host.heartbeat_at
        if not self._is_away(host):
            host.heartbeat_at = self.now
        return self._is_away(host) and silent_s >= self.policy.gone_s

    def _begin(
        self, draw: random.Random, rollout: Rollout, host: SimulatedHost, slots: int
    ) -> None:
        host.lease = host.slots.take(slots)
        if host.lease is not None:
            host.until = self.now + draw.uniform(2, 20)
            self._report(rollout, host, Phase.CHANGING)
            self._draw_fault(draw, host)

    def _draw_fault(self, draw: random.Random, host: SimulatedHost) -> None:
        if self.failing(host.report.host):
            return
        if draw.random() < self.fault:
            if draw.random() < 0.3:
                host.dead = True
            else:
                host.away_until = self.now + draw.choice((3, 20, 60, 300))

    def _go_on(
        self,
        draw: random.Random,
        rollout: Rollout,
        host: SimulatedHost,
        hosts: list[SimulatedHost],
    ) -> None:
        if self._is_away(host):
            return
        assert host.lease is not None
        if self.now < host.until:
            lease = host.slots.renew(host.lease)
            if lease is None:
                self._lose(rollout, host)
            else:
                host.lease = lease
        elif host.report.phase is Phase.CHANGING:
            if host.slots.may_act(host.lease):
                self._act(draw, rollout, host, hosts)
            else:
                self._lose(rollout, host)
        else:
            back = rollout.state is State.REVERTING
            failed = not back and self.failing(host.report.host)
            self._report(rollout, host, Phase.FAILED if failed else Phase.DONE)
            host.slots.give_back(host.lease)
            host.lease, host.acts = None, False

    def _act(
        self,
        draw: random.Random,
        rollout: Rollout,
        host: SimulatedHost,
        hosts: list[SimulatedHost],
    ) -> None:
        assert host.lease is not None
        for other in hosts:
            if other is not host and other.acts and not self._is_away(other):
                assert other.lease is not None
                both = other.lease.slot == host.lease.slot
                may = both and other.slots.may_act(other.lease)
                assert not may, (
                    f"{host.report.host} and {other.report.host} act at once"
                )
        host.acts = True
        host.report = replace(host.report, release=rollout.target)
        self._report(rollout, host, Phase.WATCHING)
        host.until = self.now + self.policy.min_healthy_s
        self._draw_fault(draw, host)

    def _lose(self, rollout: Rollout, host: SimulatedHost) -> None:
        self.late_acts_refused += 1
        host.lease, host.acts = None, False
        self._report(rollout, host, Phase.WAITING)

    def _report(self, rollout: Rollout, host: SimulatedHost, phase: Phase) -> None:
        host.report = replace(host.report, phase=phase, turn=rollout.turn)

    def _check(self, hosts: list[SimulatedHost], slots: int) -> None:
        acting = away = lost = 0
        for host in hosts:
            if self._is_away(host):
                away += 1
            elif host.acts:
                acting += 1
                # A host that was paused has not yet seen that its slot is lost.
                lost += host.lease is not None and not host.slots.may_act(host.lease)
        assert acting - lost <= slots, f"{acting} act, {slots} slots"
        self.most_acting = max(self.most_acting, acting - lost)
        self.fewest_serving = min(self.fewest_serving, self.count - acting - away)
