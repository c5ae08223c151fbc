"""The fields of requests: each checked, and named if it is wrong.

Every function raises MisuseError.
"""

from __future__ import annotations

import signal
from typing import Any

from gapless.base import clock, codec
from gapless.base.errors import MisuseError
from gapless.base.names import is_app_name
from gapless.supervisor.memory import spec
from gapless.supervisor.renewal import schedule

MOST_INSTANCES = 1024
LONGEST_LEAD_S = 3600

Request = dict[str, Any]


def spec_in(request: Request) -> spec.AppSpec:
    """Return the spec of an app."""
    try:
        codec.check_texts(request.get("spec"), "spec")
        wanted = codec.decode(spec.AppSpec, request.get("spec"), "spec")
    except codec.WrongTypeError as error:
        raise MisuseError(f"the spec in the request is wrong: {error}") from error
    if not is_app_name(wanted.name):
        raise MisuseError(f"{wanted.name!r} cannot be the name of an app")
    try:
        if wanted.renew.cron:
            schedule.parse(wanted.renew.cron)
    except ValueError as error:
        raise MisuseError(f"{wanted.name}: {error}") from error
    if wanted.stop.signal not in signal.Signals.__members__:
        raise MisuseError(f"{wanted.name}: there is no signal {wanted.stop.signal}")
    if not wanted.command or not 1 <= wanted.instances <= MOST_INSTANCES:
        raise MisuseError(f"{wanted.name}: the spec has no command or no instances")
    return wanted


def token_in(request: Request) -> str:
    """Return the token by which a client finds its operation again."""
    return str(request.get("token") or "")


def instances_in(request: Request, app: str) -> int:
    """Return a number of instances."""
    count = request.get("instances")
    if type(count) is not int or not 1 <= count <= MOST_INSTANCES:
        raise MisuseError(
            f"{app}: cannot run {count!r} instances",
            hint=f"a number from 1 to {MOST_INSTANCES}; `gapless stop` for none",
        )
    return count


def signal_in(request: Request, app: str) -> int:
    """Return the number of a signal, which is named with or without SIG."""
    name = str(request.get("signal", "")).upper()
    name = name if name.startswith("SIG") else f"SIG{name}"
    if name not in signal.Signals.__members__:
        raise MisuseError(f"{app}: there is no signal {name}")
    return signal.Signals[name]


def lead_in(request: Request) -> float | None:
    """Return how long balancers have before a host refuses requests."""
    lead_s = request.get("lead_s")
    if lead_s is None:
        return None
    if type(lead_s) not in (int, float) or not 0 <= lead_s <= LONGEST_LEAD_S:
        raise MisuseError(f"lead_s is {lead_s!r}: a number from 0 to {LONGEST_LEAD_S}")
    return float(lead_s)


def refusal_in(request: Request) -> str:
    """Return why a switch is not permitted; empty if it is.

    *until* in the request is when the permit ends, on CLOCK_BOOTTIME.
    """
    until = request.get("until")
    if until is not None and clock.boottime() >= float(until):
        return "the permit came too late: this host was paused"
    return str(request.get("refused") or "")
