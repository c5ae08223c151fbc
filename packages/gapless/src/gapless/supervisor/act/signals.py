"""Send signals to instances: to the leader, or to every process."""

from __future__ import annotations

import signal
from collections.abc import Collection

from gapless.base.kernel import cgroups
from gapless.supervisor.kernel import processes
from gapless.supervisor.memory.apps import AppRecord
from gapless.supervisor.memory.instances import InstanceRecord
from gapless.supervisor.observe.membership import Membership


def signal_leader(instance: InstanceRecord, number: int) -> bool:
    """Send a signal to the leader of an instance; return whether it was there."""
    if instance.pidfd < 0:
        return False
    try:
        signal.pidfd_send_signal(instance.pidfd, number)
    except ProcessLookupError:
        return False  # its exit has not been reported yet
    return True


def signal_leaders(
    app: AppRecord, number: int, ids: Collection[int] | None = None
) -> int:
    """Send a signal to the leader of every instance of an app; return to how many.

    With *ids* only to instances with these ids.
    """
    instances = [i for generation in app.generations for i in generation.instances]
    meant = [i for i in instances if ids is None or app.ids[i.ordinal] in ids]
    return sum(signal_leader(instance, number) for instance in meant)


def signal_members(
    membership: Membership, instance: InstanceRecord, number: int
) -> None:
    """Send a signal to every process of an instance."""
    for process in membership.members(instance, fresh=True).values():
        processes.signal_exactly(process, number)


def kill_members(membership: Membership, instance: InstanceRecord) -> None:
    """Kill every process of an instance, at once where it has a control group."""
    if not (instance.cgroup and cgroups.kill(instance.cgroup)):
        membership.signal_process_group(instance, signal.SIGKILL)
        signal_members(membership, instance, signal.SIGKILL)
