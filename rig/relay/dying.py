"""A relay that is killed right after one of its own steps.

    python -m rig.relay.dying 17 DESCRIPTOR

is `gapless relay` until its 17th step: a mark, a stop, a request read, a piece passed on,
a connection ended.  A step is what other processes or clients may see.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from gapless.supervisor.relay import connection, sockets, stopped, takeover
from gapless.supervisor.relay.http import buffer, exchange
from gapless.supervisor.relay.run import main

STEPS: tuple[tuple[Any, str], ...] = (
    (sockets, "set_mark"),
    (sockets, "clear_mark"),
    (sockets, "shut"),
    (sockets, "connect_as"),
    (stopped.Stops, "begin"),
    (stopped.Stops, "finish"),
    (exchange.Exchange, "_begin_to_read"),
    (exchange.Exchange, "_read_client"),
    (exchange.Exchange, "_read_program"),
    (exchange.Exchange, "_begin_to_linger"),
    (buffer.Buffer, "send"),
    (connection.Connection, "end"),
    (takeover, "Connection"),
)


def die_after(number: int) -> None:
    """Let this process be killed right after its step of a number; 0: never."""
    taken = 0

    def counted(step: Callable[..., Any]) -> Callable[..., Any]:
        def take(*arguments: Any, **more: Any) -> Any:
            nonlocal taken
            found = step(*arguments, **more)
            if found is not False:  # it did nothing
                taken += 1
            if taken == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return found

        return take

    for owner, name in STEPS:
        setattr(owner, name, counted(getattr(owner, name)))


if __name__ == "__main__":
    die_after(int(sys.argv.pop(1)))
    main(sys.argv[1:])
