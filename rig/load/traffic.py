"""What a load consists of, and the bytes of its requests."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

from rig.wait import SLOWER


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """One kind of traffic: *concurrency* clients that each repeat the same request."""

    kind: str
    concurrency: int = 1
    method: str = "GET"
    path: str = "/"
    """`{number}` in it becomes the number of the request."""
    body_bytes: int = 0
    body_s: float = 0.0
    """Over how many seconds the body is sent, piece by piece."""
    body_pieces: int = 0
    """In how many pieces it is sent then; 0: in as many as the clock allows."""
    keep_alive: bool = False
    pause_s: float = 0.0
    longest_pause_s: float = 0.0
    """If it is longer than `pause_s`, each pause is drawn between the two."""
    every_s: float = 0.0
    """Each client's requests are due at these distances, whenever their answers come."""
    unresting: bool = False
    """RIG_PACE_S does not make its clients pause."""
    timeout_s: float = 15.0 * SLOWER
    echoes: bool = False
    """The body of the answer must be the body that was sent."""
    answer_bytes: int | None = None
    answer_names_number: bool = False
    """The body of the answer must end with `number` and the number of the request."""
    expected: tuple[int, ...] = (200,)


NEW = Traffic(kind="new", concurrency=4)
POST = Traffic(
    kind="post",
    concurrency=2,
    method="POST",
    path="/echo",
    body_bytes=20_000,
    echoes=True,
)
KEEP_ALIVE = Traffic(kind="keep-alive", concurrency=4, keep_alive=True)
SLOW = Traffic(kind="slow", concurrency=2, path="/slow?s=0.5")
SLOW_BODY = Traffic(
    kind="slow-body",
    method="POST",
    path="/echo",
    body_bytes=8_000,
    body_s=0.5,
    echoes=True,
)


def mixed(clients: int = 3, pause_s: float = 0.002) -> tuple[Traffic, ...]:
    """Return new connections, kept ones, and POSTs, each from *clients* clients."""
    return tuple(
        replace(traffic, concurrency=clients, pause_s=pause_s)
        for traffic in (NEW, KEEP_ALIVE, POST)
    )


def body_of(traffic: Traffic, number: int) -> bytes:
    """Return the body of a request, which differs from that of every other number."""
    size = traffic.body_bytes
    if not size:
        return b""
    seed = hashlib.sha256(str(number).encode()).hexdigest().encode()
    return (seed * (size // len(seed) + 1))[:size]


def head_of(traffic: Traffic, number: int, host: str, port: int) -> bytes:
    """Return the head of a request to a host."""
    host = f"[{host}]" if ":" in host else host
    lines = [
        f"{traffic.method} {traffic.path.replace('{number}', str(number))} HTTP/1.1",
        f"Host: {host}:{port}",
        f"X-Request-Number: {number}",
        f"Connection: {'keep-alive' if traffic.keep_alive else 'close'}",
    ]
    if traffic.method == "POST":
        lines.append(f"Content-Length: {traffic.body_bytes}")
        lines.append("Content-Type: application/octet-stream")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()
