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
    ids: list[int] = field(default_factory=list)
    finished: bool = False
    last_report: dict[str, Any] | None = field(default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """All that was asked for."""

    apps: dict[str, Asked] = field(default_factory=dict)
    shut_down: bool = False
    """The apps were ended by `gapless shutdown`, not by a crash."""
    draining: bool = False
    """The whole host was told to leave service."""
    lead_s: float | None = None
    """How long, at most, balancers are told before; None: as each app says."""


def write(path: str, asked: State) -> None:
    """Replace the state, atomically.  Raises OSError."""
    plain = {
        name: {
            "spec": spec.to_wire(app.spec),
            "running": app.running,
            "last_generation": app.last_generation,
            "restarts": app.restarts,
            "ids": app.ids,
            "finished": app.finished,
            "last_report": app.last_report,
        }
        for name, app in asked.apps.items()
    }
    files.write_json(
        path,
        {
            "version": VERSION,
            "shut_down": asked.shut_down,
            "draining": asked.draining,
            "lead_s": asked.lead_s,
            "apps": plain,
        },
    )


def read(path: str) -> State:
    """Return what was asked for; nothing without a file.

    Raises UnavailableError if it cannot be understood: a state that is guessed at could
    stop apps that serve.
    """
    try:
        plain = files.read_json(path)
        if plain is None:
            return State()
        if plain["version"] != VERSION:
            raise ValueError(f"version {plain['version']} is not {VERSION}")
        apps = {
            name: Asked(**{**asked, "spec": spec.from_wire(asked["spec"])})
            for name, asked in plain["apps"].items()
        }
        return State(
            apps=apps,
            shut_down=bool(plain["shut_down"]),
            draining=bool(plain.get("draining")),
            lead_s=plain.get("lead_s"),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnavailableError(
            f"could not read the state in {path}: {error!r}",
            hint="move the file away to begin with no apps; those that run serve on",
        ) from error
