"""Run one command; when it has ended, failed or timed out, end all that came from it.

The publisher starts this process and asks by a pipe.  The end of that pipe is the end of
the publisher: a build ends then, other commands are finished.  This process has the
publisher's lock, which the command has not: the command cannot give it up, and the next
publisher begins when nothing of the command lives.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import select
import signal

from gapless.base import clock, codec
from gapless.keeper import process_title
from gapless.keeper.spawn import SpawnError, spawn
from gapless.keeper.spawn_request import SpawnRequest
from gapless.releases.reaper import descendants
from gapless.releases.reaper.output import Output
from gapless.releases.reaper.request import Ended, Request

END = b"end\n"
"""What the publisher writes to end the command at once."""
_LOOK_S = 1.0
"""How often orphans are collected while the command runs."""
_PR_SET_NO_NEW_PRIVS = 38
_ASKED = 0
_ANSWERS = 1


def main(arguments: list[str]) -> None:
    """Run what is asked on standard input, and answer on standard output."""
    _ = arguments
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(
            number, signal.SIG_IGN
        )  # it ends when the command's processes have
    request = codec.decode(Request, json.loads(_first_line()))
    process_title.become_subreaper()
    if request.gains_no_rights:
        ctypes.CDLL(None).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    ended = _run(request)
    try:
        os.write(_ANSWERS, (json.dumps(codec.encode(ended)) + "\n").encode())
    except OSError:
        return  # the publisher has died


def _first_line() -> bytes:
    """Return the request; what follows it stays in the pipe."""
    line = bytearray()
    while not line.endswith(b"\n"):
        piece = os.read(_ASKED, 1)
        if not piece:
            raise SystemExit(0)  # the publisher died before it had asked
        line += piece
    return bytes(line)


def _run(request: Request) -> Ended:
    output = Output(request.log)
    group = descendants.own_group()
    code, number, reason = None, 0, ""
    try:
        leader = spawn(
            SpawnRequest(
                argv=tuple(request.command),
                environment=request.environment,
                directory=request.directory,
                stdout=output.write_end,
                stderr=output.write_end,
                user=request.user,
                user_variables=tuple(request.user_variables),
                filtered=False,
                cgroup=group,
            )
        )
    except SpawnError as error:
        number, reason = error.errno or errno.EINVAL, error.strerror or str(error)
    else:
        os.close(output.write_end)
        code = _wait(leader.pid, leader.pidfd, output, request)
    alive = descendants.end_all(group)
    while output.take() and select.select([output], [], [], 0)[0]:
        continue
    return Ended(code=code, errno=number, reason=reason, alive=alive)


def _wait(leader: int, pidfd: int, output: Output, request: Request) -> int | None:
    """Return the exit code of the command; None if it is to be ended."""
    until = clock.monotonic() + request.timeout_s
    waits_for: list[int | Output] = [_ASKED, pidfd, output]
    while (left_s := until - clock.monotonic()) > 0:
        ready, _, _ = select.select(waits_for, [], [], min(_LOOK_S, left_s))
        if output in ready and not output.take():
            waits_for.remove(output)
        ended = descendants.reap()
        if leader in ended:
            return ended[leader]
        if _ASKED in ready:
            is_told = os.read(_ASKED, len(END)) == END
            if is_told or not request.goes_on:
                return None
            waits_for.remove(_ASKED)
    return None
