"""Count the side effects of a supervisor or a keeper, and kill it right after a chosen one.

This file runs in the supervisor in the place of its start (`boot`), by its path: it imports
what the supervisor imports anyway.  Nothing in the product knows of it.

An effect is a call by which something leaves the process: a message, a change of a socket
that others share, a signal, a change of a file or of a directory, a fork.  A kill right
before an effect is the same as a kill right after the one before it.  The log of gapless
itself is no effect: nothing is read from it.

The plan is a directory.  `death-0` holds the number of the effect after which the first
supervisor dies, `death-1` that of the next one...; a supervisor for which none is left
lives.  Effects count while there is a file `go`.  `trace-0`, `trace-1`... get a line for
each effect.  Where the file `alone` is, the waiting command (`command.pid`) dies as well.

The file `victim` says who dies: `supervisor`; `keeper`, after its own effects; or `both`,
after those of the supervisor.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import itertools
import os
import signal
import socket
import stat
import sys
from collections.abc import Callable
from typing import Any

_IN_FILES = (
    "rename",
    "replace",
    "unlink",
    "link",
    "symlink",
    "mkdir",
    "rmdir",
    "chmod",
    "chown",
    "fsync",
)
_ON_SOCKETS = (
    *("bind", "listen", "connect", "setsockopt", "shutdown", "close"),
    *("send", "sendall", "sendto", "sendmsg"),
)
_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
LATER_S = 0.02
"""After which time the supervisor writes what need not be on disk at once."""
_ANSWERS = tuple(f'{{"result": {{"{field}"' for field in ("apps", "name", "pid"))
"""Of clients who ask how things are, a test first of all: they tell what was there."""


class Effects:
    """The effects of this process so far, and which is its last."""

    def __init__(self, plan: str, number: int, last: int | None) -> None:
        self._plan, self._last = plan, last
        with open(f"{plan}/victim", encoding="ascii") as file:
            self.victim = file.read()
        self._pid = os.getpid()
        self._keeper = 0
        self._count = 0
        self._depth = 0
        self._write, self._open, self._kill = os.write, os.open, os.kill
        self._path = f"{plan}/trace-{number}"
        self._trace = os.open(self._path, _APPEND, 0o600)

    def wrap(self, owner: Any, name: str, named: Callable[..., str | None]) -> None:
        """Count the calls of *owner*.*name* that *named* gives a name."""
        original = getattr(owner, name)

        def counted(*arguments: Any, **options: Any) -> Any:
            self._depth += 1  # `sendall` of a subclass may call `send`: one effect
            try:
                label = named(*arguments, **options) if self._depth == 1 else None
                result = original(*arguments, **options)
            finally:
                self._depth -= 1
            if label is not None:
                self._happened(label)
            return result

        setattr(owner, name, counted)

    def _happened(self, label: str) -> None:
        if not self._is_ours() or not self._is_counting():
            return
        self._count += 1
        self._write(self._trace, f"{self._count} {label}\n".encode())
        if self._count == self._last:
            self._die()

    def _is_ours(self) -> bool:
        """Return whether this process is the one whose effects count.

        Both are forks of one, and so are guardian, programs that begin, and trials.
        """
        if self.victim == "keeper" and os.getpid() != self._pid:
            if "gapless.keeper.keeper" not in sys.modules:
                return False
            if not self._keeper:
                if os.path.exists(f"{self._plan}/keeper-died"):
                    return False  # the one after it lives
                self._keeper = os.getpid()
                self._trace = self._open(self._path, _APPEND, 0o600)  # it was closed
            return os.getpid() == self._keeper
        return self.victim != "keeper" and os.getpid() == self._pid

    def _is_counting(self) -> bool:
        return os.path.exists(f"{self._plan}/go")

    def _die(self) -> None:
        self._write(self._trace, b"dead\n")
        if self.victim == "keeper":
            os.close(self._open(f"{self._plan}/keeper-died", os.O_CREAT, 0o600))
        if os.path.exists(f"{self._plan}/alone"):
            with open(f"{self._plan}/command.pid", encoding="ascii") as file:
                pid = int(file.read())
            with contextlib.suppress(ProcessLookupError):  # its work was done
                self._kill(pid, signal.SIGKILL)
        if self.victim == "both":
            for pid in _keepers():
                self._kill(pid, signal.SIGKILL)
        self._kill(os.getpid(), signal.SIGKILL)
        signal.pause()


def _keepers() -> list[int]:
    """Return the keeper of this GAPLESS_HOME."""
    marker = f"GAPLESS_HOME={os.environ['GAPLESS_HOME']}".encode()
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            with open(f"/proc/{name}/cmdline", "rb") as file:
                is_keeper = file.read().startswith(b"gapless keeper")
            with open(f"/proc/{name}/environ", "rb") as file:
                if is_keeper and marker in file.read().split(b"\0"):
                    found.append(int(name))
    return found


def arm(plan: str) -> None:
    """Take the next death of the plan; without one, nothing is counted."""
    for number in itertools.count():
        try:
            os.rename(f"{plan}/death-{number}", f"{plan}/taken-{number}")
        except FileNotFoundError:
            if os.path.exists(f"{plan}/taken-{number}"):
                continue
            return
        with open(f"{plan}/taken-{number}", encoding="ascii") as file:
            last = int(file.read())
        _count_all(Effects(plan, number, last or None))
        return


def _count_all(effects: Effects) -> None:
    for name in _IN_FILES:
        effects.wrap(os, name, _file_effect(name))
    effects.wrap(os, "open", _opened)
    effects.wrap(os, "write", _written)
    effects.wrap(os, "fork", lambda: "fork")
    effects.wrap(os, "kill", lambda _, number: f"kill {number}")
    effects.wrap(
        signal,
        "pidfd_send_signal",
        lambda _, number, *__: f"pidfd_send_signal {number}",
    )
    for name in _ON_SOCKETS:
        effects.wrap(socket.socket, name, _socket_effect(name))
    if effects.victim == "keeper":
        effects.wrap(fcntl, "ioctl", _asked_of_filter)
        effects.wrap(os, "readv", lambda *_: "readv")
        effects.wrap(socket.socket, "recv", _discarded)
        effects.wrap(os, "waitid", lambda *_: "waitid")


def _discarded(sock: socket.socket, _: int) -> str | None:
    return "discard" if sock.type == socket.SOCK_SEQPACKET else None


def _asked_of_filter(_: Any, request: int, *__: Any) -> str | None:
    return f"ioctl {request:x}" if request >> 8 & 0xFF == ord("!") else None


def _file_effect(name: str) -> Callable[..., str | None]:
    def named(*arguments: Any, **_: Any) -> str:
        return f"{name} {_shown(arguments[-1])}"

    return named


def _opened(path: Any, flags: int, *_: Any, **__: Any) -> str | None:
    creates = flags & os.O_CREAT and not flags & os.O_APPEND
    return f"create {_shown(path)}" if creates else None


def _written(descriptor: int, _: bytes) -> str | None:
    """Name a write to a pipe: files are written by other means, but for the log."""
    return "write" if stat.S_ISFIFO(os.fstat(descriptor).st_mode) else None


def _socket_effect(name: str) -> Callable[..., str | None]:
    def named(sock: socket.socket, *arguments: Any) -> str | None:
        if sock.family == socket.AF_NETLINK or sock.fileno() < 0:
            return None  # a question to the kernel
        family = "unix" if sock.family == socket.AF_UNIX else "inet"
        if name == "close":
            return "close inet" if family == "inet" else None
        if name == "setsockopt":
            return f"setsockopt {family} {arguments[0]},{arguments[1]}"
        if name == "sendmsg" and sock.type == socket.SOCK_SEQPACKET:
            return f"keeper: {_head(b''.join(arguments[0]))}"
        if name.startswith("send"):
            head = _head(bytes(arguments[0]))
            return None if head.startswith(_ANSWERS) else f"{name} {family} {head}"
        return f"{name} {family}"

    return named


def _head(message: bytes) -> str:
    """Return the beginning of a message, without what differs from run to run."""
    return message[:90].decode(errors="replace").replace("\n", " ")


def _shown(path: Any) -> str:
    name = os.path.basename(os.fsdecode(path)) if not isinstance(path, int) else ""
    return "".join("#" if letter.isdigit() else letter for letter in name)


def boot() -> None:
    """Be a supervisor with effects that count; arguments as in `rig.crash.command`."""
    package, plan = sys.argv[1:3]
    sys.path.append(package)
    arm(plan)
    # What is written with others a while later is written before the scenario is over.
    notes = importlib.import_module("gapless.supervisor.memory.notes")
    operations = importlib.import_module("gapless.supervisor.control.operations")
    vars(notes)["DISK_PAUSE_S"] = vars(operations)["OUTCOME_S"] = LATER_S
    importlib.import_module("gapless.supervisor.run").main(sys.argv[3:])


if __name__ == "__main__":
    boot()
