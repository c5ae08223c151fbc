"""What was asked for, on disk: which apps there are and whether they are to run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from gapless.base import files
from gapless.base.errors import UnavailableError
from gapless.supervisor import spec

VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What was asked for one app."""

    spec: spec.AppSpec
    running: bool
    last_generation: int = 0
    restarts: int = 0
    last_report: dict[str, Any] | None = field(default=None)


def write(path: str, apps: dict[str, Asked], *, shut_down: bool) -> None:
    """Replace the state by *apps*, atomically.  Raises OSError.

    *shut_down* says that the apps were ended by `gapless shutdown`, not by a crash.
    """
    plain = {
        name: {
            "spec": spec.to_wire(asked.spec),
            "running": asked.running,
            "last_generation": asked.last_generation,
            "restarts": asked.restarts,
            "last_report": asked.last_report,
        }
        for name, asked in apps.items()
    }
    state = {"version": VERSION, "shut_down": shut_down, "apps": plain}
    files.write_json(path, state)


def read(path: str) -> tuple[dict[str, Asked], bool]:
    """Return what was asked for, and whether it was shut down; nothing without a file.

    Raises UnavailableError if it cannot be understood: a state that is guessed at could
    stop apps that serve.
    """
    try:
        plain = files.read_json(path)
        if plain is None:
            return {}, False
        if plain["version"] != VERSION:
            raise ValueError(f"version {plain['version']} is not {VERSION}")
        apps = {
            name: Asked(**{**asked, "spec": spec.from_wire(asked["spec"])})
            for name, asked in plain["apps"].items()
        }
        return apps, bool(plain["shut_down"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnavailableError(
            f"could not read the state in {path}: {error!r}",
            hint="move the file away to begin with no apps; those that run serve on",
        ) from error
