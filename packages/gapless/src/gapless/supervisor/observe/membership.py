"""Which processes belong to an instance."""

from __future__ import annotations

from collections.abc import Iterator

from gapless.supervisor.kernel import processes
from gapless.supervisor.memory.apps import AppRecord
from gapless.supervisor.memory.generations import GenerationRecord
from gapless.supervisor.memory.instances import InstanceRecord

VARIABLE = "GAPLESS_INSTANCE"
Table = dict[int, processes.Process]


class Membership:
    """Knows the keeper, to which processes come that lose their parent."""

    def __init__(self) -> None:
        self.keeper_pid = 0

    def members(self, table: Table, instance: InstanceRecord) -> tuple[int, ...]:
        """Return the living processes of an instance: its leader's tree and its orphans.

        The number of a leader that has ended is not followed: another process may have
        it.  A process that left the tree and its session became a child of the keeper,
        and its environment names its instance.
        """
        leader = instance.pid if instance.leader_alive else 0
        found = set(processes.tree(table, leader, session=instance.pid))
        for pid, process in table.items():
            stray = process.parent == self.keeper_pid and pid not in found
            if stray and processes.belongs(pid, VARIABLE, instance.key):
                found |= set(processes.tree(table, pid, session=0))
        return tuple(sorted(pid for pid in found if table[pid].state != "Z"))

    def count(
        self, table: Table, generation: GenerationRecord, instance: InstanceRecord
    ) -> int:
        """Return how many processes have to end before an instance has ended."""
        if not (instance.leader_alive or generation.spec.stop.tree):
            return 0  # what it started may live on
        return len(self.members(table, instance))

    def sockets(
        self, app: AppRecord
    ) -> Iterator[tuple[InstanceRecord, frozenset[int]]]:
        """Yield every instance of an app with the inodes of its sockets."""
        table = processes.snapshot()
        for generation in app.generations:
            for instance in generation.instances:
                yield instance, processes.socket_inodes(self.members(table, instance))
