"""Follow the rollouts of one app on this host: look, decide, take a slot, change.

Nothing here decides about rollouts; `rollout.decide` does.  What is under way is written
down in this host's report before it is done, so a restarted agent goes on where it was.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import threading
import time
from collections.abc import Callable

from gapless.agent import health, opening
from gapless.agent.holding import Holding
from gapless.base import clock
from gapless.base.errors import GaplessError, UnavailableError
from gapless.client import Client
from gapless.config import load, resolve
from gapless.config.fleets import Fleet
from gapless.coordinator.leases import Lease, Slots
from gapless.deploy import Deployment, through
from gapless.releases import copying, current, publish
from gapless.releases.model import Release
from gapless.rollout import decide
from gapless.rollout.board import Board
from gapless.rollout.decide import Survey
from gapless.rollout.model import AT_WORK, HostReport, Phase, Rollout, State
from gapless.rollout.policy import frozen_by
from gapless.supervisor import spec

BUSY_LOOK_S = 1.0
"""How often is looked while a rollout is under way."""
HOSTS_PER_LOOK = 50
"""In a larger fleet each host looks less often."""
BEATS_PER_GONE = 3
Say = Callable[[str], None]


class Follower:
    """One app of a fleet, on this host."""

    def __init__(
        self, fleet: Fleet, board: Board, client: Client, host: str, say: Say
    ) -> None:
        self.fleet, self.board, self.host = fleet, board, host
        self._client, self._say = client, say
        self._own = opening.own_releases(fleet)
        self._report = HostReport(host=host)
        self._version: int | None = None
        self._spoke_at = -1.0
        self._since: tuple[tuple[int, int], float] = ((0, 0), 0.0)
        """Since when this attempt was seen, on our own clock."""
        self._slots_seen: tuple[float, Slots] | None = None
        self._speaking = threading.Lock()
        self.over = threading.Event()
        self.trouble = ""
        """Why the coordinator could not be asked, the last time."""

    @property
    def report(self) -> HostReport:
        """What this host says of itself."""
        return self._report

    # --- a look -------------------------------------------------------------------------

    def look(self) -> float:
        """Do what is to be done now; return in how many seconds to look again.

        Raises UnavailableError: the coordinator or the supervisor cannot be asked; all
        serve on.
        """
        rollout, _ = self.board.rollout()
        if self._version is None:
            self._report, self._version = self.board.own(self.host)
        running = self._running()
        if running is not None and self._report.release != running:
            self._report = dataclasses.replace(self._report, release=running)
            self._spoke_at = -1.0
        gone_s = rollout.policy.gone_s if rollout else 90.0
        beat_s = gone_s / BEATS_PER_GONE
        if running is None:
            self._speak(beat_s, Phase.STOPPED, "by hand")
            return beat_s
        if rollout is None:
            self._speak(beat_s, Phase.IDLE, "")
            return beat_s
        if decide.is_over(rollout) and decide.is_settled(rollout, self._report):
            is_old = self._report.phase in (
                Phase.WAITING,
                Phase.FETCHING,
                Phase.STOPPED,
            )
            phase = Phase.IDLE if is_old else self._report.phase
            self._speak(beat_s, phase, "" if is_old else self._report.reason)
            return beat_s
        surveyed = decide.survey(rollout, self._hosts(rollout))
        if self._judge(rollout, surveyed):
            return 0.0
        return self._go_on(rollout, surveyed, beat_s)

    def _go_on(self, rollout: Rollout, surveyed: Survey, beat_s: float) -> float:
        """Take a slot and change, if it is this host's time; return when to look again."""
        waits_for = decide.may_begin(rollout, surveyed, self._report, _frozen(rollout))
        if waits_for is None:
            lease = self._slots(rollout).take(
                decide.slots(rollout, len(surveyed.order))
            )
            if lease is not None:
                self._take_turn(rollout, lease, beat_s)
                return 0.0
            holders = ", ".join(sorted(set(self._slots(rollout).holders().values())))
            waits_for = f"a slot: {holders} at work"
        if waits_for and self._report.phase not in AT_WORK:
            if (self._report.phase, self._report.reason) != (Phase.WAITING, waits_for):
                self._tell(rollout, Phase.WAITING, waits_for)
        else:
            self._speak(beat_s, self._report.phase, self._report.reason)
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
        return list((there | {self.host: self._report}).values())

    def _judge(self, rollout: Rollout, surveyed: Survey) -> bool:
        """Move the rollout on if what is seen asks for it: whoever sees it first."""
        if self._since[0] != rollout.turn:
            self._since = (rollout.turn, opening.boottime())
        age_s = opening.boottime() - self._since[1]
        found = decide.verdict(rollout, surveyed, age_s)
        if found is None:
            return False
        after = self.board.cue(*found, seen=rollout)
        if after is not None:
            state = f"rollout {rollout.number} {after.state.value}"
            self._say(f"{rollout.app}: {state}: {found[1]}")
        return True

    # --- a turn -------------------------------------------------------------------------

    def _take_turn(self, rollout: Rollout, lease: Lease, beat_s: float) -> None:
        """Go where the rollout wants this host, and stay to watch."""

        def speak() -> None:
            self._speak(beat_s / 2, self._report.phase, self._report.reason)

        slots, ttl_s = self._slots(rollout), rollout.policy.slot_ttl_s
        with Holding(slots, lease, ttl_s, opening.boottime, speak) as holding:
            turn = _Turn(self.board, rollout, holding)
            try:
                failure = self._change_and_watch(rollout, turn)
            except UnavailableError:
                raise  # nothing is known of the release: it is tried again
            except (GaplessError, OSError) as error:
                if self.over.is_set():
                    raise
                failure = str(error)
            self._report = dataclasses.replace(
                self._report, release=self._running() or self._report.release
            )
            if failure and turn.called_off:
                # Not the release's fault: it is tried when this host may act again.
                self._tell(rollout, Phase.WAITING, failure)
            elif failure:
                self._tell(rollout, Phase.FAILED, failure)
            else:
                self._tell(rollout, Phase.DONE)

    def _change_and_watch(self, rollout: Rollout, turn: _Turn) -> str:
        """Return why it failed, or nothing.  Raises GaplessError, OSError."""
        policy = rollout.policy
        if self._report.release != rollout.target:
            self._tell(rollout, Phase.FETCHING)
            release = self._fetch(rollout)
            self._tell(rollout, Phase.CHANGING)
            self._change(release, turn)
        self._tell(rollout, Phase.WATCHING)
        is_canary = self.host in policy.canary and rollout.state is State.ROLLING
        for_s = max(policy.min_healthy_s, policy.bake_s if is_canary else 0.0)
        watch = health.Watch(self._client, rollout.app, self.fleet.health)
        return watch.failure(for_s, self.over)

    def _fetch(self, rollout: Rollout) -> Release:
        shared, name = self.fleet.release, rollout.target
        until = clock.monotonic() + rollout.policy.fetch_timeout_s

        def pause() -> bool:
            return clock.monotonic() < until and not self.over.wait(0.2)

        path = copying.wait_for(shared, name, pause)
        if not self.fleet.copy:
            stamp = name.removeprefix(f"{shared.app}-")
            return Release(app=shared.app, stamp=stamp, path=path)
        # The way back was copied when it came, with its own digest; it is here.
        digest = rollout.digest if name == rollout.release else ""
        return copying.copy(shared, self._own, name, digest, until)

    def _change(self, release: Release, turn: _Turn) -> None:
        deployment = Deployment(self._client, self._own, lambda _: None)
        if deployment.running() is None:
            self._start(release, turn.refused)
        else:
            report = deployment.follow(
                release, permit=turn.refused, flips=bool(self.fleet.copy)
            )
            with contextlib.suppress(
                OSError
            ):  # a full disk changes nothing in what serves
                publish.write_report(self.fleet.release, release, self.host, report)
            if report["outcome"] != "done":
                raise GaplessError(str(report["reason"]))
        self._report = dataclasses.replace(self._report, release=release.name)

    def _start(self, release: Release, permit: Callable[[], str]) -> None:
        """Start the app as the fleet's file declares it, from a release."""
        if refused := permit():
            raise GaplessError(refused)
        if self.fleet.copy:
            current.flip(self._own, release)
        inside = (self._own, release)
        source = load.Source(self.fleet.file, lambda at: through(at, inside))
        options = load.Options(only=(release.app,))
        wanted = source.load(resolve.inherited(os.environ), options).apps[release.app]
        wanted = dataclasses.replace(wanted, release=release.name)
        report = self._client.request("start", spec=spec.to_wire(wanted))
        if report["outcome"] != "done":
            raise GaplessError(str(report["reason"]))

    def _running(self) -> str | None:
        """Return the release that serves here, nothing if none; None: it was stopped."""
        if not self._client.has_state():
            return ""
        rows = self._client.request("list")["apps"]
        row = next((r for r in rows if r["name"] == self.fleet.release.app), None)
        if row is None:
            return ""
        if row["status"] in ("stopped", "stopping") and not row["reason"]:
            return None
        return (
            ""
            if row["status"] in ("stopped", "gave up")
            else str(row["release"] or "?")
        )

    # --- speaking -----------------------------------------------------------------------

    def _tell(self, rollout: Rollout, phase: Phase, reason: str = "") -> None:
        """Write down what this host does now, before it does it."""
        self._report = dataclasses.replace(
            self._report, turn=rollout.turn, phase=phase, reason=reason
        )
        target = rollout.target or "nothing"
        self._say(
            f"{rollout.app}: {phase.value} ({target})"
            + (f": {reason}" if reason else "")
        )
        self._speak(0.0, phase, reason)

    def _speak(self, every_s: float, phase: Phase, reason: str) -> None:
        """Write this host's report, unless it did within *every_s*."""
        with self._speaking:  # a slot in hand speaks as well
            self._speak_alone(every_s, phase, reason)

    def _speak_alone(self, every_s: float, phase: Phase, reason: str) -> None:
        now = opening.boottime()
        same = (phase, reason) == (self._report.phase, self._report.reason)
        if same and self._spoke_at >= 0 and now < self._spoke_at + every_s:
            return
        self._report = dataclasses.replace(
            self._report,
            phase=phase,
            reason=reason,
            beat=self._report.beat + 1,
            at=clock.stamp(clock.wall()),
        )
        assert self._version is not None
        self._version = self.board.report(self._report, self._version)
        self._spoke_at = now


