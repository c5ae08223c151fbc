"""Bind interception: a program's `bind` and `listen` wait for our answer.

A seccomp filter (`filtering`) turns the two calls into notifications
(seccomp_unotify(2), Linux 5.9).

Rule 1: whoever waits gets an answer: every path of `receive` that does not return a
notification has answered it, or its caller is gone.
Rule 2: a caller may be gone at any moment.  That is False or None here, never an error.

This is no security boundary: a program could change its memory while we read it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import signal
import socket
import struct
from dataclasses import dataclass

from gapless.keeper.seccomp.filter_program import (
    CALLS,
    filter_program,
    install,
    needs_no_new_privs,
)
from gapless.keeper.seccomp.process_memory import (
    Address,
    descriptor_flags,
    duplicate,
    is_tcp,
    parse_address,
    process_of,
    read_address,
    watched_by_epoll,
)

__all__ = [
    "Address",
    "Notification",
    "answer",
    "descriptor_flags",
    "duplicate",
    "filter_program",
    "inject",
    "install",
    "is_over",
    "is_valid",
    "needs_no_new_privs",
    "parse_address",
    "proceed",
    "receive",
    "unavailable",
    "watched_by_epoll",
]

_NOTIF_RECV, _NOTIF_SEND = 0xC0502100, 0xC0182101
_NOTIF_ID_VALID, _NOTIF_ADDFD = 0x40082102, 0x40182103
_ADDFD_SETFD, _CONTINUE = 1, 1
_NOTIF_BYTES, _ARGUMENTS_AT = 80, 32  # struct seccomp_notif

_TRIAL_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """A system call that waits for an answer."""

    id: int
    thread_id: int
    pid: int
    call: str
    """bind or listen."""
    descriptor: int
    tcp: bool
    """Whether the descriptor is a TCP socket."""
    address: Address | None = None
    """What is to be bound, if it is an internet address."""

    @property
    def concerns_us(self) -> bool:
        """Tell whether the call is about a port on which a program wants to listen."""
        if not self.tcp or self.call == "listen":
            return self.tcp
        return self.address is not None and self.address.port != 0


# --- whoever waits --------------------------------------------------------------------


def receive(notify: int) -> Notification | None:
    """Return the next call that waits; None if there is none, or none for us to answer.

    Never blocks.  A caller that we may not look into proceeds.
    """
    # The ioctl alone would sleep if the caller died after the last poll.
    if not _poll(notify, select.POLLIN) & select.POLLIN:
        return None
    buffer = bytearray(_NOTIF_BYTES)
    try:
        fcntl.ioctl(notify, _NOTIF_RECV, buffer, True)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.EINTR):
            return None
        raise
    identity, thread, _, number = struct.unpack_from("=QIIi", buffer)
    arguments = struct.unpack_from("=3Q", buffer, _ARGUMENTS_AT)
    descriptor, length = arguments[0] & 0xFFFFFFFF, arguments[2] & 0xFFFFFFFF
    is_bind = number == CALLS[os.uname().machine][2]
    try:
        pid = process_of(thread)
        tcp = is_tcp(pid, descriptor)
        address = read_address(thread, arguments[1], length) if is_bind else None
    except OSError:
        # It is gone, or out of our sight (ptrace rights, another pid namespace), or
        # its arguments are nonsense, which the kernel will tell it.
        proceed(notify, identity)
        return None
    if not is_valid(notify, identity):
        return None
    return Notification(
        id=identity,
        thread_id=thread,
        pid=pid,
        call="bind" if is_bind else "listen",
        descriptor=descriptor,
        tcp=tcp,
        address=address,
    )


def is_over(notify: int) -> bool:
    """Tell whether no process is under the filter any more."""
    return bool(_poll(notify, 0) & select.POLLHUP)


def is_valid(notify: int, identity: int) -> bool:
    """Tell whether the caller still waits."""
    return _ask(notify, _NOTIF_ID_VALID, struct.pack("=Q", identity)) == 0


def proceed(notify: int, identity: int) -> bool:
    """Let the kernel do what the program asked for; False if the caller is gone."""
    return _send(notify, identity, 0, _CONTINUE)


def answer(notify: int, identity: int, number: int = 0) -> bool:
    """Let the call return 0 or fail with errno *number*; False if nobody waits."""
    return _send(notify, identity, -number, 0)


def inject(
    notify: int, identity: int, sock: int, target: int, *, cloexec: bool
) -> bool:
    """Put *sock* in the place of the program's own descriptor, and answer 0.

    False if the caller is gone.  If the kernel refuses, the program gets its errno.
    """
    flags = os.O_CLOEXEC if cloexec else 0
    request = struct.pack("=QIIII", identity, _ADDFD_SETFD, sock, target, flags)
    number = _ask(notify, _NOTIF_ADDFD, request)
    return answer(notify, identity, number)


def _send(notify: int, identity: int, result: int, flags: int) -> bool:
    response = bytearray(struct.pack("=QqiI", identity, 0, result, flags))
    number = _ask(notify, _NOTIF_SEND, response)
    # EINPROGRESS: it was answered already, so this answer came too late as well.
    if number not in (0, errno.ENOENT, errno.EINPROGRESS):
        raise OSError(number, os.strerror(number))
    return number == 0


def _ask(notify: int, request: int, argument: bytes | bytearray) -> int:
    """Do an ioctl that a signal of ours may interrupt; return its errno."""
    while True:
        try:
            fcntl.ioctl(notify, request, argument)
        except InterruptedError:
            continue  # nothing was done yet, or the same thing is done again
        except OSError as error:
            return error.errno or errno.EIO
        return 0


def _poll(descriptor: int, events: int, timeout_s: float = 0) -> int:
    poll = select.poll()
    poll.register(descriptor, events)
    return next((event for _, event in poll.poll(timeout_s * 1000)), 0)


# --- is it there at all ---------------------------------------------------------------


def unavailable() -> str | None:
    """Try the whole mechanism once in a child; return None, or why it does not work.

    Takes a few milliseconds.
    """
    system = os.uname()
    if system.sysname != "Linux" or system.machine not in CALLS:
        return f"the system calls of {system.sysname} on {system.machine} are not known"
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    child = os.fork()
    if child == 0:
        _be_tried(theirs)
    theirs.close()
    try:
        ours.settimeout(_TRIAL_S)
        said, descriptors, _, _ = socket.recv_fds(ours, 4096, 1)
        if not descriptors:
            return said.decode() or "the process that tried it died"
        return _try(descriptors[0], ours)
    except OSError as error:
        return f"the trial failed: {error.strerror or error}"
    finally:
        ours.close()
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _be_tried(theirs: socket.socket) -> None:
    """Bind under the filter, and tell which port it became; never returns."""
    try:
        notify = install(no_new_privs=needs_no_new_privs())
        socket.send_fds(theirs, [b"x"], [notify])
        os.close(notify)
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 1))
            theirs.send(str(sock.getsockname()[1]).encode())
    except OSError as error:
        theirs.send(_REASONS.get(error.errno or 0, _reason(error)).encode())
    finally:
        os._exit(0)


_REASONS = {
    errno.EBUSY: "the kernel says EBUSY: already inside a process filtered like this",
    errno.ENOSYS: "the kernel says ENOSYS: it was built without seccomp",
    errno.EINVAL: "the kernel says EINVAL: seccomp notifications need Linux 5.9",
}


def _reason(error: OSError) -> str:
    number = error.errno or 0
    name = errno.errorcode.get(number, str(number))
    return f"the kernel says {name}: {os.strerror(number).lower()}"


def _try(notify: int, ours: socket.socket) -> str | None:
    try:
        _poll(notify, select.POLLIN, _TRIAL_S)
        call = receive(notify)
        if call is None:
            return "a child's system call cannot be read: no ptrace rights over it"
        with socket.socket() as sock:
            sock.bind(("", 0))  # 127.0.0.1 is not there while lo is down
            given = str(sock.getsockname()[1]).encode()
            inject(notify, call.id, sock.fileno(), call.descriptor, cloexec=True)
            said = ours.recv(4096)
        if said == given:
            return None
        return "the socket did not arrive in the child: this needs Linux 5.9"
    finally:
        os.close(notify)
