"""Start one program: its own session, its own descriptors, under the filter."""

from __future__ import annotations

import errno
import fcntl
import grp
import os
import pwd
import resource
import select
import signal
import socket
from dataclasses import dataclass, field

from gapless.keeper import interception

FIRST_FREE = 16
MOST_DESCRIPTORS = (
    1 << 20
)  # fs.nr_open's default; close_range(2) skips what is not there
START_S = 10.0
"""How long a child may take from fork to exec before it is given up."""
_LIMITS = {
    "open_files": resource.RLIMIT_NOFILE,
    "processes": resource.RLIMIT_NPROC,
    "core_bytes": resource.RLIMIT_CORE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to start, and with what."""

    argv: tuple[str, ...]
    environment: dict[str, str]
    directory: str
    stdout: int
    stderr: int
    descriptors: dict[int, int] = field(default_factory=dict)
    """Number in the program -> descriptor of ours."""
    user: str = ""
    group: str = ""
    limits: dict[str, int] = field(default_factory=dict)
    filtered: bool = True
    set_listen_pid: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Spawned:
    """A program that runs."""

    pid: int
    pidfd: int
    notify: int
    """The notification descriptor, or -1 if the program is under no filter."""


def spawn(request: Request) -> Spawned:
    """Fork and exec.

    Raises OSError that says which step failed; nothing is left behind then.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    child = os.fork()
    if child == 0:
        _become(request, theirs)
    theirs.close()
    notify = -1
    try:
        if request.filtered:
            said, descriptors = _hear(ours)
            if not descriptors:
                raise _failure(said)
            notify = descriptors[0]
            os.set_inheritable(notify, False)
        said, _ = _hear(ours)
        if said:
            raise _failure(said)
        pidfd = os.pidfd_open(child)
    except BaseException:
        if notify >= 0:
            os.close(notify)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise
    finally:
        ours.close()
    return Spawned(pid=child, pidfd=pidfd, notify=notify)


def _hear(ours: socket.socket) -> tuple[bytes, list[int]]:
    """Return what the child says; nothing once it has become the program."""
    if not select.select([ours], [], [], START_S)[0]:
        raise TimeoutError(errno.ETIMEDOUT, f"no program after {START_S:g} s")
    try:
        said, descriptors, _, _ = socket.recv_fds(ours, 4096, 1)
    except ConnectionResetError:
        return b"", []
    return said, list(descriptors)


def _failure(said: bytes) -> OSError:
    number, _, step = (said or b"0 it died before it became the program").partition(
        b" "
    )
    reason = os.strerror(int(number)).lower() if int(number) else "died"
    return OSError(int(number), f"{step.decode()}: {reason}")


def _become(request: Request, theirs: socket.socket) -> None:
    """Run in the child: become the program; never returns."""
    # Above every number that the program is given, so that it is never overwritten.
    above = max(FIRST_FREE, *request.descriptors, 2) + 1
    line = fcntl.fcntl(theirs, fcntl.F_DUPFD_CLOEXEC, above)
    step = "prepare"
    try:
        signal.set_wakeup_fd(-1)
        for number in signal.valid_signals():
            if number not in (signal.SIGKILL, signal.SIGSTOP):
                signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.setsid()
        os.umask(0o022)
        _place_descriptors(request, line)
        step = "set limits"
        for name, limit in request.limits.items():
            _set_limit(_LIMITS[name], limit)
        if request.filtered:
            step = "install the filter"
            no_new_privs = interception.needs_no_new_privs()
            notify = interception.install(no_new_privs=no_new_privs)
            with socket.socket(fileno=os.dup(line)) as channel:
                socket.send_fds(channel, [b"x"], [notify])
            os.close(notify)
        step = f"become the user {request.user} {request.group}".rstrip()
        _become_user(request.user, request.group)
        step = f"enter the directory {request.directory}"
        os.chdir(request.directory)
        environment = dict(request.environment)
        if request.set_listen_pid:
            environment["LISTEN_PID"] = str(os.getpid())
        step = f"run {request.argv[0]}"
        os.execvpe(request.argv[0], request.argv, environment)
    except BaseException as error:  # noqa: BLE001 - told to the parent, then the end
        reason = error.errno if isinstance(error, OSError) else None
        said = f"{reason or 0} {step}" + ("" if reason else f" ({error})")
        os.write(line, said.encode()[:4000])
    finally:
        os._exit(127)


def _place_descriptors(request: Request, line: int) -> None:
    """Put every descriptor at its number, and close all others but *line*."""
    placed = {0: os.open("/dev/null", os.O_RDONLY)}
    placed |= {1: request.stdout, 2: request.stderr} | request.descriptors
    # First all of them out of the way, so that none is overwritten before it is placed.
    moved = {
        number: fcntl.fcntl(source, fcntl.F_DUPFD_CLOEXEC, line + 1)
        for number, source in placed.items()
    }
    for number, source in moved.items():
        os.dup2(source, number, inheritable=True)
    lowest = 0
    for number in sorted({*placed, line}):
        if lowest < number:  # an empty range would be taken for an endless one
            os.closerange(lowest, number)
        lowest = number + 1
    os.closerange(lowest, MOST_DESCRIPTORS)


def _set_limit(kind: int, limit: int) -> None:
    _, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY and limit > hard and os.geteuid() != 0:
        raise OSError(errno.EPERM, f"the hard limit is {hard}")
    unlimited = hard == resource.RLIM_INFINITY
    resource.setrlimit(kind, (limit, hard if unlimited else max(hard, limit)))


def _become_user(user: str, group: str) -> None:
    if not user and not group:
        return
    entry = _look_up_user(user) if user else None
    if group:
        gid = int(group) if group.isdigit() else grp.getgrnam(group).gr_gid
    else:
        gid = entry.pw_gid if entry else os.getgid()
    os.setgid(gid)
    if entry is not None:
        os.initgroups(entry.pw_name, gid)
        os.setuid(entry.pw_uid)


def _look_up_user(user: str) -> pwd.struct_passwd:
    return pwd.getpwuid(int(user)) if user.isdigit() else pwd.getpwnam(user)
