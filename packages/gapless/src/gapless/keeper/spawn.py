"""Start one program: its own session, its own descriptors, under the filter.

Rule 1: the parent never hangs.  What the child does between fork and exec is bounded
by `START_S`, even if somebody stops it; then it is killed.
Rule 2: the child says in one message which step failed; nothing of ours appears in the
program's log.
Rule 3: the order of the steps matters: names are looked up before the filter is there
(a look-up may bind), the filter is there before the privileges are gone, the directory
is entered by the user who will live in it.
"""

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
import stat
from dataclasses import dataclass, field

from gapless.base import clock
from gapless.keeper.seccomp import interception

START_S = 10.0
"""How long a child may take from fork to exec."""
_BURY_S = 1.0
_LIMITS = {
    "open_files": resource.RLIMIT_NOFILE,
    "processes": resource.RLIMIT_NPROC,
    "core_bytes": resource.RLIMIT_CORE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to start, and with what."""

    argv: tuple[str, ...]
    """The program, searched in the PATH of *environment*, and its arguments."""
    environment: dict[str, str]
    """All of it; nothing is inherited."""
    directory: str
    stdout: int
    stderr: int
    descriptors: dict[int, int] = field(default_factory=dict)
    """Number in the program, from 3 -> descriptor of ours."""
    user: str = ""
    """Name or number; empty means ours."""
    group: str = ""
    """Name or number; empty means the user's own."""
    limits: dict[str, int] = field(default_factory=dict)
    """open_files, processes, core_bytes: soft and hard limit (setrlimit(2))."""
    filtered: bool = True
    """Whether its binds wait for our answer (`interception`)."""
    set_listen_pid: bool = False
    """Add LISTEN_PID (sd_listen_fds(3)), which only the child knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spawned:
    """A program that runs; the descriptors are the caller's."""

    pid: int
    pidfd: int
    notify: int
    """The notification descriptor, or -1 if the program is under no filter."""


class SpawnError(OSError):
    """A program did not start; *step* is what could not be done, *strerror* all."""

    def __init__(self, number: int, step: str, reason: str) -> None:
        super().__init__(number, f"{step}: {reason}" if step else reason)
        self.step = step


def spawn(request: Request) -> Spawned:
    """Fork and exec; returns when the program runs.

    Raises OSError, mostly SpawnError; nothing is left behind then.
    """
    if not request.argv:
        raise SpawnError(errno.EINVAL, "start", "the command is empty")
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    child = notify = -1
    try:
        # No handler of ours may run in the child before it has let go of them.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            child = os.fork()
            if child == 0:
                _become(request, theirs)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()
        notify = _hear_to_the_end(ours, clock.monotonic() + START_S)
        if request.filtered and notify < 0:
            raise SpawnError(errno.ECHILD, "", "it died before it became the program")
        pidfd = os.pidfd_open(child)
    except BaseException:
        if notify >= 0:
            os.close(notify)
        if child > 0:
            _bury(child)
        raise
    finally:
        theirs.close()
        ours.close()
    return Spawned(pid=child, pidfd=pidfd, notify=notify)


def _hear_to_the_end(ours: socket.socket, deadline: float) -> int:
    """Return the notification descriptor, or -1, once the child is the program.

    That is when its end of the line is closed.  Raises SpawnError.
    """
    notify = -1
    poll = select.poll()
    poll.register(ours, select.POLLIN)
    try:
        while True:
            left_s = deadline - clock.monotonic()
            if left_s <= 0 or not poll.poll(left_s * 1000):
                reason = f"it is no program yet after {START_S:g} s"
                raise SpawnError(errno.ETIMEDOUT, "", reason)
            said, descriptors, _, _ = socket.recv_fds(ours, 8192, 1)
            if descriptors:
                notify = descriptors[0]
                os.set_inheritable(notify, False)
            elif said:
                number, step, reason = said.decode(errors="replace").split("\0", 2)
                raise SpawnError(int(number), step, reason)
            else:
                return notify
    except BaseException:
        if notify >= 0:
            os.close(notify)
        raise


def _bury(child: int) -> None:
    """Kill and reap a child; one that cannot die now is left to the caller's reaper."""
    os.kill(child, signal.SIGKILL)
    pidfd = os.pidfd_open(child)
    try:
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        poll.poll(_BURY_S * 1000)
        os.waitpid(child, os.WNOHANG)
    finally:
        os.close(pidfd)


# --- in the child ---------------------------------------------------------------------


def _become(request: Request, theirs: socket.socket) -> None:
    """Become the program; never returns."""
    step = "prepare"
    line = theirs.fileno()
    try:
        os.setsid()
        _forget_signals()
        os.umask(0o022)
        step = "place its descriptors"
        line = _place_descriptors(request, line)
        step = f"find the user or group {request.user} {request.group}".rstrip()
        identity = _look_up(request.user, request.group)
        if request.filtered:
            step = "install the filter"
            _install_filter(line)
        step = "set its limits"
        for name, limit in request.limits.items():
            resource.setrlimit(_LIMITS[name], (limit, limit))
        step = f"become {request.user or 'the group'} {request.group}".rstrip()
        _become_user(*identity)
        step = f"enter the directory {request.directory}"
        os.chdir(request.directory)
        environment = request.environment
        if request.set_listen_pid:
            environment = environment | {"LISTEN_PID": str(os.getpid())}
        step = f"run {request.argv[0]}"
        os.execvpe(request.argv[0], request.argv, environment)
    except BaseException as error:  # noqa: BLE001 - told to the parent, then the end
        os.write(line, _last_words(error, step, request))
    finally:
        os._exit(127)


def _last_words(error: BaseException, step: str, request: Request) -> bytes:
    number, reason = errno.EINVAL, str(error)
    if isinstance(error, OSError) and error.errno:
        number, reason = error.errno, os.strerror(error.errno).lower()
        program = request.argv[0]
        if number == errno.ENOENT and "/" in program and os.path.isfile(program):
            reason = "the interpreter that its first line names is not there"
    elif isinstance(error, LookupError):
        reason = "there is none"
    return f"{number}\0{step[:2000]}\0{reason[:2000]}".encode(errors="replace")


def _forget_signals() -> None:
    """Undo every handler, every ignored signal (exec would keep it), the mask."""
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _place_descriptors(request: Request, line: int) -> int:
    """Put every descriptor at its number, and close all others but the line.

    Returns the line's new number, above all that the program is given.
    """
    placed = {0: os.open("/dev/null", os.O_RDONLY)}
    placed |= {1: request.stdout, 2: request.stderr} | request.descriptors
    # First all of them out of the way, so that none is overwritten before it is placed.
    line = fcntl.fcntl(line, fcntl.F_DUPFD_CLOEXEC, max(placed) + 1)
    moved = {
        number: fcntl.fcntl(source, fcntl.F_DUPFD_CLOEXEC, line + 1)
        for number, source in placed.items()
    }
    for number, source in moved.items():
        os.dup2(source, number, inheritable=True)
    # Not os.closerange: built without close_range(2) it tries a million numbers.
    for name in os.listdir("/proc/self/fd"):
        if int(name) not in placed and int(name) != line:
            try:
                os.close(int(name))
            except OSError:
                continue  # the descriptor of the listing itself
    return line


def _install_filter(line: int) -> None:
    notify = interception.install(no_new_privs=interception.needs_no_new_privs())
    with socket.socket(fileno=os.dup(line)) as channel:
        socket.send_fds(channel, [b"notify"], [notify])
    os.close(notify)


def _look_up(user: str, group: str) -> tuple[int, int, list[int]]:
    """Return user, group and supplementary groups; -1 and none where nothing changes.

    Raises LookupError.
    """
    uid, gid, groups = -1, -1, []
    if user:
        by_name = pwd.getpwuid(int(user)) if user.isdigit() else pwd.getpwnam(user)
        uid, gid = by_name.pw_uid, by_name.pw_gid
        groups = os.getgrouplist(by_name.pw_name, gid)
    if group:
        gid = int(group) if group.isdigit() else grp.getgrnam(group).gr_gid
        groups = [gid, *groups]
    return uid, gid, groups


def _become_user(uid: int, gid: int, groups: list[int]) -> None:
    if uid in (-1, os.geteuid()) and gid in (-1, os.getegid()):
        return  # an ordinary user may name itself
    for output in (1, 2):
        # So that /dev/stdout can be opened by the user, as nginx does.
        if stat.S_ISFIFO(os.fstat(output).st_mode):
            os.fchown(output, uid, gid)
    os.setgroups(sorted(set(groups)))
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
