"""The connections of instances to Unix-domain paths, as far as the kernel tells.

It tells who holds them and what waits to be read; not when bytes last went.  So an instance
that does not count itself owes something on each that is open, until its time is over, and
what is open when it ends is *unknown*, but for those on which bytes wait.
"""

from __future__ import annotations

from gapless.supervisor.kernel.dumps import Dumps
from gapless.supervisor.kernel.unix_diag import UnixConnection
from gapless.supervisor.memory.apps import AppRecord
from gapless.supervisor.memory.instances import InstanceRecord
from gapless.supervisor.sockets.listeners import Listeners


class PathConnections:
    """Finds the connections of an app by the names of its sockets."""

    def __init__(self, listeners: Listeners, dumps: Dumps) -> None:
        self._listeners, self._dumps = listeners, dumps

    def of(self, app: AppRecord) -> tuple[UnixConnection, ...] | None:
        """Return the connections to the paths of an app; None if they cannot be seen."""
        own = self._listeners.of_app(app.name)
        names = {each.sock.getsockname() for each in own if each.place is not None}
        if not names:
            return ()
        found = self._dumps.on_paths()
        if found is None:
            return None
        return tuple(each for each in found if each.name in names)


def note(instance: InstanceRecord, held: list[UnixConnection]) -> None:
    """Note what an instance may owe on its connections to paths, besides others."""
    moving = sum(each.is_moving for each in held)
    instance.busy += moving if instance.counts is not None else len(held)
    instance.moving += moving
    instance.unknown += len(held) - moving
