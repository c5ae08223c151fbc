"""Which fleets this host follows, and under which name.

The agent writes it down; `drain` reads it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from gapless.base import files
from gapless.base.errors import MisuseError, UnavailableError
from gapless.base.names import Home, is_host_name
from gapless.config.choice import inherited
from gapless.config.toml import fleets
from gapless.config.toml.fleets import Fleet


@dataclass(frozen=True, slots=True)
class Membership:
    """One fleet, and the name of this host in it."""

    fleet: Fleet
    host: str


def host_name(given: str = "") -> str:
    """Return the name of this host in its fleets.  Raises MisuseError."""
    name = given or os.environ.get("GAPLESS_HOST") or socket.gethostname()
    if not is_host_name(name):
        raise MisuseError(
            f"{name!r} cannot name a host: letters, digits and . _ : @ + - in it",
            hint="gapless agent --host NAME",
        )
    return name


def remember(home: Home, found: Mapping[str, Fleet], host: str) -> None:
    """Write down which fleets are followed from now on.  Raises OSError."""
    own = {app: {"file": fleet.file, "host": host} for app, fleet in found.items()}
    files.make_directories(home.path, files.PRIVATE_DIRECTORY)
    with _locked(home):  # agents of other files start at the same time
        before = _read(home)
        if before != (after := before | own):
            files.write_json(home.fleets, after)


@contextlib.contextmanager
def _locked(home: Home) -> Iterator[None]:
    descriptor = os.open(home.path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def memberships(home: Home) -> list[Membership]:
    """Return the fleets that this host follows, and that their files still declare.

    Raises UnavailableError, MisuseError.
    """
    found = []
    for app, entry in sorted(_read(home).items()):
        if not os.path.exists(entry["file"]):
            continue
        declared = fleets.load(entry["file"], inherited(os.environ))
        if app in declared:
            found.append(Membership(declared[app], entry["host"]))
    return found


def _read(home: Home) -> dict[str, dict[str, str]]:
    try:
        plain = files.read_own_json(home.fleets) or {}
        return {
            str(app): {"file": str(entry["file"]), "host": str(entry["host"])}
            for app, entry in plain.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnavailableError(
            f"could not read which fleets this host follows: {home.fleets}: {error!r}",
            hint="move it away, and `gapless agent` writes it again",
        ) from error
