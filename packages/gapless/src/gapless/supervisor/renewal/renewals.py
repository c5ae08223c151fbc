"""Why gapless hands an app over by itself: the clock, changed files, memory.

How is not decided here: a renewal is the same operation as `gapless restart`.
"""

from __future__ import annotations

import selectors
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gapless.base import clock, events
from gapless.base.errors import HandoffError
from gapless.supervisor.memory import spec
from gapless.supervisor.memory.apps import AppRecord, Apps
from gapless.supervisor.memory.generations import GenerationRecord
from gapless.supervisor.memory.model import Role
from gapless.supervisor.observe.membership import Membership
from gapless.supervisor.renewal import schedule
from gapless.supervisor.renewal.schedule import Schedule

if TYPE_CHECKING:
    from gapless.supervisor.renewal.watched_files import WatchedFiles

MEMORY_CHECK_S = 5.0
MEMORY_REST_S = 30.0
"""An app that is over its limit as soon as it runs is renewed no more often."""
NOT_RENEWED = "is not renewed"
LONGEST_SLEEP_S = 60.0
"""The wall clock may be set, so it is read again after this time."""
REPEATED_S = 3 * 3600.0
"""When the clock is set back by no more, times at which an app was renewed do not count
again (the rule of cron(8))."""


@dataclass(slots=True)
class _Cause:
    """What is watched of one app."""

    files: WatchedFiles | None = None
    expression: str = ""
    schedule: Schedule | None = None
    strikes_at: float | None = None
    """On the wall clock."""
    computed_at: float = 0.0
    """When *strikes_at* was computed, on the wall clock."""
    struck_at: float = 0.0
    """The last time at which it struck, as the schedule says."""
    checked_at: float = 0.0
    rests_until: float = 0.0


class Renewals:
    """Watches what may be a reason, and requests the operation."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        apps: Apps,
        renew: Callable[[AppRecord, str], None],
        membership: Membership,
        *,
        log: events.Log,
        home: str,
    ) -> None:
        """Use *renew* to hand an app over, for a reason."""
        self._selector, self._apps, self._request = selector, apps, renew
        self._membership, self._log, self._home = membership, log, home
        self._causes: dict[str, _Cause] = {}

    def update(self, app: AppRecord) -> float | None:
        """Begin what is due; return when to check again, None for never."""
        renew = app.spec.renew
        if app.name not in self._causes and renew == spec.Renew():
            return None
        cause = self._causes.setdefault(app.name, _Cause())
        now = clock.monotonic()
        wakes = [
            self._by_change(app, cause, now),
            self._by_clock(app, cause, now),
            self._by_memory(app, cause, now),
        ]
        return min((wake for wake in wakes if wake is not None), default=None)

    def forget(self, name: str) -> None:
        """Watch an app no more."""
        cause = self._causes.pop(name, None)
        if cause is not None and cause.files is not None:
            cause.files.close()

    def _renew(self, app: AppRecord, why: str) -> bool:
        """Hand an app over; return whether that was admitted."""
        self._log.write("renewing", app=app.name, reason=why)
        try:
            self._request(app, why)
        except HandoffError as error:
            app.warning = f"{NOT_RENEWED}: {error.message}"
            return False
        if app.warning.startswith(NOT_RENEWED):
            app.warning = ""
        return True

    # --- files --------------------------------------------------------------------

    def _by_change(self, app: AppRecord, cause: _Cause, now: float) -> float | None:
        if cause.files is None:
            if not app.spec.renew.watch:
                return None
            # An app that watches nothing must not cost the memory of these modules.
            from gapless.supervisor.renewal.watched_files import WatchedFiles  # noqa: PLC0415 - see above

            cause.files = WatchedFiles(
                self._selector,
                lambda: self._apps.touch(app.name),
                self._membership,
                log=self._log,
                home=self._home,
            )
        return cause.files.update(
            app, now, lambda why: self._renew(app, why), is_idle=_is_idle(app)
        )

    # --- the clock ----------------------------------------------------------------

    def _by_clock(self, app: AppRecord, cause: _Cause, now: float) -> float | None:
        wall = clock.wall()
        if app.spec.renew.cron != cause.expression:
            cause.expression, cause.schedule = app.spec.renew.cron, None
            cause.strikes_at, cause.struck_at = None, 0.0
            if cause.expression:
                cause.schedule = schedule.parse(cause.expression)
                _compute_next(cause, cause.schedule, wall)
        elif cause.schedule is not None and wall < cause.computed_at:
            _compute_next(cause, cause.schedule, wall)  # the clock was set back
        if cause.schedule is None or cause.strikes_at is None:
            return None
        if wall >= cause.strikes_at:
            # Once, however many times the clock has passed.
            cause.struck_at = cause.strikes_at
            _compute_next(cause, cause.schedule, wall)
            # A job that ended by itself is started again; one that was stopped is not.
            if (app.running or app.finished) and _is_idle(app):
                self._renew(app, f"by the clock: {cause.expression}")
            if cause.strikes_at is None:
                return None
        return now + min(max(cause.strikes_at - wall, 0.0), LONGEST_SLEEP_S)

    # --- memory -------------------------------------------------------------------

    def _by_memory(self, app: AppRecord, cause: _Cause, now: float) -> float | None:
        limit = app.spec.renew.memory_bytes
        serving = app.in_role(Role.SERVING)
        if not limit or serving is None or not app.running:
            return None
        check_at = max(cause.checked_at + MEMORY_CHECK_S, cause.rests_until)
        if now < check_at:
            return check_at
        cause.checked_at = now
        if _is_idle(app) and (largest := self._largest(serving)) > limit:
            cause.rests_until = now + MEMORY_REST_S
            self._renew(app, f"{largest >> 20} MiB of memory, more than {limit >> 20}")
        return now + MEMORY_CHECK_S

    def _largest(self, generation: GenerationRecord) -> int:
        """Return the memory of the largest process of a generation."""
        return max(
            (
                process.rss_bytes
                for instance in generation.instances
                for process in self._membership.members(instance).values()
            ),
            default=0,
        )


def _compute_next(cause: _Cause, found: Schedule, wall: float) -> None:
    """Compute when a schedule strikes next, on a wall clock that may have been set."""
    repeated = wall < cause.struck_at and cause.computed_at - wall <= REPEATED_S
    cause.strikes_at = schedule.next_after(found, cause.struck_at if repeated else wall)
    cause.computed_at = wall


def _is_idle(app: AppRecord) -> bool:
    return app.operation is None and app.waiting is None and not app.deleted
