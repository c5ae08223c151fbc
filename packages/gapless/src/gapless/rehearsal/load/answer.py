"""An answer of HTTP/1.1 that arrives piece by piece, without I/O (RFC 9112).

Everything in it comes from outside: heads, chunk lines and numbers are bounded.
"""

from __future__ import annotations

from dataclasses import dataclass, field

MOST_HEAD_BYTES = 256 << 10
MOST_LINE_BYTES = 8 << 10
_WITHOUT_BODY = (204, 304)


class NoHttpError(Exception):
    """What came is no answer of HTTP/1.1."""


@dataclass(slots=True)
class Answer:
    """One answer: its status and its length; the bytes of its body are not kept."""

    status: int = 0
    body_bytes: int = 0
    is_complete: bool = False
    has_begun: bool = False
    closes: bool = False
    """The connection is not used again after it."""
    _raw: bytearray = field(default_factory=bytearray)
    _in_body: bool = False
    _rest: int | None = None
    """So many bytes of the body, or of the chunk, are still to come; None: to the end."""
    _chunks: bool = False
    _in_trailer: bool = False

    def feed(self, piece: bytes) -> None:
        """Take in what has come.  Raises NoHttpError."""
        self.has_begun = True
        self._raw += piece
        while not self._in_body:
            head, end, rest = self._raw.partition(b"\r\n\r\n")
            if not end:
                if len(self._raw) > MOST_HEAD_BYTES:
                    raise NoHttpError("its head does not end")
                if not b"HTTP/1.".startswith(self._raw[:7]):
                    raise NoHttpError(f"it begins with {bytes(self._raw[:20])!r}")
                return
            self._raw = rest
            self._read_head(head.decode("latin-1"))
        if self._chunks:
            self._read_chunks()
        else:
            self._read_body()

    def at_end(self) -> bool:
        """Take in the end of the connection; return whether the answer is complete."""
        if self._in_body and self._rest is None and not self._chunks:
            self.is_complete = True
        return self.is_complete

    def _read_head(self, head: str) -> None:
        first, *lines = head.split("\r\n")
        version, _, rest = first.partition(" ")
        status = rest[:3]
        if version not in ("HTTP/1.0", "HTTP/1.1") or not (
            len(status) == 3
            and status.isascii()
            and status.isdigit()
            and rest[3:4] in ("", " ")
        ):
            raise NoHttpError(f"no status line: {first[:40]!r}")
        self.status = int(status)
        if 100 <= self.status < 200:
            return  # 100 Continue, 103 Early Hints: the answer itself follows
        fields = {}
        for line in lines:
            name, _, value = line.partition(":")
            fields[name.strip().lower()] = value.strip().lower()
        self._in_body = True
        self._chunks = "chunked" in fields.get("transfer-encoding", "")
        if self.status in _WITHOUT_BODY:
            self._rest, self._chunks = 0, False
        elif self._chunks:
            self._rest = 0
        elif "content-length" in fields:
            self._rest = _number(fields["content-length"], 10)
        said = fields.get("connection", "")
        keeps = "keep-alive" in said if version == "HTTP/1.0" else "close" not in said
        self.closes = not keeps or (self._rest is None and not self._chunks)

    def _read_body(self) -> None:
        self.body_bytes += len(self._raw)
        if self._rest is not None:
            if len(self._raw) > self._rest:
                raise NoHttpError("more bytes than Content-Length says")
            self._rest -= len(self._raw)
            self.is_complete = self._rest == 0
        self._raw.clear()

    def _read_chunks(self) -> None:
        while not self.is_complete:
            if self._rest:
                taken = min(self._rest, len(self._raw))
                self.body_bytes += taken
                self._rest -= taken
                del self._raw[:taken]
                if self._rest:
                    return
            line, end, rest = self._raw.partition(b"\r\n")
            if not end:
                if len(self._raw) > MOST_LINE_BYTES:
                    raise NoHttpError("a line of a chunk does not end")
                return
            self._raw = rest
            if self._in_trailer:
                self.is_complete = not line
            elif line:  # an empty one ends the chunk before
                self._rest = _number(line.split(b";")[0].decode("latin-1").strip(), 16)
                self._in_trailer = self._rest == 0


def _number(text: str, base: int) -> int:
    """Return a length.  Raises NoHttpError."""
    if not text.isascii() or not text.isalnum() or len(text) > 16:
        raise NoHttpError(f"no length: {text[:20]!r}")
    try:
        return int(text, base)
    except ValueError:
        raise NoHttpError(f"no length: {text[:20]!r}") from None