class _Turn:
    """One host's turn at a rollout: whether it may still act."""

    def __init__(self, board: Board, rollout: Rollout, holding: Holding) -> None:
        self._board, self._rollout, self._holding = board, rollout, holding
        self._until = clock.monotonic() + rollout.policy.change_timeout_s
        self.called_off = False
        """It was not the release that failed."""

    def refused(self) -> str:
        """Return why nothing may be changed any more, right before a change."""
        if clock.monotonic() >= self._until:
            return f"it was not ready in {self._rollout.policy.change_timeout_s:g} s"
        self.called_off = True
        try:
            rollout, _ = self._board.rollout()
        except UnavailableError as error:
            return f"the rollout cannot be confirmed: {error.message}"
        if rollout is None or rollout.number != self._rollout.number:
            return "another rollout took the place of this one"
        if (
            rollout.turn != self._rollout.turn
            or rollout.state is not self._rollout.state
        ):
            return f"the rollout is {rollout.state.value}: {rollout.reason}"
        refused = self._holding.refused()
        self.called_off = bool(refused)
        return refused


def _frozen(rollout: Rollout) -> str:
    now = time.localtime(clock.wall())
    return frozen_by(rollout.policy.freeze, now.tm_wday, now.tm_hour * 60 + now.tm_min)
