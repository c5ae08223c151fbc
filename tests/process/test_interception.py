"""Real, unmodified programs whose bind and listen wait for our answer."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import shutil
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gapless.keeper.seccomp import interception
from rig.fixtures.interceptor import DEADLINE_S, Interceptor, ask, readable
from rig.fixtures.listening_programs import JAVA, PERL, PROGRAMS, PYTHON
from rig.hosts.host import NOBODY

PR_SET_DUMPABLE = 4


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Interceptor]:
    """Return what intercepts programs; it leaves nothing behind."""
    made = Interceptor(str(tmp_path))
    yield made
    made.close()


# --- one socket for all ---------------------------------------------------------


@pytest.mark.parametrize("language", PROGRAMS)
def test_copies_of_a_program_share_one_socket(
    stage: Interceptor, tmp_path: Path, language: str
) -> None:
    """The address is taken, and both serve on it: one dies, the other goes on."""
    program, arguments = PROGRAMS[language]
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    (tmp_path / "App.java").write_text(JAVA)
    copies = [stage.start(program, *arguments, str(stage.port)) for _ in range(2)]
    for copy in copies:
        stage.share(copy)
    assert ask(stage.port).endswith(b"hi")
    stage.kill(copies[0])
    for _ in range(3):
        assert ask(stage.port).endswith(b"hi")


def test_our_socket_outlives_the_programs(stage: Interceptor) -> None:
    """What connects while nobody is there is answered by the next one."""
    first = stage.start(sys.executable, "-c", PYTHON, str(stage.port))
    stage.share(first)
    stage.kill(first)
    with socket.create_connection(("127.0.0.1", stage.port), DEADLINE_S) as client:
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        second = stage.start(sys.executable, "-c", PYTHON, str(stage.port))
        stage.share(second)
        assert client.recv(4096).startswith(b"HTTP/1.0 200")


def test_duplicate_can_be_bound_in_place_of_injecting(stage: Interceptor) -> None:
    """The program's own socket keeps every option that it set."""
    stage.listener.close()
    spawned = stage.start(sys.executable, "-c", PYTHON, str(stage.port))
    call = stage.wait(spawned)
    copy = socket.socket(fileno=interception.duplicate(call.pid, call.descriptor))
    with copy:
        copy.bind(("127.0.0.1", stage.port))
        assert interception.answer(spawned.notify, call.id)
        call = stage.wait(spawned)
        copy.listen()
        assert interception.answer(spawned.notify, call.id)
        assert ask(stage.port).endswith(b"hi")


# --- what is none of our business -------------------------------------------------


def test_unix_binds_are_never_seen(stage: Interceptor) -> None:
    """Paths and abstract names; the first call that waits is the one after them."""
    program = """
import socket
for name in ("a-path-that-is-longer-than-16", "x" * 90, "\\0abstract" + "y" * 40, ""):
    socket.socket(socket.AF_UNIX).bind(name)
socket.socket().bind(("127.0.0.1", PORT))
"""
    spawned = stage.python(program)
    call = stage.next(spawned)
    assert call.tcp
    assert call.address is not None
    interception.proceed(spawned.notify, call.id)
    assert "Address already in use" in stage.output(spawned)


def test_unix_bind_as_long_as_an_internet_address_proceeds(stage: Interceptor) -> None:
    """Sixteen bytes: the filter cannot tell, we can; its listen is not ours either."""
    program = """
import socket
s = socket.socket(socket.AF_UNIX)
s.bind("unix-13-bytes")
s.listen()
print("listens")
"""
    spawned = stage.python(program)
    for name in ("bind", "listen"):
        call = stage.next(spawned)
        assert (call.call, call.tcp, call.address) == (name, False, None)
        assert not call.concerns_us
        assert interception.proceed(spawned.notify, call.id)
    assert stage.output(spawned) == "listens\n"


@pytest.mark.parametrize(
    ("kind", "port"), [("SOCK_STREAM", "0"), ("SOCK_DGRAM", "PORT")], ids=["0", "udp"]
)
def test_any_port_and_udp_proceed(stage: Interceptor, kind: str, port: str) -> None:
    """Nobody waits for a certain port there, or no connection does."""
    program = f"""
import socket
s = socket.socket(socket.AF_INET, socket.{kind})
s.bind(("127.0.0.1", {port}))
print(s.getsockname()[1])
"""
    spawned = stage.python(program)
    call = stage.next(spawned)
    assert call.address is not None
    assert not call.concerns_us
    assert interception.proceed(spawned.notify, call.id)
    assert int(stage.output(spawned)) > 0


def test_bind_of_what_is_no_socket_proceeds_by_itself(stage: Interceptor) -> None:
    """The kernel tells the program; nobody else is asked."""
    program = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
for descriptor in (0, 999, -1):
    libc.bind(descriptor, ctypes.create_string_buffer(16), 16)
    print(os.strerror(ctypes.get_errno()))
