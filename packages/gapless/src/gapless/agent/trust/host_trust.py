"""Whether this host may run the target of a rollout, where `publishers` is set.

Forward: the record carries a publisher's signature of app, number, release and tree, and
its number is higher than all that this host took, or it is the very rollout that it took.
Back: to the release that the same signature names as the one before; or, without any
signature, to what this host has run before, so that a revert needs nobody's key.
Either way the files are those of the signed tree; what this host has verified and run once
may have become more (an app writes), but nothing of it may have changed.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

from gapless.agent.trust.memory import HOST, Trusted, TrustMemory
from gapless.base.errors import GaplessError, ReleaseError, UnavailableError
from gapless.releases import file_list
from gapless.releases.model import Release, ReleaseSpec
from gapless.releases.signing import rollouts
from gapless.releases.signing.statements import ReleaseStatement
from gapless.rollout.model import BACK, Rollout

_MOST_SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Permission:
    """That this host may run the target of a rollout, if its files fit."""

    digest: str
    """Of the tree; empty: it ran here before anything was verified."""
    has_run: bool
    """This host has verified this very tree before, or ran it before it verified any."""
    publisher: str = ""
    """Who signed it; empty: it is a way back that needs no signature."""
    number: int = 0
    """To remember; 0: nothing new."""


class HostTrust:
    """What one host trusts of one app."""

    def __init__(self, publishers: str, shared: ReleaseSpec, home: str) -> None:
        self._publishers, self._shared = publishers, shared
        self._memory = TrustMemory(home, shared.app, HOST)

    def permit(self, rollout: Rollout) -> Permission:
        """Return the permission for the target of a rollout.

        Raises ReleaseError with the reason, GaplessError.
        """
        known, target = self._load(), rollout.target
        is_back = rollout.state in BACK
        try:
            publisher = self._publisher(rollout, known)
        except (ReleaseError, UnavailableError) as error:
            if is_back and target in known.trees:
                return Permission(digest=known.trees[target], has_run=True)
            # Unavailable is this host alone: others see why, instead of waiting for it.
            raise ReleaseError(error.message, hint=error.hint) from error
        digest = rollout.previous_digest if is_back else rollout.digest
        if not digest and target in known.trees:
            return Permission(digest=known.trees[target], has_run=True)
        if not digest:
            raise ReleaseError(
                f"{rollout.app}: {target} is not run: no signature says which files it "
                "has, and it has not run here before"
            )
        return Permission(
            digest=digest,
            has_run=known.trees.get(target) in ("", digest),
            publisher=publisher,
            number=rollout.number,
        )

    def _load(self) -> Trusted:
        """Return what is remembered.  Raises ReleaseError: others see why a turn failed."""
        try:
            return self._memory.load()
        except UnavailableError as error:
            raise ReleaseError(error.message, hint=error.hint) from error

    def _publisher(self, rollout: Rollout, known: Trusted) -> str:
        """Return who signed a rollout that is new here, or the last.

        Raises ReleaseError, UnavailableError.
        """
        signer = rollouts.verify(
            self._publishers, statement_of(rollout), rollout.signature
        )
        is_last = (rollout.number, rollout.release) == (known.number, known.release)
        if rollout.number <= known.number and not is_last:
            raise ReleaseError(
                f"{rollout.app}: rollout {rollout.number} to {rollout.release} is not "
                f"followed: this host has taken rollout {known.number} to "
                f"{known.release}, and numbers only rise",
                hint=f"if the coordinator was made anew: look at {self._memory.path}",
            )
        return signer.name

    def check_files(self, release: Release, permission: Permission) -> None:
        """Compare every file of a release, as it lies on this host.

        Raises ReleaseError, OSError.
        """
        if not permission.digest:
            return
        entries = file_list.read(self._shared, release.name, permission.digest)
        found = file_list.differences(
            release.path, entries, allows_more=permission.has_run
        )
        wrong = [*itertools.islice(found, _MOST_SHOWN + 1)]
        if wrong:
            more = " and more" * (len(wrong) > _MOST_SHOWN)
            raise ReleaseError(
                f"{release.app}: {release.path} is not what was signed: "
                f"{'; '.join(wrong[:_MOST_SHOWN])}{more}",
                hint="with copy = true a host runs only what was published, whatever "
                "else lies there",
            )

    def remember(self, rollout: Rollout, permission: Permission, running: str) -> None:
        """Write down what is about to run here, and what runs until then.

        Raises GaplessError, OSError.
        """
        before = after = self._load()
        if running and running not in after.trees:
            after = after.with_tree(running, "")
        if after.trees.get(rollout.target) != permission.digest:
            after = after.with_tree(rollout.target, permission.digest)
        if permission.number > after.number:
            after = replace(after, number=permission.number, release=rollout.release)
        if after != before:
            self._memory.save(after)

    def note(self, rollout: Rollout) -> None:
        """Remember the number of a signed rollout to what runs here already."""
        try:
            known, number = self._load(), self.permit(rollout).number
            if number > known.number:
                after = replace(known, number=number, release=rollout.release)
                self._memory.save(after)
        except (GaplessError, OSError):
            return  # nothing new runs, so nothing has to be trusted


def statement_of(rollout: Rollout) -> ReleaseStatement:
    """Return what the publisher of a rollout signs."""
    return ReleaseStatement(
        app=rollout.app,
        number=rollout.number,
        release=rollout.release,
        tree=rollout.digest,
        previous=rollout.previous,
        previous_tree=rollout.previous_digest,
        upload_signed_by=rollout.signed_by,
    )
