"""Which fleets this host follows, and as whom: written by its agent, read by `drain`."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from gapless.base import files
from gapless.base.errors import UnavailableError
from gapless.base.names import Home
from gapless.config.choice import inherited
from gapless.config.toml import fleets
from gapless.config.toml.fleets import Fleet


@dataclass(frozen=True, slots=True)
class Membership:
    """One fleet, and what this host is called in it."""

    fleet: Fleet
    host: str


def remember(home: Home, found: Mapping[str, Fleet], host: str) -> None:
    """Write down which fleets are followed from now on.  Raises OSError."""
    own = {app: {"file": fleet.file, "host": host} for app, fleet in found.items()}
    os.makedirs(home.path, mode=0o700, exist_ok=True)
    with _alone(home):  # agents of other files start at the same time
        before = _read(home)
        if before != (after := before | own):
            files.write_json(home.fleets, after)


@contextlib.contextmanager
def _alone(home: Home) -> Iterator[None]:
    descriptor = os.open(home.path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def memberships(home: Home) -> list[Membership]:
    """Return the fleets that this host follows; a file may declare one no more.

    Raises UnavailableError, MisuseError.
    """
    found = []
    for app, said in sorted(_read(home).items()):
        if not os.path.exists(said["file"]):
            continue
        declared = fleets.load(said["file"], inherited(os.environ))
        if app in declared:
            found.append(Membership(declared[app], said["host"]))
    return found


def _read(home: Home) -> dict[str, dict[str, str]]:
    try:
        plain = files.read_json(home.fleets) or {}
        return {
            str(app): {"file": str(said["file"]), "host": str(said["host"])}
            for app, said in plain.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnavailableError(
            f"could not read which fleets this host follows: {home.fleets}: {error!r}",
            hint="`gapless agent` writes it anew once it is moved away",
        ) from error
