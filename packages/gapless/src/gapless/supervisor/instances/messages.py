"""Note what instances say of themselves in their records."""

from __future__ import annotations

from gapless.base import clock
from gapless.supervisor.instances import metrics
from gapless.supervisor.instances.heard import Heard
from gapless.supervisor.instances.notify import Notification
from gapless.supervisor.kernel import processes
from gapless.supervisor.memory.apps import AppRecord, Apps
from gapless.supervisor.memory.counts import Counts
from gapless.supervisor.memory.instances import InstanceRecord
from gapless.supervisor.observe import app_user
from gapless.supervisor.observe.membership import Membership


class Messages:
    """Finds the record of an instance, and notes what it says."""

    def __init__(self, apps: Apps, membership: Membership) -> None:
        self._apps, self._membership = apps, membership
        self.heard = Heard()

    def speaks(self, key: str, pid: int, uid: int) -> bool:
        """Return whether what a process notified is the word of an instance.

        It is by the instance's user or root.  A process that lives has to belong to the
        instance; one that has ended, as systemd-notify(1) has when its word is read, could
        reach the socket: that only the instance's user can.  A process outside of our pid
        namespace has no number.
        """
        found = self._apps.look(key)
        if found is None:
            return False
        _, generation, instance = found
        if uid == 0:
            return True
        try:
            own = app_user.uid_of(generation.spec.user)
        except LookupError:
            return False
        if uid != own:
            return False
        return _has_ended(pid) or self._membership.belongs(instance, pid)

    def belongs(self, key: str, pid: int) -> bool:
        """Return whether a process belongs to an instance."""
        found = self._apps.look(key)
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
        known = self._apps.look(key)
        if known is None:
            return
        self._hear(known[0], known[2], notification)
        if _is_known(known[2], notification):
            return
        found = self._apps.find(key)
        assert found is not None
        _, _, instance = found
        instance.notified_ready |= notification.ready
        if notification.status:
            instance.status_text = notification.status
        for content in notification.actions:
            metrics.take_action(instance.actions, content)

    def _hear(
        self, app: AppRecord, instance: InstanceRecord, notification: Notification
    ) -> None:
        """Note what no plan depends on: it costs no turn of the app."""
        for content in notification.metrics:
            metrics.take_metrics(instance.metrics, content)
        for line in notification.messages:
            identity = app.ids[instance.ordinal]
            self.heard.add(app.name, identity, instance.pid, line)


def _is_known(instance: InstanceRecord, notification: Notification) -> bool:
    """Return whether a notification is no news: it is not worth a turn of the app."""
    ready = instance.notified_ready or not notification.ready
    offered = dict(instance.actions)
    for content in notification.actions:
        metrics.take_action(offered, content)
    is_known = ready and notification.status in ("", instance.status_text)
    return is_known and offered == instance.actions


def _has_ended(pid: int) -> bool:
    found = processes.read(pid) if pid else None
    return found is None or found.state in ("Z", "X")
