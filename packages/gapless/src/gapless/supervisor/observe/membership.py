"""Which processes belong to an instance: all that came from it.

Where each instance has a control group, the group says it.  Else what can be seen does:
the leader's session, descendants by their parents, those that were seen before and have
the same start time, and, of processes that lost their parents, whose log they write to.
What a process says of itself, as in its environment, counts for nothing.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

from gapless.base import clock
from gapless.base.kernel import cgroups
from gapless.supervisor.kernel import controllers, processes
from gapless.supervisor.kernel.processes import Process, Table
from gapless.supervisor.memory.apps import AppRecord
from gapless.supervisor.memory.generations import GenerationRecord
from gapless.supervisor.memory.instances import InstanceRecord
from gapless.supervisor.observe.instance_groups import InstanceGroups

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
FRESH_S = 0.005
"""For so long a table of all processes is used again, or for twice its own time."""


class Membership:
    """Knows the keeper, to which processes come that lose their parent."""

    def __init__(self, groups: InstanceGroups) -> None:
        self.keeper_pid = self.guardian_pid = 0
        self.groups = groups
        self._table, self._table_until = Table({}), 0.0
        self._table_ticks = 0
        """When the table was begun, as processes count the time of their start."""
        self._seen: dict[str, dict[int, int]] = {}
        """The processes that an instance had when it was looked at, and their starts."""
        self._leaders: dict[str, int] = {}
        self._strays: dict[int, set[int]] = {}
        """Processes of the table that lost their parents, and the pipes they write to."""

    def meet(self, keeper: int, guardian: int) -> None:
        """Note which processes the keeper and its guardian are; 0 for none."""
        self.keeper_pid, self.guardian_pid = keeper, guardian
        self.groups.note_ours(keeper, guardian)

    def started(self, instance: InstanceRecord) -> None:
        """Note what tells the leader of an instance from every other process."""
        self._leaders[instance.key] = instance.pid
        leader = processes.read(instance.pid)
        if instance.leader_ticks or leader is None:
            return
        try:
            signal.pidfd_send_signal(instance.pidfd, 0)
        except ProcessLookupError:
            return  # its number may be another's by now; its group tells what it left
        if instance.background:  # it was followed after the last note of it
            self.follow(instance, leader)
            return
        instance.leader_ticks = leader.start_ticks
        if not instance.cgroup or leader.state == "Z":
            return
        if not self.groups.has(instance.cgroup, instance.pid):
            self.groups.remove(instance.cgroup)
            instance.cgroup = ""

    def members(
        self, instance: InstanceRecord, *, fresh: bool = False
    ) -> dict[int, Process]:
        """Return the living processes of an instance: now if *fresh*, else lately."""
        if instance.cgroup:
            found = processes.read_all(cgroups.pids(instance.cgroup))
        elif instance.pid:
            found = self._find(instance, self._all(fresh=fresh))
        else:
            found = {}
        return {pid: row for pid, row in found.items() if row.state != "Z"}

    def saw(self, instance: InstanceRecord, pid: int) -> None:
        """Note a process that waits in a system call under the filter of an instance."""
        found = None if instance.cgroup else processes.read(pid)
        if found is not None:
            self._seen.setdefault(instance.key, {})[pid] = found.start_ticks

    def left_behind(
        self, instance: InstanceRecord, sockets: set[int]
    ) -> dict[int, Process]:
        """Return the processes of an instance whose leader has ended, as they are now.

        Without groups, of those that have left all that tells whose they are, the one is
        its that holds one of the *sockets* of its generation and is nobody's: instances of
        one generation are alike.
        """
        found = self.members(instance, fresh=True)
        if instance.cgroup or processes.socket_inodes(found) & sockets:
            return found
        table = self._all(fresh=False)
        known = {
            pid
            for seen in self._seen.values()
            for pid, ticks in seen.items()
            if table.is_it(pid, ticks)
        }
        unclaimed = sorted(
            (table.rows[pid].start_ticks, pid)
            for pid in self._strays
            if pid not in known and processes.socket_inodes((pid,)) & sockets
        )
        for ticks, pid in unclaimed[:1]:
            self._seen[instance.key][pid] = ticks
            found = self.members(instance)
        return found

    def follow(self, instance: InstanceRecord, leader: Process) -> None:
        """Let another process be the leader of an instance."""
        session = leader.session if leader.session != leader.pid else 0
        first = processes.read(session) if session else None
        instance.session = session
        instance.session_ticks = first.start_ticks if first else 0
        if session == instance.pid:
            instance.session_ticks = instance.leader_ticks
        instance.pid, instance.leader_ticks = leader.pid, leader.start_ticks
        instance.background = True
        self._leaders[instance.key] = leader.pid

    def count(self, generation: GenerationRecord, instance: InstanceRecord) -> int:
        """Return how many processes have to end before an instance has ended."""
        if not (instance.leader_alive or generation.spec.stop.tree):
            return 0  # what it started may live on
        if instance.cgroup:
            # Not by looking at one after the other: a chain that forks is never seen.
            populated = cgroups.is_populated(instance.cgroup)
            return max(1, len(cgroups.pids(instance.cgroup))) if populated else 0
        # An end is believed only if no process is there now, nor in its process group:
        # the kernel knows also of those that come and go while a table is read.
        found = self.members(instance) or self.members(instance, fresh=True)
        return len(found) or self.signal_process_group(instance, 0)

    def signal_process_group(self, instance: InstanceRecord, number: int) -> bool:
        """Signal what is in the process group of its session; return if any was.

        No process of it can slip away by a fork meanwhile.
        """
        group, ticks = _session(instance)
        now = processes.read(group)
        if not instance.leader_ticks or (now and now.start_ticks != ticks):
            # The number may be another's, and then no group of ours has it.
            return False
        try:
            os.killpg(group, number)
        except ProcessLookupError:
            return False
        except PermissionError:
            return number == 0
        return True

    def memory_events(self, instance: InstanceRecord) -> controllers.MemoryEvents:
        """Return what the kernel did to an instance for want of memory."""
        if not instance.cgroup:
            return controllers.MemoryEvents()
        return controllers.memory_events(instance.cgroup)

    def belongs(self, instance: InstanceRecord, pid: int) -> bool:
        """Return whether a living process belongs to an instance."""
        if instance.cgroup:
            return self.groups.has(instance.cgroup, pid)
        if pid in self.members(instance):
            return True
        if self._is_known(pid):
            return False  # any process may ask; a fresh table costs a reading of all
        return pid in self.members(instance, fresh=True)

    def sockets(
        self, app: AppRecord
    ) -> Iterator[tuple[InstanceRecord, frozenset[int]]]:
        """Yield every instance of an app with the inodes of its sockets."""
        for generation in app.generations:
            for instance in generation.instances:
                yield instance, processes.socket_inodes(self.members(instance))

    def socket_inodes(self, app: AppRecord) -> frozenset[int]:
        """Return the inodes of all sockets that the processes of an app hold now."""
        return frozenset(
            inode
            for generation in app.generations
            for instance in generation.instances
            for inode in self.sockets_held(instance)
        )

    def sockets_held(self, instance: InstanceRecord) -> frozenset[int]:
        """Return the inodes of all sockets that the processes of an instance hold now."""
        members = self.members(instance, fresh=True)
        return frozenset(processes.socket_inodes(members))

    def forget(self, instance: InstanceRecord) -> None:
        """Drop what was remembered of an instance that is gone, and its group."""
        self._seen.pop(instance.key, None)
        self._leaders.pop(instance.key, None)
        if instance.cgroup:
            self.groups.remove(instance.cgroup)

    # --- without groups ---------------------------------------------------------------

    def _all(self, *, fresh: bool) -> Table:
        began = clock.monotonic()
        if fresh or began >= self._table_until:
            self._table_ticks = int(clock.boottime() * _TICKS_PER_S)
            self._table = processes.snapshot()
            strays = set(self._table.children(self.keeper_pid))
            if self.guardian_pid:  # of which a keeper before was the parent
                strays.update(self._table.children(self.guardian_pid))
            strays -= {*self._leaders.values(), self.keeper_pid, self.guardian_pid}
            self._strays = {pid: processes.pipe_inodes(pid) for pid in strays}
            took_s = clock.monotonic() - began
            self._table_until = began + max(FRESH_S, 3 * took_s)
        return self._table

    def _is_known(self, pid: int) -> bool:
        """Return whether the table has a process, and so all from which it came.

        Those are older, and whatever was there before the table was begun is in it.
        """
        found = processes.read(pid)
        return (
            found is not None
            and found.start_ticks < self._table_ticks
            and self._table.is_it(pid, found.start_ticks)
        )

    def _find(self, instance: InstanceRecord, table: Table) -> dict[int, Process]:
        """Return an instance's processes in a table."""
        seen = self._seen.setdefault(instance.key, {})
        leader = instance.pid if instance.leader_alive else 0
        session, ticks = _session(instance)
        now = table.rows.get(session)
        if now and instance.leader_ticks and now.start_ticks != ticks:
            # Another process has its number: no session has it now.
            session = 0
        now = table.rows.get(leader)
        if now and instance.leader_ticks and now.start_ticks != instance.leader_ticks:
            leader = 0
        starts = {
            leader,
            *(pid for pid, ticks in seen.items() if table.is_it(pid, ticks)),
        }
        starts |= {pid for pid, pipes in self._strays.items() if pipes & instance.pipes}
        found = table.tree(starts, session=session)
        self._seen[instance.key] = {pid: table.rows[pid].start_ticks for pid in found}
        return {pid: table.rows[pid] for pid in found}


def _session(instance: InstanceRecord) -> tuple[int, int]:
    """Return the session of an instance, and when the process started that began it."""
    if instance.session:
        return instance.session, instance.session_ticks
    return instance.pid, instance.leader_ticks
