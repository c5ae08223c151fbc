"""`pm2 inspect APP`: open the debugger of Node in a running process.

SIGUSR1 opens it at 127.0.0.1:9229 (https://nodejs.org/api/debugger.html), and ends a
program that is not Node: so it is sent to Node alone, and the debugger is asked for.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from typing import Any

from gapless.base import clock
from gapless.base.errors import DONE, GaplessError, MisuseError
from gapless.cli import selection
from gapless.cli.pm2.words import Words
from gapless.client import Client

PORT = 9229
_PROGRAMS = ("node", "nodejs")
_WAIT_S = 5.0


def open_in(words: Words) -> int:
    """Open it in the first instance that serves.  Raises GaplessError."""
    if len(words.about) != 1:
        raise MisuseError(
            "pm2 inspect what? name one app", hint="`pm2 list` names them"
        )
    client = Client(starts=False)
    app = selection.one_name(client, words.about[0])
    described = client.request("describe", app=app)
    serving = [i for i in described["instances_detail"] if i["phase"] == "ready"]
    if not serving:
        raise GaplessError(f"{app}: no instance serves")
    pid = int(serving[-1]["pid"])
    if os.path.basename(_program(pid)) not in _PROGRAMS:
        raise MisuseError(
            f"{app}: process {pid} is not Node, and SIGUSR1 may end it",
            hint="the debugger of its own language attaches to a pid: `pm2 pid`",
        )
    if _targets():
        raise GaplessError(
            f"127.0.0.1:{PORT} is taken: a debugger is open already",
            hint=f"http://127.0.0.1:{PORT}/json/list says whose",
        )
    os.kill(pid, signal.SIGUSR1)
    end = clock.monotonic() + _WAIT_S
    while not (targets := _targets()):
        if clock.monotonic() > end:
            raise GaplessError(
                f"{app}: process {pid} opened no debugger within {_WAIT_S:g} s",
                hint="an app that listens for SIGUSR1 itself opens none; "
                f"`pm2 reload {app} --node-args --inspect` does",
            )
        time.sleep(0.1)
    print(f"{app}: process {pid} waits for a debugger at 127.0.0.1:{PORT}")
    print(targets[0].get("devtoolsFrontendUrl") or targets[0].get("id", ""))
    print(f"from another machine: ssh -L {PORT}:127.0.0.1:{PORT} {os.uname().nodename}")
    return DONE


def _program(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/exe").removesuffix(" (deleted)")
    except OSError as error:
        raise GaplessError(f"could not look at process {pid}: {error}") from None


def _targets() -> list[dict[str, Any]]:
    import http.client  # noqa: PLC0415 - all words of PM2 would wait for it, and for TLS

    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=2)
    with contextlib.closing(connection):
        try:
            connection.request("GET", "/json/list")
            found = json.loads(connection.getresponse().read(1 << 20))
        except (OSError, ValueError, http.client.HTTPException):
            return []
    return [each for each in found if isinstance(each, dict)]
