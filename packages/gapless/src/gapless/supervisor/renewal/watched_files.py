"""Renew an app when its files change: what is watched, what counts, and when it stops."""

from __future__ import annotations

import selectors
from collections.abc import Callable, Iterator

from gapless.base import clock, events
from gapless.supervisor.memory.apps import AppRecord
from gapless.supervisor.observe.membership import Membership
from gapless.supervisor.renewal.file_watch import Watch
from gapless.supervisor.renewal.ignored_paths import Ignored
from gapless.supervisor.renewal.own_writes import OwnWrites
from gapless.supervisor.renewal.reasons import Reasons
from gapless.supervisor.renewal.renewal_loop import RenewalLoop, Verdict

TRY_AGAIN_S = 60.0
"""A renewal that was not admitted is tried again after this time."""
MOST_NAMED = 3
_OUR_WARNINGS = ("is not watched", "is watched no more", "rests ")


class WatchedFiles:
    """Watches the files of one app."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        wake: Callable[[], None],
        membership: Membership,
        *,
        log: events.Log,
        home: str,
    ) -> None:
        """Use *wake* to have `update` called."""
        self._selector, self._wake, self._membership = selector, wake, membership
        self._log, self._home = log, home
        self._wanted: tuple[object, ...] = ()
        self._watch: Watch | None = None
        self._own: OwnWrites | None = None
        self._reasons: Reasons | None = None
        self._loop = RenewalLoop()
        self._renewing = False
        self._first_at = self._last_at = 0.0
        """When the first and the last change came that is not acted on yet."""
        self._not_before = 0.0
        self._stopped_at: int | None = None
        """The generation after which it stopped to renew; a later one begins anew."""

    # --- what the watch tells -----------------------------------------------------------

    def begin(self) -> None:
        """Take in that something happened: who did it is known by now."""
        if self._own is not None:
            self._own.doers.read()

    def changed(self, path: str) -> None:
        """Take in that a file changed."""
        if self._reasons is None or self._stopped_at is not None:
            return
        now, before = clock.monotonic(), bool(self._reasons)
        if self._reasons.add(path):
            self._first_at = self._first_at if before else now
            self._last_at = now
            self._wake()

    def made(self, path: str) -> None:
        """Take in that a file came into being; `changed` follows."""
        if self._reasons is not None:
            self._reasons.made(path)

    def watches(self, directory: str) -> None:
        """Take in that a directory is watched from now on."""
        if self._own is not None:
            self._own.doers.add(directory)

    # --- what follows from it -----------------------------------------------------------

    def update(
        self,
        app: AppRecord,
        now: float,
        renew: Callable[[str], bool],
        *,
        is_idle: bool,
    ) -> float | None:
        """Watch what the app asks for now, and renew it if that is due.

        Returns when to be called again, None for never.
        """
        self._update_watch(app)
        if self._renewing and is_idle:
            self._renewing = False
            self._loop.end(now)
        if self._own is not None:
            self._own.remember(i.pid for i in app.instances() if i.pid)
        if self._stopped_at not in (None, app.last_generation):
            self._stopped_at, self._loop = None, RenewalLoop()
            self._warn(app, "")
        if not self._reasons:
            return None
        due = max(self._last_at + app.spec.renew.watch_delay_s, self._not_before)
        if now < due:
            return due
        if not is_idle:
            return None  # the end of what is under way wakes us
        return self._act(app, now, renew)

    def _act(
        self, app: AppRecord, now: float, renew: Callable[[str], bool]
    ) -> float | None:
        """Renew an app, unless that is a loop.  Returns when to be called again."""
        assert self._reasons is not None
        paths = self._reasons.take()
        if not paths or not app.running:
            return None
        verdict = self._loop.judge(self._first_at, now)
        if verdict is Verdict.STOP:
            self._stop(app, paths)
            return None
        if verdict is Verdict.REST:
            self._reasons.put_back(paths)
            self._not_before = self._loop.rests_until
            self._warn(
                app,
                f"rests {self._not_before - now:.0f} s before it is renewed again: "
                f"{_named(paths)} changed while it was renewed",
            )
            return self._not_before
        if not renew(f"{_named(paths)} changed"):
            self._reasons.put_back(paths)
            self._not_before = now + TRY_AGAIN_S
            return self._not_before
        self._loop.begin(paths, self._first_at, now)
        self._renewing = True
        self._warn(app, "")
        return None

    def _stop(self, app: AppRecord, paths: list[str]) -> None:
        """Renew no more: the renewals are each other's reason."""
        self._stopped_at = app.last_generation
        named = _named(list(self._loop.paths | dict.fromkeys(paths)))
        self._log.write("watch-stopped", app=app.name, reason=named)
        self._warn(
            app,
            f"is watched no more: it was renewed again and again, for {named}; name what "
            "the app itself writes in `ignore` of [app.NAME.renew] (PM2: ignore_watch), "
            "then reload it",
        )

    def _warn(self, app: AppRecord, text: str) -> None:
        """Show what is the matter, in the place of what was shown before of files."""
        if text or app.warning.startswith(_OUR_WARNINGS):
            app.warning = text

    # --- what is watched ----------------------------------------------------------------

    def _update_watch(self, app: AppRecord) -> None:
        """Watch what the app asks for now."""
        renew = app.spec.renew
        wanted: tuple[object, ...] = ()
        if app.running and renew.watch:
            wanted = (renew.watch, renew.ignore, app.spec.directory)
        if wanted == self._wanted:
            return
        self.close()
        self._wanted = wanted
        if not wanted:
            return
        ignored = Ignored(app.spec.directory, renew.ignore, self._of_gapless(app))
        self._own = OwnWrites(renew.watch, lambda: self._pids(app))
        self._reasons = Reasons(self._own, ignored)
        try:
            self._watch = Watch(self._selector, renew.watch, ignored, self)
        except OSError as error:
            self._log.write("watch-failed", app=app.name, reason=str(error))
            self._own.doers.close()
            self._warn(app, f"is not watched: {error.strerror or error}")
        else:
            self._warn(app, "")

    def close(self) -> None:
        """Watch no more."""
        if self._watch is not None:
            self._watch.close()
        if self._own is not None:
            self._own.doers.close()
        self._watch = self._own = self._reasons = None
        self._wanted = ()

    def _pids(self, app: AppRecord) -> Iterator[int]:
        """Yield the processes that the app has now."""
        for instance in app.instances():
            yield from self._membership.members(instance)

    def _of_gapless(self, app: AppRecord) -> list[str]:
        """Return how the paths begin that gapless itself writes for an app."""
        log = app.spec.log
        files = [log.output, log.error, log.combined, app.spec.pid_file]
        stems = [path.removesuffix(".log").removesuffix(".pid") for path in files]
        return [f"{self._home}/", *(stem for stem in stems if stem.startswith("/"))]


def _named(paths: list[str]) -> str:
    """Return the names of the first of some files, and how many there are besides."""
    rest = len(paths) - MOST_NAMED
    more = f" and {rest} more" if rest > 0 else ""
    return ", ".join(paths[:MOST_NAMED]) + more
