"""What is chosen of a declaration: by the command line, or when the app was started."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from gapless.supervisor.memory.spec import AppSpec

_OF_THE_CALLER = (
    "GAPLESS_APP",
    "GAPLESS_GENERATION",
    "GAPLESS_ORDINAL",
    "GAPLESS_INSTANCE",
    "GAPLESS_SOCKET",
    "NODE_APP_INSTANCE",
    "NODE_UNIQUE_ID",
    "NODE_CHANNEL_FD",
    "NODE_CHANNEL_SERIALIZATION_MODE",
    "NOTIFY_SOCKET",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "INVOCATION_ID",
    "JOURNAL_STREAM",
    "OLDPWD",
    "PWD",
    "SHLVL",
    "_",
)
"""Variables that belong to the caller's own process, and would mislead an app."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What a declaration depends on, besides its own words."""

    environment: Mapping[str, str]
    """The variables that the apps inherit."""
    profile: str = ""
    """--env: which env_NAME of a PM2 declaration is laid over its env."""
    overrides: Mapping[str, Any] = field(default_factory=dict)
    """Fields of a PM2 declaration that take precedence over those of the file."""
    started_in: str = ""
    """Where the command was typed; empty means here."""
    only: Collection[str] = ()
    """The apps that are wanted, as the file calls them; none means all."""


def inherited(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that an app inherits from the shell that starts it."""
    return {name: v for name, v in environment.items() if name not in _OF_THE_CALLER}


def inherited_by(running: AppSpec) -> dict[str, str]:
    """Return the variables that a running app inherited when it was started."""
    configured = set(running.configured)
    return {k: v for k, v in running.environment.items() if k not in configured}


def choice_of(running: AppSpec) -> Choice:
    """Return what was chosen when a running app was started."""
    return Choice(
        environment=inherited_by(running),
        profile=running.profile,
        overrides={name: json.loads(value) for name, value in running.arguments},
        started_in=running.started_in,
        only=(label_of(running),),
    )


def label_of(running: AppSpec) -> str:
    """Return what its file calls a running app."""
    return running.label or running.name
