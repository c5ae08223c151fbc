"""Which process of gapless does not answer, in what state it is, and what to do about it.

The kernel is read only where a process may be silent.
"""

from __future__ import annotations

from typing import Any

from gapless.base.kernel import conditions
from gapless.base.names import Home

KEEPER_SILENT_S = 4.0
"""How long a keeper may leave unread what it was sent, before it is spoken of."""
_SERVES_ON = "the apps serve on"


def of_keeper(answer: dict[str, Any]) -> tuple[str, str] | None:
    """Return what is the matter with the keeper, and what to do; None if nothing is.

    *answer* is what its supervisor says of itself and of the keeper.
    """
    pid, silent_s = answer.get("keeper_pid"), answer.get("keeper_silent_s", 0)
    if not isinstance(pid, int) or not isinstance(silent_s, int | float):
        return None
    found = conditions.of(pid)
    if found is None or not (found.is_held or silent_s >= KEEPER_SILENT_S):
        return None
    since = f" for {silent_s:.0f} s" if silent_s >= 1 else ""
    return (
        f"the keeper (pid {pid}) has not answered{since}: {found.reason}",
        f"{found.hint}; {_SERVES_ON}, and until then none is started or stopped",
    )


def of_keeper_at_start(home: Home) -> tuple[str, str]:
    """Return why a keeper does not answer a supervisor that starts."""
    pid = conditions.holder_of_lock(home.keeper_lock)
    found = conditions.of(pid)
    if found is None:
        return "the keeper does not answer", f"{_SERVES_ON}; ask again"
    return (
        f"the keeper (pid {pid}) does not answer: {found.reason}",
        f"{found.hint}; {_SERVES_ON}, and until then no supervisor can start",
    )


def of_start(home: Home) -> tuple[str, str]:
    """Return why a supervisor that was started is not ready, as far as it can be seen."""
    pid = conditions.holder_of_lock(home.keeper_lock)
    found = conditions.of(pid)
    if found is not None and found.is_held:
        return of_keeper_at_start(home)
    return of_both(home, 0.0)


def of_both(home: Home, silent_s: float, *, pid: int = 0) -> tuple[str, str]:
    """Return why a supervisor, and its keeper if that is held too, do not answer.

    The pid of the supervisor is that of who holds its lock, if it is not given.
    """
    pid = pid or conditions.holder_of_lock(home.lock)
    named = f" (pid {pid})" if pid else ""
    since = f" for {silent_s:.0f} s" if silent_s else ""
    since = f" for {silent_s:.0f} s" if silent_s else ""
    message, hint = f"the supervisor{named} has not answered{since}", _SERVES_ON
    found = conditions.of(pid)
    if found is not None:
        message = f"{message}: {found.reason}"
        hint = f"{found.hint}; {_SERVES_ON}"
        if not found.is_held:
            hint += (
                f"; if it stays so, `kill -KILL {pid}`: the next command starts another"
            )
    keeper = conditions.holder_of_lock(home.keeper_lock)
    held = conditions.of(keeper)
    if held is not None and held.is_held:
        message = f"{message}; the keeper (pid {keeper}): {held.reason}"
        hint = f"{held.hint}; {hint}"
    return message, hint
