"""The connection to the supervisor, and the thread that owns it (spec/drain.md).

The thread does everything that may wait: it connects, receives orders, sends counts, and
forwards a signal when everything is finished.  Other threads only wake it.  To wake it is
one call that never waits, and a signal handler may make it.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from gapless_drain.line_socket import LONGEST_LINE_BYTES, LineSocket, connect

RETRY_S = 1.0
THREAD_NAME = "gapless-drain"


class SupervisorConnection:
    """Connects one process to its supervisor, and again whenever the connection breaks."""

    def __init__(
        self,
        environ: Mapping[str, str],
        library: str,
        *,
        take_order: Callable[[str], bool],
        counts: Callable[[], dict[str, Any]],
        scope: Callable[[], str],
        before_wait: Callable[[], float | None],
    ) -> None:
        """Start the thread, which calls the functions.

        *take_order* returns whether the counts are to be sent; *scope* what is counted
        only, empty for all that the process owes; *before_wait* is called each time before
        the thread waits, and returns for how many seconds at most.
        """
        has_unix_sockets = hasattr(socket, "AF_UNIX")  # not on Windows
        self._address = environ.get("GAPLESS_SOCKET", "") if has_unix_sockets else ""
        self._instance = environ.get("GAPLESS_INSTANCE", "")
        self._library = library
        self._take_order, self._counts, self._scope = take_order, counts, scope
        self._said_scope = ""
        """As the connection that there is has said."""
        self._before_wait = before_wait
        self._lines: LineSocket | None = None
        self._counts_changed = False
        self._counts_due = self._ready_due = False
        """What is to be sent as soon as the supervisor reads."""
        self._closing = False
        self._retry_at = 0.0
        self._wake_receiver, self._wake_sender = socket.socketpair()
        self._wake_receiver.setblocking(False)
        self._wake_sender.setblocking(False)
        self._thread = threading.Thread(target=self._run, name=THREAD_NAME, daemon=True)
        self._thread.start()

    # --- called by other threads ----------------------------------------------------

    def send_counts(self) -> None:
        """Let the thread send the counts; several changes at once are sent once."""
        if not self._counts_changed:
            self._counts_changed = True
            self.wake()

    def send_ready(self) -> None:
        """Let the thread send that the app is ready."""
        self._ready_due = True
        self.wake()

    def wake(self) -> None:
        """End the wait of the thread."""
        # If the socket is full, the wait ends anyway.
        with contextlib.suppress(OSError):
            self._wake_sender.send(b".")

    def close(self) -> None:
        """Send the counts a last time, disconnect, and end the thread."""
        self._closing = True
        self.wake()
        self._thread.join(5)

    def close_inherited(self) -> None:
        """In a forked child: close the sockets of the parent; it has no such thread."""
        if self._lines is not None:
            self._lines.sock.close()
        self._wake_receiver.close()
        self._wake_sender.close()

    # --- the thread -----------------------------------------------------------------

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._wake_receiver, selectors.EVENT_READ)
            while not self._closing:
                self._connect(selector)
                self._say_scope(selector)
                if self._counts_changed:
                    # Reset first: a change during `before_wait` must wake the thread again.
                    self._counts_changed, self._counts_due = False, True
                wait_s = self._before_wait()
                self._send_due()
                self._choose_events(selector)
                for key, events in selector.select(self._wait_s(wait_s)):
                    if key.fileobj is self._wake_receiver:
                        self._empty_wake_receiver()
                    elif events & selectors.EVENT_READ:
                        self._receive(selector)
            # Always: what finishes while the process serves sends no counts by itself.
            self._counts_due = True
            self._send_due()
            self._disconnect(selector)
        self._wake_receiver.close()
        self._wake_sender.close()

    def _wait_s(self, wait_s: float | None) -> float | None:
        waits = [] if wait_s is None else [wait_s]
        if self._address and self._lines is None:
            waits.append(self._retry_at - time.monotonic())
        return max(0.0, min(waits)) if waits else None

    def _empty_wake_receiver(self) -> None:
        with contextlib.suppress(OSError):
            self._wake_receiver.recv(4096)

    def _connect(self, selector: selectors.BaseSelector) -> None:
        if not self._address or self._lines is not None:
            return
        now = time.monotonic()
        if now < self._retry_at:
            return
        # Also for a connection that breaks: the next attempt is at once if it lasted this
        # long, and never sooner.
        self._retry_at = now + RETRY_S
        self._lines = connect(self._address)
        if self._lines is None:
            return
        selector.register(self._lines.sock, selectors.EVENT_READ)
        hello = {"hello": 1, "instance": self._instance, "pid": os.getpid()}
        self._said_scope = self._scope()
        scope = {"scope": self._said_scope} if self._said_scope else {}
        self._lines.queue({**hello, "library": self._library, **scope})
        self._counts_due = True

    def _say_scope(self, selector: selectors.BaseSelector) -> None:
        """Connect anew if another scope counts now: a connection has one hello."""
        lines = self._lines
        if lines is None or lines.unsent_bytes or self._said_scope == self._scope():
            return
        self._disconnect(selector)
        self._retry_at = 0.0
        self._connect(selector)

    def _send_due(self) -> None:
        """Send what is due; it stays due while the supervisor does not read."""
        lines = self._lines
        if lines is None:
            return
        if self._ready_due and not lines.unsent_bytes:
            self._ready_due = False
            lines.queue({"ready": True})
        if self._counts_due and lines.unsent_bytes < LONGEST_LINE_BYTES:
            self._counts_due = False
            lines.queue(self._counts())
        lines.send()

    def _choose_events(self, selector: selectors.BaseSelector) -> None:
        if self._lines is not None:
            events = selectors.EVENT_READ
            if self._lines.unsent_bytes:
                events |= selectors.EVENT_WRITE
            selector.modify(self._lines.sock, events)

    def _receive(self, selector: selectors.BaseSelector) -> None:
        assert self._lines is not None
        orders, is_over = self._lines.receive()
        for order in orders:
            if self._take_order(order):
                self._counts_due = True
        if is_over:
            self._disconnect(selector)

    def _disconnect(self, selector: selectors.BaseSelector) -> None:
        if self._lines is not None:
            selector.unregister(self._lines.sock)
            self._lines.sock.close()
            self._lines = None
