"""Real, unmodified programs whose bind and listen wait for an answer."""

from __future__ import annotations

import codecs
import contextlib
import ctypes
import errno
import os
import shutil
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gapless.keeper.seccomp import caller, filter_program, notifications, trial
from rig.fixtures.interceptor import DEADLINE_S, Interceptor, ask, readable
from rig.fixtures.listening_programs import JAVA, PERL, PROGRAMS, PYTHON
from rig.hosts.host import NOBODY

PR_SET_DUMPABLE = 4


@pytest.fixture
def interceptor(tmp_path: Path) -> Iterator[Interceptor]:
    """Return what intercepts programs; end what it started afterwards."""
    made = Interceptor(str(tmp_path))
    yield made
    made.close()


# --- one socket for all ---------------------------------------------------------


@pytest.mark.parametrize("language", PROGRAMS)
def test_copies_of_a_program_share_one_socket(
    interceptor: Interceptor, tmp_path: Path, language: str
) -> None:
    """Both serve on an address that is taken; one dies, and the other serves on."""
    program, arguments = PROGRAMS[language]
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    (tmp_path / "App.java").write_text(JAVA)
    copies = [
        interceptor.start(program, *arguments, str(interceptor.port)) for _ in range(2)
    ]
    for copy in copies:
        interceptor.share(copy)
    assert ask(interceptor.port).endswith(b"hi")
    interceptor.kill(copies[0])
    for _ in range(3):
        assert ask(interceptor.port).endswith(b"hi")


def test_our_socket_outlives_the_programs(interceptor: Interceptor) -> None:
    """A client that connects while no program runs is answered by the next one."""
    first = interceptor.start(sys.executable, "-c", PYTHON, str(interceptor.port))
    interceptor.share(first)
    interceptor.kill(first)
    with socket.create_connection(
        ("127.0.0.1", interceptor.port), DEADLINE_S
    ) as client:
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        second = interceptor.start(sys.executable, "-c", PYTHON, str(interceptor.port))
        interceptor.share(second)
        assert client.recv(4096).startswith(b"HTTP/1.0 200")


def test_duplicate_can_be_bound_in_place_of_injecting(interceptor: Interceptor) -> None:
    """The program's own socket keeps all options that the program has set."""
    interceptor.listener.close()
    spawned = interceptor.start(sys.executable, "-c", PYTHON, str(interceptor.port))
    call = interceptor.wait(spawned)
    copy = socket.socket(fileno=caller.duplicate(call.pid, call.descriptor))
    with copy:
        copy.bind(("127.0.0.1", interceptor.port))
        assert notifications.answer(spawned.notify, call.id)
        call = interceptor.wait(spawned)
        copy.listen()
        assert notifications.answer(spawned.notify, call.id)
        assert ask(interceptor.port).endswith(b"hi")


# --- calls that are not for the supervisor ----------------------------------------


def test_unix_binds_are_told_by_their_paths(
    interceptor: Interceptor, tmp_path: Path
) -> None:
    """A path comes whole, whatever its length; a name of the kernel's choice is none."""
    long = "a-path-that-is-longer-than-28-bytes"
    program = f"""
import os
import socket
import subprocess
os.chdir({str(tmp_path)!r})
for name in ("unix-13-bytes", {long!r}, "\\0abstract", ""):
    s = socket.socket(socket.AF_UNIX)
    s.bind(name)
s.listen()
print("listens")
"""
    spawned = interceptor.python(program)
    for path in (f"{tmp_path}/unix-13-bytes", f"{tmp_path}/{long}", "@abstract", ""):
        call = interceptor.next(spawned)
        assert (call.call, call.tcp, call.address, call.path) == (
            *("bind", False, None),
            path,
        )
        assert call.is_for_supervisor is bool(path)
        assert (call.identity is not None) is path.startswith("/")
        assert notifications.proceed(spawned.notify, call.id)
    call = interceptor.next(spawned)
    assert (call.call, call.kind) == ("listen", caller.Kind.UNIX)
    assert notifications.proceed(spawned.notify, call.id)
    assert interceptor.output(spawned) == "listens\n"


