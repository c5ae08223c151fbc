"""What a fleet knows in common about one app: the rollout, the hosts, the slots.

rollout/APP          the rollout that is wanted
hosts/APP/HOST       what each host says of itself
slots/APP/N          who may be changing now
drains/APP           who leaves service by hand
history/APP/N        how rollouts ended: that of rollout 57 takes the place of that of 7
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from gapless.base import clock
from gapless.base.errors import ConflictError, UnavailableError
from gapless.coordinator.leases import Clock, Slots
from gapless.coordinator.model import ABSENT, Coordinator, Entry, versions
from gapless.rollout import decide, records
from gapless.rollout.drain_rights import Rights
from gapless.rollout.model import Cue, HostReport, Rollout

TRIES = 20
KEPT_HISTORY = 50
BLIND_S = 1.0
"""A pause between two answers of the coordinator, beyond what was waited for news, in which
hosts could not be seen."""
Complain = Callable[[str], None]


class Board:
    """Reads and writes the records of one app.  Methods raise UnavailableError."""

    def __init__(
        self, coordinator: Coordinator, app: str, *, now: Clock, complain: Complain
    ) -> None:
        self.app, self._now = app, now
        self._coordinator, self._complain = coordinator, complain
        self._seen: dict[str, tuple[int, float]] = {}
        """By host: the version of its report, and when it was first seen."""
        self._answered_at, self._blind_s = now(), 0.0
        """When the coordinator answered last, and for how long it did not, in all."""
        self._named: dict[str, str] = {}
        """By key: what was said last of a record that cannot be trusted."""
        self._wanted: dict[str, int] = {}
        """The versions of all rollouts, as `wait` saw them last."""
        self._awaited: tuple[Entry | None] | None = None
        """The rollout as `wait` saw it, until somebody asks."""
        self._mark = secrets.token_hex(4)

    # --- the rollout ------------------------------------------------------------------

    def rollout(self) -> tuple[Rollout | None, int]:
        """Return the rollout that is wanted, and its version."""
        entry = self._coordinator.read(f"rollout/{self.app}")
        self._answered()
        return self.understood(entry)

    def awaited(self) -> tuple[Rollout | None, int]:
        """Return the rollout as `wait` has just seen it; the next time it is read."""
        awaited, self._awaited = self._awaited, None
        return self.rollout() if awaited is None else self.understood(awaited[0])

    def understood(self, entry: Entry | None) -> tuple[Rollout | None, int]:
        """Return the rollout of an entry; one that cannot be trusted is named."""
        if entry is None:
            return None, ABSENT
        found = self._trusted(f"rollout/{self.app}", entry, records.decode_rollout)
        return found, entry.version

    def write(self, rollout: Rollout, *, expected: int) -> None:
        """Write what is wanted.  Raises ConflictError."""
        self._coordinator.write(
            f"rollout/{self.app}", records.encode_rollout(rollout), expected=expected
        )

    def begin(
        self, release: str, build: Callable[[int, str], Rollout], previous: str
    ) -> Rollout | None:
        """Let a new rollout take the place of the one before, under way or not.

        *build* is given its number and where hosts would go back to.  None if the one
        before has ended, and nobody has seen to that: its hook would never run.
        """
        for _ in range(TRIES):
            before, version = self.rollout()
            if before is not None and decide.is_unsettled(before):
                return None
            number, back = decide.superseding(before, release, previous)
            kept = [int(each["number"]) for each in self.history()]
            highest = max(kept, default=0)
            rollout = build(max(number, highest + 1), back)
            try:
                self.write(rollout, expected=version)
            except ConflictError:
                continue
            if before is not None and not decide.is_over(before):
                self.keep(before, decide.superseded_by(rollout.number))
            elif before is not None and before.number not in kept:
                # Who wrote that it was over died before it was kept.
                self.keep(before, before.state.value)
            return rollout
        raise ConflictError(f"{self.app}: others write faster than we can")

    def cue(
        self, cue: Cue, reason: str, *, seen: Rollout | None = None
    ) -> Rollout | None:
        """Move the rollout on; None if the cue means nothing to it any more.

        With *seen*, what the cue was found by: nothing is done if others went on since.
        """
        for _ in range(TRIES):
            before, version = self.rollout()
            if before is None or (seen is not None and not _is_same(before, seen)):
                return None
            after = decide.moved(before, cue, reason)
            if after is None:
                return None
            try:
                self.write(after, expected=version)
            except ConflictError:
                continue
            if decide.is_over(after):
                self.keep(after, after.state.value)
            return after
        raise ConflictError(f"{self.app}: others write faster than we can")

    def wait(self, timeout_s: float) -> bool:
        """Return when what is wanted changed since the last call, or time is over.

        False if the coordinator cannot be asked.
        """
        try:
            found = self._coordinator.wait("rollout", self._wanted, timeout_s)
        except UnavailableError:
            return False
        self._answered(timeout_s)
        self._wanted = versions(found)
        self._awaited = (found.get(f"rollout/{self.app}"),)
        return True

    # --- hosts --------------------------------------------------------------------------

    def reports(self) -> dict[str, HostReport]:
        """Return what every host says, there or not."""
        return {report.host: report for report, _ in self._hosts()}

    def there(self, gone_s: float) -> list[HostReport]:
        """Return what those hosts say that spoke within *gone_s*, as far as was seen."""
        hosts = list(self._hosts())
        now = self._watched()
        return [report for report, since in hosts if now - since < gone_s]

    def report(self, report: HostReport, version: int) -> int:
        """Write what a host says of itself; return the version of its record.

        Raises ConflictError: another agent calls itself alike.
        """
        key = f"hosts/{self.app}/{report.host}"
        content = records.encode_host(replace(report, agent=self._mark))
        for _ in range(TRIES):
            try:
                return self._coordinator.write(key, content, expected=version).version
            except ConflictError:
                entry = self._coordinator.read(key)
                version = entry.version if entry else ABSENT
                found = entry and self._trusted(key, entry, records.decode_host)
                if found and found.agent != self._mark:
                    break
                # Otherwise it is our own: the answer to its write was lost.
        raise ConflictError(
            f"{self.app}: another agent calls itself {report.host}",
            hint="name them: gapless agent --host NAME",
        )

    def own(self, host: str) -> tuple[HostReport, int]:
        """Return what a host said last, before it was restarted perhaps."""
        key = f"hosts/{self.app}/{host}"
        entry = self._coordinator.read(key)
        if entry is None:
            return HostReport(host=host), ABSENT
        found = self._trusted(key, entry, records.decode_host)
        return found or HostReport(host=host), entry.version

    def forget(self, host: str) -> bool:
        """Remove a host that will not come back; tell whether it was known."""
        entry = self._coordinator.read(f"hosts/{self.app}/{host}")
        if entry is None:
            return False
        self._coordinator.remove(f"hosts/{self.app}/{host}", expected=entry.version)
        self.rights().give_back(host)
        return True

    def slots(self, host: str, ttl_s: float) -> Slots:
        """Return the slots of the app as a host sees them.

        The holder is this board, not the host's name: of two machines that were given the
        same name by mistake neither may act on the other's slot.
        """
        holder = f"{host} {self._mark}"
        return Slots(self._coordinator, f"slots/{self.app}", holder, ttl_s, self._now)

    def at_work(self, slots: Slots) -> str:
        """Return the hosts that hold slots, for people."""
        names = {holder.partition(" ")[0] for holder in slots.holders().values()}
        return ", ".join(sorted(names))

    def rights(self) -> Rights:
        """Return who leaves service by hand."""
        return Rights(self._coordinator, self.app)

    def _hosts(self) -> Iterator[tuple[HostReport, float]]:
        """Yield each report, and since when it has been as it is."""
        found = self._coordinator.read_all(f"hosts/{self.app}")
        self._answered()
        for key, entry in found.items():
            seen = self._seen.get(key)
            if seen is None or seen[0] != entry.version:
                seen = self._seen[key] = (entry.version, self._watched())
            report = self._trusted(key, entry, records.decode_host)
            if report is not None and key.endswith(f"/{report.host}"):
                yield report, seen[1]

    def _answered(self, waited_s: float = 0.0) -> None:
        """Note that the coordinator answered, after it was waited for so long."""
        now = self._now()
        unseen_s = now - self._answered_at - waited_s
        if unseen_s > BLIND_S:
            self._blind_s += unseen_s
        self._answered_at = now

    def _watched(self) -> float:
        """Return the time on a clock that stands still while nobody can be seen.

        When a coordinator is back that was away, every host looks as if it had been silent.
        """
        return self._now() - self._blind_s

    # --- history ------------------------------------------------------------------------

    def keep(self, rollout: Rollout, outcome: str) -> None:
        """Keep how a rollout ended, once."""
        hosts = {
            report.host: {
                "release": report.release,
                "phase": report.phase.value,
                "reason": report.reason,
            }
            for report in self.reports().values()
            if report.turn[0] == rollout.number
        }
        failed = {n: h for n, h in hosts.items() if h["phase"] == "failed"}
        value = {
            "number": rollout.number,
            "release": rollout.release,
            "previous": rollout.previous,
            "by": rollout.by,
            "began_at": rollout.began_at,
            "ended_at": clock.stamp(clock.wall()),
            "outcome": outcome,
            "reason": rollout.reason,
            "changed": len(hosts),
            # A record has its limit; of many hosts those that failed are told.
            "hosts": hosts if len(hosts) <= 200 else dict(list(failed.items())[:200]),
        }
        key = f"history/{self.app}/{rollout.number % KEPT_HISTORY}"
        entry = self._coordinator.read(key)
        there = entry and self._trusted(key, entry, _past)
        if there and int(there["number"]) > rollout.number:
            return  # that is long ago
        expected = entry.version if entry else ABSENT
        with contextlib.suppress(ConflictError):  # somebody else kept it in this moment
            self._coordinator.write(
                key, records.encode("history", value), expected=expected
            )

    def history(self) -> list[dict[str, Any]]:
        """Return how rollouts ended, oldest first."""
        found = []
        for key, entry in self._coordinator.read_all(f"history/{self.app}").items():
            value = self._trusted(key, entry, _past)
            if value is not None:
                found.append(value)
        return sorted(found, key=lambda each: int(each["number"]))[-KEPT_HISTORY:]

    def _trusted(self, key: str, entry: Entry, read: Callable[[bytes], Any]) -> Any:
        """Return a record, or None: what cannot be trusted is named, once."""
        try:
            return read(entry.value)
        except ValueError as error:
            if self._named.get(key) != str(error):
                self._named[key] = str(error)
                self._complain(f"{key} is ignored: {error}")
            return None


def _past(content: bytes) -> dict[str, Any]:
    """Return how a rollout ended.  Raises ValueError."""
    return records.decode("history", content)


def _is_same(one: Rollout, other: Rollout) -> bool:
    return (one.turn, one.state) == (other.turn, other.state)
