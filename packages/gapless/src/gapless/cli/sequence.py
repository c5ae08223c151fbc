"""Work for several apps at the same time, in the order that the apps want."""

from __future__ import annotations

import threading
from collections.abc import Callable

from gapless.supervisor.decide import order

RunOne = Callable[[str, Callable[[], None]], None]
"""Works for one app; calls its second argument once the work has begun."""


def run(names: list[str], after: order.After, run_one: RunOne) -> None:
    """Work for every app, and wait until all of it is done.

    Raises what the work for one of them raised.
    """
    failures: list[Exception] = []

    def guarded(name: str, begun: Callable[[], None]) -> None:
        try:
            run_one(name, begun)
        except Exception as error:  # noqa: BLE001 - raised below, where it is reported
            failures.append(error)

    for thread in begin(names, after, guarded):
        thread.join()
    if failures:
        raise failures[0]


def begin(
    names: list[str], after: order.After, run_one: RunOne
) -> list[threading.Thread]:
    """Begin to work for every app; return the threads that do.

    The work for an app begins when that for the apps that it is *after* has begun, or is
    over.  The supervisor knows those then, and keeps the order from there on.
    """
    begun = {name: threading.Event() for name in names}
    ordered = order.in_order(names, after)

    def work(name: str) -> None:
        earlier = ordered[: ordered.index(name)]
        for each in after.get(name, ()):
            if each in earlier:
                begun[each].wait()
        try:
            run_one(name, begun[name].set)
        finally:
            begun[name].set()

    threads = [
        threading.Thread(target=work, args=(name,), daemon=True) for name in names
    ]
    for thread in threads:
        thread.start()
    return threads
