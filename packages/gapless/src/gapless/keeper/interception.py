"""Bind interception: a program's `bind` and `listen` wait for our answer.

A seccomp filter turns the two calls into notifications (seccomp(2),
seccomp_unotify(2), Linux 5.9); all other calls are untouched.  The filter looks at the
length of the address, so that Unix-domain binds never wait, and at nothing else: an
address lies in memory, which a filter cannot read.

This is no security boundary: a program could change its memory while we read it.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import select
import socket
import struct
from dataclasses import dataclass

_libc = ctypes.CDLL(None, use_errno=True)

# (audit architecture, seccomp, bind, listen), from <asm/unistd.h>
_CALLS = {
    "x86_64": (0xC000003E, 317, 49, 50),
    "aarch64": (0xC00000B7, 277, 200, 201),
}
_SYS_PIDFD_GETFD = 438  # the same on both

_PR_SET_NO_NEW_PRIVS = 38
_SET_MODE_FILTER = 1
_FLAG_NEW_LISTENER, _FLAG_WAIT_KILLABLE_RECV = 1 << 3, 1 << 5
_RET_USER_NOTIF, _RET_ALLOW = 0x7FC00000, 0x7FFF0000
_NOTIF_RECV, _NOTIF_SEND = 0xC0502100, 0xC0182101
_NOTIF_ID_VALID, _NOTIF_ADDFD = 0x40082102, 0x40182103
_ADDFD_SETFD, _CONTINUE = 1, 1
_NOTIF_BYTES = 80

_LOAD, _JUMP_IF_EQUAL, _JUMP_IF_GREATER, _RETURN = 0x20, 0x15, 0x25, 0x06
_AT_NUMBER, _AT_ARCHITECTURE, _AT_LENGTH = 0, 4, 32  # struct seccomp_data; args[2]

IPV4_BYTES, IPV6_BYTES, LONGEST_UNIX_BYTES = 16, 28, 110
LONGEST_ADDRESS_BYTES = 128  # struct sockaddr_storage

Instruction = tuple[int, int, int, int]
"""Code, jump if true, jump if false, constant (struct sock_filter)."""


@dataclass(frozen=True, slots=True)
class Address:
    """An internet address that somebody wants to bind."""

    family: int
    host: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """A system call that waits for an answer."""

    id: int
    pid: int
    call: str
    """bind or listen."""
    descriptor: int
    address: Address | None = None

    @property
    def concerns_us(self) -> bool:
        """Tell whether the call could be about a listening port."""
        if self.call == "listen":
            return True
        return self.address is not None and self.address.port != 0


def filter_program(machine: str) -> tuple[Instruction, ...]:
    """Return the filter for a machine (`os.uname().machine`).  Raises LookupError."""
    architecture, _, bind, listen = _CALLS[machine]
    return (
        (_LOAD, 0, 0, _AT_ARCHITECTURE),
        (_JUMP_IF_EQUAL, 0, 7, architecture),
        (_LOAD, 0, 0, _AT_NUMBER),
        (_JUMP_IF_EQUAL, 6, 0, listen),
        (_JUMP_IF_EQUAL, 0, 4, bind),
        (_LOAD, 0, 0, _AT_LENGTH),
        (_JUMP_IF_EQUAL, 3, 0, IPV4_BYTES),
        (_JUMP_IF_EQUAL, 2, 0, IPV6_BYTES),
        (_JUMP_IF_GREATER, 1, 0, LONGEST_UNIX_BYTES),
        (_RETURN, 0, 0, _RET_ALLOW),
        (_RETURN, 0, 0, _RET_USER_NOTIF),
    )


def install(*, no_new_privs: bool) -> int:
    """Put this process under the filter; return the notification descriptor.

    *no_new_privs* is needed without CAP_SYS_ADMIN; it takes the power from set-id
    programs, so root does without.  Raises OSError: EBUSY inside another such filter.
    """
    machine = os.uname().machine
    if machine not in _CALLS:
        raise OSError(errno.ENOSYS, f"system calls of {machine} are not known")
    if no_new_privs and _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "no_new_privs")
    program = filter_program(machine)
    code = ctypes.create_string_buffer(
        b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
    )
    header = ctypes.create_string_buffer(
        struct.pack("HxxxxxxP", len(program), ctypes.addressof(code))
    )
    number = _CALLS[machine][1]
    descriptor = -1
    for flags in (
        _FLAG_NEW_LISTENER | _FLAG_WAIT_KILLABLE_RECV,
        _FLAG_NEW_LISTENER,  # before Linux 5.19
    ):
        descriptor = _libc.syscall(number, _SET_MODE_FILTER, flags, header)
        if descriptor >= 0 or ctypes.get_errno() != errno.EINVAL:
            break
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return int(descriptor)


def needs_no_new_privs() -> bool:
    """Tell whether the kernel asks for no_new_privs: without CAP_SYS_ADMIN it does."""
    with open("/proc/self/status", "rb") as file:
        for line in file:
            if line.startswith(b"CapEff:"):
                return not int(line.split()[1], 16) >> 21 & 1
    return True


def receive(notify: int) -> Notification | None:
    """Return the next call that waits, or None if its caller has gone meanwhile.

    Raises OSError if nobody is under the filter any more.
    """
    buffer = bytearray(_NOTIF_BYTES)
    try:
        fcntl.ioctl(notify, _NOTIF_RECV, buffer, True)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.EINTR):
            return None
        raise
    identity, thread, _, number = struct.unpack_from("=QIIi", buffer)
    arguments = struct.unpack_from("=3Q", buffer, 32)
    _, _, bind, _ = _CALLS[os.uname().machine]
    call = "bind" if number == bind else "listen"
    try:
        pid = _process_of(thread)
        address = _read_address(thread, *arguments[1:]) if call == "bind" else None
    except OSError:
        if is_valid(notify, identity):
            # It lives, and we may not look: let it do what it wanted.
            proceed(notify, identity)
        return None
    if not is_valid(notify, identity):
        return None  # what was read may have been somebody else's memory
    descriptor = arguments[0] & 0xFFFFFFFF
    return Notification(
        id=identity, pid=pid, call=call, descriptor=descriptor, address=address
    )


def is_over(notify: int) -> bool:
    """Tell whether no process is under the filter any more."""
    poll = select.poll()
    poll.register(notify, 0)
    return any(event & select.POLLHUP for _, event in poll.poll(0))


def is_valid(notify: int, identity: int) -> bool:
    """Tell whether the caller still waits."""
    try:
        fcntl.ioctl(notify, _NOTIF_ID_VALID, struct.pack("=Q", identity))
    except OSError:
        return False
    return True


def proceed(notify: int, identity: int) -> bool:
    """Let the kernel do what the program asked for."""
    return _send(notify, identity, 0, _CONTINUE)


def answer(notify: int, identity: int, number: int = 0) -> bool:
    """Let the call return 0, or fail with errno *number*; False if the caller is gone."""
    return _send(notify, identity, -number, 0)


def inject(
    notify: int, identity: int, sock: int, target: int, *, cloexec: bool
) -> bool:
    """Put *sock* in the place of the program's own descriptor, and answer 0."""
    flags = os.O_CLOEXEC if cloexec else 0
    request = struct.pack("=QIIII", identity, _ADDFD_SETFD, sock, target, flags)
    try:
        fcntl.ioctl(notify, _NOTIF_ADDFD, request)
    except OSError as error:
        if error.errno == errno.ENOENT:
            return False
        return answer(notify, identity, error.errno or errno.EIO)
    return answer(notify, identity)