import socket
s = socket.socket()
libc.bind(s.fileno(), ctypes.c_void_p(8), 16)
print(os.strerror(ctypes.get_errno()))
"""
    spawned = stage.python(program)
    with pytest.raises(AssertionError, match="Socket operation on non") as raised:
        stage.wait(spawned)
    assert str(raised.value).count("Bad file descriptor") == 2
    assert "Bad address" in str(raised.value)


# --- who calls ------------------------------------------------------------------


def test_thread_may_bind(stage: Interceptor) -> None:
    """The caller is a thread, the descriptor is its process's."""
    program = """
import socket, threading
s = socket.socket()
threads = [threading.Thread(target=s.bind, args=(("127.0.0.1", PORT),))]
[t.start() for t in threads]
[t.join() for t in threads]
s.listen()
print(s.getsockname()[1])
"""
    spawned = stage.python(program)
    stage.share(spawned)
    bind = stage.calls[0]
    assert bind.pid == spawned.pid
    assert bind.thread_id != spawned.pid
    assert stage.output(spawned) == f"{stage.port}\n"


def test_child_of_a_program_is_under_its_filter(stage: Interceptor) -> None:
    """A gunicorn's children, whatever shell is between; the same descriptor tells."""
    child = f"import socket; s = socket.socket(); s.bind(('127.0.0.1', {stage.port}))"
    program = f"""
import subprocess, sys
child = [sys.executable, "-c", {child + "; s.listen(); print('served')"!r}]
subprocess.run(["sh", "-c", '"$0" "$@"; exit $?', *child], check=True)
"""
    spawned = stage.python(program)
    stage.share(spawned)
    assert stage.calls[0].pid != spawned.pid
    assert stage.output(spawned) == "served\n"


def test_filter_is_over_with_its_last_process(stage: Interceptor) -> None:
    """Not with the leader: what it left behind may bind still."""
    spawned = stage.start("sh", "-c", "sleep 300 & echo $!; exit 0")
    left_behind = int(stage.line(spawned))
    stage.kill(spawned)
    try:
        assert not interception.is_over(spawned.notify)
        assert not readable(spawned.notify, 0)
    finally:
        os.kill(left_behind, signal.SIGKILL)
    assert readable(spawned.notify, DEADLINE_S)
    assert interception.is_over(spawned.notify)
    assert interception.receive(spawned.notify) is None


# --- what the program gets ------------------------------------------------------

BIND_AND_TELL = """
import os, socket
s = socket.socket()
try:
    s.bind(("127.0.0.1", PORT))
    print(s.getsockname()[1], os.get_inheritable(s.fileno()), s.getblocking())
except OSError as error:
    print(error.errno)
"""


def test_error_reaches_the_program(stage: Interceptor) -> None:
    """As its errno, like any other failure of bind."""
    spawned = stage.python(BIND_AND_TELL)
    call = stage.wait(spawned)
    assert interception.answer(spawned.notify, call.id, errno.EADDRINUSE)
    assert stage.output(spawned) == f"{errno.EADDRINUSE}\n"


def test_refusal_of_the_kernel_reaches_the_program(stage: Interceptor) -> None:
    """Here the descriptor to inject is none: nobody waits for ever."""
    spawned = stage.python(BIND_AND_TELL)
    call = stage.wait(spawned)
    interception.inject(spawned.notify, call.id, 999_999, call.descriptor, cloexec=True)
    assert stage.output(spawned) == f"{errno.EBADF}\n"


def test_call_that_may_proceed_does(stage: Interceptor) -> None:
    """As if there were no filter: the address is taken."""
    spawned = stage.python(BIND_AND_TELL)
    call = stage.wait(spawned)
    assert interception.is_valid(spawned.notify, call.id)
    assert interception.proceed(spawned.notify, call.id)
    assert not interception.proceed(spawned.notify, call.id)
    assert stage.output(spawned) == f"{errno.EADDRINUSE}\n"


@pytest.mark.parametrize("inheritable", [False, True])
def test_flags_of_the_descriptor_are_kept(
    stage: Interceptor, inheritable: bool
) -> None:
    """An app that hands its socket to its children still can."""
    change = f"s = socket.socket()\ns.set_inheritable({inheritable})"
    spawned = stage.python(BIND_AND_TELL.replace("s = socket.socket()", change))
    stage.inject(spawned, stage.wait(spawned))
    assert stage.output(spawned) == f"{stage.port} {inheritable} True\n"


@pytest.mark.parametrize("first", [True, False], ids=["epoll first", "bind first"])
def test_socket_that_epoll_watches_already_is_seen(
    stage: Interceptor, first: bool
) -> None:
    """In its place ours would be deaf."""
    program = f"""
import select, socket
s, epoll = socket.socket(), select.epoll()
epoll.register(s if {first} else socket.socket())
s.bind(("127.0.0.1", PORT))
"""
    spawned = stage.python(program)
    call = stage.wait(spawned)
    assert interception.watched_by_epoll(call.pid, call.descriptor) is first


