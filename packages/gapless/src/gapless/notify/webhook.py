"""Send an event to a webhook.

Rule 1: one attempt ends within its time, however slowly the other side answers.
Rule 2: no redirect is followed: neither the event nor the token goes where nobody wrote.
Rule 3: the URL, which may be the secret itself, is in no message of ours.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
from urllib.parse import urlsplit

import gapless
from gapless.notify.attempt import TOLD, Attempt, first_words
from gapless.notify.model import Webhook

MOST_ANSWER_BYTES = 4096
LONGEST_WAIT_S = 300.0
_AGAIN = (408, 425, 429)
"""Of the answers that refuse a request, those that another time may not."""


def send(webhook: Webhook, body: bytes, timeout_s: float) -> Attempt:
    """Post *body*; return what became of it."""
    parts = urlsplit(webhook.url)
    host, port = parts.hostname or "", parts.port
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        context = ssl.create_default_context()
        connection = http.client.HTTPSConnection(
            host, port, timeout=timeout_s, context=context
        )
    else:
        connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"gapless/{gapless.__version__}",
        "Connection": "close",
    }
    if webhook.token:
        headers["Authorization"] = f"Bearer {webhook.token}"
    is_late = threading.Event()

    def end() -> None:
        is_late.set()
        with contextlib.suppress(OSError, AttributeError):
            connection.sock.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(timeout_s, end)
    timer.start()
    try:
        connection.request("POST", path, body, headers)
        found = _read(connection.getresponse())
    except (OSError, http.client.HTTPException, ValueError) as error:
        if is_late.is_set() or isinstance(error, TimeoutError):
            return _late(timeout_s)
        reason = getattr(error, "strerror", None) or type(error).__name__
        return Attempt(told=False, reason=str(reason).lower())
    finally:
        timer.cancel()
        connection.close()
    # What was read of one that is late is what we cut off ourselves.
    return _late(timeout_s) if is_late.is_set() else found


def _late(timeout_s: float) -> Attempt:
    return Attempt(told=False, reason=f"no answer in {timeout_s:g} s")


def _read(response: http.client.HTTPResponse) -> Attempt:
    status = response.status
    if 200 <= status < 300:
        return TOLD
    if 300 <= status < 400:
        reason = f"it answered {status}: a redirect, which is not followed"
        return Attempt(told=False, reason=reason, again=False)
    said = first_words(response.read(MOST_ANSWER_BYTES))
    again = status >= 500 or status in _AGAIN
    wait = response.getheader("Retry-After", "")
    wait_s = float(wait) if wait.isascii() and wait.isdigit() and len(wait) < 6 else 0.0
    return Attempt(
        told=False,
        reason=f"it answered {status}" + (f": {said}" if said else ""),
        again=again,
        wait_s=min(wait_s, LONGEST_WAIT_S),
    )
