"""Note what instances say of themselves in their records."""

from __future__ import annotations

from gapless.base import clock
from gapless.supervisor.instances.notify import Notification
from gapless.supervisor.memory.apps import Apps
from gapless.supervisor.memory.counts import Counts
from gapless.supervisor.observe.membership import Membership


class Messages:
    """Finds the record of an instance, and notes what it says."""

    def __init__(self, apps: Apps, membership: Membership) -> None:
        self._apps, self._membership = apps, membership

    def belongs(self, key: str, pid: int) -> bool:
        """Return whether a process belongs to an instance."""
        found = self._apps.find(key)
        if found is None:
            return False
        return self._membership.belongs(found[2], pid)

    def counted(self, key: str, total: Counts | None, ready: bool) -> None:
        """Note what the processes of an instance count, and that one is ready."""
        found = self._apps.find(key)
        if found is not None:
            found[2].take_counts(total, clock.monotonic())
            found[2].notified_ready |= ready

    def notified(self, key: str, notification: Notification) -> None:
        """Note what an instance notified."""
        found = self._apps.find(key)
        if found is None:
            return
        _, _, instance = found
        instance.notified_ready |= notification.ready
        if notification.status:
            instance.status_text = notification.status
