"""The paths of the logs and pid files of a declaration."""

from __future__ import annotations

import os
from typing import Any

from gapless.base import home
from gapless.base.errors import MisuseError
from gapless.base.names import Home
from gapless.config.pm2 import dates
from gapless.config.pm2.declaration import Declaration
from gapless.supervisor.memory import spec

PLAIN_TIME = "YYYY-MM-DDTHH:mm:ss"
_FIELDS = {"output": "out_file", "error": "error_file", "combined": "log_file"}
_NO_FILE = ("NULL", "/dev/null")


def log(declared: Declaration, name: str, directory: str, mode: str) -> spec.Log:
    """Return where the output goes.  Raises MisuseError."""
    logs = Home(home.path()).logs
    off = declared.get("disable_logs", False)

    def path_of(found: Any, default: str) -> str:
        if off or found in _NO_FILE:
            return "NULL"
        return os.path.normpath(os.path.join(directory, found or default))

    combined = declared.get("log_file") or ""
    if combined is True:
        combined = f"{logs}/{name}.log"
    pattern = declared.get("log_date_format", "")
    if not pattern and declared.get("time"):
        pattern = PLAIN_TIME
    merged = declared.get("merge_logs")
    if merged is None:
        merged = mode == "fork" and declared.get("instances") is None
    kind = declared.get("log_type", "")
    if kind not in ("", "json"):
        raise MisuseError(declared.message_for("log_type", f'"{kind}" is not "json"'))
    own = [name for name, field in _FIELDS.items() if declared.get(field)]
    return spec.Log(
        format="pm2-json" if kind == "json" else "plain",
        date_format=dates.strftime_format(pattern),
        output=path_of(declared.get("out_file"), f"{logs}/{name}-out.log"),
        error=path_of(declared.get("error_file"), f"{logs}/{name}-error.log"),
        combined="" if off or combined in ("", *_NO_FILE) else path_of(combined, ""),
        by_instance=not merged,
        own=tuple(name for name in own if declared.get(_FIELDS[name]) is not True),
    )


def pid_file(declared: Declaration, name: str, directory: str) -> str:
    """Return the path of the pid file."""
    default = f"{home.path()}/pids/{name}.pid"
    return os.path.normpath(os.path.join(directory, declared.get("pid_file", default)))
