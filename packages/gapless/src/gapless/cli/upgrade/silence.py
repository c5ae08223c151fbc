"""How long nobody controls the apps while one supervisor takes over from another."""

from __future__ import annotations

import select
from collections.abc import Callable
from typing import Any

from gapless.base import clock
from gapless.client import Client

ANSWER_S = 60
PAUSE_S = 0.002


def until(
    client: Client, is_next: Callable[[dict[str, Any]], bool], limit_s: float = ANSWER_S
) -> float | None:
    """Return for how many milliseconds no supervisor answered; None if the next did not.

    The time begins with the call.
    """
    began = clock.monotonic()
    while (took_s := clock.monotonic() - began) < limit_s:
        found = client.ping(ANSWER_S)
        if found is not None and is_next(found):
            return round((clock.monotonic() - began) * 1000, 1)
        if (found is not None and took_s > 1) or not client.is_running():
            return None  # the one before has taken everything back, or nobody is there
        select.select([], [], [], PAUSE_S)
    return None
