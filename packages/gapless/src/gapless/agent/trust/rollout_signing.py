"""The publisher signs a rollout: its record, and the tree that it built.

It remembers what it signed: of a release that it signed before it signs no other tree, and
after a coordinator that was made anew its numbers go on, since hosts take no lower ones.
"""

from __future__ import annotations

from dataclasses import replace

from gapless.agent.trust.host_trust import statement_of
from gapless.agent.trust.memory import PUBLISHER, Trusted, TrustMemory
from gapless.base.errors import ReleaseError
from gapless.releases.model import ReleaseSpec
from gapless.releases.signing import rollouts
from gapless.rollout.model import Rollout


class RolloutSigning:
    """Signs the rollouts of one app, if it has a `signing_key`."""

    def __init__(self, spec: ReleaseSpec, home: str) -> None:
        """Read what was signed before.  Raises GaplessError."""
        self._key = spec.signing_key
        self._memory = TrustMemory(home, spec.app, PUBLISHER)
        self._before = self._memory.load() if self._key else Trusted()

    def number(self, proposed: int) -> int:
        """Return the number of a rollout: higher than all that were signed."""
        return max(proposed, self._before.number + 1)

    def knows(self, release: str, digest: str) -> bool:
        """Return whether that tree of a release was signed before."""
        return bool(digest) and self._before.trees.get(release) == digest

    def made(self, rollout: Rollout, publishers: str) -> bool:
        """Return whether a rollout is the last that was signed here, or elsewhere since.

        Before anything was signed that is not asked.  *publishers* is a file of allowed
        signers, or empty: then nobody signs elsewhere.
        """
        before, this = self._before, (rollout.number, rollout.release)
        signs_now = self._key and before.number
        if not signs_now or this == (before.number, before.release):
            return True
        if rollout.number <= before.number or not publishers:
            return False
        try:
            rollouts.verify(publishers, statement_of(rollout), rollout.signature)
        except ReleaseError:
            return False
        return True

    def signed(self, rollout: Rollout) -> Rollout:
        """Return a rollout with the publisher's signature, if there is a key.

        What is signed is written down first.  Raises ReleaseError for a tree that has
        changed since it was signed, UnavailableError, OSError.
        """
        if not self._key:
            return rollout
        trees = self._before.trees
        if trees.get(rollout.release, rollout.digest) != rollout.digest:
            raise ReleaseError(
                f"{rollout.app}: {rollout.release} is not signed: its files are not "
                "those that were signed when it was published",
                hint="something has written there since; publish it again",
            )
        # The record of the rollout before, which others may write, names the release to go
        # back to: only the last two that were signed are signed as that.
        last = (self._before.release, self._before.previous)
        kept = trees.get(rollout.previous, "") if rollout.previous in last else ""
        if rollout.previous_digest != kept:
            rollout = replace(rollout, previous_digest=kept)
        signature = rollouts.sign(self._key, statement_of(rollout))
        after = self._before.with_tree(rollout.release, rollout.digest)
        self._memory.save(
            replace(
                after,
                number=rollout.number,
                release=rollout.release,
                previous=rollout.previous if kept else "",
            )
        )
        return replace(rollout, signature=signature)
