"""Follow the rollouts of one app on this host: observe, decide, take a slot, change.

Decisions about rollouts are not made here, but in `rollout.decide`.
"""

from __future__ import annotations

import contextlib
import threading
import time
from functools import partial

from gapless.agent.address import HostAddresses
from gapless.agent.drain_entry import DrainEntry
from gapless.agent.observation import Listed, observed, running_release
from gapless.agent.reporter import Reporter, Say
from gapless.agent.turn.held_slot import HeldSlot
from gapless.agent.turn.release_source import ReleaseSource
from gapless.agent.turn.turn import Turn
from gapless.base import clock
from gapless.base.errors import UnavailableError
from gapless.client import Client
from gapless.config.toml.fleets import Fleet
from gapless.coordinator.leases import Slots
from gapless.deploy import running_app
from gapless.rollout import decide, drain_rules
from gapless.rollout.model import AT_WORK, HostReport, Phase, Rollout, State
from gapless.rollout.policy import frozen_by
from gapless.rollout.status import (
    RolloutStatus,
    has_arrived,
    has_failed,
    status_of,
)
from gapless.rollout.store import FleetStore

ROLLING_POLL_S = 1.0
"""How often a host looks at a rollout under way."""
DRAINING_POLL_S = 2.0
HOSTS_PER_POLL = 50
"""In a larger fleet each host looks less often."""
HEARTBEATS_PER_GONE_S = 3
NO_ADDRESSES = HostAddresses()


