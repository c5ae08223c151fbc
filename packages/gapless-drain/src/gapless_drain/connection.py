"""The line to the supervisor, and the thread that owns it (spec/drain.md).

The thread does all that may wait: it connects, hears orders, tells counts, and passes on
signals when everything is finished.  Others only wake it, which is one call that never
waits, and can be made from a signal handler.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import socket
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

RETRY_S = 1.0
LONGEST_LINE_BYTES = 65536
NAME = "gapless-drain"


class Line:
    """Connects one process to its supervisor."""

    def __init__(
        self,
        environ: Mapping[str, str],
        library: str,
        *,
        ordered: Callable[[str], bool],
        counts: Callable[[], dict[str, Any]],
        turn: Callable[[], float | None],
    ) -> None:
        """Know whom to call.

        *ordered* does an order and tells whether to tell counts; *turn* is called in
        each turn of the loop, and returns how many seconds it may sleep at most.
        """
        known = hasattr(socket, "AF_UNIX")  # not on Windows
        self._address = environ.get("GAPLESS_SOCKET", "") if known else ""
        self._instance = environ.get("GAPLESS_INSTANCE", "")
        self._library = library
        self._ordered, self._counts, self._turn = ordered, counts, turn
        self._sock: socket.socket | None = None
        self._heard = b""
        self._unsent = b""
        self._changed = self._untold = self._ready = False
        self._closing = False
        self._retry_at = 0.0
        self._woken, self._wake = socket.socketpair()
        self._woken.setblocking(False)
        self._wake.setblocking(False)
        self._thread = threading.Thread(target=self._run, name=NAME, daemon=True)
        self._thread.start()

    # --- called by others -----------------------------------------------------------

    def changed(self) -> None:
        """Let the counts be told; several changes at once are told once."""
        if not self._changed:
            self._changed = True
            self.wake()

    def ready(self) -> None:
        """Let the supervisor know that the app is ready."""
        self._ready = True
        self.wake()

    def wake(self) -> None:
        """Let the thread take a turn."""
        # A full socket means that it is about to wake anyway.
        with contextlib.suppress(OSError):
            self._wake.send(b".")

    def close(self) -> None:
        """Tell the last counts, hang up, and end the thread."""
        self._closing = True
        self.wake()
        self._thread.join(5)

    def let_go(self) -> None:
        """Close what a forked child has of its parent's line; the thread is not in it."""
        for sock in (self._sock, self._woken, self._wake):
            if sock is not None:
                sock.close()

    # --- the thread -----------------------------------------------------------------

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._woken, selectors.EVENT_READ)
            while not self._closing:
                self._connect(selector)
                if self._changed:
                    # Before the turn: what changes during it must wake us again.
                    self._changed, self._untold = False, True
                sleep_s = self._turn()
                self._tell()
                self._watch(selector)
                for key, events in selector.select(self._sleep_s(sleep_s)):
                    if key.fileobj is self._woken:
                        self._drain_wakes()
                    elif events & selectors.EVENT_READ:
                        self._hear(selector)
            # Always: what finishes while the process serves changes no counts told before.
            self._untold = True
            self._tell()
            self._hang_up(selector)
        self._woken.close()
        self._wake.close()

    def _sleep_s(self, sleep_s: float | None) -> float | None:
        waits = [] if sleep_s is None else [sleep_s]
        if self._address and self._sock is None:
            waits.append(self._retry_at - time.monotonic())
        return max(0.0, min(waits)) if waits else None

    def _drain_wakes(self) -> None:
        with contextlib.suppress(OSError):
            self._woken.recv(4096)

    def _connect(self, selector: selectors.BaseSelector) -> None:
        if not self._address or self._sock is not None:
            return
        now = time.monotonic()
        if now < self._retry_at:
            return
        # Also after this line breaks: at once if it lived, but no faster than this.
        self._retry_at = now + RETRY_S
        sock = _call(self._address)
        if sock is None:
            return
        self._sock, self._heard, self._unsent = sock, b"", b""
        selector.register(sock, selectors.EVENT_READ)
        hello = {"hello": 1, "instance": self._instance, "pid": os.getpid()}
        self._say({**hello, "library": self._library})
        self._untold = True

    def _say(self, message: dict[str, Any]) -> None:
        self._unsent += json.dumps(message).encode() + b"\n"

    def _tell(self) -> None:
        """Send what there is to say; what the supervisor does not read waits here."""
        if self._sock is None:
            return
        if self._ready and not self._unsent:
            self._ready = False
            self._say({"ready": True})
        if self._untold and len(self._unsent) < LONGEST_LINE_BYTES:
            self._untold = False
            self._say(self._counts())
        try:
            while self._unsent:
                self._unsent = self._unsent[self._sock.send(self._unsent) :]
        except OSError:
            return  # full, or broken: its end is met when it is read

    def _watch(self, selector: selectors.BaseSelector) -> None:
        if self._sock is not None:
            events = selectors.EVENT_READ
            if self._unsent:
                events |= selectors.EVENT_WRITE
            selector.modify(self._sock, events)

    def _hear(self, selector: selectors.BaseSelector) -> None:
        assert self._sock is not None
        try:
            piece = self._sock.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        *lines, self._heard = (self._heard + piece).split(b"\n")
        for line in lines:
            if self._ordered(line.decode(errors="replace").strip()):
                self._untold = True
        if not piece or len(self._heard) > LONGEST_LINE_BYTES:
            self._hang_up(selector)

    def _hang_up(self, selector: selectors.BaseSelector) -> None:
        if self._sock is not None:
            selector.unregister(self._sock)
            self._sock.close()
            self._sock = None


def _call(address: str) -> socket.socket | None:
    """Connect, without waiting: a supervisor that is stopped must not stop us."""
    try:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    except OSError:  # no descriptor is left
        return None
    try:
        sock.setblocking(False)
        sock.connect("\0" + address[1:] if address.startswith("@") else address)
    except OSError:  # nobody there, or too many wait there already
        sock.close()
        return None
    return sock
