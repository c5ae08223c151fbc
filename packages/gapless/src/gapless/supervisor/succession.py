"""`gapless supervise` takes over from a supervisor that a command started in passing.

The other one leaves as on SIGTERM; the apps serve on, since the keeper holds them.  Of two
that were both started to stay, the first one stays.
"""

from __future__ import annotations

import json
import os
import signal
import socket
from typing import Any

from gapless.base.kernel import peer
from gapless.base.names import Home
from gapless.keeper import run as keeper_run

ANSWER_S = 10.0
COMMAND, SUPERVISE = "command", "supervise"
"""What started a supervisor: a command that needed one, or `gapless supervise`."""


def ask_to_leave(home: str) -> str:
    """Let the supervisor of *home* leave; return why it may not, empty if it leaves."""
    try:
        kind, limit_s = socket.SOCK_STREAM, int(ANSWER_S)
        with keeper_run.connect_to(home, "supervisor.sock", kind, limit_s) as sock:
            (pid, _), found = peer.credentials_of(sock), _ping(sock)
    except (TimeoutError, BlockingIOError):
        from gapless.base.kernel import hung  # noqa: PLC0415 - rare

        message, hint = hung.of_both(Home(home), ANSWER_S)
        return f"a supervisor runs already: {message}\nhint: {hint}"
    except OSError:
        return ""  # it is gone, or about to go
    if found.get("pid") != pid:
        return ""  # it ends already
    if found.get("started_by", COMMAND) != COMMAND:
        return f"a supervisor of {home} runs already (pid {pid})"
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        return ""
    return ""


def _ping(sock: socket.socket) -> dict[str, Any]:
    sock.settimeout(ANSWER_S)
    sock.sendall(b'{"op": "ping"}\n')
    with sock.makefile("rb") as lines:
        try:
            found = json.loads(lines.readline() or b"{}").get("result")
        except ValueError:
            return {}
    return found if isinstance(found, dict) else {}