def _send(notify: int, identity: int, result: int, flags: int) -> bool:
    response = bytearray(struct.pack("=QqiI", identity, 0, result, flags))
    try:
        fcntl.ioctl(notify, _NOTIF_SEND, response, True)
    except OSError as error:
        if error.errno == errno.ENOENT:
            return False
        raise
    return True


# --- what is read from another process ------------------------------------------------


def duplicate(pid: int, descriptor: int) -> int:
    """Return a copy of another process's descriptor (pidfd_getfd(2)).

    Needs ptrace rights over it.  Raises OSError.
    """
    pidfd = os.pidfd_open(pid)
    try:
        copy = _libc.syscall(_SYS_PIDFD_GETFD, pidfd, descriptor, 0)
        if copy < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return int(copy)
    finally:
        os.close(pidfd)


def descriptor_flags(pid: int, descriptor: int) -> int:
    """Return the flags of a descriptor: O_NONBLOCK, O_CLOEXEC... (proc(5), fdinfo)."""
    with open(f"/proc/{pid}/fdinfo/{descriptor}", "rb") as file:
        for line in file:
            if line.startswith(b"flags:"):
                return int(line.split()[1], 8)
    return 0


def watched_by_epoll(pid: int, descriptor: int) -> bool:
    """Tell whether an epoll set of the process watches *descriptor* already."""
    for name in os.listdir(f"/proc/{pid}/fdinfo"):
        try:
            with open(f"/proc/{pid}/fdinfo/{name}", "rb") as file:
                for line in file:
                    words = line.split(None, 2)
                    if words[:1] == [b"tfd:"] and int(words[1]) == descriptor:
                        return True
        except FileNotFoundError:
            continue
    return False


