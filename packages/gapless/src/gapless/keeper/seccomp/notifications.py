"""Notifications of the seccomp filter: a program's system calls that wait for an answer.

The filter (`filter_program`) turns `bind` and `listen` into notifications
(seccomp_unotify(2), Linux 5.9), and for an app that serves on a Unix-domain path also
`unlink`, `unlinkat` and `connect`; for one that connects to its port before it binds it
every `connect`.

Rule 1: every caller gets an answer: if `receive` does not return its notification,
`receive` has answered it, or the caller is gone.
Rule 2: a caller may die at any moment.  The result is then False or None, never an error.

This is no security boundary: a program could change its memory while it is read.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import struct
from collections.abc import Collection
from dataclasses import dataclass, replace

from gapless.base import descriptors
from gapless.keeper.guardian.scratch import NOTIFICATION_BYTES
from gapless.keeper.seccomp import caller, paths, privileges
from gapless.keeper.seccomp.caller import Address, Kind
from gapless.keeper.seccomp.filter_program import NUMBERS
from gapless.keeper.seccomp.paths import Identity

_NOTIF_RECV, _NOTIF_SEND = 0xC0502100, 0xC0182101
_NOTIF_ID_VALID, _NOTIF_ADDFD = 0x40082102, 0x40182103
_ADDFD_FLAG_SETFD, _NOTIF_FLAG_CONTINUE = 1, 1
_ARGUMENTS_AT = 32  # struct seccomp_notif


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """A system call that waits for an answer."""

    id: int
    thread_id: int
    pid: int
    call: str
    """bind, listen, connect or unlink."""
    descriptor: int = -1
    """The socket of a bind or a listen; else -1."""
    kind: Kind = Kind.OTHER
    address: Address | None = None
    """What is to be bound, or connected to, if it is an internet address."""
    may_bind: bool = True
    """Whether the kernel would let the caller have the port of the address."""
    path: str = ""
    """The path that the call is about; `@name` is an abstract name."""
    identity: Identity | None = None
    """As whom the caller makes files, if it is to bind a path."""

    @property
    def tcp(self) -> bool:
        """Whether the descriptor is a TCP socket."""
        return self.kind is Kind.TCP

    @property
    def is_for_supervisor(self) -> bool:
        """Whether the call is about an address that the program chose to serve on."""
        match self.call, self.kind:
            case "unlink", _:
                return bool(self.path)
            case "connect", _:
                return bool(self.path) or self.address is not None
            case "bind", (Kind.TCP | Kind.UDP):
                return self.address is not None and self.address.port != 0
            case "bind", Kind.UNIX:
                return bool(self.path)
            case "listen", kind:
                return kind in (Kind.TCP, Kind.UNIX)
            case _:
                return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which connects and unlinks matter: programs make many, and few are about these."""

    names: Collection[str] = ()
    """The last names of paths."""
    ports: Collection[int] = ()
    """TCP ports."""
    bound: Collection[int] = ()
    """Those that the instance has bound itself: it asks no more whether they are free."""


NOTHING = Wanted()


# --- receive --------------------------------------------------------------------------


def receive(
    notify: int, wanted: Wanted = NOTHING, buffer: memoryview | None = None
) -> Notification | None:
    """Return the next call that waits; None if there is none, or if it needs no answer.

    Never blocks.  A call proceeds if its caller may not be observed.  The kernel writes the
    call into *buffer*, which is zero.
    """
    # The ioctl alone would sleep if the caller died after the last poll.
    if not poll(notify, select.POLLIN) & select.POLLIN:
        return None
    raw = bytearray(NOTIFICATION_BYTES) if buffer is None else buffer
    try:
        fcntl.ioctl(notify, _NOTIF_RECV, raw, True)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.EINTR):
            return None
        raise
    return observe(notify, raw, wanted)


def observe(
    notify: int, raw: bytes | bytearray | memoryview, wanted: Wanted
) -> Notification | None:
    """Return a call that was received; None if it was answered, or needs no answer."""
    notification_id, thread_id, _, number = struct.unpack_from("=QIIi", raw)
    arguments = struct.unpack_from("=3Q", raw, _ARGUMENTS_AT)
    try:
        found = _observe(notification_id, thread_id, number, arguments, wanted)
    except OSError as error:
        call = NUMBERS[os.uname().machine].named(number)
        if descriptors.is_shortage(error) and call != "connect":
            # Not "proceed": the program would listen on a socket that nobody hands over.
            answer(notify, notification_id, error.errno or errno.EMFILE)
            return None
        # The caller is gone, or may not be observed (ptrace rights, another pid
        # namespace), or its arguments are invalid, which the kernel reports to it.
        proceed(notify, notification_id)
        return None
    return found if is_valid(notify, notification_id) else None