class Follower:
    """One app of a fleet, on this host."""

    def __init__(
        self,
        fleet: Fleet,
        store: FleetStore,
        client: Client,
        host: str,
        say: Say,
        *,
        addresses: HostAddresses = NO_ADDRESSES,
    ) -> None:
        self.fleet, self.store, self.host = fleet, store, host
        self._client, self._say = client, say
        source = ReleaseSource(fleet, client.home.path)
        in_use = partial(running_app.releases_in_use, client, source.own)
        self._reporter = Reporter(store, host, say, in_use=in_use)
        self._attempt_since: tuple[tuple[int, int], float] = ((0, 0), 0.0)
        """The attempt at a rollout, and since when this host has seen it."""
        self._addresses = addresses
        self._listed: Listed | None = None
        self._drain_entry = DrainEntry(store.drain_rights, host, clock.boottime)
        self._slots_by_ttl: tuple[float, Slots] | None = None
        self.stopping = threading.Event()
        self._turn = Turn(
            fleet,
            client,
            self._reporter,
            source,
            self.stopping,
            answers_balancers=bool(addresses.health),
        )

    @property
    def report(self) -> HostReport:
        """The report of this host."""
        return self._reporter.report

    def step(self) -> float:
        """Do what has to be done now; return in how many seconds to call it again.

        Raises UnavailableError: the coordinator or the supervisor cannot be asked; the app
        serves on.
        """
        rollout, _ = self.store.rollout_after_wait()
        self._reporter.load()
        gone_s = (rollout or self.fleet).policy.gone_s
        self._reporter.set_gone_s(gone_s)
        heartbeat_s = gone_s / HEARTBEATS_PER_GONE_S
        self._listed = self._client.request("list") if self._client.has_apps() else None
        self._observe()
        running = running_release(self._listed, self.fleet.release.app)
        if running is None:
            self._reporter.set_phase(Phase.STOPPED, "by hand", heartbeat_s)
            return heartbeat_s
        self._reporter.set_release(running)
        if self.report.drains and self.report.phase not in AT_WORK:
            why = "it drains; `gapless undrain`"
            self._reporter.set_phase(Phase.WAITING, why, heartbeat_s)
            return min(heartbeat_s, DRAINING_POLL_S)
        if rollout is None:
            self._reporter.set_phase(Phase.IDLE, "", heartbeat_s)
            return heartbeat_s
        if decide.is_over(rollout) and (
            has_arrived(rollout, self.report) or has_failed(rollout, self.report)
        ):
            self._rest(heartbeat_s)
            return heartbeat_s
        status = status_of(rollout, self._live_reports(rollout))
        if self._apply_verdict(rollout, status):
            return 0.0
        return self._go_on(rollout, status, heartbeat_s)

    def _observe(self) -> None:
        """Report where this host is reached, and whether it drains."""
        app = self.fleet.release.app
        found = observed(self.report, self._listed, app, self._addresses)
        self._reporter.set_report(found)
        with contextlib.suppress(UnavailableError):  # it is tried again
            self._drain_entry.update(drains=found.drains)

    def _rest(self, heartbeat_s: float) -> None:
        """Report how the rollout ended here; a phase that has not ended is idle."""
        report = self.report
        if report.phase in (Phase.WAITING, Phase.FETCHING, Phase.STOPPED):
            self._reporter.set_phase(Phase.IDLE, "", heartbeat_s)
        else:
            self._reporter.set_phase(report.phase, report.reason, heartbeat_s)

    def _go_on(
        self, rollout: Rollout, status: RolloutStatus, heartbeat_s: float
    ) -> float:
        """Take a slot and change, if this host may; return when to look again."""
        waits_for = decide.waits_for(rollout, status, self.report, _freeze(rollout))
        if waits_for is None:
            waits_for = self._turn.waits_for(rollout) or self._blocked(rollout) or None
        if waits_for is None:
            slots, ttl_s = self._slots(rollout), rollout.policy.slot_ttl_s
            lease = slots.take(decide.slots(rollout, len(status.order)))
            if lease is not None:
                heartbeat = partial(self._reporter.heartbeat, heartbeat_s / 2)
                with HeldSlot(slots, lease, ttl_s, clock.boottime, heartbeat) as slot:
                    blocked = partial(self._blocked, rollout)
                    self._turn.take(rollout, self.store, slot, blocked)
                return 0.0
            holders = self.store.slot_holders(slots)
            waits_for = "a slot" + (f": {holders} at work" if holders else "")
        before = (self.report.phase, self.report.reason)
        is_new = before != (Phase.WAITING, waits_for)
        if waits_for and is_new and self.report.phase not in AT_WORK:
            self._reporter.report_phase(rollout, Phase.WAITING, waits_for)
        self._reporter.heartbeat(heartbeat_s)
        if rollout.state in (State.HELD, State.STUCK):
            return heartbeat_s
        return ROLLING_POLL_S * max(1.0, len(status.order) / HOSTS_PER_POLL)

    def _slots(self, rollout: Rollout) -> Slots:
        """Return the same slots each time: they remember since when others hold one."""
        ttl_s = rollout.policy.slot_ttl_s
        if self._slots_by_ttl is None or self._slots_by_ttl[0] != ttl_s:
            self._slots_by_ttl = (ttl_s, self.store.slots(self.host, ttl_s))
        return self._slots_by_ttl[1]

    def _live_reports(self, rollout: Rollout) -> list[HostReport]:
        """Return the reports of the live hosts, this one among them."""
        live = self.store.hosts.live(rollout.policy.gone_s)
        by_host = {each.host: each for each in live}
        return list((by_host | {self.host: self.report}).values())

    def _apply_verdict(self, rollout: Rollout, status: RolloutStatus) -> bool:
        """Move the rollout on, if the reports ask for it; return whether they do."""
        if self._attempt_since[0] != rollout.turn:
            self._attempt_since = (rollout.turn, clock.boottime())
        age_s = clock.boottime() - self._attempt_since[1]
        verdict = decide.verdict(rollout, status, age_s)
        if verdict is None:
            return False
        action, reason = verdict
        after = self.store.apply(action, reason, seen=rollout)
        if after is not None:
            state = f"rollout {rollout.number} {after.state.value}"
            self._say(f"{rollout.app}: {state}: {reason}")
        return True

    def _blocked(self, rollout: Rollout) -> str:
        """Return why no host would serve if this one were recycled now, or nothing."""
        if not self.report.recycles:
            return ""
        live = self._live_reports(rollout)
        draining = self.store.drain_rights.draining()
        why = drain_rules.recycle_refusal(self.report, live, draining)
        return f"others to serve: {why}" if why else ""


def _freeze(rollout: Rollout) -> str:
    """Return the window of the freeze that this host's local time lies in; empty: none."""
    now = time.localtime(clock.wall())
    return frozen_by(rollout.policy.freeze, now.tm_wday, now.tm_hour * 60 + now.tm_min)
