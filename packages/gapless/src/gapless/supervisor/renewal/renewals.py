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
    from gapless.supervisor.renewal.file_watch import Watch

MEMORY_CHECK_S = 5.0
MEMORY_REST_S = 30.0
"""An app that is over its limit as soon as it runs is renewed no more often."""
NOT_RENEWED = "is not renewed"
LONGEST_SLEEP_S = 60.0
"""The wall clock may be set, so it is read again after this time."""


@dataclass(slots=True)
class _Cause:
    """What is watched of one app."""

    watched: tuple[object, ...] = ()
    watch: Watch | None = None
    changed: str = ""
    changed_at: float = 0.0
    expression: str = ""
    schedule: Schedule | None = None
    strikes_at: float | None = None
    """On the wall clock."""
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
        self._update_watch(app, cause)
        wakes = [
            self._by_change(app, cause, now),
            self._by_clock(app, cause, now),
            self._by_memory(app, cause, now),
        ]
        return min((wake for wake in wakes if wake is not None), default=None)

    def forget(self, name: str) -> None:
        """Watch an app no more."""
        cause = self._causes.pop(name, None)
        if cause is not None and cause.watch is not None:
            cause.watch.close()

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

    def _update_watch(self, app: AppRecord, cause: _Cause) -> None:
        """Watch what the app asks for now."""
        renew = app.spec.renew
        wanted: tuple[object, ...] = ()
        if app.running and renew.watch:
            wanted = (renew.watch, renew.ignore, app.spec.directory)
        if wanted == cause.watched:
            return
        if cause.watch is not None:
            cause.watch.close()
        cause.watched, cause.watch, cause.changed = wanted, None, ""
        if not wanted:
            return

        def changed(path: str) -> None:
            cause.changed, cause.changed_at = path, clock.monotonic()
            self._apps.touch(app.name)

        # An app that watches nothing must not cost the memory of these modules.
        from gapless.supervisor.renewal.file_watch import Watch  # noqa: PLC0415 - see above
        from gapless.supervisor.renewal.ignored_paths import Ignored  # noqa: PLC0415 - see above

        ignored = Ignored(app.spec.directory, renew.ignore, self._own(app))
        try:
            cause.watch = Watch(self._selector, renew.watch, ignored, changed)
        except OSError as error:
            self._log.write("watch-failed", app=app.name, reason=str(error))
            app.warning = f"is not watched: {error.strerror or error}"
        else:
            app.warning = ""

    def _own(self, app: AppRecord) -> list[str]:
        """Return how the paths begin that gapless itself writes for an app."""
        log = app.spec.log
        files = [log.output, log.error, log.combined, app.spec.pid_file]
        stems = [path.removesuffix(".log").removesuffix(".pid") for path in files]
        return [f"{self._home}/", *(stem for stem in stems if stem.startswith("/"))]

    def _by_change(self, app: AppRecord, cause: _Cause, now: float) -> float | None:
        if not cause.changed:
            return None
        due = cause.changed_at + app.spec.renew.watch_delay_s
        if now < due:
            return due
        if not _is_idle(app):
            return None  # the end of what is under way wakes us
        path, cause.changed = cause.changed, ""
        if app.running and not self._renew(app, f"{path} changed"):
            cause.changed, cause.changed_at = path, now + LONGEST_SLEEP_S
            return cause.changed_at + app.spec.renew.watch_delay_s
        return None

    # --- the clock ----------------------------------------------------------------

    def _by_clock(self, app: AppRecord, cause: _Cause, now: float) -> float | None:
        wall = clock.wall()
        if app.spec.renew.cron != cause.expression:
            cause.expression, cause.schedule = app.spec.renew.cron, None
            cause.strikes_at = None
            if cause.expression:
                cause.schedule = schedule.parse(cause.expression)
                cause.strikes_at = schedule.next_after(cause.schedule, wall)
        if cause.schedule is None or cause.strikes_at is None:
            return None
        if wall >= cause.strikes_at:
            cause.strikes_at = schedule.next_after(cause.schedule, wall)
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


def _is_idle(app: AppRecord) -> bool:
    return app.operation is None and app.waiting is None and not app.deleted
