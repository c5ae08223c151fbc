"""Which number the user of an app has, for what is made for it or comes from it."""

from __future__ import annotations

import os

from gapless.base import clock

KEPT_S = 60.0
_USERS = "/etc/passwd"
_known: dict[str, tuple[float, int]] = {}


def uid_of(user: str) -> int:
    """Return the number of a user, by its name or number; our own for an empty name.

    A user of this machine's own file is found without a look-up in a directory on the
    network, which may wait.  Raises LookupError if there is no such user.
    """
    if not user:
        return os.geteuid()
    if user.isdigit():
        return int(user)
    at, uid = _known.get(user, (0.0, -1))
    if uid < 0 or clock.monotonic() > at + KEPT_S:
        uid = _look_up(user)
        _known[user] = clock.monotonic(), uid
    return uid


def _look_up(user: str) -> int:
    try:
        with open(_USERS, encoding="utf-8", errors="replace") as file:
            for line in file:
                name, *rest = line.split(":")
                if name == user and len(rest) > 1 and rest[1].isdigit():
                    return int(rest[1])
    except OSError:
        pass  # then somewhere else
    import pwd  # noqa: PLC0415 - rare

    return pwd.getpwnam(user).pw_uid
