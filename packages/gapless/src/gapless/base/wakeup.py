"""What wakes a loop that sleeps in a selector: descriptors, and signals as one of them."""

from __future__ import annotations

import selectors
import signal
import socket
from collections.abc import Callable, Iterable

from gapless.base import descriptors

LONGEST_WAIT_S = 86_400.0
"""epoll_wait(2) takes no more than 24 days; who wakes early looks and waits again."""


def on(numbers: Iterable[int]) -> socket.socket:
    """Return a socket on which each of these signals arrives as one byte, its number.

    The socket does not block.  A process has one: the last call counts
    (signal.set_wakeup_fd).
    """
    read_end, write_end = socket.socketpair()
    for end in (read_end, write_end):
        end.setblocking(False)
    signal.set_wakeup_fd(write_end.detach(), warn_on_full_buffer=False)
    for number in numbers:
        signal.signal(number, lambda *_: None)
    return read_end


Failed = Callable[[Exception], None]
"""Is called with what a callback raised; it may raise itself, to end the loop."""


def call_ready(
    selector: selectors.BaseSelector, timeout_s: float | None, failed: Failed
) -> None:
    """Wait, then call the callable that is registered with each ready descriptor.

    A descriptor that one of these calls closed is skipped, and so is one that got the
    same number meanwhile: the next call finds it ready if it is.  One fault hurts one
    connection or app: what a call raises goes to *failed*, and the others are called.
    """
    if timeout_s is not None:
        timeout_s = min(timeout_s, LONGEST_WAIT_S)
    for ready, _ in selector.select(timeout_s):
        now = selector.get_map().get(ready.fd)
        if now is not None and now.data == ready.data:
            guard(ready.data, failed)


def guard(call: Callable[[], object], failed: Failed) -> None:
    """Call *call*; what it raises goes to *failed*."""
    try:
        call()
    except Exception as error:  # noqa: BLE001 - whatever it is, the loop goes on
        failed(error)
        # The descriptor may be ready for good.
        descriptors.pause()
