"""Put a path back that is removed from under its socket.

A program does that whose `unlink` does not wait for an answer: who started it did not know
that it serves on a path.
"""

from __future__ import annotations

import selectors

from gapless.supervisor.sockets.listeners import Listeners
from gapless.supervisor.sockets.unix.name_watch import NameWatch


def watch_paths(selector: selectors.BaseSelector, listeners: Listeners) -> None:
    """Watch over the paths of the sockets that are there, and of those that come."""
    watch = NameWatch(selector, lambda path: listeners.groups.restore(f"unix:{path}"))
    listeners.placed = watch.add
    for listener in listeners.by_name.values():
        if listener.place is not None:
            watch.add(listener.place)
