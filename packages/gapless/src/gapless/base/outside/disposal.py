"""Close descriptors that somebody sent: to close one may take as long as its sender likes.

The last copy of a TCP socket with SO_LINGER, or of a file of a FUSE file system, is closed
when its sender lets it.  So none but a pipe's end is closed in our own thread: that is what
`BARRIER=1` of sd_notify(3) sends, and it waits for that.
"""

from __future__ import annotations

import array
import contextlib
import os
import socket
import stat

PATIENCE_S = 0.01
PIECE_BYTES = 65536
MOST_UNREAD = 1024
"""More than the kernel keeps for one socket (net.unix.max_dgram_qlen)."""
ROOM_BYTES = socket.CMSG_SPACE(12) + socket.CMSG_SPACE(4 * 253)
"""For credentials, and as many descriptors as a message can have (SCM_MAX_FD)."""


def descriptors_in(ancillary: list[tuple[int, int, bytes]]) -> list[int]:
    """Return the descriptors that came with a message."""
    found = array.array("i")
    for level, kind, content in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            found.frombytes(content[: len(content) // 4 * 4])
    return list(found)


def unread(sock: socket.socket) -> list[int]:
    """Let nobody send to a socket any more; return the descriptors in what was not read.

    They would be closed by whoever closes the socket last, the keeper perhaps.
    """
    found: list[int] = []
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
        for _ in range(MOST_UNREAD):
            content, ancillary, _, _ = sock.recvmsg(PIECE_BYTES, ROOM_BYTES)
            if not content and not ancillary:
                break
            found += descriptors_in(ancillary)
    return found


def close_all(received: list[int]) -> bool:
    """Close descriptors; return whether it took no longer than it may.

    Else a thread closes them, which waits for their sender.
    """
    slow = []
    for each in received:
        if _is_pipe(each):
            os.close(each)
        else:
            slow.append(each)
    return not slow or _close_apart(slow)


def _is_pipe(descriptor: int) -> bool:
    return stat.S_ISFIFO(os.fstat(descriptor).st_mode)


def _close_apart(slow: list[int]) -> bool:
    import threading  # noqa: PLC0415 - for what hardly any program sends

    thread = threading.Thread(target=_close, args=(slow,), daemon=True)
    thread.start()
    thread.join(PATIENCE_S)
    return not thread.is_alive()


def _close(slow: list[int]) -> None:
    for each in slow:
        with contextlib.suppress(OSError):
            os.close(each)
