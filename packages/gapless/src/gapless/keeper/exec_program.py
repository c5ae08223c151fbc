"""Start one program: the child's side, from fork to exec.

The order of the steps matters: user and group are looked up before the filter is installed
(a look-up may bind), the filter is installed before the privileges are dropped, and the
directory is entered by the user that the program runs as.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import itertools
import os
import signal
import socket
import stat
from typing import NoReturn

from gapless.base import descriptors
from gapless.keeper import identity, limits
from gapless.keeper.identity import Identity
from gapless.keeper.seccomp import filter_program
from gapless.keeper.spawn_request import SpawnRequest

_CLOSE_RANGE = 436  # the same number on every machine
_LAST_DESCRIPTOR = 2**31 - 1
_libc = ctypes.CDLL(None)


def exec_program(request: SpawnRequest, child_end: socket.socket) -> NoReturn:
    """Become the program, in the child of a fork.

    Sends the parent the notification descriptor, and what failed if something did.  The
    program begins when the parent says so: what it has of it outlives it by then.
    """
    step = "prepare"
    report = child_end.fileno()
    try:
        os.setsid()
        if request.cgroup:
            _enter(request.cgroup)
        _reset_signals()
        os.umask(request.umask)
        step = "place its descriptors"
        report = _place_descriptors(request, report)
        step = f"find {_named(request)}"
        who = identity.find(request.user, request.group)
        if request.filtered:
            step = "install the filter"
            _install_filter(report, request)
        wanted = ", ".join(f"{name} = {n}" for name, n in request.limits.items())
        step = f"set its limits {wanted}".rstrip()
        descriptors.restore_limits()
        limits.set_limits(request.limits)
        step = f"become {request.user or 'the group'} {request.group}".rstrip()
        _become_user(who)
        step = f"enter the directory {request.directory}"
        os.chdir(request.directory)
        own = identity.of_user(who.variables, request.user_variables)
        environment = request.environment | own
        if request.set_listen_pid:
            environment = environment | {"LISTEN_PID": str(os.getpid())}
        step = f"run {request.argv[0]}"
        if not os.read(report, 1):
            os._exit(127)  # the parent has died: the next one begins anew
        os.execvpe(request.argv[0], request.argv, environment)
    except BaseException as error:  # noqa: BLE001 - reported to the parent, then exit
        os.write(report, _failure(error, step, request))
    finally:
        os._exit(127)


def _named(request: SpawnRequest) -> str:
    """Return who the program is to be: `the user web and the group www`."""
    named = {"the user": request.user, "the group": request.group}
    return " and ".join(f"{what} {name}" for what, name in named.items() if name)


def _failure(error: BaseException, step: str, request: SpawnRequest) -> bytes:
    """Return the message for the parent: errno, step and reason."""
    number, reason = errno.EINVAL, str(error)
    if isinstance(error, limits.LimitError):
        number, reason = error.errno or number, error.strerror or reason
    elif isinstance(error, OSError) and error.errno:
        number, reason = error.errno, os.strerror(error.errno).lower()
        program = request.argv[0]
        if number == errno.ENOENT and "/" in program and os.path.isfile(program):
            reason = "the interpreter that its first line names does not exist"
    elif isinstance(error, LookupError):
        reason = "there is none"
    return f"{number}\0{step[:2000]}\0{reason[:2000]}".encode(errors="replace")


def _reset_signals() -> None:
    """Undo every handler, every ignored signal (exec would keep it), and the mask."""
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _place_descriptors(request: SpawnRequest, report: int) -> int:
    """Put every descriptor at its number; close all others but *report*.

    Returns the new number of *report*, above all that the program gets.
    """
    placed = {0: os.open("/dev/null", os.O_RDONLY)}
    placed |= {1: request.stdout, 2: request.stderr} | request.descriptors
    # First a copy of each above all the numbers: none is overwritten before it is placed.
    report = fcntl.fcntl(report, fcntl.F_DUPFD_CLOEXEC, max(placed) + 1)
    copies = {
        number: fcntl.fcntl(source, fcntl.F_DUPFD_CLOEXEC, report + 1)
        for number, source in placed.items()
    }
    for number, copy in copies.items():
        os.dup2(copy, number, inheritable=True)
    _close_all_but({*placed, report})
    return report


def _close_all_but(kept: set[int]) -> None:
    """Close every other descriptor, with one system call for each gap (close_range(2)).

    Not os.closerange: built without it, it tries a million numbers.
    """
    ends = [-1, *sorted(kept), _LAST_DESCRIPTOR + 1]
    for before, after in itertools.pairwise(ends):
        if after - before < 2:
            continue
        if _libc.syscall(_CLOSE_RANGE, before + 1, after - 1, 0):
            _close_one_by_one(kept)  # before Linux 5.9
            return


def _close_one_by_one(kept: set[int]) -> None:
    for name in os.listdir("/proc/self/fd"):
        if int(name) not in kept:
            try:
                os.close(int(name))
            except OSError:
                continue  # the descriptor of the listing itself


def _enter(cgroup: str) -> None:
    """Join a control group; one that cannot be joined is left out.

    The supervisor looks whether the program is there.
    """
    try:
        descriptor = os.open(f"{cgroup}/cgroup.procs", os.O_WRONLY)
    except OSError:
        return
    try:
        os.write(descriptor, b"0")
    except OSError:
        return
    finally:
        os.close(descriptor)


def _install_filter(report: int, request: SpawnRequest) -> None:
    notify = filter_program.install(
        no_new_privs=filter_program.needs_no_new_privs(),
        paths=request.paths,
        connects=request.connects,
    )
    with socket.socket(fileno=os.dup(report)) as channel:
        socket.send_fds(channel, [b"notify"], [notify])
    os.close(notify)


def _become_user(who: Identity) -> None:
    if who.is_own():
        return
    for output in (1, 2):
        # The user may then open /dev/stdout, as nginx does.
        if stat.S_ISFIFO(os.fstat(output).st_mode):
            os.fchown(output, who.uid, who.gid)
    who.assume()
