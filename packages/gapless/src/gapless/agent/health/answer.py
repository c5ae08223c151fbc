"""What balancers are told about the apps of this host, and how they ask.  Pure.

200   the app serves here
404   it still serves, but leaves: send no new requests (HAProxy's disable-on-404)
503   it does not run
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote, unquote

from gapless.agent.observation import Listed
from gapless.base import app_status

LONGEST_HEAD_BYTES = 8192
REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 503: "Service Unavailable"}
_ENDS = (b"\r\n\r\n", b"\n\n")
_LONGEST_END = 4


def health_of(listed: Listed | None, app: str) -> tuple[int, str]:
    """Return the HTTP status for an app, and the reason."""
    rows = listed["apps"] if listed is not None else []
    row = next((each for each in rows if each["name"] == app), None)
    if listed is None or row is None:
        return 503, "it does not run here"
    if not app_status.is_in_service(row["status"]):
        return 503, str(row["status"])
    if listed["supervisor"]["draining"]:
        return 404, "this host leaves service"
    if row["status"] == "recycling" or {"leaving", "recycle"} & set(row["modes"]):
        return 404, "it is recycled"
    if not row["instances"]["ready"]:
        return 503, str(row["status"])
    return 200, "it serves"


def path_of(app: str) -> str:
    """Return the path that a balancer asks for about an app."""
    return f"/{quote(app)}"


def is_whole(head: bytes | bytearray, read: int = 0) -> bool:
    """Return whether the head of a request has come; of its first *read* bytes it had not.

    Raises ValueError if it is too long to be one.
    """
    begin = max(0, read - _LONGEST_END)
    if any(head.find(end, begin) >= 0 for end in _ENDS):
        return True
    if len(head) > LONGEST_HEAD_BYTES:
        raise ValueError("the head of the request is too long")
    return False


def request_of(head: bytes | bytearray) -> tuple[str, str]:
    """Return method and path of a request.  Raises ValueError."""
    line = bytes(head[:LONGEST_HEAD_BYTES]).split(b"\n", 1)[0]
    method, path, _ = line.decode("latin-1").split(" ", 2)
    return method, path


def app_of(apps: Sequence[str], method: str, path: str) -> tuple[str, str]:
    """Return the app that a request asks for, or "" and why there is no answer."""
    if method not in ("GET", "HEAD"):
        return "", "GET or HEAD"
    app = unquote(path.partition("?")[0].removeprefix("/"))
    if not app and len(apps) == 1:
        app = apps[0]
    if app not in apps:
        return "", f"ask for {', '.join(map(path_of, apps))}"
    return app, ""


def response(status: int, why: str, *, with_body: bool) -> bytes:
    """Return an HTTP response that ends its connection."""
    body = f"{why}\n".encode()
    head = (
        f"HTTP/1.1 {status} {REASONS[status]}\r\nContent-Type: text/plain\r\n"
        f"Content-Length: {len(body)}\r\nCache-Control: no-store\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode() + (body if with_body else b"")
