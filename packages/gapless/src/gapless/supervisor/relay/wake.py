"""Let a thread return that sleeps in recv(2) until more has come than ever will.

A blocking read takes its mark (SO_RCVLOWAT) when it begins.  A signal ends it with what it
has read so far, or begins it anew with the mark of now; SIGSTOP and SIGCONT are the two
that no program handles.
"""

from __future__ import annotations

import os
import select
import signal

from gapless.supervisor.kernel import processes

_PAUSE_S = 0.0005
_MOST_PAUSES = 40


def interrupt(pid: int) -> None:
    """Interrupt the system calls of a process's threads; they go on at once."""
    found = processes.read(pid)
    if found is None or found.state in "TtZ":
        return  # somebody else has stopped it: what it reads is looked at later
    try:
        os.kill(pid, signal.SIGSTOP)
        # SIGCONT takes back a SIGSTOP that has not come yet.
        for _ in range(_MOST_PAUSES):
            found = processes.read(pid)
            if found is None or found.state in "TZ":
                break
            select.select([], [], [], _PAUSE_S)
    except ProcessLookupError:
        return
    finally:
        _go_on(pid)


def _go_on(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGCONT)
    except ProcessLookupError:
        return
