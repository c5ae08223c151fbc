"""Follow the rollouts of one app on this host: look, decide, take a slot, change.

Nothing here decides about rollouts; `rollout.decide` does.
"""

from __future__ import annotations

import contextlib
import threading
import time
from functools import partial
from typing import Any

from gapless.agent import setup
from gapless.agent.address import Presence, seen
from gapless.agent.departure import Return
from gapless.agent.reporter import Reporter, Say
from gapless.agent.slot_holder import Holding
from gapless.agent.turn import Turn
from gapless.base import clock
from gapless.base.errors import UnavailableError
from gapless.client import Client
from gapless.config.toml.fleets import Fleet
from gapless.coordinator.leases import Slots
from gapless.rollout import decide, drain_rules
from gapless.rollout.board import Board
from gapless.rollout.decide import Survey
from gapless.rollout.model import AT_WORK, HostReport, Phase, Rollout, State
from gapless.rollout.policy import frozen_by

BUSY_LOOK_S = 1.0
"""How often is looked while a rollout is under way."""
DRAINING_LOOK_S = 2.0
NOWHERE = Presence()
HOSTS_PER_LOOK = 50
"""In a larger fleet each host looks less often."""
BEATS_PER_GONE = 3


class Follower:
    """One app of a fleet, on this host."""

    def __init__(
        self,
        fleet: Fleet,
        board: Board,
        client: Client,
        host: str,
        say: Say,
        *,
        presence: Presence = NOWHERE,
    ) -> None:
        self.fleet, self.board, self.host = fleet, board, host
        self._client, self._say = client, say
        self._reporter = Reporter(board, host, say)
        self._since: tuple[tuple[int, int], float] = ((0, 0), 0.0)
        """Since when this attempt was seen, on our own clock."""
        self._presence = presence
        self._listed: dict[str, Any] | None = None
        self._rights = board.rights()
        self._return = Return(self._rights, host, clock.boottime)
        self._slots_seen: tuple[float, Slots] | None = None
        self.over = threading.Event()
        own = setup.own_releases(fleet)
        leads = bool(presence.health)
        self._turn = Turn(fleet, own, client, self._reporter, self.over, leads=leads)

    @property
    def report(self) -> HostReport:
        """What this host says of itself."""
        return self._reporter.report

    def look(self) -> float:
        """Do what is to be done now; return in how many seconds to look again.

        Raises UnavailableError: the coordinator or the supervisor cannot be asked; all
        serve on.
        """
        rollout, _ = self.board.awaited()
        self._reporter.recall()
        beat_s = (rollout or self.fleet).policy.gone_s / BEATS_PER_GONE
        running = self._running()
        self._look_around()
        if running is None:
            self._reporter.be(Phase.STOPPED, "by hand", beat_s)
            return beat_s
        self._reporter.runs(running)
        if self.report.drains and self.report.phase not in AT_WORK:
            self._reporter.be(Phase.WAITING, "it drains; `gapless undrain`", beat_s)
            return min(beat_s, DRAINING_LOOK_S)
        if rollout is None:
            self._reporter.be(Phase.IDLE, "", beat_s)
            return beat_s
        if decide.is_over(rollout) and (
            decide.is_settled(rollout, self.report)
            or decide.has_failed(rollout, self.report)
        ):
            self._rest(beat_s)
            return beat_s
        surveyed = decide.survey(rollout, self._hosts(rollout))
        if self._judge(rollout, surveyed):
            return 0.0
        return self._go_on(rollout, surveyed, beat_s)

    def _look_around(self) -> None:
        """Report where this host is reached, and whether it leaves service."""
        app = self.fleet.release.app
        found = seen(self.report, self._listed, app, self._presence)
        self._reporter.become(found)
        with contextlib.suppress(UnavailableError):  # it is tried again
            self._return.look(drains=found.drains)

    def _rest(self, beat_s: float) -> None:
        """Say how it ended here; what was under way is of the past."""
        report = self.report
        if report.phase in (Phase.WAITING, Phase.FETCHING, Phase.STOPPED):
            self._reporter.be(Phase.IDLE, "", beat_s)
        else:
            self._reporter.be(report.phase, report.reason, beat_s)

    def _go_on(self, rollout: Rollout, surveyed: Survey, beat_s: float) -> float:
        """Take a slot and change, if it is this host's time; return when to look again."""
        waits_for = decide.may_begin(rollout, surveyed, self.report, _frozen(rollout))
        if waits_for is None:
            waits_for = self._turn.awaits(rollout) or self._blocked(rollout) or None
        if waits_for is None:
            slots, ttl_s = self._slots(rollout), rollout.policy.slot_ttl_s
            lease = slots.take(decide.slots(rollout, len(surveyed.order)))
            if lease is not None:
                beat = partial(self._reporter.beat, beat_s / 2)
                with Holding(slots, lease, ttl_s, clock.boottime, beat) as holding:
                    blocked = partial(self._blocked, rollout)
                    self._turn.take(rollout, self.board, holding, blocked)
                return 0.0
            at_work = self.board.at_work(slots)
            waits_for = "a slot" + (f": {at_work} at work" if at_work else "")
        before = (self.report.phase, self.report.reason)
        is_new = before != (Phase.WAITING, waits_for)
        if waits_for and is_new and self.report.phase not in AT_WORK:
            self._reporter.tell(rollout, Phase.WAITING, waits_for)
        self._reporter.beat(beat_s)
        if rollout.state in (State.HELD, State.STUCK):
            return beat_s
        return BUSY_LOOK_S * max(1.0, len(surveyed.order) / HOSTS_PER_LOOK)

    def _slots(self, rollout: Rollout) -> Slots:
        """Return the slots, the same each time: what was seen of others must stay known."""
        ttl_s = rollout.policy.slot_ttl_s
        if self._slots_seen is None or self._slots_seen[0] != ttl_s:
            self._slots_seen = (ttl_s, self.board.slots(self.host, ttl_s))
        return self._slots_seen[1]

    def _hosts(self, rollout: Rollout) -> list[HostReport]:
        """Return what the hosts say that are there; this one is."""
        there = {each.host: each for each in self.board.there(rollout.policy.gone_s)}
        return list((there | {self.host: self.report}).values())

    def _judge(self, rollout: Rollout, surveyed: Survey) -> bool:
        """Move the rollout on if what is seen asks for it: whoever sees it first."""
        if self._since[0] != rollout.turn:
            self._since = (rollout.turn, clock.boottime())
        age_s = clock.boottime() - self._since[1]
        found = decide.verdict(rollout, surveyed, age_s)
        if found is None:
            return False
        after = self.board.cue(*found, seen=rollout)
        if after is not None:
            state = f"rollout {rollout.number} {after.state.value}"
            self._say(f"{rollout.app}: {state}: {found[1]}")
        return True

    def _blocked(self, rollout: Rollout) -> str:
        """Return why nobody would serve if this host were recycled now, or nothing."""
        if not self.report.recycles:
            return ""
        there = self._hosts(rollout)
        why = drain_rules.blocked(self.report, there, self._rights.draining())
        return f"others to serve: {why}" if why else ""

    def _running(self) -> str | None:
        """Return the release that serves here, nothing if none; None: it was stopped."""
        if not self._client.has_state():
            self._listed = None
            return ""
        self._listed = self._client.request("list")
        rows = self._listed["apps"]
        row = next((r for r in rows if r["name"] == self.fleet.release.app), None)
        if row is None:
            return ""
        if row["status"] in ("stopped", "stopping") and not row["reason"]:
            return None
        is_down = row["status"] in ("stopped", "gave up")
        return "" if is_down else str(row["release"] or "?")


def _frozen(rollout: Rollout) -> str:
    now = time.localtime(clock.wall())
    return frozen_by(rollout.policy.freeze, now.tm_wday, now.tm_hour * 60 + now.tm_min)