@pytest.mark.parametrize("kind", ["SOCK_STREAM", "SOCK_DGRAM"])
def test_any_port_proceeds(interceptor: Interceptor, kind: str) -> None:
    """The program did not choose the port."""
    program = f"""
import socket
import subprocess
s = socket.socket(socket.AF_INET, socket.{kind})
s.bind(("127.0.0.1", 0))
print(s.getsockname()[1])
"""
    spawned = interceptor.python(program)
    call = interceptor.next(spawned)
    assert call.address is not None
    assert not call.is_for_supervisor
    assert notifications.proceed(spawned.notify, call.id)
    assert int(interceptor.output(spawned)) > 0


def test_bind_of_what_is_no_socket_proceeds_by_itself(interceptor: Interceptor) -> None:
    """The program gets its error from the kernel; no notification is returned."""
    program = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
for descriptor in (0, 999, -1):
    libc.bind(descriptor, ctypes.create_string_buffer(16), 16)
    print(os.strerror(ctypes.get_errno()))
import socket
import subprocess
s = socket.socket()
libc.bind(s.fileno(), ctypes.c_void_p(8), 16)
print(os.strerror(ctypes.get_errno()))
"""
    spawned = interceptor.python(program)
    with pytest.raises(AssertionError, match="Socket operation on non") as raised:
        interceptor.wait(spawned)
    assert str(raised.value).count("Bad file descriptor") == 2
    assert "Bad address" in str(raised.value)


# --- the caller -----------------------------------------------------------------


def test_thread_may_bind(interceptor: Interceptor) -> None:
    """The caller is a thread; the descriptor belongs to its process."""
    program = """
import socket, threading
s = socket.socket()
threads = [threading.Thread(target=s.bind, args=(("127.0.0.1", PORT),))]
[t.start() for t in threads]
[t.join() for t in threads]
s.listen()
print(s.getsockname()[1])
"""
    spawned = interceptor.python(program)
    interceptor.share(spawned)
    bind = interceptor.calls[0]
    assert bind.pid == spawned.pid
    assert bind.thread_id != spawned.pid
    assert interceptor.output(spawned) == f"{interceptor.port}\n"


def test_child_of_a_program_is_under_its_filter(interceptor: Interceptor) -> None:
    """Children too, also behind a shell, arrive at the same notification descriptor."""
    child = (
        f"import socket; s = socket.socket(); s.bind(('127.0.0.1', {interceptor.port}))"
    )
    program = f"""
import subprocess, sys
child = [sys.executable, "-c", {child + "; s.listen(); print('served')"!r}]
subprocess.run(["sh", "-c", '"$0" "$@"; exit $?', *child], check=True)
"""
    spawned = interceptor.python(program)
    interceptor.share(spawned)
    assert interceptor.calls[0].pid != spawned.pid
    assert interceptor.output(spawned) == "served\n"


def test_filter_is_over_with_its_last_process(interceptor: Interceptor) -> None:
    """It does not end with the leader: a process that is left behind may still bind."""
    spawned = interceptor.start("sh", "-c", "sleep 300 & echo $!; exit 0")
    left_behind = int(interceptor.line(spawned))
    interceptor.kill(spawned)
    try:
        assert not notifications.has_no_process(spawned.notify)
        assert not readable(spawned.notify, 0)
    finally:
        os.kill(left_behind, signal.SIGKILL)
    assert readable(spawned.notify, DEADLINE_S)
    assert notifications.has_no_process(spawned.notify)
    assert notifications.receive(spawned.notify) is None


# --- what the program gets ------------------------------------------------------

BIND_AND_PRINT = """
import os, socket
s = socket.socket()
try:
    s.bind(("127.0.0.1", PORT))
    print(s.getsockname()[1], os.get_inheritable(s.fileno()), s.getblocking())
except OSError as error:
    print(error.errno)
