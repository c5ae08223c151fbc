"""Finalize the rollouts of one app, and write the outcomes of their uploads."""

from __future__ import annotations

from gapless.agent.publisher import FleetPublisher
from gapless.base.errors import DONE, GaplessError
from gapless.cli.display import rollouts
from gapless.cli.publisher.output import WatchOutput
from gapless.push import rollout_outcome
from gapless.push.outcome_store import OutcomeStore
from gapless.rollout.store import FleetStore


class RolloutOutcomes:
    """Checks the rollout of one app each time that it is called."""

    def __init__(
        self,
        publisher: FleetPublisher,
        store: FleetStore,
        outcomes: OutcomeStore,
        output: WatchOutput,
    ) -> None:
        self._publisher, self._store = publisher, store
        self._outcomes, self._output = outcomes, output
        self.exit_code = DONE
        """The worst end of a rollout so far."""

    def check(self) -> None:
        """Finalize a rollout that has ended, then write the outcomes.

        Raises GaplessError, OSError.
        """
        try:
            rollout = self._publisher.finalize()
        except (GaplessError, OSError) as error:
            self._write(str(error))
            raise
        if rollout is not None:
            self.exit_code = max(self.exit_code, rollouts.exit_code(rollout))
            self._output.end(rollout, self._store.hosts.all())
        self._write("")

    def _write(self, trouble: str) -> None:
        """Write the outcomes that have changed; *trouble* is an error, or empty."""
        rolling = [o for o in self._outcomes.unfinished(self._store.app) if o.rollout]
        if not rolling:
            return
        rollout, _ = self._store.rollout()
        hosts, history = self._store.hosts.all(), self._store.history.read()
        for before in rolling:
            after = rollout_outcome.next_outcome(
                before, rollout, hosts, history, trouble
            )
            if after != before:
                self._outcomes.write(after, expected=before)
