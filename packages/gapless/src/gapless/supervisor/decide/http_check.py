"""What an instance is asked by HTTP, and which answer is good.  Pure."""

from __future__ import annotations


def request(path: str, host: str, port: int | None) -> bytes:
    """Return a request for a path; *port* is None on a Unix-domain path."""
    place = f"[{host}]" if ":" in host else host
    if port is not None:
        place = f"{place}:{port}"
    return (
        f"GET {path} HTTP/1.1\r\nHost: {place}\r\n"
        "User-Agent: gapless-probe\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    ).encode()


def verdict(answer: bytes) -> tuple[bool, str] | None:
    """Return whether an answer is good (2xx, 3xx), and which it is; None if it is none."""
    words = answer.split(b"\r\n")[0].split()
    if len(words) > 1 and words[0].startswith(b"HTTP/") and words[1].isdigit():
        status = int(words[1])
        return 200 <= status < 400, f"it answered {status}"
    return None
