"""When a thread sleeps in recv(2), and with which mark it will go on."""

from __future__ import annotations

from gapless.keeper.duplicate import duplicate
from gapless.supervisor.relay import holders
from gapless.supervisor.relay.reader import Reader
from gapless.supervisor.relay.stopped import Stops
from rig import wait
from rig.relay.generations import exchange, old


def test_a_thread_that_is_stopped_in_its_call_does_not_sleep_there() -> None:
    """It begins the call anew, with a mark that was set meanwhile."""
    with old("threads") as it:
        assert exchange(it.clients[0]) == b"old"
        stops = Stops()
        for inode, held_by in holders.sockets_of([it.process.pid]).items():
            sock = holders.connection_of(duplicate(*held_by[0]))
            if sock is None:
                continue
            with sock:
                reader = Reader(sock, inode, stops)
                reader.holders = held_by
                wait.until(reader.sleeps, "it sleeps in recv")
                other = stops.stop(held_by, inode)  # for another connection
                assert not reader.sleeps()
                other.end()
                wait.until(reader.sleeps, "it sleeps there again")
