"""Who may use the page: the token of the link, the cookie, the names of hosts.  Pure.

Rule 1: what is secret is compared in constant time.
Rule 2: a page of somebody else, whose name was made to lead here (DNS rebinding), names its
own host: only addresses, `localhost` and the names that were said are ours.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
from collections.abc import Collection

COOKIE_S = 24 * 3600
TOKEN_BYTES = 32
LEAST_TOKEN_CHARACTERS = 32
_TOKEN = re.compile(r"[A-Za-z0-9_-]{32,256}")
_HOST = re.compile(
    r"(?P<name>\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(?::[0-9]{1,5})?"
)
_MOST_COOKIE_CHARACTERS = 128


def is_token(text: str) -> bool:
    """Return whether a text could be a token: long enough, and fit for a link."""
    return _TOKEN.fullmatch(text) is not None


def is_same(said: str, token: str) -> bool:
    """Return whether somebody knows the token."""
    return hmac.compare_digest(said.encode(errors="replace"), token.encode())


def is_own_host(header: str, names: Collection[str]) -> bool:
    """Return whether a request names this host: by an address, or by one of *names*."""
    name = _name_of(header)
    return name is not None and (
        name == "localhost" or name in names or _is_address(name)
    )


def is_own_origin(origin: str, host: str) -> bool:
    """Return whether a page that sends a form or a request is ours.

    *origin* is the header of that name, which browsers send with each POST; *host* is the
    header `Host` of the same request.
    """
    scheme, _, place = origin.partition("://")
    return scheme in ("http", "https") and bool(place) and place.lower() == host.lower()


def cookie(token: str, now: float) -> str:
    """Return the value of the cookie of a browser that has said the token."""
    until = int(now) + COOKIE_S
    return f"{until}.{_signature(token, until)}"


def is_valid_cookie(value: str, token: str, now: float) -> bool:
    """Return whether a cookie was made with this token, and its time is not over."""
    until, _, signature = value[:_MOST_COOKIE_CHARACTERS].partition(".")
    if not (until.isascii() and until.isdigit() and len(until) <= 12):
        return False
    is_ours = hmac.compare_digest(
        signature.encode(errors="replace"), _signature(token, int(until)).encode()
    )
    return is_ours and now < int(until) <= now + COOKIE_S + 1


def _signature(token: str, until: int) -> str:
    text = f"gapless web cookie {until}"
    return hmac.new(token.encode(), text.encode(), hashlib.sha256).hexdigest()


def _name_of(header: str) -> str | None:
    found = _HOST.fullmatch(header)
    return None if found is None else found["name"].strip("[]").lower().rstrip(".")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
