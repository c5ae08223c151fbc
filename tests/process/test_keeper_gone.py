"""What the kernel leaves of a keeper that died: facts on which adoption will stand.

docs/decisions/0015-what-adoption-finds.md says what is built on them.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import select
import signal
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from gapless.keeper.seccomp import caller, filter_program, notifications

WAIT_S = 15.0
_PR_SET_CHILD_SUBREAPER = 36
_PIDFS_IOCTL_MAGIC, _PIDFD_INFO_EXIT = 0xFF, 1 << 3
_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def child(act: Callable[[socket.socket], None]) -> Iterator[tuple[int, socket.socket]]:
    """Fork a process that runs *act*; yield its pid, and this end of a line to it."""
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    near.settimeout(WAIT_S)
    pid = os.fork()
    if pid == 0:
        near.close()
        try:
            act(far)
        finally:
            os._exit(0)
    far.close()
    with near:
        try:
            yield pid, near
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)


def be_subreaper() -> None:
    """Become the parent of orphans below this process (prctl(2))."""
    assert _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0


def number(line: socket.socket) -> int:
    """Return the number that comes on a line."""
    return int(line.recv(64))


def test_who_is_above_a_dead_keeper_reaps_its_instances() -> None:
    """Their exit codes are not lost, though the keeper was a subreaper itself."""

    def above(line: socket.socket) -> None:
        be_subreaper()
        keeper = os.fork()
        if keeper == 0:
            be_subreaper()
            instance = os.fork()
            if instance == 0:
                line.recv(64)
                os._exit(7)
            line.send(str(instance).encode())
            signal.pause()
        line.send(str(keeper).encode())
        for _ in range(2):
            line.send("{} {}".format(*os.wait()).encode())

    with child(above) as (_, line):
        pids = {number(line), number(line)}
        (keeper,) = [pid for pid in pids if _parent(pid) not in pids]
        os.kill(keeper, signal.SIGKILL)
        assert line.recv(64) == f"{keeper} {signal.SIGKILL}".encode()
        line.send(b"end")
        (instance,) = pids - {keeper}
        assert line.recv(64) == f"{instance} {7 << 8}".encode()


def test_a_pidfd_tells_how_a_process_ended_that_another_reaped() -> None:
    """From Linux 6.15 on (PIDFD_GET_INFO); before that only its parent knows."""

    def reaps(line: socket.socket) -> None:
        instance = os.fork()
        if instance == 0:
            line.recv(64)
            os._exit(7)
        line.send(str(instance).encode())
        os.waitpid(instance, 0)
        line.send(b"reaped")
        line.recv(64)

    with child(reaps) as (_, line):
        pidfd = os.pidfd_open(number(line))
        try:
            line.send(b"end")
            assert line.recv(64) == b"reaped"
            status = _exit_status(pidfd)
        finally:
            os.close(pidfd)
    release = tuple(int(part) for part in os.uname().release.split(".")[:2])
    assert status == (7 << 8 if release >= (6, 15) else None)


def _exit_status(pidfd: int) -> int | None:
    """Return the wait status of a process that was reaped; None if nobody can tell."""
    # struct pidfd_info (linux/pidfd.h): mask, cgroup, 11 numbers, exit code.
    layout = struct.Struct("=QQ11Ii")
    request = (
        3 << 30 | layout.size << 16 | _PIDFS_IOCTL_MAGIC << 8 | 11
    )  # PIDFD_GET_INFO
    info = bytearray(layout.pack(_PIDFD_INFO_EXIT, 0, *[0] * 12))
    try:
        fcntl.ioctl(pidfd, request, info, True)
    except OSError:
        return None
    mask, *_, status = layout.unpack(info)
    return status if mask & _PIDFD_INFO_EXIT else None


def test_a_bind_waits_for_whoever_still_holds_the_descriptor() -> None:
    """The keeper is gone; a copy that another process holds answers what comes next."""
    with child(_binds_twice) as (_, line):
        _, (kept,), _, _ = socket.recv_fds(line, 64, 1)
        try:
            line.send(b"bind")
            assert notifications.poll(kept, select.POLLIN, WAIT_S)
            call = notifications.receive(kept)
            assert call is not None
            notifications.proceed(kept, call.id)
            assert number(line) == 0
        finally:
            os.close(kept)
        line.send(b"bind")
        assert number(line) == errno.ENOSYS, "nobody holds it any more"


def test_a_bind_that_a_dead_keeper_had_received_is_answered_by_its_number() -> None:
    """It cannot be received again: without the number it hangs."""

    def receives_and_dies(line: socket.socket) -> None:
        with _program(line) as notify:
            notifications.poll(notify, select.POLLIN, WAIT_S)
            call = notifications.receive(notify)
            assert call is not None
            line.send(str(call.id).encode())
            signal.pause()

    with child(receives_and_dies) as (keeper, line):
        program, kept = _taken_over(line)
        try:
            program.send(b"bind")
            waiting = number(line)
            os.kill(keeper, signal.SIGKILL)
            os.waitpid(keeper, 0)
            assert notifications.receive(kept) is None
            assert notifications.is_valid(kept, waiting)
            notifications.proceed(kept, waiting)
            assert number(program) == 0
        finally:
            os.close(kept)
            program.close()


def test_under_yama_only_an_ancestor_can_look_into_a_program() -> None:
    """A new keeper is a stranger to what the old one started (ptrace_scope 1, not root)."""

    def sibling(line: socket.socket) -> None:
        pid = number(line)
        line.send(b"0" if _may_look_into(pid) else b"1")

    def sleeps(line: socket.socket) -> None:
        line.recv(64)

    with child(sleeps) as (program, _), child(sibling) as (_, line):
        assert _may_look_into(program), "its parent may"
        line.send(str(program).encode())
        forbidden = number(line) == 1
    assert forbidden == (_ptrace_scope() == 1 and os.geteuid() != 0)


def _may_look_into(pid: int) -> bool:
    """Return whether a descriptor of a process can be had (pidfd_getfd(2))."""
    try:
        os.close(caller.duplicate(pid, 0))
    except PermissionError:
        return False
    return True


def _ptrace_scope() -> int:
    try:
        with open("/proc/sys/kernel/yama/ptrace_scope", encoding="ascii") as file:
            return int(file.read())
    except FileNotFoundError:
        return 0


@contextmanager
def _program(line: socket.socket) -> Iterator[int]:
    """Start what binds, hand its line and its filter's descriptor on; yield a copy."""
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork() == 0:
        near.close()
        _binds_twice(far)
        os._exit(0)
    far.close()
    _, (notify,), _, _ = socket.recv_fds(near, 64, 1)
    socket.send_fds(line, [b"program"], [near.fileno(), notify])
    near.close()
    try:
        yield notify
    finally:
        os.close(notify)


def _taken_over(line: socket.socket) -> tuple[socket.socket, int]:
    _, (program, notify), _, _ = socket.recv_fds(line, 64, 2)
    sock = socket.socket(fileno=program)
    sock.settimeout(WAIT_S)
    return sock, notify


def _binds_twice(line: socket.socket) -> None:
    """Bind under the filter when told to; say with which errno that ended."""
    notify = filter_program.install(no_new_privs=filter_program.needs_no_new_privs())
    socket.send_fds(line, [b"notify"], [notify])
    os.close(notify)
    for _ in range(2):
        line.recv(64)
        with socket.socket() as sock:
            try:
                sock.bind(("127.0.0.1", 0))
            except OSError as error:
                line.send(str(error.errno).encode())
            else:
                line.send(b"0")


def _parent(pid: int) -> int:
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        return int(file.read().rpartition(") ")[2].split()[1])
