"""The clocks; no other file reads one."""

from __future__ import annotations

import time


def monotonic() -> float:
    """Return seconds on CLOCK_MONOTONIC: the same for every process of a host."""
    return time.monotonic()


def boottime() -> float:
    """Return seconds on CLOCK_BOOTTIME, which counts also while a machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def wall() -> float:
    """Return seconds since the epoch, for people and for files; do not compare them."""
    return time.time()


def stamp(wall_s: float) -> str:
    """Return *wall_s* as ISO 8601 with milliseconds and the local offset."""
    local = time.localtime(wall_s)
    offset = time.strftime("%z", local)
    millis = int(wall_s % 1 * 1000)
    return (
        time.strftime("%Y-%m-%dT%H:%M:%S", local)
        + f".{millis:03d}{offset[:3]}:{offset[3:]}"
    )
