"""The ranges of what a request may ask for: each checked here, and named if it is wrong.

The decoder has checked the types.  What passes is stored, and acted on by this supervisor
and the next one: a value that would stop one of them is refused here.  Every function
raises MisuseError.
"""

from __future__ import annotations

import json
import signal
from typing import Any

from gapless.base.errors import MisuseError
from gapless.base.names import is_app_name
from gapless.supervisor.instances import notify
from gapless.supervisor.memory import spec
from gapless.supervisor.renewal import schedule

MOST_INSTANCES = 1024
LONGEST_LEAD_S = 3600.0
LONGEST_S = 10 * 365 * 86_400.0
MOST = 1 << 53
"""As large as a number can be that every reader of JSON takes exactly."""
LONGEST_DATE_FORMAT = 200
LOG_FORMATS = ("text", "plain", "json", "pm2-json")

_SECONDS = (0.0, LONGEST_S)
_COUNT = (0, MOST)
SPEC_RANGES: dict[str, tuple[float, float]] = {
    "instances": (1, MOST_INSTANCES),
    "min_healthy_s": _SECONDS,
    "outgoing": (1, 65_535),
    "ready.timeout_s": _SECONDS,
    "alive.every_s": (0.1, LONGEST_S),
    "alive.timeout_s": (0.1, LONGEST_S),
    "alive.failures": (1, MOST),
    "stop.drain_timeout_s": _SECONDS,
    "stop.kill_timeout_s": _SECONDS,
    "restart.max": _COUNT,
    "restart.min_uptime_s": _SECONDS,
    "restart.delay_s": _SECONDS,
    "restart.backoff_s": _SECONDS,
    "restart.stop_exit_codes": (-MOST, MOST),
    "recycle.max_unavailable": (1, MOST_INSTANCES),
    "recycle.lead_s": _SECONDS,
    "recycle.quiet_s": _SECONDS,
    "renew.memory_bytes": _COUNT,
    "renew.watch_delay_s": _SECONDS,
    "log.rotate_bytes": _COUNT,
    "log.rotate_s": _SECONDS,
    "log.keep": (0, 1000),
    "limits.open_files": _COUNT,
    "limits.processes": _COUNT,
    "limits.core_bytes": _COUNT,
    "limits.memory_bytes": (1, MOST),
    "limits.cpu_percent": (1, 1_000_000),
}
"""The lowest and highest number of each field of a spec; of a list: of each item."""


def check_spec(wanted: spec.AppSpec) -> None:
    """Check the spec of an app."""
    if not is_app_name(wanted.name):
        raise MisuseError(f"{wanted.name!a} cannot be the name of an app")
    for path, (lowest, highest) in SPEC_RANGES.items():
        for number in _numbers(wanted, path):
            if not lowest <= number <= highest:
                raise MisuseError(
                    f"{wanted.name}: {path} is {number!r}, "
                    f"not a number from {lowest:g} to {highest:g}"
                )
    if reason := _fault(wanted):
        raise MisuseError(f"{wanted.name}: {reason}")


def _numbers(wanted: spec.AppSpec, path: str) -> tuple[float, ...]:
    """Return the numbers of a field; none if it is null."""
    found: Any = wanted
    for name in path.split("."):
        found = getattr(found, name)
    if found is None:
        return ()
    return found if isinstance(found, tuple) else (found,)


def _fault(wanted: spec.AppSpec) -> str:
    """Return what is wrong with the texts of a spec; empty if nothing is."""
    if wanted.alias and not is_app_name(wanted.alias):
        return f"{wanted.alias!a} cannot be the alias of an app"
    if not wanted.command or not wanted.command[0]:
        return "the spec has no command"
    if not wanted.directory.startswith("/"):
        return f"the directory {wanted.directory!a} is not absolute"
    for name in wanted.environment:
        if not name or "=" in name:
            return f"{name!a} cannot be the name of a variable"
    for path in wanted.environment_files:
        if not path.removeprefix("-"):
            return f"{path!a} is no path of an environment file"
    if wanted.umask and not _is_umask(wanted.umask):
        return f"the umask {wanted.umask!a} has other digits than 0 to 7, or too many"
    for address in wanted.listen:
        if not _is_port(address.rpartition(":")[2]):
            return f"{address!a} is not HOST:PORT"
    if wanted.stop.signal not in signal.Signals.__members__:
        return f"there is no signal {wanted.stop.signal!a}"
    for path in (wanted.ready.path, wanted.alive.path):
        if not (path.startswith("/") and path.isascii() and path.isprintable()):
            return f"{path!a} cannot be the path of a probe"
    if wanted.log.format not in LOG_FORMATS:
        return f"there is no format of logs {wanted.log.format!a}"
    if len(wanted.log.date_format) > LONGEST_DATE_FORMAT:
        return f"the date format has more than {LONGEST_DATE_FORMAT} characters"
    for key, value in wanted.arguments:
        try:
            json.loads(value)
        except (ValueError, RecursionError):
            return f"the argument {key!a} is not JSON"
    try:
        if wanted.renew.cron:
            schedule.parse(wanted.renew.cron)
    except ValueError as error:
        return str(error)
    return ""


def _is_umask(text: str) -> bool:
    return len(text) <= 4 and set(text) <= set("01234567") and int(text, 8) <= 0o777


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 65_535


def instances(count: int | None, app: str) -> int:
    """Return a number of instances."""
    if count is None or not 1 <= count <= MOST_INSTANCES:
        raise MisuseError(
            f"{app}: cannot run {count!r} instances",
            hint=f"a number from 1 to {MOST_INSTANCES}; `gapless stop {app}` for none",
        )
    return count


def signal_number(word: str, app: str) -> int:
    """Return the number of a signal, which is named with or without SIG."""
    name = word.upper()
    name = name if name.startswith("SIG") else f"SIG{name}"
    if name not in signal.Signals.__members__:
        raise MisuseError(f"{app}: there is no signal {name[:40]!a}")
    return signal.Signals[name]


def line_of(message: str, app: str) -> bytes:
    """Return the line that brings a message, which is JSON, to a program of Node."""
    try:
        line = json.dumps(json.loads(message)).encode() + b"\n"
    except (ValueError, RecursionError):
        raise MisuseError(f"{app}: the message is not JSON") from None
    if len(line) > notify.LONGEST_SENT_BYTES:
        raise MisuseError(
            f"{app}: the message has more than {notify.LONGEST_SENT_BYTES} bytes"
        )
    return line


def check_lead(lead_s: float | None) -> None:
    """Check how long balancers have before a host refuses requests."""
    if lead_s is not None and not 0 <= lead_s <= LONGEST_LEAD_S:
        raise MisuseError(
            f"lead_s is {lead_s!r}: a number from 0 to {LONGEST_LEAD_S:g}"
        )
