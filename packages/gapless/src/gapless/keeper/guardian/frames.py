"""What keeper and guardian send each other: a name, a value, and descriptors beside it.

The guardian reads no value.  A frame is whole or absent (SOCK_SEQPACKET), and one that was
sent is read although its sender has died since.  Two versions may meet here: a kind that is
not known is left alone.  A value beyond the socket's buffer travels in a memfd
(memfd_create(2)), which is the last descriptor.
"""

from __future__ import annotations

import os
import socket
import struct
from dataclasses import dataclass, field

from gapless.base import descriptors as own

LARGEST_BYTES = 60_000
MOST_DESCRIPTORS = 8
_HEAD = struct.Struct("=8sqIB")
"""The kind, the number, how many bytes of the rest are the name, whether it is large."""


@dataclass(slots=True, kw_only=True)
class Frame:
    """One message, either way."""

    kind: str
    name: str = ""
    number: int = 0
    value: bytes = b""
    descriptors: list[int] = field(default_factory=list)
    """Of a frame that was received, the receiver's own."""
    lacks: bool = False
    """Its descriptors did not come with it: the receiver had no room for them."""


def send(sock: socket.socket, frame: Frame) -> None:
    """Send a frame.  Raises OSError; BlockingIOError if the peer reads nothing."""
    name = frame.name.encode(errors="surrogatepass")
    large = len(frame.value) + len(name) > LARGEST_BYTES
    head = _HEAD.pack(frame.kind.encode(), frame.number, len(name), large)
    if not large:
        socket.send_fds(sock, [head, name, frame.value], frame.descriptors)
        return
    memory = os.memfd_create("gapless-frame")
    try:
        with memoryview(frame.value) as view:
            written = 0
            while written < len(view):
                written += os.write(memory, view[written:])
        socket.send_fds(sock, [head, name], [*frame.descriptors, memory])
    finally:
        os.close(memory)


def receive(sock: socket.socket) -> Frame:
    """Return the next frame.

    Raises EOFError if the peer has closed its end, ValueError if it is no frame, OSError.
    """
    raw, descriptors, flags = own.receive(
        sock, _HEAD.size + 2 * LARGEST_BYTES, MOST_DESCRIPTORS
    )
    try:
        if not raw:
            raise EOFError("the peer closed its end")
        if len(raw) < _HEAD.size or flags & socket.MSG_TRUNC:
            raise ValueError("a frame cut short")
        kind, number, name_bytes, large = _HEAD.unpack_from(raw)
        end = _HEAD.size + name_bytes
        value, lacks = raw[end:], bool(flags & socket.MSG_CTRUNC)
        if large and not lacks:
            if not descriptors:
                raise ValueError("a large frame without its memory")
            memory = descriptors.pop()
            try:
                value = _read_all(memory)
            finally:
                os.close(memory)
        return Frame(
            kind=kind.rstrip(b"\0").decode(),
            name=raw[_HEAD.size : end].decode(errors="surrogatepass"),
            number=number,
            value=value,
            descriptors=descriptors,
            lacks=lacks,
        )
    except BaseException:
        for each in descriptors:
            os.close(each)
        raise


def _read_all(memory: int) -> bytes:
    pieces: list[bytes] = []
    at = 0
    while piece := os.pread(memory, 1 << 20, at):
        pieces.append(piece)
        at += len(piece)
    return b"".join(pieces)
