"""The options that a declaration is read with, and the environment that apps inherit."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from gapless.base.errors import NotFoundError
from gapless.supervisor.memory.spec import AppSpec

_VARIABLES_OF_CALLER = (
    "GAPLESS_APP",
    "GAPLESS_GENERATION",
    "GAPLESS_ORDINAL",
    "GAPLESS_INSTANCE",
    "GAPLESS_SOCKET",
    "GAPLESS_SOCKET_PATH",
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
    "MAINPID",
    "SYSTEMD_EXEC_PID",
    "OLDPWD",
    "PWD",
    "SHLVL",
    "_",
)
"""Variables that describe the caller's own process; an app would misread them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The options that a declaration is read with, from a command or a running app."""

    environment: Mapping[str, str]
    """The variables that the apps inherit."""
    profile: str = ""
    """--env: the NAME of the env_NAME that is laid over the env of a PM2 declaration."""
    overrides: Mapping[str, Any] = field(default_factory=dict)
    """Fields of a PM2 declaration that take precedence over those of the file."""
    started_in: str = ""
    """The directory in which the command was typed; empty: the present one."""
    only: Collection[str] = ()
    """The labels of the apps to read; empty: all."""

    def check_labels(self, file: str, known: Collection[str]) -> None:
        """Raise NotFoundError if a label is chosen that the file does not declare."""
        for label in self.only:
            if label not in known:
                raise NotFoundError(
                    f"{file} declares no app named {label!r}",
                    hint=f"it declares: {', '.join(known) or 'none'}",
                )


def inherited(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that an app inherits from the process that starts it."""
    return {
        name: v for name, v in environment.items() if name not in _VARIABLES_OF_CALLER
    }


def inherited_by(running: AppSpec) -> dict[str, str]:
    """Return the variables that a running app inherited when it was started."""
    configured = set(running.configured)
    return {k: v for k, v in running.environment.items() if k not in configured}


def choice_of(running: AppSpec) -> Choice:
    """Return the options with which a running app was started."""
    return Choice(
        environment=inherited_by(running),
        profile=running.profile,
        overrides={name: json.loads(value) for name, value in running.arguments},
        started_in=running.started_in,
        only=(label_of(running),),
    )


def label_of(running: AppSpec) -> str:
    """Return the label of a running app in its file."""
    return running.label or running.name
