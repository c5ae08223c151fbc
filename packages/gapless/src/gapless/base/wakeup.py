"""Hear signals where everything else is heard: in a selector."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterable


def on(numbers: Iterable[int]) -> socket.socket:
    """Return where each of these signals arrives as one byte, its number.

    The socket does not block.  Of the whole process; the last call counts
    (signal.set_wakeup_fd).
    """
    read_end, write_end = socket.socketpair()
    for end in (read_end, write_end):
        end.setblocking(False)
    signal.set_wakeup_fd(write_end.detach(), warn_on_full_buffer=False)
    for number in numbers:
        signal.signal(number, lambda *_: None)
    return read_end
