"""Send an event to a webhook.

Rule 1: one attempt ends within its time, however slowly the other side answers.
Rule 2: no redirect is followed: neither the event nor the token goes where nobody wrote.
Rule 3: the URL, which may be the secret itself, is in no message of ours; so nothing is
that a receiver says beside its status: it may repeat the URL, in whatever form.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

import gapless
from gapless.base import clock
from gapless.base.outside.dial import dial, left_s
from gapless.notify.attempt import TOLD, Attempt
from gapless.notify.model import Webhook

LONGEST_WAIT_S = 300.0
_AGAIN = (408, 425, 429)
"""Of the answers that refuse a request, those that another time may not."""


def send(webhook: Webhook, body: bytes, timeout_s: float) -> Attempt:
    """Post *body*; return what became of it."""
    until = clock.monotonic() + timeout_s
    try:
        return _sent(webhook, body, until)
    except TimeoutError:
        return _late(timeout_s)
    except (OSError, http.client.HTTPException, ValueError, RuntimeError) as error:
        if clock.monotonic() >= until:
            return _late(timeout_s)
        reason = getattr(error, "strerror", None) or type(error).__name__
        return Attempt(told=False, reason=str(reason).lower())


def _sent(webhook: Webhook, body: bytes, until: float) -> Attempt:
    """Raise TimeoutError, OSError, HTTPException, ValueError, RuntimeError."""
    parts = urlsplit(webhook.url)
    host = parts.hostname or ""
    connection = http.client.HTTPConnection(host, parts.port)
    context = None
    if parts.scheme == "https":
        context = ssl.create_default_context()
        connection = http.client.HTTPSConnection(host, parts.port, context=context)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"gapless/{gapless.__version__}",
        "Connection": "close",
    }
    if webhook.token:
        headers["Authorization"] = f"Bearer {webhook.token}"
    with dial(host, connection.port, until, context) as sock, _ending(sock, until):
        # What is late is not sent: it would be told twice.
        sock.settimeout(left_s(until))
        connection.sock = sock
        connection.request("POST", path, body, headers)
        with connection.getresponse() as response:
            return _read(response)


@contextlib.contextmanager
def _ending(sock: socket.socket, until: float) -> Iterator[None]:
    """Shut a connection down when its time is over, whatever it is doing."""
    is_late = threading.Event()

    def end() -> None:
        is_late.set()
        with contextlib.suppress(OSError):
            # Not the method of TLS: that forgets the encryption first.
            socket.socket.shutdown(sock, socket.SHUT_RDWR)

    timer = threading.Timer(left_s(until), end)
    timer.daemon = True
    timer.start()
    try:
        yield
    except (OSError, http.client.HTTPException, ValueError) as error:
        if is_late.is_set():
            raise TimeoutError("the time is over") from error
        raise
    finally:
        timer.cancel()
    if is_late.is_set():
        # A head that we cut off looks like a whole one.
        raise TimeoutError("the time is over")


def _late(timeout_s: float) -> Attempt:
    return Attempt(told=False, reason=f"no answer in {timeout_s:g} s")


def _read(response: http.client.HTTPResponse) -> Attempt:
    status = response.status
    if 200 <= status < 300:
        return TOLD
    if 300 <= status < 400:
        reason = f"it answered {status}: a redirect, which is not followed"
        return Attempt(told=False, reason=reason, again=False)
    again = status >= 500 or status in _AGAIN
    wait = response.getheader("Retry-After", "")
    wait_s = float(wait) if wait.isascii() and wait.isdigit() and len(wait) < 6 else 0.0
    return Attempt(
        told=False,
        reason=f"it answered {status}",
        again=again,
        wait_s=min(wait_s, LONGEST_WAIT_S),
    )
