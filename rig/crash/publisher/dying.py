"""The command `gapless`, killed right after its Nth side effect.

Run by its path: `python dying.py TRACE N WORD...`.  An effect is a call after which another
process, or the next publisher, finds something else than before: in a directory, a file, a
lock or a socket.  Effects of programs that it starts are not counted.  TRACE gets a line
for each; N = 0 kills nothing.
"""

from __future__ import annotations

import builtins
import fcntl
import io
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import gapless.__main__

_CALLS: tuple[tuple[Any, str], ...] = (
    *((os, name) for name in ("rename", "replace", "unlink", "mkdir", "rmdir")),
    *((os, name) for name in ("symlink", "link", "fsync", "chmod", "fchmod", "utime")),
    (fcntl, "flock"),
    (socket.socket, "connect"),
    (socket.socket, "sendall"),
    (subprocess, "Popen"),
)
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


class Effects:
    """The effects so far, and the last."""

    def __init__(self, trace: str, last: int) -> None:
        self._last, self._count, self._pid = last, 0, os.getpid()
        self._write = os.write
        self._trace = os.open(trace, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def count_all(self) -> None:
        """Count from now on."""
        for owner, name in _CALLS:
            setattr(owner, name, self._counted(getattr(owner, name), name))
        os.open = self._counted(os.open, "os.open", _may_write)
        builtins.open = io.open = self._counted(io.open, "open", _is_to_write)

    def _counted(
        self,
        original: Callable[..., Any],
        name: str,
        is_effect: Callable[[tuple[Any, ...], dict[str, Any]], bool] = lambda _a, _k: (
            True
        ),
    ) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            result = original(*arguments, **named)
            if os.getpid() == self._pid and is_effect(arguments, named):
                self._happened(f"{name} {arguments[:2]!r}")
            return result

        return call

    def _happened(self, what: str) -> None:
        self._count += 1
        self._write(self._trace, f"{self._count} {what[:160]}\n".encode())
        if self._count == self._last:
            os.kill(self._pid, signal.SIGKILL)


def _may_write(arguments: tuple[Any, ...], named: dict[str, Any]) -> bool:
    """Return whether a call of os.open opens a file to write to it."""
    return bool(int(named.get("flags", arguments[1])) & _WRITES)


def _is_to_write(arguments: tuple[Any, ...], named: dict[str, Any]) -> bool:
    """Return whether a call of open opens a file to write to it."""
    mode = named.get("mode", arguments[1] if len(arguments) > 1 else "r")
    return any(letter in str(mode) for letter in "wax+")


if __name__ == "__main__":
    trace_path, number, *words = sys.argv[1:]
    sys.argv = ["gapless", *words]
    Effects(trace_path, int(number)).count_all()
    sys.exit(gapless.__main__.main())
