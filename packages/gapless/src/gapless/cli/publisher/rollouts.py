"""See to the ends of the rollouts of one app, and tell its uploads' pushers of them."""

from __future__ import annotations

from gapless.agent.publisher import FleetPublisher
from gapless.base.errors import GaplessError
from gapless.cli import fleets
from gapless.cli.publisher.output import Telling
from gapless.push import rollout_outcome
from gapless.push.outcome_store import OutcomeStore
from gapless.rollout.store import FleetStore


class Settling:
    """Looks at the rollout of one app again and again."""

    def __init__(
        self,
        publisher: FleetPublisher,
        store: FleetStore,
        account: OutcomeStore,
        telling: Telling,
    ) -> None:
        self._publisher, self._store = publisher, store
        self._account, self._telling = account, telling
        self.code = 0

    def look(self) -> None:
        """Do what the end of a rollout asks for, then tell.

        Raises GaplessError, OSError.
        """
        try:
            rollout = self._publisher.finalize()
        except (GaplessError, OSError) as error:
            self._tell(str(error))
            raise
        if rollout is not None:
            self._telling.end(rollout)
            self.code = max(self.code, fleets.code(rollout))
        self._tell("")

    def _tell(self, trouble: str) -> None:
        told = [o for o in self._account.unfinished(self._store.app) if o.rollout]
        if not told:
            return
        rollout, _ = self._store.rollout()
        hosts, history = self._store.hosts.all(), self._store.history.read()
        for before in told:
            after = rollout_outcome.next_outcome(
                before, rollout, hosts, history, trouble
            )
            if after != before:
                self._account.write(after, expected=before)