def _observe(
    notification_id: int,
    thread_id: int,
    number: int,
    arguments: tuple[int, ...],
    wanted: Wanted,
) -> Notification:
    """Return what a call is about.  Raises OSError if it cannot be seen."""
    call = NUMBERS[os.uname().machine].named(number)
    found = Notification(
        id=notification_id,
        thread_id=thread_id,
        pid=thread_id,
        call="unlink" if call == "unlinkat" else call,
    )
    if call == "connect":
        return _observe_connect(found, arguments, wanted)
    if call in ("unlink", "unlinkat"):
        path = _path_of(call, thread_id, arguments, wanted.names)
        pid = caller.process_of(thread_id) if path else thread_id
        return replace(found, path=path, pid=pid)
    descriptor = arguments[0] & 0xFFFFFFFF
    found = replace(found, descriptor=descriptor, pid=caller.process_of(thread_id))
    if call == "listen":
        return replace(found, kind=caller.kind(found.pid, descriptor))
    raw = caller.read_raw_address(thread_id, arguments[1], arguments[2] & 0xFFFFFFFF)
    address, unix = caller.parse_address(raw), paths.parse_unix_address(raw)
    if address is None and unix is None:
        return found  # another family: programs that look up names bind netlink sockets
    found = replace(found, kind=caller.kind(found.pid, descriptor), address=address)
    if address is not None:
        may_bind = privileges.may_bind(thread_id, address.port)
        found = replace(found, may_bind=may_bind)
    if unix is None or found.kind is not Kind.UNIX:
        return found
    if unix.startswith(b"\0"):
        return replace(found, path=f"@{os.fsdecode(unix[1:])}")
    path = paths.resolve(thread_id, unix)
    return replace(found, path=path, identity=paths.identity(thread_id))


def _path_of(
    call: str, thread_id: int, arguments: tuple[int, ...], names: Collection[str]
) -> str:
    """Return the path that a call is about, if its last name is one of *names*."""
    if call == "unlink":
        name = paths.read_name(thread_id, arguments[0])
        return paths.resolve(thread_id, name, wanted=names)
    name = paths.read_name(thread_id, arguments[1])
    directory = paths.directory_argument(arguments[0])
    return paths.resolve(thread_id, name, directory, wanted=names)


def _observe_connect(
    found: Notification, arguments: tuple[int, ...], wanted: Wanted
) -> Notification:
    """Return whereto a program connects, if it matters.  Raises OSError."""
    thread_id, length = found.thread_id, arguments[2] & 0xFFFFFFFF
    raw = caller.read_raw_address(thread_id, arguments[1], length)
    unix = paths.parse_unix_address(raw)
    if unix is not None:
        if unix.startswith(b"\0"):
            return found
        path = paths.resolve(thread_id, unix, wanted=wanted.names)
        pid = caller.process_of(thread_id) if path else thread_id
        return replace(found, path=path, pid=pid)
    address = caller.parse_address(raw)
    if (
        address is None
        or address.port not in wanted.ports
        or address.port in wanted.bound
    ):
        return found
    pid = caller.process_of(thread_id)
    kind = caller.kind(pid, arguments[0] & 0xFFFFFFFF)
    if kind is not Kind.TCP or not caller.shares_our_network(thread_id):
        return found  # a look-up connects UDP sockets, to see which address it prefers
    return replace(found, pid=pid, kind=kind, address=address)


def has_no_process(notify: int) -> bool:
    """Return whether no process is under the filter any more."""
    return bool(poll(notify, 0) & select.POLLHUP)


def is_valid(notify: int, notification_id: int) -> bool:
    """Return whether the caller still waits."""
    return _ioctl(notify, _NOTIF_ID_VALID, struct.pack("=Q", notification_id)) == 0


def poll(descriptor: int, events: int, timeout_s: float = 0) -> int:
    """Return which events (poll(2)) a descriptor has within *timeout_s*; 0 for none."""
    poller = select.poll()
    poller.register(descriptor, events)
    return next((event for _, event in poller.poll(timeout_s * 1000)), 0)


# --- answer ---------------------------------------------------------------------------


def proceed(notify: int, notification_id: int) -> bool:
    """Let the kernel do what the program asked for; False if the caller is gone."""
    return _respond(notify, notification_id, 0, _NOTIF_FLAG_CONTINUE)


def answer(notify: int, notification_id: int, error_number: int = 0) -> bool:
    """Let the call return 0 or fail with an errno; False if the caller is gone."""
    return _respond(notify, notification_id, -error_number, 0)


def inject(
    notify: int, notification_id: int, sock: int, target: int, *, cloexec: bool
) -> bool:
    """Put *sock* in the place of the program's own descriptor, and answer 0.

    False if the caller is gone.  If the kernel refuses, the program gets its errno.
    """
    flags = os.O_CLOEXEC if cloexec else 0
    request = struct.pack(
        "=QIIII", notification_id, _ADDFD_FLAG_SETFD, sock, target, flags
    )
    error_number = _ioctl(notify, _NOTIF_ADDFD, request)
    return answer(notify, notification_id, error_number)


def _respond(notify: int, notification_id: int, result: int, flags: int) -> bool:
    response = bytearray(struct.pack("=QqiI", notification_id, 0, result, flags))
    error_number = _ioctl(notify, _NOTIF_SEND, response)
    # EINPROGRESS: the call was answered before, so this answer comes too late as well.
    if error_number not in (0, errno.ENOENT, errno.EINPROGRESS):
        raise OSError(error_number, os.strerror(error_number))
    return error_number == 0


def _ioctl(notify: int, request: int, argument: bytes | bytearray) -> int:
    """Do an ioctl again as long as a signal interrupts it; return its errno."""
    while True:
        try:
            fcntl.ioctl(notify, request, argument)
        except InterruptedError:
            continue  # nothing was done yet, or the same thing is done again
        except OSError as error:
            return error.errno or errno.EIO
        return 0
