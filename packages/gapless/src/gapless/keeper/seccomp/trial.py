"""The trial of interception: whether it works on this machine, in this process."""

from __future__ import annotations

import errno
import os
import select
import signal
import socket

from gapless.keeper.seccomp import notifications
from gapless.keeper.seccomp.filter_program import (
    NUMBERS,
    install,
    needs_no_new_privs,
)

_TRIAL_S = 5.0
_REASONS = {
    errno.EBUSY: "the kernel returns EBUSY: already inside a process filtered like this",
    errno.ENOSYS: "the kernel returns ENOSYS: it was built without seccomp",
    errno.EINVAL: "the kernel returns EINVAL: seccomp notifications need Linux 5.9",
}


def why_unavailable() -> str | None:
    """Try interception once in a child; return None if it works, or why it does not.

    Takes a few milliseconds.
    """
    system = os.uname()
    if system.sysname != "Linux" or system.machine not in NUMBERS:
        return f"the system calls of {system.sysname} on {system.machine} are not known"
    try:
        return _try_in_child()
    except OSError as error:
        return f"the trial failed: {error.strerror or error}"


def _try_in_child() -> str | None:
    """Let a child bind under the filter.  Raises OSError if it cannot be tried."""
    parent_end, child_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        child = os.fork()
    except OSError:
        parent_end.close()
        child_end.close()
        raise
    if child == 0:
        # If the parent dies, what was sent to it is closed with the last copy of its end:
        # then the bind returns, and this child with all that it inherited is gone.
        parent_end.close()
        _bind_under_filter(child_end)
    child_end.close()
    try:
        parent_end.settimeout(_TRIAL_S)
        message, descriptors, _, _ = socket.recv_fds(parent_end, 4096, 1)
        if not descriptors:
            return message.decode() or "the process that tried it died"
        return _inject_into_child(descriptors[0], parent_end)
    finally:
        parent_end.close()
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _bind_under_filter(child_end: socket.socket) -> None:
    """Install the filter, bind, and send the port of the socket; never returns."""
    try:
        notify = install(no_new_privs=needs_no_new_privs())
        socket.send_fds(child_end, [b"x"], [notify])
        os.close(notify)
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 1))
            child_end.send(str(sock.getsockname()[1]).encode())
    except OSError as error:
        child_end.send(_REASONS.get(error.errno or 0, _reason(error)).encode())
    finally:
        os._exit(0)


def _reason(error: OSError) -> str:
    number = error.errno or 0
    name = errno.errorcode.get(number, str(number))
    return f"the kernel returns {name}: {os.strerror(number).lower()}"


def _inject_into_child(notify: int, parent_end: socket.socket) -> str | None:
    """Answer the child's bind with a socket; return None if the child then has it."""
    try:
        notifications.poll(notify, select.POLLIN, _TRIAL_S)
        call = notifications.receive(notify)
        if call is None:
            return "a child's system call cannot be read: no ptrace rights over it"
        with socket.socket() as sock:
            sock.bind(("", 0))  # 127.0.0.1 is not there while lo is down
            injected_port = str(sock.getsockname()[1]).encode()
            notifications.inject(
                notify, call.id, sock.fileno(), call.descriptor, cloexec=True
            )
            child_port = parent_end.recv(4096)
        if child_port == injected_port:
            return None
        return "the socket did not arrive in the child: this needs Linux 5.9"
    finally:
        os.close(notify)
