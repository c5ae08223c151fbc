"""The strict load client: numbers every request, repeats none, forgives nothing.

Rule 1: each request is sent once.  What it meets is its fate, and every fate is counted.
Rule 2: only a complete, expected answer is `answered`; all other fates are losses.
Rule 3: load is bounded in time and count, and goes to this machine only.

    python -m rig.load --port 8000 --seconds 5 --new 4 --post 2

runs by hand; tests use `running`.  One thread and one selector drive all connections.
"""

from __future__ import annotations

import argparse
import collections
import errno
import hashlib
import ipaddress
import json
import re
import selectors
import socket
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rig.http1 import Answer, ProtocolError

ANSWERED = "answered"
FATES = (
    ANSWERED,
    "refused",
    "reset",
    "closed",  # without an answer
    "truncated",
    "status",
    "time-out",
    "wrong",  # not the body that was to be expected, or no HTTP
    "unreachable",
)
MOST_SECONDS, MOST_REQUESTS = 3600.0, 5_000_000
_VERSION = re.compile(rb'release (\S+)|"release":"(?:[^"]*/)?([^/"]+)"')
_PID = re.compile(rb"pid\W{1,3}(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """One kind of traffic: *concurrency* clients that each do the same over and over."""

    kind: str
    concurrency: int = 1
    method: str = "GET"
    path: str = "/"
    body_bytes: int = 0
    body_s: float = 0.0
    """Over how many seconds the body trickles."""
    keep_alive: bool = False
    pause_s: float = 0.0
    timeout_s: float = 15.0
    echoes: bool = False
    """The answer has to hold exactly the body that was sent."""
    answer_bytes: int | None = None
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


@dataclass(slots=True)
class Request:
    """What became of one request."""

    number: int
    kind: str
    began: float
    fate: str = ""
    detail: str = ""
    reused: bool = False
    ended: float = 0.0
    status: int = 0
    version: str = ""
    instance: str = ""
    """Who answered: the header X-Instance, else the pid that the body tells."""


@dataclass(slots=True)
class Report:
    """What the load met."""

    requests: int = 0
    fates: dict[str, int] = field(default_factory=dict)
    kinds: dict[str, dict[str, float]] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    instances: dict[str, int] = field(default_factory=dict)
    losses: list[dict[str, object]] = field(default_factory=list)

    @property
    def lost(self) -> int:
        """How many requests were not answered as they had to be."""
        return self.requests - self.fates.get(ANSWERED, 0)

    def __str__(self) -> str:
        lines = [f"{'traffic':<12}{'requests':>9}{'lost':>6}{'p50 ms':>9}{'p99 ms':>9}"]
        lines += [
            f"{kind:<12}{row['requests']:>9.0f}{row['lost']:>6.0f}"
            f"{row['p50_ms']:>9.1f}{row['p99_ms']:>9.1f}"
            for kind, row in self.kinds.items()
        ]
        lines.append(f"fates {self.fates} versions {self.versions}")
        lines += [f"lost: {loss}" for loss in self.losses[:10]]
        return "\n".join(lines)


class Client:
    """One client of one traffic, as a state machine on one connection at a time."""

    def __init__(self, engine: Engine, traffic: Traffic) -> None:
        self.engine, self.traffic = engine, traffic
        self.sock: socket.socket | None = None
        self.request: Request | None = None
        self.resume_at = 0.0
        self.broken = False
        self._used = 0

    def begin(self, now: float) -> None:
        """Send the next request, on the open connection or on a new one."""
        traffic = self.traffic
        if self.sock is not None and self._was_closed():
            self.hang_up()  # closed while idle, and seen before a byte was written
        number = self.engine.next_number()
        self.request = Request(number, traffic.kind, now, reused=self.sock is not None)
        self.answer = Answer(head_only=traffic.method == "HEAD")
        self.body = _body(number, traffic.body_bytes)
        self.unsent = self._head(number)
        self.body_sent = 0
        self.broken = False
        if not traffic.body_s:
            self.unsent += self.body
            self.body_sent = len(self.body)
        if self.sock is None:
            self._connect()
        else:
            self._go_on()

    def _head(self, number: int) -> bytes:
        traffic, host = self.traffic, self.engine.host
        host = f"[{host}]" if ":" in host else host
        lines = [
            f"{traffic.method} {traffic.path} HTTP/1.1",
            f"Host: {host}:{self.engine.port}",
            f"X-Request-Number: {number}",
            f"Connection: {'keep-alive' if traffic.keep_alive else 'close'}",
        ]
        if traffic.method == "POST":
            lines.append(f"Content-Length: {len(self.body)}")
            lines.append("Content-Type: application/octet-stream")
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    def _connect(self) -> None:
        family = socket.AF_INET6 if ":" in self.engine.host else socket.AF_INET
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        self.sock.setblocking(False)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._used = 0
        number = self.sock.connect_ex((self.engine.host, self.engine.port))
        if number not in (0, errno.EINPROGRESS):
            self._lose_by(OSError(number, errno.errorcode.get(number, "?")))
            return
        self.engine.selector.register(self.sock, selectors.EVENT_WRITE, self)

    def ready(self) -> None:
        """Go on where the socket lets us."""
        if self.request is None:
            self.hang_up()  # the peer closed an idle connection: its right
            return
        self._go_on()

    def _go_on(self) -> None:
        assert self.sock is not None
        try:
            number = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if number:
                raise OSError(number, errno.errorcode.get(number, "?"))
            self._send()
            self._receive()
        except BlockingIOError:
            self._watch()
        except ProtocolError as error:
            self._end("wrong", str(error))
        except OSError as error:
            self._lose_by(error)

    def _send(self) -> None:
        assert self.sock is not None
        self._trickle()
        while self.unsent:
            try:
                sent = self.sock.send(self.unsent)
            except (BrokenPipeError, ConnectionResetError):
                # An answer may have arrived before the connection broke.
                self.unsent, self.broken = b"", True
                return
            self.unsent = self.unsent[sent:]

    def _trickle(self) -> None:
        """Let as much of a slow body go as its time has come for."""
        traffic = self.traffic
        if self.request is None or not traffic.body_s or not self.body:
            return
        passed = (time.monotonic() - self.request.began) / traffic.body_s
        due = min(len(self.body), int(len(self.body) * passed))
        if due > self.body_sent:
            self.unsent += self.body[self.body_sent : due]
            self.body_sent = due

    def _receive(self) -> None:
        assert self.sock is not None
        while True:
            piece = self.sock.recv(262_144)
            if piece:
                self.answer.feed(piece)
                if self.answer.complete:
                    self._judge()
                    return
                continue
            if self.answer.end():
                self._judge()
            elif self.answer.began:
                self._end("truncated", f"after {len(self.answer.body)} bytes of body")
            elif self.broken:  # whoever asked the socket first has taken its error
                raise OSError(errno.ECONNRESET, "ECONNRESET")
            else:
                self._end("closed", "without an answer")
            return

    def _judge(self) -> None:
        traffic, answer = self.traffic, self.answer
        assert self.request is not None
        self.request.status = answer.status
        body = bytes(answer.body)
        found = _VERSION.search(
            answer.headers.get("x-release", "").encode() + b" " + body[:200]
        )
        self.request.version = (
            b"".join(filter(None, found.groups())).decode(errors="replace")
            if found
            else ""
        )
        found = _PID.search(body[:200])
        self.request.instance = answer.headers.get("x-instance", "") or (
            found[1].decode() if found else ""
        )
        if answer.status not in traffic.expected:
            self._end("status", f"{answer.status} {body[:60]!r}")
        elif traffic.echoes and body != self.body:
            self._end("wrong", f"echoed {len(body)} bytes of {len(self.body)}")
        elif traffic.answer_bytes not in (None, len(body)):
            self._end("wrong", f"{len(body)} bytes of body")
        else:
            self._end(ANSWERED, "")

    def _lose_by(self, error: OSError) -> None:
        fate = {
            errno.ECONNREFUSED: "refused",
            errno.ECONNRESET: "reset",
            errno.EPIPE: "reset",
            errno.ETIMEDOUT: "time-out",
        }.get(error.errno or 0, "unreachable")
        if fate == "reset" and self.answer.began:
            fate = "truncated"
        self._end(fate, str(error))

    def overdue(self, now: float) -> bool:
        """End a request that has taken too long."""
        request = self.request
        if request is None or now < request.began + self.traffic.timeout_s:
            return False
        self._end("time-out", f"{self.traffic.timeout_s:g} s")
        return True

    def _end(self, fate: str, detail: str) -> None:
        request = self.request
        assert request is not None
        request.fate, request.detail = fate, detail
        request.ended = time.monotonic()
        self.request = None
        self._used += 1
        self.resume_at = request.ended + self.traffic.pause_s
        if fate != ANSWERED:
            # A client that meets a dead port at full speed would only count itself.
            self.resume_at = max(self.resume_at, request.ended + 0.01)
        if fate != ANSWERED or not self.traffic.keep_alive or self.answer.closes:
            self.hang_up()
        else:
            self._watch()
        self.engine.note(request)

    def _watch(self) -> None:
        if self.sock is None:
            return
        events = selectors.EVENT_READ
        if self.request is not None and self.unsent:
            events |= selectors.EVENT_WRITE
        self.engine.selector.modify(self.sock, events, self)

    def _was_closed(self) -> bool:
        assert self.sock is not None
        try:
            return self.sock.recv(1, socket.MSG_PEEK) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True

    def hang_up(self) -> None:
        """Close the connection, if there is one."""
        if self.sock is not None:
            if self.sock in self.engine.selector.get_map():
                self.engine.selector.unregister(self.sock)
            self.sock.close()
            self.sock = None


class Engine:
    """Drives all clients of a load, and keeps the ledger."""

    def __init__(
        self,
        host: str,
        port: int,
        traffics: tuple[Traffic, ...],
        *,
        seconds: float,
        requests: int = MOST_REQUESTS,
        ledger: Path | None = None,
    ) -> None:
        """*ledger* is where each request is written down when it has met its fate."""
        _refuse_strangers(host)
        self.host, self.port = host, port
        self.selector = selectors.DefaultSelector()
        self.clients = [Client(self, t) for t in traffics for _ in range(t.concurrency)]
        self._until = time.monotonic() + min(seconds, MOST_SECONDS)
        self._most = min(requests, MOST_REQUESTS)
        self.sent = 0
        self.ledger: list[Request] = []
        self._book = ledger.open("w", 1, encoding="ascii") if ledger else None
        self.versions: collections.Counter[str] = collections.Counter()
        self.stopping = False

    def next_number(self) -> int:
        """Return the number of the next request."""
        self.sent += 1
        return self.sent

    def note(self, request: Request) -> None:
        """Write a request that has met its fate into the ledger."""
        self.ledger.append(request)
        if request.fate == ANSWERED:
            self.versions[request.version] += 1
        if self._book is not None:
            self._book.write(json.dumps(asdict(request)) + "\n")

    def run(self, between: object = None) -> None:
        """Send until the time or the count is up, then finish what is in flight."""
        while True:
            now = time.monotonic()
            going_on = (
                not self.stopping and now < self._until and self.sent < self._most
            )
            waits = [0.25]
            busy = False
            for client in self.clients:
                if client.request is not None:
                    busy = True
                    if client.overdue(now):
                        continue
                    waits.append(client.request.began + client.traffic.timeout_s - now)
                    if client.body_sent < len(client.body):
                        waits.append(0.01)
                        client.ready()
                elif going_on and now >= client.resume_at:
                    client.begin(now)
                    waits.append(0.0)
                elif going_on:
                    waits.append(client.resume_at - now)
            if not going_on and not busy:
                break
            for selected, _ in self.selector.select(max(0.0, min(waits))):
                selected.data.ready()
            if callable(between):
                between()
        for client in self.clients:
            client.hang_up()
        self.selector.close()
        if self._book is not None:
            self._book.close()

    def report(self) -> Report:
        """Return the sums; every request that was sent is in them exactly once."""
        assert len(self.ledger) == self.sent
        report = Report(requests=self.sent)
        report.fates = dict(collections.Counter(r.fate for r in self.ledger))
        report.versions = dict(self.versions)
        report.instances = dict(collections.Counter(r.instance for r in self.ledger))
        report.losses = [asdict(r) for r in self.ledger if r.fate != ANSWERED][:20]
        for kind in dict.fromkeys(client.traffic.kind for client in self.clients):
            own = [r for r in self.ledger if r.kind == kind]
            took = sorted((r.ended - r.began) * 1e3 for r in own if r.fate == ANSWERED)
            report.kinds[kind] = {
                "requests": len(own),
                "lost": sum(r.fate != ANSWERED for r in own),
                "p50_ms": took[len(took) // 2] if took else 0.0,
                "p99_ms": took[int(len(took) * 0.99)] if took else 0.0,
                "max_ms": took[-1] if took else 0.0,
            }
        return report


def _body(number: int, size: int) -> bytes:
    if not size:
        return b""
    seed = hashlib.sha256(str(number).encode()).hexdigest().encode()
    return (seed * (size // len(seed) + 1))[:size]


def _refuse_strangers(host: str) -> None:
    address = ipaddress.ip_address(host)
    ours = ipaddress.ip_network("10.0.0.0/8")  # the rig's own network namespaces
    if not address.is_loopback and not (address.version == 4 and address in ours):
        raise ValueError(f"load goes to this machine only, not to {host}")


def main(arguments: list[str] | None = None) -> int:
    """Run a load from the command line; exit code 1 if anything was lost."""
    parser = argparse.ArgumentParser(prog="rig.load", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--new", type=int, default=4, metavar="CLIENTS")
    parser.add_argument("--keep-alive", type=int, default=0, metavar="CLIENTS")
    parser.add_argument("--post", type=int, default=0, metavar="CLIENTS")
    parser.add_argument("--slow", type=int, default=0, metavar="CLIENTS")
    parser.add_argument("--path", default="/")
    parser.add_argument("--pause", type=float, default=0.0, metavar="SECONDS")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--ledger", type=Path, help="a line of JSON for each request")
    asked = parser.parse_args(arguments)
    wanted = (
        (NEW, asked.new, asked.path),
        (KEEP_ALIVE, asked.keep_alive, asked.path),
        (POST, asked.post, POST.path),
        (SLOW, asked.slow, SLOW.path),
    )
    traffics = tuple(
        Traffic(**{**asdict(t), "concurrency": n, "path": path, "pause_s": asked.pause})
        for t, n, path in wanted
        if n
    )
    engine = Engine(
        asked.host, asked.port, traffics, seconds=asked.seconds, ledger=asked.ledger
    )
    engine.run()
    report = engine.report()
    if asked.json:
        print(json.dumps(asdict(report) | {"lost": report.lost}))
    else:
        print(report)
    return 1 if report.lost else 0


if __name__ == "__main__":
    sys.exit(main())
