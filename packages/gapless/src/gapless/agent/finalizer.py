"""Finalize a rollout that has ended: flip the link, run the hook, remove old releases.

The link is flipped when the fleet runs the release, so that others who read the link (old
scripts, a host that boots) find a release that has proved itself.  A publisher may die at
any step: the next one finds the end of the rollout and does the step again.
"""

from __future__ import annotations

import select
from collections.abc import Callable
from dataclasses import replace

from gapless.agent.trust.rollout_signing import RolloutSigning
from gapless.base import home
from gapless.base.errors import ConflictError, GaplessError, UnavailableError
from gapless.config.toml.fleets import Fleet
from gapless.releases import current, publisher_lock, removal, reports
from gapless.releases.model import Release, ReleaseSpec, stamp_of
from gapless.releases.publisher import unseen
from gapless.releases.steps import hooks
from gapless.rollout import decide
from gapless.rollout.model import Rollout, State
from gapless.rollout.store import FleetStore

Progress = Callable[[str, str], None]
RETRY_S = 0.5


class UnseenError(UnavailableError):
    """The release of a rollout that has ended is not seen here yet."""


class Finalizer:
    """Finalizes the rollouts of one app, one publisher at a time."""

    def __init__(self, fleet: Fleet, store: FleetStore, progress: Progress) -> None:
        self._fleet, self._spec = fleet, fleet.release
        self._store, self._progress = store, progress

    def finalize_after_wait(self) -> Rollout | None:
        """As `finalize`, but wait for a release that is not seen here yet."""
        is_told = False
        while True:
            try:
                return self.finalize()
            except UnseenError as error:
                if not is_told:
                    self._progress("waiting", error.message)
                is_told = True
            select.select([], [], [], RETRY_S)

    def finalize(self) -> Rollout | None:
        """Finalize the rollout if it has ended, once; return it if so.

        Raises UnseenError: call it again; GaplessError, OSError.
        """
        if self._ended() is None:
            return None
        with publisher_lock.hold(
            self._spec, self._progress, publisher_lock.SETTLING
        ) as held:
            return self._finalize(held)

    def _ended(self) -> tuple[Rollout, int] | None:
        """Return the rollout and its version, if it has to be finalized."""
        rollout, version = self._store.rollout()
        if rollout is None or not decide.needs_finalizing(rollout):
            return None
        return rollout, version

    def _finalize(self, held: ReleaseSpec) -> Rollout | None:
        found = self._ended()  # another publisher may have been faster
        if found is None:
            return None
        rollout, version = found
        signing = RolloutSigning(self._spec, home.path())
        if not signing.made(rollout, self._fleet.publishers):
            # Who may write the record chooses neither the link nor the reason of a hook.
            self._progress(
                "rollout", f"{rollout.number} was not signed: no link, no hook"
            )
            return self._settle(rollout, version)
        release = self._release(rollout)
        needed = self._needed(rollout)
        if release is not None and rollout.state is State.DONE:
            current.flip(self._spec, release)
            self._progress("flipped", f"{self._spec.link} -> {release.name}")
        elif (
            release is not None and rollout.state is State.REVERTED and rollout.failure
        ):
            # What an operator turned back has not failed: it may be rolled out again.
            reports.mark_failed(self._spec, release, rollout.failure)
        if release is not None:
            # Before the record is written: if this publisher dies, the hook runs again
            # rather than never.
            self._run_hook(held, rollout, release)
            if rollout.state is State.DONE:
                # Before it as well: the next rollout begins when they are gone.
                removal.remove_superfluous(self._spec, needed)
        return self._settle(rollout, version)

    def _settle(self, rollout: Rollout, version: int) -> Rollout | None:
        """Write that a rollout is finalized; None if it went on."""
        try:
            finalized = replace(rollout, settled=True)
            self._store.write_rollout(finalized, expected=version)
        except ConflictError:
            return None  # the rollout went on
        return rollout

    def _release(self, rollout: Rollout) -> Release | None:
        """Return the release of a rollout; None if it is not there any more.

        Gapless removes none whose rollout is not finalized: it may have been removed by
        hand.  As hosts do, it is waited for during `fetch_timeout_s`, since a client of
        NFS may see it late.  Raises UnseenError; UnavailableError if none is seen.
        """
        found = {each.name: each for each in current.releases(self._spec)}
        if rollout.release in found:
            unseen.forget(self._spec)
            return found[rollout.release]
        what = f"rollout {rollout.number} is not finalized"
        if not found:
            raise UnavailableError(
                f"{self._spec.app}: no release of {self._spec.app} is seen in "
                f"{self._spec.dist}: {what}",
                hint="is the shared directory mounted here?",
            )
        timeout_s = rollout.policy.fetch_timeout_s
        this = f"{rollout.release} of {rollout.number}.{rollout.attempt}"
        if unseen.seconds(self._spec, this) < timeout_s:
            raise UnseenError(
                f"{rollout.release} is not seen in {self._spec.dist}: {what}",
                hint=f"after {timeout_s:g} s it counts as removed",
            )
        self._progress(
            "rollout", f"{rollout.release} is not there any more: no link, no hook"
        )
        unseen.forget(self._spec)
        return None

    def _run_hook(self, held: ReleaseSpec, rollout: Rollout, release: Release) -> None:
        is_done = rollout.state is State.DONE
        name, command = (
            ("after", held.hooks.after) if is_done else ("failed", held.hooks.failed)
        )
        if not command:
            return
        environment = {
            "GAPLESS_ROLLOUT": str(rollout.number),
            "GAPLESS_ATTEMPT": str(rollout.attempt),
            "GAPLESS_STATE": rollout.state.value,
            "GAPLESS_REASON": rollout.reason,
        }
        try:
            hooks.run(
                held,
                release,
                name,
                command,
                directory=release.path,
                variables=environment,
            )
            self._progress("hook", name)
        except GaplessError as error:
            self._progress("hook", f"{name} failed: {error.message}")

    def _needed(self, rollout: Rollout) -> frozenset[str]:
        """Return the directories of releases that hosts use, or would go back to."""
        names = {rollout.release, rollout.previous}
        for (
            report
        ) in self._store.hosts.all().values():  # of hosts that are gone as well
            names |= {report.release, *report.in_use}
        needed = (each for each in names if stamp_of(self._spec.app, each))
        return frozenset(map(self._spec.path_of, needed))
