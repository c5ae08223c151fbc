"""Notifications of the seccomp filter: a program's `bind` and `listen` wait for an answer.

The filter (`filter_program`) turns the two system calls into notifications
(seccomp_unotify(2), Linux 5.9).

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
from dataclasses import dataclass

from gapless.base import descriptors
from gapless.keeper.seccomp import caller
from gapless.keeper.seccomp.caller import Address
from gapless.keeper.seccomp.filter_program import NUMBERS

_NOTIF_RECV, _NOTIF_SEND = 0xC0502100, 0xC0182101
_NOTIF_ID_VALID, _NOTIF_ADDFD = 0x40082102, 0x40182103
_ADDFD_FLAG_SETFD, _NOTIF_FLAG_CONTINUE = 1, 1
_NOTIF_BYTES, _ARGUMENTS_AT = 80, 32  # struct seccomp_notif


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
    def is_for_supervisor(self) -> bool:
        """Whether the call is about a TCP port that the program chose to listen on."""
        if not self.tcp or self.call == "listen":
            return self.tcp
        return self.address is not None and self.address.port != 0


# --- receive --------------------------------------------------------------------------


def receive(notify: int) -> Notification | None:
    """Return the next call that waits; None if there is none, or if it needs no answer.

    Never blocks.  A call proceeds if its caller may not be observed.
    """
    # The ioctl alone would sleep if the caller died after the last poll.
    if not poll(notify, select.POLLIN) & select.POLLIN:
        return None
    buffer = bytearray(_NOTIF_BYTES)
    try:
        fcntl.ioctl(notify, _NOTIF_RECV, buffer, True)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.EINTR):
            return None
        raise
    notification_id, thread_id, _, number = struct.unpack_from("=QIIi", buffer)
    arguments = struct.unpack_from("=3Q", buffer, _ARGUMENTS_AT)
    descriptor, length = arguments[0] & 0xFFFFFFFF, arguments[2] & 0xFFFFFFFF
    is_bind = number == NUMBERS[os.uname().machine].bind
    address = None
    try:
        pid = caller.process_of(thread_id)
        tcp = caller.is_tcp(pid, descriptor)
        if is_bind:
            address = caller.read_address(thread_id, arguments[1], length)
    except OSError as error:
        if descriptors.is_shortage(error):
            # Not "proceed": the program would listen on a socket that nobody hands over.
            answer(notify, notification_id, error.errno or errno.EMFILE)
            return None
        # The caller is gone, or may not be observed (ptrace rights, another pid
        # namespace), or its arguments are invalid, which the kernel reports to it.
        proceed(notify, notification_id)
        return None
    if not is_valid(notify, notification_id):
        return None
    return Notification(
        id=notification_id,
        thread_id=thread_id,
        pid=pid,
        call="bind" if is_bind else "listen",
        descriptor=descriptor,
        tcp=tcp,
        address=address,
    )


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
