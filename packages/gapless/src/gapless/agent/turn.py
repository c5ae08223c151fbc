"""One host's turn at a rollout, with a slot in hand: fetch, change, watch.

Each step asks whether this host may still act, right before it changes anything; whoever
was paused and woken finds that it may not.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

from gapless.agent import first_start, health_watch
from gapless.agent.reporter import Reporter
from gapless.agent.slot_holder import Holding
from gapless.base import clock
from gapless.base.errors import (
    ConflictError,
    GaplessError,
    UnavailableError,
)
from gapless.client import Client
from gapless.config.toml.fleets import Fleet
from gapless.deploy import running_app
from gapless.deploy.deployment import Deployment
from gapless.releases import copies, current, removal, reports
from gapless.releases.model import Release, ReleaseSpec
from gapless.rollout.board import Board
from gapless.rollout.model import Phase, Rollout, State

RETRY_S = 0.5
LEAD_S = 10.0
"""How long, at most, balancers that ask the agent are told before a recycle refuses."""


class Turn:
    """Goes where a rollout wants this host."""

    def __init__(
        self,
        fleet: Fleet,
        own: ReleaseSpec,
        client: Client,
        reporter: Reporter,
        over: threading.Event,
        *,
        leads: bool,
    ) -> None:
        """*over* is set when the agent is to end.

        It *leads* if it answers balancers: they are told before a recycle refuses.
        """
        self._lead_s = LEAD_S if leads else 0.0
        self._fleet, self._own, self._client = fleet, own, client
        self._reporter, self._over = reporter, over
        self._unseen = ("", 0.0)
        """Which release is not seen here, and since when."""

    def take(
        self,
        rollout: Rollout,
        board: Board,
        holding: Holding,
        blocked: Callable[[], str],
    ) -> None:
        """Change, stay to watch, and report how it went.

        *blocked* tells why this host must not leave service now, if it has to for it.
        Raises UnavailableError, ConflictError: nothing is known of the release, and it is
        tried again; GaplessError if the agent was ended.
        """
        try:
            failure = ""
            if self._reporter.report.release != rollout.target:
                self._reporter.tell(rollout, Phase.FETCHING)
                release = self._fetch(rollout)
                self._reporter.tell(rollout, Phase.CHANGING)
                # Who wants to drain now sees that we change, or we see him (drains).
                if why := blocked():
                    raise _CalledOffError(why)
                failure = self._change(release, _Permit(board, rollout, holding))
            if not failure:
                # It serves already: a coordinator that is away does not end the watch.
                self._reporter.note(rollout, Phase.WATCHING)
                failure = self._watch(rollout, board)
        except _CalledOffError as error:
            self._reporter.tell(rollout, Phase.WAITING, str(error))
            return
        except (UnavailableError, ConflictError):
            raise
        except (GaplessError, OSError) as error:
            if self._over.is_set():
                raise
            failure = str(error)
        self._reporter.note(rollout, Phase.FAILED if failure else Phase.DONE, failure)
        # The slot is kept until the others can know how it went, or it is lost.
        while not self._reporter.is_written() and not holding.is_lost:
            if self._over.wait(RETRY_S):
                return

    def _watch(self, rollout: Rollout, board: Board) -> str:
        """Return what went wrong while it was watched, or nothing.

        It ends at once when hosts are wanted elsewhere: a canary may be watched for hours.
        """

        def ask() -> None:
            # A coordinator that is away does not end the watch.
            with contextlib.suppress(UnavailableError):
                now, _ = board.rollout()
                if now is not None and now.target != rollout.target:
                    raise _CalledOffError(
                        f"hosts are wanted on {now.target or 'nothing'}"
                    )

        policy = rollout.policy
        is_canary = (
            self._reporter.report.host in policy.canary
            and rollout.state is State.ROLLING
        )
        for_s = max(policy.min_healthy_s, policy.bake_s if is_canary else 0.0)
        watch = health_watch.Watch(self._client, rollout.app, self._fleet.health)
        return watch.failure(for_s, self._over, ask)

    def awaits(self, rollout: Rollout) -> str:
        """Return what is not here yet that a turn would need, or nothing.

        It is waited for without a slot, for `fetch_timeout_s`; then a turn says so.
        """
        name, now = rollout.target, clock.monotonic()
        is_here = name == self._reporter.report.release or current.is_visible(
            self._own, name
        )
        if is_here or current.is_visible(self._fleet.release, name):
            self._unseen = ("", 0.0)
            return ""
        if self._unseen[0] != name:
            self._unseen = (name, now)
        if now >= self._unseen[1] + rollout.policy.fetch_timeout_s:
            return ""
        return f"to see {name} in {self._fleet.release.dist}"

    def _fetch(self, rollout: Rollout) -> Release:
        shared, name = self._fleet.release, rollout.target
        if not self._fleet.copy:
            return current.require_visible(shared, name)
        is_new = name == rollout.release
        digest = rollout.digest if is_new else rollout.previous_digest
        until = clock.monotonic() + rollout.policy.fetch_timeout_s
        return copies.copy(shared, self._own, name, digest, until)

    def _change(self, release: Release, permit: _Permit) -> str:
        """Let the release serve here; return why it does not, or nothing."""
        if refused := permit.refused():
            raise _CalledOffError(refused)
        deployment = Deployment(self._client, self._own, lambda _: None)
        if running_app.describe(self._client, self._own) is None:
            report = first_start.start(self._client, self._fleet, self._own, release)
        else:
            report = deployment.follow(
                release,
                permit=permit,
                flips=bool(self._fleet.copy),
                lead_s=self._lead_s,
            )
            # A full disk changes nothing in what serves.
            with contextlib.suppress(OSError):
                reports.write_report(
                    self._fleet.release, release, self._reporter.report.host, report
                )
        if report["outcome"] == "superseded" or (
            report["outcome"] != "done" and (permit.was_lost or deployment.was_late)
        ):
            raise _CalledOffError(str(report["reason"] or "somebody else changed it"))
        if report["outcome"] != "done":
            return str(report["reason"])
        self._reporter.runs(release.name)
        if self._fleet.copy:
            # What cannot be removed now is removed after the next change.
            with contextlib.suppress(OSError):
                in_use = running_app.directories(self._client, self._own)
                removal.remove_superfluous(self._own, in_use)
        return ""


class _CalledOffError(Exception):
    """It was not the release that failed: this host tries again when it may act."""


class _Permit:
    """Whether a turn may still act."""

    def __init__(self, board: Board, rollout: Rollout, holding: Holding) -> None:
        self._board, self._rollout, self._holding = board, rollout, holding
        self._until = clock.monotonic() + rollout.policy.change_timeout_s
        self._called_off = False

    @property
    def was_lost(self) -> bool:
        """Whether it was refused for other reasons than time, or is not held any more."""
        return self._called_off or self._holding.is_lost

    @property
    def until(self) -> float:
        """When what was permitted is over, on CLOCK_BOOTTIME."""
        return self._holding.until

    def refused(self) -> str:
        """Return why nothing may be changed any more, right before a change."""
        if clock.monotonic() >= self._until:
            return f"it was not ready in {self._rollout.policy.change_timeout_s:g} s"
        refused = self._why_not()
        self._called_off = bool(refused)
        return refused

    def _why_not(self) -> str:
        try:
            now, _ = self._board.rollout()
        except UnavailableError as error:
            return f"the rollout cannot be confirmed: {error.message}"
        if now is None or now.number != self._rollout.number:
            return "another rollout took the place of this one"
        if (now.turn, now.state) != (self._rollout.turn, self._rollout.state):
            return f"the rollout is {now.state.value}: {now.reason}"
        return self._holding.refused()
