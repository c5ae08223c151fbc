"""The turn of one host at a rollout, while it holds a slot: fetch, change, watch, report.

Right before it changes anything, each step asks whether this host may still act.  A host
that was paused finds that it may not.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Any

from gapless.agent.observation import running_release
from gapless.agent.reporter import Reporter
from gapless.agent.turn import first_start
from gapless.agent.turn.health_watch import HealthWatch
from gapless.agent.turn.held_slot import HeldSlot
from gapless.agent.turn.permit import TurnPermit
from gapless.agent.turn.release_source import ReleaseSource
from gapless.base.errors import (
    ConflictError,
    GaplessError,
    UnavailableError,
)
from gapless.client import Client
from gapless.config.toml.fleets import Fleet
from gapless.deploy import report, running_app
from gapless.deploy.deployment import Deployment
from gapless.releases import removal, reports
from gapless.releases.model import Release
from gapless.rollout.model import BACK, Phase, Rollout, State
from gapless.rollout.store import FleetStore

RETRY_S = 0.5
MOST_LAST_LINE = 200
"""Characters of the last line of a log that a reason quotes."""
LEAD_S = 10.0
"""The longest lead time of a recycle where the agent answers balancers."""


class Turn:
    """Brings this host to the target of a rollout."""

    def __init__(
        self,
        fleet: Fleet,
        client: Client,
        reporter: Reporter,
        source: ReleaseSource,
        stopping: threading.Event,
        *,
        answers_balancers: bool,
    ) -> None:
        """Prepare; *stopping* is set when the agent has to end.

        An agent that *answers_balancers* tells them of a recycle before the app refuses.
        """
        self._lead_s = LEAD_S if answers_balancers else 0.0
        self._fleet, self._source = fleet, source
        self._client, self._reporter, self._stopping = client, reporter, stopping

    def waits_for(self, rollout: Rollout) -> str:
        """Return what is not here yet and a turn would need, or nothing."""
        running = self._reporter.report.release
        brought = rollout.target if self._has_ended(rollout) else running
        return self._source.waits_for(rollout, brought)

    def _has_ended(self, rollout: Rollout) -> bool:
        """Return whether this host brought its app to the target, and that has ended.

        It ended while it was watched, and no agent was there: it is not started again.
        """
        report = self._reporter.report
        at_work = report.phase in (Phase.CHANGING, Phase.WATCHING)
        is_of = report.turn[0] == rollout.number
        return report.finished == rollout.target and at_work and is_of

    def take(
        self,
        rollout: Rollout,
        store: FleetStore,
        slot: HeldSlot,
        blocked: Callable[[], str],
    ) -> None:
        """Fetch, change, watch, and report how it went.

        *blocked* returns why this host must not be recycled now, or nothing.  Raises
        UnavailableError, ConflictError: nothing is known of the release, and the turn is
        tried again; GaplessError if the agent has to end.
        """
        try:
            failure = ""
            running = self._reporter.report.release
            has_ended = self._has_ended(rollout)
            # On the way back it may have ended long before, on a host that never left.
            is_judged = self._reporter.report.turn == rollout.turn or (
                rollout.state not in BACK
            )
            if running == rollout.target or has_ended:
                self._source.note(rollout)
            else:
                self._reporter.report_phase(rollout, Phase.FETCHING)
                release = self._source.fetch(rollout, running)
                self._reporter.report_phase(rollout, Phase.CHANGING)
                # A host that asks to drain now sees this phase, or we see its right
                # (drain_rules, rule 2).
                if why := blocked():
                    raise _CancelledError(why)
                permit = TurnPermit(store, rollout, slot)
                failure = self._change(release, permit, rollout)
            if not failure and (is_judged or not has_ended):
                # It serves already: a coordinator that is away does not end the watch.
                self._reporter.try_report_phase(rollout, Phase.WATCHING)
                failure = self._watch(rollout, store)
        except _CancelledError as error:
            self._reporter.report_phase(rollout, Phase.WAITING, str(error))
            return
        except (UnavailableError, ConflictError):
            raise
        except (GaplessError, OSError) as error:
            if self._stopping.is_set():
                raise
            failure = str(error)
        phase = Phase.FAILED if failure else Phase.DONE
        self._reporter.try_report_phase(rollout, phase, failure)
        # The slot is kept until others can read how it went, or it is lost.
        while not self._reporter.flush() and not slot.is_lost:
            if self._stopping.wait(RETRY_S):
                return

    def _watch(self, rollout: Rollout, store: FleetStore) -> str:
        """Return what failed while the host was watched, or nothing.

        It ends at once when the target changes: a canary may be watched for hours.
        """

        def check_target() -> None:
            # A coordinator that is away does not end the watch.
            with contextlib.suppress(UnavailableError):
                now, _ = store.rollout()
                if now is not None and now.target != rollout.target:
                    target = now.target or "nothing"
                    raise _CancelledError(f"the target of hosts is now {target}")

        policy = rollout.policy
        is_canary = (
            self._reporter.report.host in policy.canary
            and rollout.state is State.ROLLING
        )
        for_s = max(policy.min_healthy_s, policy.bake_s if is_canary else 0.0)
        watch = HealthWatch(
            self._client,
            rollout.app,
            self._fleet.health,
            has_listened=bool(self._reporter.report.addresses),
        )
        failure = watch.failure(for_s, self._stopping, check_target)
        if (
            failure
            and running_release(self._client.request("list"), rollout.app) is None
        ):
            raise _CancelledError("the app was stopped by hand")
        return failure

    def _change(self, release: Release, permit: TurnPermit, rollout: Rollout) -> str:
        """Let the release serve here; return why it does not, or nothing."""
        if refused := permit.refused():
            raise _CancelledError(refused)
        own = self._source.own
        deployment = Deployment(self._client, own, lambda _: None)
        if running_app.describe(self._client, own) is None:
            result = first_start.start(self._client, self._fleet, own, release)
        else:
            result = deployment.follow(
                release,
                permit=permit,
                flips=bool(self._fleet.copy),
                lead_s=self._lead_s,
            )
            result["signed_by"] = rollout.signed_by
            result["published_by"] = self._source.publisher
            # A full disk does not change what serves.
            with contextlib.suppress(OSError):
                reports.write_report(
                    self._fleet.release, release, self._reporter.report.host, result
                )
        is_done = result["outcome"] == "done"
        was_refused = permit.was_lost or deployment.was_late
        if not is_done and (was_refused or not report.blames_release(result)):
            why = str(result["reason"] or "another operation changed it")
            raise _CancelledError(why)
        if not is_done:
            return _reason(result)
        self._reporter.set_release(release.name)
        if self._fleet.copy:
            # What cannot be removed now is removed after the next change.
            with contextlib.suppress(OSError):
                in_use = running_app.directories(self._client, own)
                removal.remove_superfluous(own, in_use)
        return ""


def _reason(result: dict[str, Any]) -> str:
    """Return why a release failed, with the last line of its log: that mostly says more."""
    reason = str(result["reason"])
    written = [each.strip() for each in result.get("log_tail") or () if each.strip()]
    if not written or written[-1] in reason:
        return reason
    return f"{reason}; its last line: {written[-1][:MOST_LAST_LINE]}"


class _CancelledError(Exception):
    """The turn ended, but the release did not fail: it is tried again."""