"""


def test_error_reaches_the_program(interceptor: Interceptor) -> None:
    """It is the errno of bind, as for any other failure."""
    spawned = interceptor.python(BIND_AND_PRINT)
    call = interceptor.wait(spawned)
    assert notifications.answer(spawned.notify, call.id, errno.EADDRINUSE)
    assert interceptor.output(spawned) == f"{errno.EADDRINUSE}\n"


def test_refusal_of_the_kernel_reaches_the_program(interceptor: Interceptor) -> None:
    """The descriptor to inject is not open; the program does not wait for ever."""
    spawned = interceptor.python(BIND_AND_PRINT)
    call = interceptor.wait(spawned)
    notifications.inject(
        spawned.notify, call.id, 999_999, call.descriptor, cloexec=True
    )
    assert interceptor.output(spawned) == f"{errno.EBADF}\n"


def test_call_that_may_proceed_does(interceptor: Interceptor) -> None:
    """As if there were no filter, bind fails because the address is taken."""
    spawned = interceptor.python(BIND_AND_PRINT)
    call = interceptor.wait(spawned)
    assert notifications.is_valid(spawned.notify, call.id)
    assert notifications.proceed(spawned.notify, call.id)
    assert not notifications.proceed(spawned.notify, call.id)
    assert interceptor.output(spawned) == f"{errno.EADDRINUSE}\n"


@pytest.mark.parametrize("inheritable", [False, True])
def test_flags_of_the_descriptor_are_kept(
    interceptor: Interceptor, inheritable: bool
) -> None:
    """An app that lets its children inherit its socket still can."""
    change = f"s = socket.socket()\ns.set_inheritable({inheritable})"
    spawned = interceptor.python(BIND_AND_PRINT.replace("s = socket.socket()", change))
    interceptor.inject(spawned, interceptor.wait(spawned))
    assert interceptor.output(spawned) == f"{interceptor.port} {inheritable} True\n"


@pytest.mark.parametrize("first", [True, False], ids=["epoll first", "bind first"])
def test_socket_that_epoll_watches_already_is_seen(
    interceptor: Interceptor, first: bool
) -> None:
    """An injected socket would get no events there."""
    program = f"""
import select, socket
s, epoll = socket.socket(), select.epoll()
epoll.register(s if {first} else socket.socket())
s.bind(("127.0.0.1", PORT))
"""
    spawned = interceptor.python(program)
    call = interceptor.wait(spawned)
    assert caller.is_watched_by_epoll(call.pid, call.descriptor) is first


def test_ipv6_address_is_read(interceptor: Interceptor) -> None:
    """Whether it is dual-stack is an option of the socket, found on the duplicate."""
    program = """
import socket
import subprocess
s = socket.socket(socket.AF_INET6)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
s.bind(("::1", PORT))
"""
    spawned = interceptor.python(program)
    call = interceptor.wait(spawned)
    assert call.address == caller.Address(socket.AF_INET6, "::1", interceptor.port)
    copy = socket.socket(fileno=caller.duplicate(call.pid, call.descriptor))
    with copy:
        assert copy.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 1


# --- signals and death ------------------------------------------------------------


def test_signals_do_not_repeat_a_bind(interceptor: Interceptor) -> None:
    """A thousand signals a second, as from Go's runtime: one call, one answer."""
    program = """
import signal, socket
count = 0
def tick(*_):
    global count
    count += 1
signal.signal(signal.SIGALRM, tick)
signal.siginterrupt(signal.SIGALRM, False)
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
s = socket.socket()
s.bind(("127.0.0.1", PORT))
s.listen()
while count < 100:
    signal.pause()
print(s.getsockname()[1])
"""
    spawned = interceptor.python(program)
    # Interrupted before it was received, the program calls again: still one call.
    assert readable(spawned.notify, DEADLINE_S)
    assert not readable(interceptor.outputs[spawned.pid], 0.1)
    call = interceptor.wait(spawned)
    # Once it is received, no signal interrupts it any more (WAIT_KILLABLE_RECV).
    assert not readable(spawned.notify, 0.1)
    assert notifications.is_valid(spawned.notify, call.id)
    interceptor.inject(spawned, call)
    call = interceptor.wait(spawned)
    assert notifications.answer(spawned.notify, call.id)
    assert interceptor.output(spawned) == f"{interceptor.port}\n"
    assert [call.call for call in interceptor.calls] == ["bind", "listen"]