def _process_of(thread: int) -> int:
    with open(f"/proc/{thread}/status", "rb") as file:
        for line in file:
            if line.startswith(b"Tgid:"):
                return int(line.split()[1])
    raise ProcessLookupError(errno.ESRCH, "no such process")


def _read_address(thread: int, pointer: int, length: int) -> Address | None:
    size = min(length & 0xFFFFFFFF, LONGEST_ADDRESS_BYTES)
    with open(f"/proc/{thread}/mem", "rb", 0) as memory:
        memory.seek(pointer)
        raw = memory.read(size)
    return parse_address(raw)


def parse_address(raw: bytes) -> Address | None:
    """Return the internet address in a struct sockaddr, or None if it is another."""
    if len(raw) < IPV4_BYTES:
        return None
    (family,) = struct.unpack_from("=H", raw)
    (port,) = struct.unpack_from(">H", raw, 2)
    if family == socket.AF_INET:
        return Address(family, socket.inet_ntop(family, raw[4:8]), port)
    if family == socket.AF_INET6 and len(raw) >= 24:
        return Address(family, socket.inet_ntop(family, raw[8:24]), port)
    return None


# --- is it there at all -----------------------------------------------------------------


def unavailable() -> str | None:
    """Try the whole mechanism once in a child; return None, or why it does not work."""
    ours, theirs = socket.socketpair()
    child = os.fork()
    if child == 0:
        _try_as_child(theirs)
    theirs.close()
    try:
        ours.settimeout(5)
        said, descriptors, _, _ = socket.recv_fds(ours, 4096, 1)
        if not descriptors:
            return said.decode() or "the trial died"
        return _try_as_parent(descriptors[0], ours)
    except OSError as error:
        return f"{error.strerror or error}"
    finally:
        ours.close()
        os.kill(child, 9)
        os.waitpid(child, 0)


def _try_as_child(theirs: socket.socket) -> None:
    try:
        notify = install(no_new_privs=needs_no_new_privs())
        socket.send_fds(theirs, [b"x"], [notify])
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 1))
            theirs.send(str(sock.getsockname()[1]).encode())
    except OSError as error:
        if error.errno == errno.EBUSY:
            theirs.send(b"we are inside another filter of this kind (EBUSY)")
        else:
            theirs.send(f"the kernel says: {error.strerror}".encode())
    finally:
        os._exit(0)


def _try_as_parent(notify: int, ours: socket.socket) -> str | None:
    try:
        call = receive(notify)
        if call is None or call.address is None:
            return "the call of another process cannot be read (ptrace rights)"
        os.close(duplicate(call.pid, call.descriptor))
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            given = sock.getsockname()[1]
            inject(notify, call.id, sock.fileno(), call.descriptor, cloexec=True)
            said = ours.recv(64)
        return None if said == str(given).encode() else "the socket did not arrive"
    finally:
        os.close(notify)
