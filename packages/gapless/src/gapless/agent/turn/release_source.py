"""Where this host gets the releases of a fleet: the shared directory, or own copies."""

from __future__ import annotations

import dataclasses

from gapless.base import clock, files
from gapless.config.toml.fleets import Fleet
from gapless.releases import copies, current
from gapless.releases.model import Release, ReleaseSpec
from gapless.rollout.model import Rollout


class ReleaseSource:
    """The releases of one fleet; `own` is where this host runs them from."""

    def __init__(self, fleet: Fleet) -> None:
        self._shared, self._is_copied = fleet.release, bool(fleet.copy)
        self.own = _own_releases(fleet)
        self._missing_since = ("", 0.0)
        """The release that is not seen here, and since when."""

    def waits_for(self, rollout: Rollout, running: str) -> str:
        """Return what is not here yet and a turn would need, or nothing.

        It is waited for without a slot, for `fetch_timeout_s`; then the turn fails.
        """
        name, now = rollout.target, clock.monotonic()
        is_here = name == running or current.is_visible(self.own, name)
        if is_here or current.is_visible(self._shared, name):
            self._missing_since = ("", 0.0)
            return ""
        if self._missing_since[0] != name:
            self._missing_since = (name, now)
        if now >= self._missing_since[1] + rollout.policy.fetch_timeout_s:
            return ""
        return f"to see {name} in {self._shared.dist}"

    def fetch(self, rollout: Rollout) -> Release:
        """Return the target of a rollout, copied if this host has copies.

        Raises GaplessError, OSError.
        """
        name = rollout.target
        if not self._is_copied:
            return current.require_visible(self._shared, name)
        is_new = name == rollout.release
        digest = rollout.digest if is_new else rollout.previous_digest
        until = clock.monotonic() + rollout.policy.fetch_timeout_s
        return copies.copy(self._shared, self.own, name, digest, until)


def _own_releases(fleet: Fleet) -> ReleaseSpec:
    if not fleet.copy:
        return fleet.release
    files.make_directories(f"{fleet.copy}/dist", files.SHARED_DIRECTORY)
    return dataclasses.replace(fleet.release, base=fleet.copy)
