"""Publish releases to a fleet: make a release, and begin its rollout.

A publisher may die at any step.  The next one finds the release and the rollout, and goes
on.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import socket
from collections.abc import Callable
from dataclasses import replace

from gapless.agent.finalizer import Finalizer, Progress
from gapless.agent.trust.rollout_signing import RolloutSigning
from gapless.base import clock, home
from gapless.base.errors import (
    ConflictError,
    GaplessError,
    MisuseError,
    UnavailableError,
)
from gapless.config.toml.fleets import Fleet
from gapless.releases import current, file_list, publish, publisher_lock
from gapless.releases.inbox import claims
from gapless.releases.model import Release
from gapless.releases.publisher import journal
from gapless.releases.publisher.journal import Change
from gapless.releases.publisher.progress import unbroken
from gapless.releases.signing import records
from gapless.rollout import decide
from gapless.rollout.model import Rollout
from gapless.rollout.store import FleetStore

OnBegun = Callable[[Rollout], None]


def _ignore(_: Rollout) -> None:
    """Do nothing."""


class FleetPublisher:
    """Publishes releases of one app to its fleet."""

    def __init__(self, fleet: Fleet, store: FleetStore, progress: Progress) -> None:
        self._fleet, self._spec = fleet, fleet.release
        self._store, self._progress = store, unbroken(progress)
        self._finalizer = Finalizer(fleet, store, self._progress)

    def publish(self, tarball: str, on_begun: OnBegun = _ignore) -> Rollout:
        """Make a tarball a release, and begin its rollout.  Raises GaplessError.

        *on_begun* is called before the claimed upload is removed.  If the publisher dies in
        between, the next one calls it again.
        """
        self._check_policy()
        self._wait_for_the_end()
        with publisher_lock.hold(self._spec, self._progress) as held:
            change, made = journal.read(held), claims.unfinished_release(held)
            if change and made and claims.is_of(held, change, tarball):
                return self._begin_claimed(made, on_begun)
            release = publish.make_release(held, tarball, progress=self._progress)
            return self._begin_claimed(release, on_begun)

    def resume(self, on_begun: OnBegun = _ignore) -> Rollout | None:
        """Begin the rollout of a release whose publisher died, if there is one.

        Raises GaplessError.
        """
        with publisher_lock.hold(self._spec, self._progress):
            release = claims.unfinished_release(self._spec)
            if release is not None:
                return self._begin_claimed(release, on_begun)
            change = journal.read(self._spec)
            if change is not None and self._rolled_back(change) is not None:
                # The command that began it may come again.
                journal.write(self._spec, replace(change, is_settled=True))
            claims.clean_up(self._spec)
            return None

    def rollback(self, wanted: str, *, seen: int = 0) -> Rollout:
        """Begin a rollout to an earlier release: *wanted*, or the one before.

        *seen* is the rollout that is left, by its number; without it, the one of now.  A
        second rollback would leave the first: while hosts go back already, one without a
        named release is refused.  Raises GaplessError.
        """
        self._check_policy()
        before, _ = self._store.rollout()
        under_way = self._going_back(before)
        seen = seen or _number(before)
        self._wait_for_the_end()
        with publisher_lock.hold(self._spec, self._progress):
            earlier = journal.read(self._spec) or journal.read_settled(self._spec)
            begun = earlier and self._rolled_back(earlier)
            if earlier and begun and journal.is_rollback(earlier, wanted):
                journal.drop(self._spec)
                return begun
            now, _ = self._store.rollout()
            if not wanted:
                under_way = under_way or self._going_back(now)
                self._check_seen(_number(now), seen, under_way)
            claims.clean_up(self._spec)
            if wanted:
                release = current.find(self._spec, wanted)
            else:
                release = self._previous_release(now)
            change = Change(
                action=journal.ROLLBACK,
                release=release.name,
                token=journal.new_token(),
                began_at=clock.wall(),
                rollout=_number(now),
            )
            journal.write(self._spec, change)
            begun = self._begin(release)
            journal.drop(self._spec)
            return begun

    def _wait_for_the_end(self) -> None:
        """Finalize the rollout before, which may wait for its release to be seen here.

        That is before anything is made, and without the publisher's lock: others may
        publish meanwhile.  What fails comes again when the next rollout begins.
        """
        with contextlib.suppress(GaplessError, OSError):
            self.finalize_after_wait()

    def _going_back(self, rollout: Rollout | None) -> Rollout | None:
        """Return a rollout if its hosts are on their way back."""
        if rollout is None:
            return None
        return rollout if decide.goes_back(rollout, self._superseded(rollout)) else None

    def _superseded(self, rollout: Rollout) -> str:
        """Return the release of the rollout before; empty if it is not known."""
        past = [e for e in self._store.history.read() if e["number"] < rollout.number]
        return str(past[-1]["release"]) if past else ""

    def _check_seen(self, number: int, seen: int, under_way: Rollout | None) -> None:
        """Raise MisuseError if a rollback would leave another rollout than was seen.

        Also if it would leave one that is itself on its way back.
        """
        app = self._spec.app
        if number != seen:
            raise MisuseError(
                f"{app}: rollout {number} has begun since this rollback was asked for, "
                f"after rollout {seen}",
                hint=f"nothing was done; `gapless rollout status {app}` shows where it is",
            )
        if under_way is not None:
            raise MisuseError(
                f"{app}: rollout {under_way.number} is on its way back to "
                f"{under_way.target} already",
                hint=f"nothing was done; when it has ended, `gapless rollback {app}` goes "
                "back once more",
            )

    def _rolled_back(self, change: Change) -> Rollout | None:
        """Return the rollout that a rollback has begun, if none followed it."""
        rollout, _ = self._store.rollout()
        if change.action != journal.ROLLBACK or rollout is None:
            return None
        is_it = rollout.release == change.release and rollout.number > change.rollout
        return rollout if is_it else None

    def finalize(self) -> Rollout | None:
        """Finalize the rollout if it has ended, once; return it if so.

        Raises GaplessError, OSError.
        """
        return self._finalizer.finalize()

    def finalize_after_wait(self) -> Rollout | None:
        """As `finalize`, but wait for a release that is not seen here yet."""
        return self._finalizer.finalize_after_wait()

    def _begin_claimed(self, release: Release, on_begun: OnBegun) -> Rollout:
        """Begin a rollout, once.

        The claimed upload is kept while the coordinator cannot be asked.
        """
        try:
            rollout = self._begun(release) or self._begin(release)
        except (UnavailableError, ConflictError):
            raise
        except GaplessError:
            claims.finish(self._spec)
            journal.drop(self._spec)
            raise
        on_begun(rollout)
        claims.finish(self._spec)
        journal.drop(self._spec)
        return rollout

    def _begun(self, release: Release) -> Rollout | None:
        """Return the rollout to a release, if it was begun; another may have followed."""
        rollout, _ = self._store.rollout()
        if rollout is None or rollout.release == release.name:
            return rollout
        for past in self._store.history.read():
            if past["release"] == release.name:
                number = int(past["number"])
                return replace(rollout, number=number, release=release.name)
        return None

    def _previous_release(self, rollout: Rollout | None) -> Release:
        """Return the release before that of the last rollout.  Raises GaplessError."""
        if rollout is None or rollout.target != rollout.release:
            return current.previous(self._spec)
        if rollout.previous and rollout.previous < rollout.release:
            return current.find(self._spec, rollout.previous)
        # It is a rollback itself, and `previous` the release that it has left.
        return current.previous(self._spec, rollout.release)

    def _check_policy(self) -> None:
        known = frozenset(self._store.hosts.all())
        if mistakes := self._fleet.policy.mistakes(known):
            app = self._spec.app
            raise MisuseError(
                "\n".join(f"rollout.{app}: {each}" for each in mistakes),
                hint="nothing was published",
            )

    def _begin(self, release: Release) -> Rollout:
        lists_files = bool(self._fleet.copy or self._spec.signing_key)
        signing = RolloutSigning(self._spec, home.path())
        digest = file_list.digest_of(self._spec, release.name) if lists_files else ""
        if lists_files and not signing.knows(release.name, digest):
            # What was signed before is not listed anew: apps write into their release.
            digest = file_list.write(self._spec, release)
        began_at = clock.stamp(clock.wall())

        def build(number: int, previous: str) -> Rollout:
            return signing.signed(
                Rollout(
                    app=self._spec.app,
                    number=signing.number(number),
                    release=release.name,
                    digest=digest,
                    previous=previous,
                    previous_digest=file_list.digest_of(self._spec, previous)
                    if lists_files and previous
                    else "",
                    signed_by=records.signer_of(self._spec, release.name),
                    by=f"{_user()}@{socket.gethostname()}",
                    began_at=began_at,
                    policy=self._fleet.policy,
                )
            )

        rollout = None
        while rollout is None:
            # The one before, whose publisher died or did not wait.
            self.finalize_after_wait()
            current.require_visible(
                self._spec, release.name
            )  # finalizing may have removed it
            before = current.current(self._spec)
            good = before.name if before and before.name != release.name else ""
            rollout = self._store.begin(release.name, build, good)
        self._progress("rollout", f"{rollout.number} to {release.name}")
        return rollout


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def _number(rollout: Rollout | None) -> int:
    """Return the number of a rollout; 0: there is none."""
    return rollout.number if rollout else 0
