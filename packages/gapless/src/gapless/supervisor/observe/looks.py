"""The looks at the connections of instances, each compared with the one before."""

from __future__ import annotations

from collections.abc import Iterable

from gapless.base import clock
from gapless.supervisor.kernel.connections import Connection
from gapless.supervisor.memory.instances import InstanceRecord
from gapless.supervisor.observe import progress
from gapless.supervisor.observe.progress import Progress

Place = tuple[str, int]
Pair = tuple[Place, Place]


class Looks:
    """Remembers, by instance, what earlier looks at its connections showed."""

    def __init__(self) -> None:
        self._progress: dict[str, dict[Pair, Progress]] = {}

    def take(self, instance: InstanceRecord, own: Iterable[Connection]) -> None:
        """Compare the connections of an instance with what the last look showed."""
        now = clock.monotonic()
        before = self._progress.get(instance.key, {})
        after = self._progress[instance.key] = {}
        for connection in own:
            pair = connection.local, connection.remote
            found = before.get(pair)
            if found is None:
                found = Progress.begin(connection, now)
            else:
                found.look(connection, now)
            after[pair] = found
            instance.moved_at = max(instance.moved_at, found.moved_at)

    def may_have_connections(self, key: str) -> bool:
        """Return whether an instance had connections, or was not looked at yet."""
        return bool(self._progress.get(key, True))

    def forget(self, instances: Iterable[InstanceRecord]) -> None:
        """Drop what was seen: it says nothing of another time."""
        for instance in instances:
            self._progress.pop(instance.key, None)

    def forget_generation(self, app: str, number: int) -> None:
        """Drop what was seen of every instance that a generation had."""
        for key in [*self._progress]:
            if key.startswith(f"{app}/{number}/"):
                del self._progress[key]

    # --- what they tell ---------------------------------------------------------------

    def under_way(
        self, key: str, own: Iterable[Connection], *, patient: bool = True
    ) -> int:
        """Return on how many connections an answer is owed, or may not be over."""
        known = self._progress.get(key, {})
        return sum(
            progress.is_under_way(
                each, known.get((each.local, each.remote)), patient=patient
            )
            for each in own
        )

    def note_ends(self, instance: InstanceRecord, own: Iterable[Connection]) -> None:
        """Note how the connections of an instance would end if it ended now."""
        known = self._progress.get(instance.key, {})
        instance.moving = instance.unknown = 0
        for each in own:
            if progress.is_moving(each, known.get((each.local, each.remote))):
                instance.moving += 1
            elif progress.is_unknown(each):
                instance.unknown += 1
