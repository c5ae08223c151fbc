"""Count the side effects of a supervisor or a keeper, and kill it right after a chosen one.

This file runs in the supervisor in the place of its start (`boot`), by its path: it imports
what the supervisor imports anyway.  Nothing in the product knows of it.

An effect is a call by which something leaves the process: a message, a change of a socket
that others share, a signal, a change of a file or of a directory, a fork.  A kill right
before an effect is the same as a kill right after the one before it.  The log of gapless
itself is no effect: nothing is read from it.

The plan is a directory.  `death-0` holds the number of the effect after which the first
supervisor dies, `death-1` that of the next one...; a supervisor for which none is left
lives.  One that becomes another version (`gapless upgrade`) goes on with the count of the
first.  Effects count while there is a file `go`.  `trace-0`, `trace-1`... get a line for
each effect.  Where the file `alone` is, the waiting command (`command.pid`) dies as well.

The file `victim` says who dies: `supervisor`; `keeper`, after its own effects; or, after
those of the supervisor, `both`, or `all` three, the guardian with them.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import itertools
import json
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
LATER_S = 0.02
"""After which time the supervisor writes what need not be on disk at once."""
_ANSWERS = tuple(f'{{"result": {{"{field}"' for field in ("apps", "name", "pid"))
"""Of clients who ask how things are, a test first of all: they tell what was there."""
_ASKS_WHETHER_IT_LIVES = '{"op":"ping"}'
"""Of the keeper, which does nothing: with each of those answers."""


class Effects:
    """The effects of this process so far, and which is its last."""

    def __init__(self, plan: str, number: int, last: int | None) -> None:
        self._plan, self._last = plan, last
        self.victim = _victim(plan)
        self._keeper = 0
        self.goes_on()
        self._depth = 0
        self._write, self._open, self._kill = os.write, os.open, os.kill
        self._trace = f"{plan}/trace-{number}"
        self._note("")

    def goes_on(self) -> None:
        """Count what this process does: a child may be the supervisor, its parent not."""
        self._pid = os.getpid()

    def _note(self, line: str) -> int:
        """Append a line; return how many there are.

        The file is opened each time: what takes the place of this process closes all.
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        descriptor = self._open(self._trace, flags, 0o600)
        try:
            count = os.pread(descriptor, 1 << 20, 0).count(b"\n")
            if line:
                self._write(descriptor, f"{count + 1} {line}\n".encode())
        finally:
            os.close(descriptor)
        return count + 1

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
            return  # another child: a guardian, a program, the trial of interception
        if self._note(label) == self._last:
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
            return os.getpid() == self._keeper
        return self.victim != "keeper" and os.getpid() == self._pid

    def _is_counting(self) -> bool:
        return os.path.exists(f"{self._plan}/go")

    def _die(self) -> None:
        descriptor = self._open(self._trace, os.O_WRONLY | os.O_APPEND)
        self._write(descriptor, b"dead\n")
        if self.victim == "keeper":
            os.close(self._open(f"{self._plan}/keeper-died", os.O_CREAT, 0o600))
        if os.path.exists(f"{self._plan}/alone"):
            with open(f"{self._plan}/command.pid", encoding="ascii") as file:
                pid = int(file.read())
            with contextlib.suppress(ProcessLookupError):  # its work was done
                self._kill(pid, signal.SIGKILL)
        who = {"both": ["keeper"], "all": ["guardian", "keeper"]}.get(self.victim, [])
        for pid in [pid for name in who for pid in _of_ours(name)]:
            self._kill(pid, signal.SIGKILL)
        self._kill(os.getpid(), signal.SIGKILL)
        signal.pause()


def _of_ours(name: str) -> list[int]:
    """Return the keeper, or the guardian, of this GAPLESS_HOME.

    A child looks like it until it is its program, and is not to die with it.
    """
    marker = f"GAPLESS_HOME={os.environ['GAPLESS_HOME']}".encode()
    found: dict[int, int] = {}
    for number in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            with open(f"/proc/{number}/cmdline", "rb") as file:
                is_it = file.read().startswith(f"gapless {name}".encode())
            with open(f"/proc/{number}/environ", "rb") as file:
                if not is_it or marker not in file.read().split(b"\0"):
                    continue
            with open(f"/proc/{number}/stat", "rb") as file:
                found[int(number)] = int(file.read().rpartition(b") ")[2].split()[1])
    return [pid for pid, parent in found.items() if parent not in found]


def _victim(plan: str) -> str:
    try:
        with open(f"{plan}/victim", encoding="ascii") as file:
            return file.read()
    except FileNotFoundError:
        return "supervisor"


def arm(plan: str) -> Effects | None:
    """Take the next death of the plan; without one, nothing is counted."""
    given = json.loads(sys.argv[-1]) if sys.argv[-1].startswith("{") else {}
    if given.get("trial"):
        return None
    if given:
        return _count_all(Effects(plan, *_last_taken(plan)))
    for number in itertools.count():
        try:
            os.rename(f"{plan}/death-{number}", f"{plan}/taken-{number}")
        except FileNotFoundError:
            if os.path.exists(f"{plan}/taken-{number}"):
                continue
            return None
        with open(f"{plan}/taken-{number}", encoding="ascii") as file:
            last = int(file.read())
        return _count_all(Effects(plan, number, last or None))
    return None


def _last_taken(plan: str) -> tuple[int, int | None]:
    """Return which supervisor was the last to begin, and after which effect it dies."""
    taken = [name for name in os.listdir(plan) if name.startswith("taken-")]
    number = max((int(name.removeprefix("taken-")) for name in taken), default=0)
    if not taken or _is_dead(plan, number):
        return number + 1000, None
    with open(f"{plan}/taken-{number}", encoding="ascii") as file:
        return number, int(file.read()) or None


def _is_dead(plan: str, number: int) -> bool:
    with open(f"{plan}/trace-{number}", encoding="utf-8") as file:
        return "\ndead\n" in file.read()


def _count_all(effects: Effects) -> Effects:
    for name in _IN_FILES:
        effects.wrap(os, name, _file_effect(name))
    effects.wrap(os, "open", _opened)
    effects.wrap(os, "write", _written)
    effects.wrap(os, "fork", lambda: "fork")
    effects.wrap(os, "posix_spawn", lambda *_, **__: "posix_spawn")
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
    return effects


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
            head = _head(b"".join(arguments[0]))
            return None if head == _ASKS_WHETHER_IT_LIVES else f"keeper: {head}"
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
    effects = arm(plan)
    if effects is not None:
        _follow_forks(effects)
    # What is written with others a while later is written before the scenario is over.
    notes = importlib.import_module("gapless.supervisor.memory.notes")
    operations = importlib.import_module("gapless.supervisor.control.operations")
    vars(notes)["DISK_PAUSE_S"] = vars(operations)["OUTCOME_S"] = LATER_S
    importlib.import_module("gapless.supervisor.run").main(sys.argv[3:])


def _follow_forks(effects: Effects) -> None:
    """Count on in the child that goes on as the supervisor while its parent is replaced."""
    replacement = importlib.import_module("gapless.supervisor.upgrade.replacement")
    original = replacement.fork_supervisor

    def fork_supervisor() -> int:
        child: int = original()
        if child == 0:
            effects.goes_on()
        return child

    vars(replacement)["fork_supervisor"] = fork_supervisor


if __name__ == "__main__":
    boot()
