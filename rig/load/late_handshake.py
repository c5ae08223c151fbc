"""A client far away: the last step of its handshake comes late (RFC 9293, 3.5).

The kernel answers a SYN-ACK at once, so this client writes its segments itself, on a raw
socket (raw(7); root); a filter keeps the kernel's from knowing.  Loopback only.
"""

from __future__ import annotations

import ctypes
import select
import socket
import struct
import threading
import time

_SO_ATTACH_FILTER = 26
_ACK, _PUSH_ACK, _RESET = 0x10, 0x18, 0x04
_HOST = socket.inet_aton("127.0.0.1")
_REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
ANSWER_S = 5.0


class LateHandshake:
    """A connection whose handshake takes *round_trip_s*, and one request on it."""

    def __init__(self, port: int, round_trip_s: float) -> None:
        self.outcome = ""
        """answered, reset or silent, once it is over."""
        self._port, self._round_trip_s = port, round_trip_s
        self._raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)
        self._sock = socket.socket()
        nothing = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))
        program = struct.pack("HxxxxxxP", 1, ctypes.addressof(nothing))
        self._sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
        self._sock.bind(("127.0.0.1", 0))
        self._own_port = self._sock.getsockname()[1]
        self._sock.setblocking(False)
        self._sock.connect_ex(("127.0.0.1", port))
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def join(self) -> str:
        """Wait for the end; return the outcome."""
        self._thread.join()
        return self.outcome

    def _run(self) -> None:
        with self._raw, self._sock:
            self.outcome = "silent"
            found = self._receive(ANSWER_S)
            if found is None:
                return
            sequence, acknowledged, _, _ = found
            time.sleep(self._round_trip_s)  # what a network does
            for flags, data in ((_ACK, b""), (_PUSH_ACK, _REQUEST)):
                segment = self._segment(acknowledged, sequence + 1, flags, data)
                self._raw.sendto(segment, ("127.0.0.1", 0))
            while found := self._receive(ANSWER_S):
                if found[2] & _RESET:
                    self.outcome = "reset"
                    return
                if found[3]:  # of an answer in pieces not all may be seen here
                    self.outcome = "answered"
                    return

    def _receive(self, timeout_s: float) -> tuple[int, int, int, bytes] | None:
        """Return sequence, acknowledgement, flags and data of the next segment to us."""
        until = time.monotonic() + timeout_s
        while (left := until - time.monotonic()) > 0:
            if not select.select([self._raw], [], [], left)[0]:
                return None
            packet = self._raw.recv(1 << 16)
            packet = packet[(packet[0] & 15) * 4 :]
            source, target, sequence, acknowledged, offset, flags = struct.unpack_from(
                "!HHIIBB", packet
            )
            if (source, target) == (self._port, self._own_port):
                return sequence, acknowledged, flags, packet[(offset >> 4) * 4 :]
        return None

    def _segment(
        self, sequence: int, acknowledged: int, flags: int, data: bytes
    ) -> bytes:
        fields = (self._own_port, self._port, sequence, acknowledged & 0xFFFFFFFF)
        head = struct.pack("!HHIIBBHHH", *fields, 5 << 4, flags, 60000, 0, 0)
        pseudo = _HOST + _HOST + struct.pack("!BBH", 0, 6, len(head) + len(data))
        return (
            head[:16] + struct.pack("!H", _sum(pseudo + head + data)) + head[18:] + data
        )


def _sum(data: bytes) -> int:
    """Return the checksum of the internet (RFC 1071)."""
    data += b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
