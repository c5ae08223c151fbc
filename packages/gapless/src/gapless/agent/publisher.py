"""The release server's part: begin a rollout with each release, and see to its end.

The link is flipped when the fleet runs the release, so what else looks at it (old scripts,
a host that boots) sees what has proved itself.  Publishers may die at any step: the
release, the rollout and its end are each found and gone on with by the next look.
"""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Callable
from dataclasses import replace

from gapless.base import clock
from gapless.base.errors import (
    ConflictError,
    GaplessError,
    MisuseError,
    NotFoundError,
    UnavailableError,
)
from gapless.config.toml.fleets import Fleet
from gapless.releases import (
    current,
    file_list,
    publish,
    publisher_lock,
    removal,
    reports,
)
from gapless.releases.inbox import claims
from gapless.releases.model import Release, ReleaseSpec
from gapless.releases.steps import hooks
from gapless.rollout import decide
from gapless.rollout.board import Board
from gapless.rollout.model import Rollout, State

Progress = Callable[[str, str], None]
Hear = Callable[[Rollout], None]


def _ignore(_: Rollout) -> None:
    """Hear nothing."""


class FleetPublisher:
    """Publishes releases of one app to its fleet."""

    def __init__(self, fleet: Fleet, board: Board, progress: Progress) -> None:
        self._fleet, self._spec = fleet, fleet.release
        self._board, self._progress = board, progress

    def publish(self, tarball: str, begun: Hear = _ignore) -> Rollout:
        """Make a tarball a release, and begin its rollout.  Raises GaplessError.

        *begun* hears of the rollout before the upload is forgotten: whoever dies in between
        tells it again.
        """
        self._check()
        with publisher_lock.hold(self._spec, self._progress) as held:
            release = publish.make_release(held, tarball, progress=self._progress)
            return self._begin_claimed(release, begun)

    def resume(self, begun: Hear = _ignore) -> Rollout | None:
        """Begin the rollout of a release whose publisher died, if there is one.

        Raises GaplessError.
        """
        with publisher_lock.hold(self._spec, self._progress):
            release = claims.unfinished_release(self._spec)
            return None if release is None else self._begin_claimed(release, begun)

    def _begin_claimed(self, release: Release, begun: Hear) -> Rollout:
        """Begin a rollout, once; the upload is kept while nobody can be told of it."""
        try:
            rollout = self._begun(release) or self._begin(release)
        except (UnavailableError, ConflictError):
            raise
        except GaplessError:
            claims.finish(self._spec)
            raise
        begun(rollout)
        claims.finish(self._spec)
        return rollout

    def _begun(self, release: Release) -> Rollout | None:
        """Return the rollout to a release, if it was begun; another may have followed."""
        rollout, _ = self._board.rollout()
        if rollout is None or rollout.release == release.name:
            return rollout
        for past in self._board.history():
            if past["release"] == release.name:
                number = int(past["number"])
                return replace(rollout, number=number, release=release.name)
        return None

    def rollback(self, wanted: str) -> Rollout:
        """Begin a rollout to an earlier release.  Raises GaplessError."""
        self._check()
        with publisher_lock.hold(self._spec, self._progress):
            claims.clean_up(self._spec)
            if wanted:
                return self._begin(current.find(self._spec, wanted))
            return self._begin(self._before())

    def _before(self) -> Release:
        rollout, _ = self._board.rollout()
        if rollout is not None and rollout.target == rollout.release:
            if not rollout.previous:
                raise NotFoundError(
                    f"{rollout.app}: there is no release before {rollout.release}",
                    hint=f"`gapless releases {rollout.app}` lists what is there",
                )
            return current.find(self._spec, rollout.previous)
        return current.previous(self._spec)

    def _check(self) -> None:
        known = frozenset(self._board.reports())
        if mistakes := self._fleet.policy.mistakes(known):
            app = self._spec.app
            raise MisuseError(
                "\n".join(f"rollout.{app}: {each}" for each in mistakes),
                hint="nothing was published",
            )

    def _begin(self, release: Release) -> Rollout:
        digest = file_list.write(self._spec, release) if self._fleet.copy else ""
        began_at = clock.stamp(clock.wall())

        def build(number: int, previous: str) -> Rollout:
            return Rollout(
                app=self._spec.app,
                number=number,
                release=release.name,
                digest=digest,
                previous=previous,
                previous_digest=file_list.digest_of(self._spec, previous)
                if self._fleet.copy and previous
                else "",
                by=f"{_user()}@{socket.gethostname()}",
                began_at=began_at,
                policy=self._fleet.policy,
            )

        rollout = None
        while rollout is None:
            self.settle()  # of a publisher that died, or did not wait
            # Ending the earlier rollout may have removed the release.
            current.require_visible(self._spec, release.name)
            before = current.current(self._spec)
            good = before.name if before and before.name != release.name else ""
            rollout = self._board.begin(release.name, build, good)
        self._progress("rollout", f"{rollout.number} to {release.name}")
        return rollout

    def settle(self) -> Rollout | None:
        """Do what the end of a rollout asks for, once; return it if there was one."""
        if self._unsettled() is None:
            return None
        with publisher_lock.hold(
            self._spec, self._progress, publisher_lock.SETTLING
        ) as held:
            return self._settle(held)

    def _unsettled(self) -> tuple[Rollout, int] | None:
        rollout, version = self._board.rollout()
        if rollout is None or not decide.is_unsettled(rollout):
            return None
        return rollout, version

    def _settle(self, held: ReleaseSpec) -> Rollout | None:
        found = self._unsettled()  # another publisher may have been faster
        if found is None:
            return None
        rollout, version = found
        release = self._release(rollout.release)
        if release is None and not current.releases(self._spec):
            raise UnavailableError(
                f"{self._spec.app}: no release of {self._spec.app} is seen in "
                f"{self._spec.dist}: the end of rollout {rollout.number} is not seen to",
                hint="is the shared directory mounted here?",
            )
        needed = self._needed(rollout)
        if release is not None and rollout.state is State.DONE:
            current.flip(self._spec, release)
            self._progress("flipped", f"{self._spec.link} -> {release.name}")
        elif release is not None and rollout.state is State.REVERTED:
            reports.mark_failed(self._spec, release, rollout.reason)
        if release is not None:
            # Before it is written down: who dies here lets it run again, rather than
            # never.
            self._run_hook(held, rollout, release)
            if rollout.state is State.DONE:
                # Before as well: what goes is gone when the next one begins.
                removal.remove_superfluous(self._spec, needed)
        try:
            self._board.write(replace(rollout, settled=True), expected=version)
        except ConflictError:
            return None  # it went on
        return rollout

    def _release(self, name: str) -> Release | None:
        found = {each.name: each for each in current.releases(self._spec)}
        return found.get(name)

    def _run_hook(self, held: ReleaseSpec, rollout: Rollout, release: Release) -> None:
        done = rollout.state is State.DONE
        name = "after" if done else "failed"
        command = held.hooks.after if done else held.hooks.failed
        if not command:
            return
        told = {
            "GAPLESS_ROLLOUT": str(rollout.number),
            "GAPLESS_ATTEMPT": str(rollout.attempt),
            "GAPLESS_STATE": rollout.state.value,
            "GAPLESS_REASON": rollout.reason,
        }
        try:
            hooks.run(
                held, release, name, command, directory=release.path, variables=told
            )
            self._progress("hook", name)
        except GaplessError as error:
            self._progress("hook", f"{name} failed: {error.message}")

    def _needed(self, rollout: Rollout) -> frozenset[str]:
        """Return the directories of releases that hosts run, or would go back to."""
        names = {report.release for report in self._board.reports().values()}
        names |= {rollout.release, rollout.previous}
        return frozenset(f"{self._spec.dist}/{name}" for name in names if name)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
