"""The records that the hosts of a fleet share about one app, in a coordinator.

rollout/APP          the rollout that hosts follow
hosts/APP/HOST       the report of each host
slots/APP/N          which host may change now
drains/APP           which hosts drain by hand
history/APP/N        how rollouts ended
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from gapless.base.errors import ConflictError, MisuseError, UnavailableError
from gapless.coordinator.decoding import MOST_VERSION
from gapless.coordinator.leases import Clock, Slots
from gapless.coordinator.model import ABSENT, Coordinator, Entry, versions
from gapless.rollout import decide, records
from gapless.rollout.drain_rights import DrainRights
from gapless.rollout.history import History
from gapless.rollout.host_reports import HostReports
from gapless.rollout.liveness import Liveness
from gapless.rollout.model import Action, Rollout, State
from gapless.rollout.record_reader import Complain, RecordReader
from gapless.rollout.status import has_failed

TRIES = 20


class FleetStore:
    """Reads and writes the records of one app.  Methods raise UnavailableError."""

    def __init__(
        self, coordinator: Coordinator, app: str, *, now: Clock, complain: Complain
    ) -> None:
        """*complain* is called once for each record that cannot be trusted."""
        self.app, self._now, self._coordinator = app, now, coordinator
        self._agent_id = secrets.token_hex(4)
        self._reader, self._liveness = RecordReader(complain), Liveness(now)
        self.hosts = HostReports(
            coordinator, app, self._agent_id, self._reader, self._liveness
        )
        self.drain_rights = DrainRights(coordinator, app)
        self.history = History(coordinator, app, self._reader)
        self._seen_rollouts: dict[str, int] = {}
        """The versions of all rollouts, as `wait` found them last."""
        self._waited_for: tuple[Entry | None] | None = None
        """The rollout as `wait` found it, until it is read."""

    # --- the rollout ------------------------------------------------------------------

    def rollout(self) -> tuple[Rollout | None, int]:
        """Return the current rollout, and the version of its record."""
        entry = self._coordinator.read(f"rollout/{self.app}")
        self._liveness.note_answer()
        return self._decoded(entry)

    def rollout_after_wait(self) -> tuple[Rollout | None, int]:
        """Return the rollout as the last `wait` found it; a second call reads it."""
        found, self._waited_for = self._waited_for, None
        return self.rollout() if found is None else self._decoded(found[0])

    def _decoded(self, entry: Entry | None) -> tuple[Rollout | None, int]:
        if entry is None:
            return None, ABSENT
        key = f"rollout/{self.app}"
        decode_rollout = partial(records.decode_rollout, app=self.app)
        found = self._reader.read(key, entry, decode_rollout)
        return found, entry.version

    def write_rollout(self, rollout: Rollout, *, expected: int) -> None:
        """Write the record of the rollout, if hosts will follow it.

        Raises ConflictError, MisuseError.
        """
        content = records.encode_rollout(rollout)
        try:
            records.decode_rollout(content, self.app)
        except ValueError as error:
            raise MisuseError(
                f"{self.app}: every host would ignore this rollout: {error}",
                hint="nothing was rolled out",
            ) from error
        self._coordinator.write(f"rollout/{self.app}", content, expected=expected)

    def begin(
        self, release: str, build: Callable[[int, str], Rollout], previous: str
    ) -> Rollout | None:
        """Write a new rollout, which supersedes the one before, under way or not.

        *build* gets its number and the release that hosts would go back to.  None: the one
        before has ended and has to be finalized first, or its hook would never run.  Raises
        ConflictError.
        """
        for _ in range(TRIES):
            before, version = self.rollout()
            if before is not None and decide.needs_finalizing(before):
                return None
            reports = self.hosts.all().values()
            number, back = decide.successor(before, release, previous, reports)
            archived = [int(each["number"]) for each in self.history.read()]
            highest = max(archived, default=0)
            number = max(number, highest + 1)
            if number > MOST_VERSION:
                raise UnavailableError(
                    f"{self.app}: no rollout can follow number {number - 1}",
                    hint=f"it was not written by gapless: remove rollout/{self.app} or "
                    f"the record in history/{self.app} that has it",
                )
            rollout = build(number, back)
            try:
                self.write_rollout(rollout, expected=version)
            except ConflictError:
                continue
            if before is not None and not decide.is_over(before):
                self.archive(before, decide.superseded_by(rollout.number))
            elif before is not None and before.number not in archived:
                # The agent that wrote its end died before it archived it.
                self.archive(before, before.state.value)
            return rollout
        raise ConflictError(f"{self.app}: other hosts write faster than this one")

    def apply(
        self, action: Action, reason: str, *, seen: Rollout | None = None
    ) -> Rollout | None:
        """Move the rollout on; None if its state does not allow the action.

        *seen* is the rollout for which the action was decided: nothing is done if another
        agent has moved it since.  Raises ConflictError.
        """
        for _ in range(TRIES):
            before, version = self.rollout()
            if before is None or (seen is not None and not _is_same(before, seen)):
                return None
            after = decide.transition(before, action, reason)
            if after is None:
                return None
            if after.state is State.ROLLING:
                after = replace(after, failure="")  # hosts that failed try again
            elif seen is not None and action in (Action.HOLD, Action.REVERT):
                after = self._with_failure(before, after)
            try:
                self.write_rollout(after, expected=version)
            except ConflictError:
                continue
            if decide.is_over(after):
                self.archive(after, after.state.value)
            return after
        raise ConflictError(f"{self.app}: other hosts write faster than this one")

    def _with_failure(self, before: Rollout, after: Rollout) -> Rollout:
        """Return what agents held or turned back; with why, if hosts failed at it."""
        reports = self.hosts.all().values()
        if before.state is State.ROLLING and any(
            has_failed(before, r) for r in reports
        ):
            return replace(after, failure=after.reason)
        return after

    def wait(self, timeout_s: float) -> bool:
        """Wait until a rollout changes, or for *timeout_s*.

        Return False if the coordinator cannot be asked.
        """
        try:
            found = self._coordinator.wait("rollout", self._seen_rollouts, timeout_s)
        except UnavailableError:
            return False
        self._liveness.note_answer(timeout_s)
        self._seen_rollouts = versions(found)
        self._waited_for = (found.get(f"rollout/{self.app}"),)
        return True

    def archive(self, rollout: Rollout, outcome: str) -> None:
        """Add a rollout that has ended to the history."""
        self.history.add(rollout, outcome, self.hosts.all().values())

    # --- hosts ------------------------------------------------------------------------

    def forget(self, host: str) -> bool:
        """Remove a host that will not come back; return whether it was known."""
        if not self.hosts.remove(host):
            return False
        self.drain_rights.give_back(host)
        return True

    def slots(self, host: str, ttl_s: float) -> Slots:
        """Return the slots of the app as a host sees them.

        The holder is this agent, not the host name: of two machines with the same name
        neither may act on the other's slot.
        """
        holder = f"{host} {self._agent_id}"
        return Slots(self._coordinator, f"slots/{self.app}", holder, ttl_s, self._now)

    def slot_holders(self, slots: Slots) -> str:
        """Return the hosts that hold slots, for people."""
        names = {
            holder.rpartition(" ")[0] or holder for holder in slots.holders().values()
        }
        return ", ".join(sorted(names))


def _is_same(one: Rollout, other: Rollout) -> bool:
    return (one.turn, one.state) == (other.turn, other.state)
