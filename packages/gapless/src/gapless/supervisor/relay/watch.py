"""Wait for bytes whose arrival the kernel tells nobody: that is what a mark does.

It is done for the connections that have the relay's attention: each of their requests waits
until it is seen.
"""

from __future__ import annotations

import select
import selectors
from collections.abc import Sequence

from gapless.base import clock
from gapless.supervisor.relay.connection import Connection

LOOK_S, LOOK_EACH_S = 0.0002, 0.000025
"""How often it is looked: more seldom if they are many."""


def wait_for_bytes(
    selector: selectors.EpollSelector, watched: Sequence[Connection], pause_s: float
) -> float:
    """Wait until bytes come, or something else is ready, or a pause is over.

    Returns how much of the pause is left to wait: all of it if nobody is watched.
    """
    if not watched:
        return pause_s
    look_s = max(LOOK_S, LOOK_EACH_S * len(watched))
    until = clock.monotonic() + pause_s
    while (left_s := until - clock.monotonic()) > 0:
        # epoll_wait(2) counts in milliseconds.
        ready, _, _ = select.select([selector.fileno()], [], [], min(look_s, left_s))
        if ready or _has_changed(watched):
            break
    return 0.0


def _has_changed(watched: Sequence[Connection]) -> bool:
    """Return whether a round has something to do; it meets errors by itself."""
    try:
        return any(each.has_changed() for each in watched)
    except OSError:
        return True
