"""As much of HTTP/1.1 as a strict client needs, without I/O (RFC 9112)."""

from __future__ import annotations

from dataclasses import dataclass, field


class ProtocolError(Exception):
    """The answer is not HTTP."""


@dataclass(slots=True)
class Answer:
    """An answer that arrives piece by piece."""

    head_only: bool = False
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)
    complete: bool = False
    began: bool = False
    _raw: bytearray = field(default_factory=bytearray)
    _length: int | None = None
    _chunked: bool = False
    _in_body: bool = False

    def feed(self, piece: bytes) -> None:
        """Take in a piece of it.  Raises ProtocolError."""
        self.began = True
        self._raw += piece
        if not self._in_body:
            head, blank, rest = bytes(self._raw).partition(b"\r\n\r\n")
            if not blank:
                return
            self._read_head(head)
            self._raw = bytearray(rest)
            self._in_body = True
        self._read_body()

    def end(self) -> bool:
        """Take in the end of the connection; return whether the answer is complete."""
        if self._in_body and self._length is None and not self._chunked:
            self.complete = True
        return self.complete

    @property
    def closes(self) -> bool:
        """Whether the server closes the connection after this answer."""
        return "close" in self.headers.get("connection", "").lower() or (
            self._length is None and not self._chunked
        )

    def _read_head(self, head: bytes) -> None:
        first, *lines = head.decode("latin-1").split("\r\n")
        words = first.split(" ", 2)
        if (
            len(words) < 2
            or not words[0].startswith("HTTP/1.")
            or not words[1].isdigit()
        ):
            raise ProtocolError(f"no status line: {first[:60]!r}")
        self.status = int(words[1])
        for line in lines:
            name, _, value = line.partition(":")
            self.headers[name.strip().lower()] = value.strip()
        self._chunked = "chunked" in self.headers.get("transfer-encoding", "").lower()
        if "content-length" in self.headers and not self._chunked:
            self._length = int(self.headers["content-length"])
        if self.head_only or self.status in (204, 304):
            self._length = 0
        if words[0] == "HTTP/1.0" and "connection" not in self.headers:
            self.headers["connection"] = "close"

    def _read_body(self) -> None:
        if self._chunked:
            self._read_chunks()
            return
        self.body += self._raw
        self._raw.clear()
        if self._length is not None and len(self.body) >= self._length:
            if len(self.body) > self._length:
                raise ProtocolError("more bytes than Content-Length says")
            self.complete = True

    def _read_chunks(self) -> None:
        while not self.complete:
            line, newline, rest = bytes(self._raw).partition(b"\r\n")
            if not newline:
                return
            try:
                size = int(line.split(b";")[0], 16)
            except ValueError:
                raise ProtocolError(f"no chunk size: {line[:20]!r}") from None
            if len(rest) < size + 2:
                return
            self.body += rest[:size]
            self._raw = bytearray(rest[size + 2 :])
            self.complete = size == 0
