"""How the instances of a declaration become ready, stop, restart and are renewed."""

from __future__ import annotations

import os
from collections.abc import Mapping

from gapless.base.errors import MisuseError
from gapless.config.pm2.declaration import Declaration
from gapless.supervisor.memory import spec

LISTEN_TIMEOUT_S, KILL_TIMEOUT_S, MIN_UPTIME_S = 30.0, 1.6, 1.0
MAX_RESTARTS, UNLIMITED_RESTARTS = 16, 1 << 30
TRIES_AGAIN = ("restart_delay", "exp_backoff_restart_delay", "max_restarts")
"""What asks for a first start to be tried again as any later one."""


def ready(declared: Declaration, pm2_variables: Mapping[str, str]) -> spec.Ready:
    """Return when an instance counts as ready.  Raises MisuseError."""
    default_s = _timeout(pm2_variables, "PM2_GRACEFUL_LISTEN_TIMEOUT", LISTEN_TIMEOUT_S)
    timeout_s = declared.get("listen_timeout", default_s)
    if timeout_s <= 0:
        raise MisuseError(
            declared.message_for(
                "listen_timeout", "0 leaves no time to become ready; write 3000"
            )
        )
    when = spec.When.NOTIFY if declared.get("wait_ready") else spec.When.AUTO
    return spec.Ready(when=when, timeout_s=timeout_s)


def stop(
    declared: Declaration, pm2_variables: Mapping[str, str], interpreter: str
) -> spec.Stop:
    """Return how an instance is stopped.

    PM2_KILL_USE_MESSAGE is for programs that can hear a message; others get the signal.
    """
    default_s = _timeout(pm2_variables, "PM2_KILL_TIMEOUT", KILL_TIMEOUT_S)
    wants_message = bool(pm2_variables.get("PM2_KILL_USE_MESSAGE"))
    by_message = wants_message and interpreter in ("node", "nodejs", "bun")
    return spec.Stop(
        signal=pm2_variables.get("PM2_KILL_SIGNAL", "SIGINT"),
        message=declared.get("shutdown_with_message", by_message),
        kill_timeout_s=declared.get("kill_timeout", default_s),
        tree=declared.get("treekill", True),
    )


def survives_rejections(declared: Declaration, interpreter: str, mode: str) -> bool:
    """Return whether PM2 would let a program outlive an unhandled rejection.

    PM2 listens for them in each cluster process, and in a fork by way of what `pmx` adds.
    """
    listens = mode == "cluster" or declared.get("pmx", True) is not False
    return interpreter in ("node", "nodejs") and listens


def _timeout(
    pm2_variables: Mapping[str, str], variable: str, default_s: float
) -> float:
    """Return a timeout in seconds; PM2's variables hold milliseconds."""
    found = pm2_variables.get(variable, "")
    return int(found) / 1000 if found.isdigit() and int(found) else default_s


def restart(declared: Declaration) -> spec.Restart:
    """Return what happens when an instance ends by itself."""
    backoff_s = declared.get("exp_backoff_restart_delay", 0.0)
    # PM2 gives up at short life number max_restarts; with growing delays it never does.
    default = UNLIMITED_RESTARTS if backoff_s else MAX_RESTARTS
    return spec.Restart(
        automatic=declared.get("autorestart", True),
        max=max(0, declared.get("max_restarts", default) - 1),
        min_uptime_s=declared.get("min_uptime", MIN_UPTIME_S),
        delay_s=declared.get("restart_delay"),
        backoff_s=backoff_s,
        stop_exit_codes=tuple(declared.get("stop_exit_codes", ())),
        first=any(map(declared.get, TRIES_AGAIN)),
    )


def renew(declared: Declaration, directory: str) -> spec.Renew:
    """Return what begins a handoff; watched paths begin at *directory*."""
    watch = declared.get("watch", False)
    watched = [directory] if watch is True else (watch or [])
    ignored = declared.get("ignore_watch")
    return spec.Renew(
        memory_bytes=declared.get("max_memory_restart", 0),
        cron=declared.get("cron_restart", ""),
        watch=tuple(os.path.normpath(os.path.join(directory, p)) for p in watched),
        ignore=None if ignored is None else tuple(ignored),
        watch_delay_s=declared.get("watch_delay", spec.Renew().watch_delay_s),
    )