def test_program_may_die_while_it_waits(interceptor: Interceptor) -> None:
    """Every answer comes too late, and none raises an error."""
    spawned = interceptor.python(BIND_AND_PRINT)
    call = interceptor.wait(spawned)
    interceptor.kill(spawned)
    assert not notifications.is_valid(spawned.notify, call.id)
    assert not notifications.answer(spawned.notify, call.id)
    assert not notifications.proceed(spawned.notify, call.id)
    sock = interceptor.listener.fileno()
    assert not notifications.inject(
        spawned.notify, call.id, sock, call.descriptor, cloexec=True
    )
    assert caller.descriptor_flags(call.pid, call.descriptor) == 0
    assert not caller.is_watched_by_epoll(call.pid, call.descriptor)
    with pytest.raises(ProcessLookupError):
        caller.duplicate(call.pid, call.descriptor)
    assert notifications.has_no_process(spawned.notify)


def test_program_may_die_before_its_call_is_received(interceptor: Interceptor) -> None:
    """The kernel has reported a call that waits; receiving it does not block."""
    spawned = interceptor.python(BIND_AND_PRINT)
    assert readable(spawned.notify, DEADLINE_S)
    interceptor.kill(spawned)
    assert notifications.receive(spawned.notify) is None


def test_receiving_without_a_call_does_not_block(interceptor: Interceptor) -> None:
    """The program runs and binds nothing."""
    spawned = interceptor.start("sleep", "300")
    assert notifications.receive(spawned.notify) is None
    assert not notifications.has_no_process(spawned.notify)


# --- where it works ---------------------------------------------------------------


def in_a_child(act: Callable[[], None]) -> None:
    """Run *act* in a forked child; fail as it does."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            act()
            os.write(write_end, b"done")
        except BaseException:  # noqa: BLE001 - reported to the parent
            os.write(write_end, traceback.format_exc().encode()[-4000:])
        finally:
            os._exit(0)
    os.close(write_end)
    result = os.read(read_end, 4096).decode() if readable(read_end, 60) else "too slow"
    os.close(read_end)
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert result == "done"


def test_it_is_available_here() -> None:
    """The trial has the same result as the tests above."""
    assert trial.why_unavailable() is None


def test_inside_another_filter_it_is_not() -> None:
    """A process can have one listener only: the kernel returns EBUSY."""

    def act() -> None:
        filter_program.install(no_new_privs=filter_program.needs_no_new_privs())
        with pytest.raises(OSError, match="busy") as raised:
            filter_program.install(no_new_privs=False)
        assert raised.value.errno == errno.EBUSY
        assert "EBUSY" in str(trial.why_unavailable())

    in_a_child(act)


@pytest.mark.skipif(
    os.geteuid() != 0, reason="the other tests run as an ordinary user already"
)
def test_ordinary_user_can(tmp_path: Path) -> None:
    """The user has rights over its own processes only."""
    tmp_path.chmod(0o755)
    if shutil.which("perl", path="/usr/bin:/bin") is None:
        pytest.skip("no program that every user may run")

    codecs.lookup("idna")  # connecting needs the codec, which the user may not read

    def act() -> None:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        # As after exec; its own user may not trace a process that has dropped root.
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)
        assert trial.why_unavailable() is None
        interceptor = Interceptor("/")
        try:
            copies = [
                interceptor.start("/usr/bin/perl", "-e", PERL, str(interceptor.port))
                for _ in range(2)
            ]
            for copy in copies:
                interceptor.share(copy)
            assert ask(interceptor.port).endswith(b"hi")
            status = Path(f"/proc/{copies[0].pid}/status").read_text()
            assert f"Uid:\t{NOBODY}\t" in status
            assert "NoNewPrivs:\t1\n" in status
        finally:
            interceptor.close()

    in_a_child(act)


def test_the_child_of_the_trial_ends_if_its_parent_dies() -> None:
    """It waits in no call for an answer, and holds nothing that it inherited."""
    script = (
        "import os, signal\n"
        "from gapless.keeper.seccomp import trial\n"
        "fork = os.fork\n"
        "def fork_and_die():\n"
        "    child = fork()\n"
        "    if child:\n"
        "        os.write(1, str(child).encode())\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return child\n"
        "os.fork = fork_and_die\n"
        "trial.why_unavailable()\n"
    )
    # stdout stays open as long as the child lives: `run` waits for its end.
    done = subprocess.run(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, timeout=20, check=False
    )
    assert done.returncode == -signal.SIGKILL
    assert int(done.stdout)
