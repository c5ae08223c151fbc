"""Where an upload goes: a mounted directory, or one on a host that ssh reaches.  Pure.

Rule: nothing of a destination is an option of ssh or a word for a shell.  Users and hosts
are what OpenSSH itself takes (valid_ruser and valid_hostname of its ssh.c).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from gapless.base.errors import MisuseError

_URL = re.compile(
    r"ssh://(?P<host>(?:[^@/]+@)?(?:\[[^\]/]+\]|[^:/\[\]]+))(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>/.*)"
)
_SCP = re.compile(r"(?P<host>(?:[^@/:]+@)?(?:\[[^\]/]+\]|[^:/\[\]]+)):(?P<path>.+)")
_REFUSED = r"\s'`\"$;&<>|(){},!*?#\[\]"
_HOST = re.compile(rf"[^-~\\{_REFUSED}][^\\{_REFUSED}]*")
_USER = re.compile(rf"[^-~{_REFUSED}](?:[^{_REFUSED}]*[^\\{_REFUSED}])?")
"""A user of a domain has a backslash, which would quote what follows at its end."""
_FORMS = "write user@host:/mnt/dfs, ssh://user@host:2222/mnt/dfs, or /mnt/dfs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """A release server's base directory."""

    path: str
    host: str = ""
    """The argument for ssh, with the user; empty: the directory is mounted here."""
    port: int | None = None

    def __str__(self) -> str:
        """Return it as users write it."""
        if not self.host:
            return self.path
        user, at, name = self.host.rpartition("@")
        host = f"{user}{at}[{name}]" if ":" in name else self.host
        if self.port:
            return f"ssh://{host}:{self.port}{self.path}"
        return f"{host}:{self.path}"


def parse(text: str) -> Destination:
    """Return the destination that a text means; a colon before the first slash means ssh.

    Raises MisuseError.
    """
    if not text:
        raise MisuseError("the destination is empty", hint=_FORMS)
    if not text.isprintable():
        raise MisuseError(f"{text!r}: it has characters that do not print", hint=_FORMS)
    if text.startswith("ssh://"):
        found = _URL.fullmatch(text)
        if found is None:
            raise MisuseError(f"{text!r} is no destination", hint=_FORMS)
        port = int(found["port"]) if found["port"] else None
        return _remote(text, found["host"], found["path"], port)
    if ":" in text.partition("/")[0]:
        found = _SCP.fullmatch(text)
        if found is None:
            raise MisuseError(f"{text!r} is no destination", hint=_FORMS)
        return _remote(text, found["host"], found["path"], None)
    return Destination(path=text.rstrip("/") or "/")


def _remote(text: str, host: str, path: str, port: int | None) -> Destination:
    user, at, name = host.rpartition("@")
    if name.startswith("["):
        name = name[1:-1]
    if at and not _USER.fullmatch(user):
        raise MisuseError(f"{text!r}: {user!r} cannot name a user", hint=_FORMS)
    if not _HOST.fullmatch(name):
        raise MisuseError(f"{text!r} names no host", hint=_FORMS)
    if port is not None and not 0 < port < 65536:
        raise MisuseError(f"{text!r}: there is no port {port}", hint=_FORMS)
    if path.startswith("~/"):
        path = path[2:]  # ssh begins in the home directory
    elif path.startswith("~"):
        raise MisuseError(f"{text!r}: write the path without ~", hint=_FORMS)
    if path.startswith("-"):
        path = f"./{path}"
    return Destination(
        path=path.rstrip("/") or "/", host=f"{user}{at}{name}", port=port
    )