def test_ipv6_address_is_read(stage: Interceptor) -> None:
    """Dual-stack or not is an option of the socket, which the duplicate tells."""
    program = """
import socket
s = socket.socket(socket.AF_INET6)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
s.bind(("::1", PORT))
"""
    spawned = stage.python(program)
    call = stage.wait(spawned)
    assert call.address == interception.Address(socket.AF_INET6, "::1", stage.port)
    copy = socket.socket(fileno=interception.duplicate(call.pid, call.descriptor))
    with copy:
        assert copy.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 1


# --- signals and death ------------------------------------------------------------


def test_signals_do_not_repeat_a_bind(stage: Interceptor) -> None:
    """A thousand a second, as Go's runtime preempts: one call, one answer."""
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
    spawned = stage.python(program)
    # Interrupted while nobody has received it yet: it calls again, and is one call.
    assert readable(spawned.notify, DEADLINE_S)
    assert not readable(stage.outputs[spawned.pid], 0.1)
    call = stage.wait(spawned)
    # Received: no signal interrupts it any more (WAIT_KILLABLE_RECV).
    assert not readable(spawned.notify, 0.1)
    assert interception.is_valid(spawned.notify, call.id)
    stage.inject(spawned, call)
    call = stage.wait(spawned)
    assert interception.answer(spawned.notify, call.id)
    assert stage.output(spawned) == f"{stage.port}\n"
    assert [call.call for call in stage.calls] == ["bind", "listen"]


def test_program_may_die_while_it_waits(stage: Interceptor) -> None:
    """Every answer comes too late, and none is an error."""
    spawned = stage.python(BIND_AND_TELL)
    call = stage.wait(spawned)
    stage.kill(spawned)
    assert not interception.is_valid(spawned.notify, call.id)
    assert not interception.answer(spawned.notify, call.id)
    assert not interception.proceed(spawned.notify, call.id)
    sock = stage.listener.fileno()
    assert not interception.inject(
        spawned.notify, call.id, sock, call.descriptor, cloexec=True
    )
    assert interception.descriptor_flags(call.pid, call.descriptor) == 0
    assert not interception.watched_by_epoll(call.pid, call.descriptor)
    with pytest.raises(ProcessLookupError):
        interception.duplicate(call.pid, call.descriptor)
    assert interception.is_over(spawned.notify)


def test_program_may_die_before_its_call_is_received(stage: Interceptor) -> None:
    """The kernel told that a call waits; receiving it does not block."""
    spawned = stage.python(BIND_AND_TELL)
    assert readable(spawned.notify, DEADLINE_S)
    stage.kill(spawned)
    assert interception.receive(spawned.notify) is None


def test_receiving_without_a_call_does_not_block(stage: Interceptor) -> None:
    """The program lives and binds nothing."""
    spawned = stage.start("sleep", "300")
    assert interception.receive(spawned.notify) is None
    assert not interception.is_over(spawned.notify)


# --- where it works ---------------------------------------------------------------


def in_a_child(act: Callable[[], None]) -> None:
    """Run *act* in a forked child; fail as it does."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            act()
            os.write(write_end, b"done")
        except BaseException:  # noqa: BLE001 - told to the parent
            os.write(write_end, traceback.format_exc().encode()[-4000:])
        finally:
            os._exit(0)
    os.close(write_end)
    said = os.read(read_end, 4096).decode() if readable(read_end, 60) else "too slow"
    os.close(read_end)
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert said == "done"


def test_it_is_available_here() -> None:
    """The trial says the same as the tests above."""
    assert interception.unavailable() is None


def test_inside_another_filter_it_is_not() -> None:
    """One process, one listener: the kernel says EBUSY."""

    def act() -> None:
        interception.install(no_new_privs=interception.needs_no_new_privs())
        with pytest.raises(OSError, match="busy") as raised:
            interception.install(no_new_privs=False)
        assert raised.value.errno == errno.EBUSY
        assert "EBUSY" in str(interception.unavailable())

    in_a_child(act)


@pytest.mark.skipif(os.geteuid() != 0, reason="the other tests run as one already")
def test_ordinary_user_can(tmp_path: Path) -> None:
    """Without any right over anything but its own processes."""
    tmp_path.chmod(0o755)
    if shutil.which("perl", path="/usr/bin:/bin") is None:
        pytest.skip("no program that everybody may run")

    b"".decode("idna")  # connecting needs the codec, which the user may not read

    def act() -> None:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        # As after exec; a process that dropped root is out of its own user's sight.
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)
        assert interception.unavailable() is None
        stage = Interceptor("/")
        try:
            copies = [
                stage.start("/usr/bin/perl", "-e", PERL, str(stage.port))
                for _ in range(2)
            ]
            for copy in copies:
                stage.share(copy)
            assert ask(stage.port).endswith(b"hi")
            status = Path(f"/proc/{copies[0].pid}/status").read_text()
            assert f"Uid:\t{NOBODY}\t" in status
            assert "NoNewPrivs:\t1\n" in status
        finally:
            stage.close()

    in_a_child(act)
