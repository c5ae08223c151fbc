"""Be the relay of one supervisor: a process that ends with its last connection.

It decides about connections alone.  Which generations are to end, and when, is the
supervisor's to say; a supervisor that dies is followed by one that says it again.
"""

from __future__ import annotations

import contextlib
import functools
import os
import select
import selectors
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import replace

from gapless.base import clock, codec, descriptors, wakeup, wire
from gapless.base.outside import faults
from gapless.keeper import process_title
from gapless.supervisor.relay.connection import Connection
from gapless.supervisor.relay.messages import Aim, Drop, Ending, Got, Status
from gapless.supervisor.relay.sockets import PORTS_BY_SOURCE
from gapless.supervisor.relay.takeover import Takeover

TICK_S = 0.001
"""How often connections are looked at: their marks keep us from being woken, too."""
LOOK_S, LOOK_EACH_S = 0.0002, 0.000025
"""How often it is looked whether bytes have come on those that have the relay's attention:
each of their requests waits until it is seen.  More seldom if they are many."""
BUSY_SHARE = 1.0
"""A round is followed by a pause of at least this part of its own time."""
QUIET_TICK_S = 0.05
STATUS_S = 0.02
FIRST_S, IDLE_S = 15.0, 2.0
"""How long it waits for its first task, and for more when nothing is left to do."""


Place = tuple[str, int, str]
"""The app, the generation, and the instance if it is one alone."""


class Relay:
    """All takeovers of one supervisor."""

    def __init__(self, line: socket.socket) -> None:
        self._selector = selectors.EpollSelector()
        self._channel = wire.Channel(line)
        self._selector.register(line, selectors.EVENT_READ, self._receive)
        self._takeovers: dict[Place, Takeover] = {}
        self._sent: dict[Place, Status] = {}
        self._status_at = 0.0
        self._orphaned = False
        """Nobody holds the other end any more."""
        self._idle_since: float | None = None
        self._idle_s = FIRST_S

    def run(self) -> None:
        """Run until nothing is left to do."""
        began = clock.monotonic()
        while not self._is_over(began):
            took_s = clock.monotonic() - began
            self._wait(self._pause_s(took_s))
            began = clock.monotonic()
            self._round(began)
            self._report(began)
            descriptors.refill()

    def _round(self, now: float) -> None:
        for takeover in list(self._takeovers.values()):
            try:
                takeover.round(now)
            except Exception as error:  # noqa: BLE001 - one fault hurts one app
                self._failed(error)

    def _is_over(self, now: float) -> bool:
        if self._takeovers:
            self._idle_since, self._idle_s = None, IDLE_S
            return False
        if self._idle_since is None:
            self._idle_since = now
        return self._orphaned or now >= self._idle_since + self._idle_s

    def _pause_s(self, took_s: float) -> float:
        if not self._takeovers:
            return IDLE_S / 4
        if all(each.is_quiet() for each in self._takeovers.values()):
            return QUIET_TICK_S
        now = clock.monotonic()
        if any(each.hurries(now) for each in self._takeovers.values()):
            return 0.0  # epoll_wait(2) would wait for a millisecond
        return max(TICK_S, BUSY_SHARE * took_s)

    def _wait(self, pause_s: float) -> None:
        """Wait for what the kernel tells, and for bytes on connections in focus."""
        if pause_s:
            now = clock.monotonic()
            watched = [c for t in self._takeovers.values() for c in t.in_focus(now)]
            pause_s = wait_for_bytes(self._selector, watched, pause_s)
        wakeup.call_ready(self._selector, pause_s, self._failed)

    def _failed(self, error: Exception) -> None:
        faults.write(f"gapless relay: {faults.traceback_of(error)}")

    # --- the supervisor ---------------------------------------------------------------

    def _receive(self) -> None:
        while not self._orphaned:
            try:
                message, received = self._channel.receive()
            except BlockingIOError:
                return
            except ValueError as error:
                self._failed(error)
                continue
            except (EOFError, ConnectionError):
                self._selector.unregister(self._channel.sock)
                self._orphaned = True
                for takeover in self._takeovers.values():
                    takeover.orphan()
                return
            try:
                self._take_in(message, received)
            except ValueError as error:
                self._failed(error)
            finally:
                for each in received:
                    os.close(each)

    def _take_in(self, message: wire.Message, received: list[int]) -> None:
        match message.get("op"):
            case "aim":
                aim = codec.decode(Aim, message, "aim")
                place = aim.app, aim.generation, aim.instance
                PORTS_BY_SOURCE.difference_update(aim.ports)
                PORTS_BY_SOURCE.update(aim.ports if aim.by_source else ())
                known = self._takeovers.get(place)
                if known is None:
                    known = self._takeovers[place] = Takeover(
                        self._selector,
                        aim,
                        self._send,
                        self._receive,
                        functools.partial(self._is_held, place),
                    )
                known.renew(aim)
                self._sent.pop(place, None)
            case "ending":
                ending = codec.decode(Ending, message, "ending")
                place = ending.app, ending.generation, ending.instance
                known = self._takeovers.get(place)
                if known is not None:
                    known.ending = True
                    if ending.ended:
                        known.forget()
            case "go-on":
                for each in self._takeovers.values():
                    each.renew(replace(each.aim, holds=False))
            case "drop":
                drop = codec.decode(Drop, message, "drop")
                for (app, _, instance), takeover in self._takeovers.items():
                    if app == drop.app and drop.instance in ("", instance):
                        takeover.drop()
                        if drop.instance:
                            takeover.forget()
            case "got":
                got = codec.decode(Got, message, "got")
                for each in self._takeovers.values():
                    if each.waits_for(got):
                        each.got(got, received)
            case other:
                raise ValueError(f"there is no op {str(other)[:80]}")

    def _is_held(self, place: Place, inode: int) -> bool:
        """Return whether another takeover than that of a place has a connection."""
        return any(
            inode in each.connections
            for other, each in self._takeovers.items()
            if other != place
        )

    def _send(self, kind: str, value: object) -> None:
        if self._orphaned:
            return
        with contextlib.suppress(ConnectionError):  # `_receive` hears of it
            self._channel.send({"event": kind, **codec.encode(value)})

    def _report(self, now: float) -> None:
        if now < self._status_at:
            return
        self._status_at = now + STATUS_S
        over = [p for p, takeover in self._takeovers.items() if takeover.is_over()]
        if not self._orphaned:
            self._send_statuses()
        for place in over:
            del self._takeovers[place]
            self._sent.pop(place, None)

    def _send_statuses(self) -> None:
        """Send what has changed; a supervisor that is busy, or away, hears of it later."""
        try:
            if not self._channel.flush():
                return
            for place, takeover in self._takeovers.items():
                status = takeover.status()
                if self._sent.get(place) != status:
                    self._send("status", status)
                    self._sent[place] = status
        except ConnectionError:
            return  # `_receive` hears of it


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


def main(arguments: list[str]) -> None:
    """Relay; the argument is the descriptor of the line to the supervisor."""
    descriptors.prepare()
    process_title.set_title("gapless relay")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    Relay(socket.socket(fileno=int(arguments[0]))).run()


if __name__ == "__main__":
    main(sys.argv[1:])
