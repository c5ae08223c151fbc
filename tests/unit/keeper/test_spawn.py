"""What a program gets when it starts, and the error when it does not start."""

from __future__ import annotations

import contextlib
import errno
import os
import pwd
import resource
import select
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gapless.keeper import identity, limits, spawn
from gapless.keeper.spawn_request import SpawnRequest
from gapless.supervisor.kernel import processes

PATH = {"PATH": "/usr/bin:/bin"}
NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes others")


def start(argv: tuple[str, ...], **wanted: Any) -> tuple[spawn.Spawned, int]:
    """Spawn a program that writes to a pipe; return it and the pipe's read end."""
    read_end, write_end = os.pipe()
    fields: dict[str, Any] = {"environment": PATH, "directory": "/", "filtered": False}
    fields |= wanted
    request = SpawnRequest(argv=argv, stdout=write_end, stderr=write_end, **fields)
    try:
        return spawn.spawn(request), read_end
    except BaseException:
        os.close(read_end)
        raise
    finally:
        os.close(write_end)


def read_all(descriptor: int) -> str:
    """Read to the end, which comes when the last process has closed its end."""
    received = b""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    while poll.poll(20_000):
        chunk = os.read(descriptor, 65536)
        received += chunk
        if not chunk:
            return received.decode()
    raise TimeoutError(received)


def end(spawned: spawn.Spawned) -> int:
    """Kill and reap; return the wait status."""
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(spawned.pidfd, signal.SIGKILL)
    status = os.waitpid(spawned.pid, 0)[1]
    os.close(spawned.pidfd)
    if spawned.notify >= 0:
        os.close(spawned.notify)
    return status


def output(*argv: str, **wanted: Any) -> str:
    """Run a program to its end and return all that it wrote."""
    spawned, read_end = start(argv, **wanted)
    try:
        return read_all(read_end)
    finally:
        os.close(read_end)
        end(spawned)


def failure(*argv: str, **wanted: Any) -> spawn.SpawnError:
    """Return why a program did not start."""
    with pytest.raises(spawn.SpawnError) as raised:
        start(argv, **wanted)
    return raised.value


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    """Check that no test leaves a descriptor or a child behind.

    What an earlier test has left may go meanwhile, as with the garbage.
    """
    descriptors = Path("/proc/self/fd")
    before, children = {*descriptors.iterdir()}, _children()
    yield
    assert {*descriptors.iterdir()} <= before
    assert _children() <= children


def _children() -> set[int]:
    """Return the children of this process, zombies too; other tests may have some."""
    return set(processes.snapshot().children(os.getpid()))


# --- what it gets -------------------------------------------------------------


def test_environment_is_exactly_the_given_one() -> None:
    """Removed keys stay removed; nothing is inherited from the parent."""
    assert output("env", environment=PATH | {"A": "1"}) == "PATH=/usr/bin:/bin\nA=1\n"


def test_program_runs_in_its_directory(tmp_path: Path) -> None:
    """Relative paths in the command are relative to that directory."""
    assert output("pwd", directory=str(tmp_path)) == f"{tmp_path}\n"


def test_relative_program_is_found_in_its_directory(tmp_path: Path) -> None:
    """`./run.sh` is the script of the release."""
    script = tmp_path / "run.sh"
    script.write_text("#!/bin/sh\necho ran\n")
    script.chmod(0o755)
    assert output("./run.sh", directory=str(tmp_path)) == "ran\n"


def test_program_is_searched_in_its_own_path(tmp_path: Path) -> None:
    """The PATH of the app counts, not that of the keeper."""
    script = tmp_path / "only-here"
    script.write_text("#!/bin/sh\necho ran\n")
    script.chmod(0o755)
    assert output("only-here", environment={"PATH": str(tmp_path)}) == "ran\n"


def test_program_leads_its_own_session() -> None:
    """A hang-up of a terminal does not reach it, and its group can be signalled."""
    spawned, read_end = start(("sh", "-c", "cut -d' ' -f5,6 /proc/$$/stat"))
    try:
        assert read_all(read_end).split() == [str(spawned.pid)] * 2
    finally:
        os.close(read_end)
        end(spawned)


def test_input_is_empty() -> None:
    """A program that reads its input sees the end at once."""
    assert output("cat") == ""


def test_program_has_exactly_the_given_descriptors() -> None:
    """It gets no other, not even those of the parent that are inheritable."""
    read_end, write_end = os.pipe()
    os.set_inheritable(read_end, True)
    try:
        # 3 is the descriptor with which ls reads the directory itself.
        assert output("ls", "/proc/self/fd").split() == ["0", "1", "2", "3"]
        given = output("ls", "/proc/self/fd", descriptors={3: write_end, 7: write_end})
        assert given.split() == ["0", "1", "2", "3", "4", "7"]
    finally:
        os.close(read_end)
        os.close(write_end)


def test_descriptors_that_overlap_are_not_mixed_up(tmp_path: Path) -> None:
    """Each number is the source of the next one."""
    paths = [tmp_path / name for name in "abcd"]
    files = [os.open(path, os.O_RDWR | os.O_CREAT) for path in paths]
    try:
        rotated = dict(zip(files, [*files[1:], files[0]], strict=True))
        places = " ".join(f"/proc/self/fd/{number}" for number in files)
        found = output("sh", "-c", f"readlink {places}", descriptors=rotated)
        wanted = [*paths[1:], paths[0]]
        assert found.split() == [str(path) for path in wanted]
    finally:
        for file in files:
            os.close(file)


def test_descriptors_beyond_1024_are_no_trouble() -> None:
    """A keeper of many instances has that many: select(2) would fail, poll(2) works."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 1200:
        pytest.skip("fewer descriptors are allowed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 1200), hard))
    many: list[int] = []
    try:
        while not many or many[-1] < 1100:
            many.append(os.dup(0))
        assert output("echo", "ran") == "ran\n"
    finally:
        for descriptor in many:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_signals_are_as_after_boot() -> None:
    """No signal is blocked, ignored or caught: exec keeps ignored ones (execve(2))."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        status = output("cat", "/proc/self/status")
    finally:
        signal.signal(signal.SIGHUP, before)
    facts = dict(line.split(":\t") for line in status.splitlines() if ":\t" in line)
    # 32 and 33 belong to glibc: its posix_spawn, which GNU make uses, leaves them
    # ignored, and no program can change that.
    reachable = ~(0b11 << 31)
    masks = [int(facts[name], 16) for name in ("SigBlk", "SigIgn", "SigCgt")]
    assert [mask & reachable for mask in masks] == [0, 0, 0]


def test_our_own_signal_mask_is_kept() -> None:
    """The mask of the parent is changed during the fork only."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
    try:
        output("true")
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        assert mask == before | {signal.SIGUSR2}
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def test_limits_are_set() -> None:
    """Soft and hard: a program cannot raise its limits."""
    limits = {"open_files": 64, "core_bytes": 0}
    printed = output("sh", "-c", "ulimit -Sn; ulimit -Hn; ulimit -c", limits=limits)
    assert printed.split() == ["64", "64", "0"]


def test_listen_pid_is_the_programs_own() -> None:
    """sd_listen_fds(3) compares it with getpid()."""
    printed = output("sh", "-c", "echo $LISTEN_PID $$", set_listen_pid=True)
    listen_pid, pid = printed.split()
    assert listen_pid == pid


@pytest.mark.parametrize("filtered", [False, True])
def test_notification_descriptor_comes_with_the_filter(filtered: bool) -> None:
    """Only the parent has it: the program has no copy."""
    argv = ("sh", "-c", "ls /proc/$$/fd; grep Seccomp: /proc/self/status")
    spawned, read_end = start(argv, filtered=filtered)
    try:
        assert read_all(read_end).split() == [*"012", "Seccomp:", str(filtered * 2)]
        assert (spawned.notify >= 0) is filtered
        assert not (filtered and os.get_inheritable(spawned.notify))
    finally:
        os.close(read_end)
        end(spawned)


def test_root_keeps_the_power_of_set_id_programs() -> None:
    """no_new_privs is set only where the kernel requires it."""
    status = output("cat", "/proc/self/status", filtered=True)
    needed = int(os.geteuid() != 0)
    assert f"NoNewPrivs:\t{needed}\n" in status


@as_root
def test_the_variables_of_a_login_are_the_users() -> None:
    """Those that were asked for, in the place of what the keeper's user has."""
    environment = PATH | {"HOME": "/mine", "USER": "me", "SHELL": "/bin/mine"}
    printed = output(
        "env",
        user="nobody",
        environment=environment,
        user_variables=("HOME", "USER", "LOGNAME"),
    )
    entry = pwd.getpwnam("nobody")
    assert f"HOME={entry.pw_dir}\n" in printed
    assert "USER=nobody\n" in printed
    assert "LOGNAME=nobody\n" in printed
    assert "SHELL=/bin/mine\n" in printed


@as_root
def test_program_becomes_the_user() -> None:
    """User, group and supplementary groups; under the filter too."""
    found = output("id", user="nobody", filtered=True)
    assert found.startswith("uid=65534(nobody) gid=65534(")
    assert "root" not in found


@as_root
def test_group_alone_may_change() -> None:
    """By number or by name."""
    assert output("id", "-g", group="65534") == "65534\n"
    assert output("id", "-u", group="65534") == "0\n"


@as_root
def test_another_user_may_open_its_output_by_name() -> None:
    """Programs log to /dev/stdout: the pipe must belong to their user."""
    assert output("sh", "-c", "echo hi >/dev/stderr", user="nobody") == "hi\n"


# --- the error when it does not start -----------------------------------------


def test_missing_program_is_named() -> None:
    """The error names the step and the reason."""
    error = failure("no-such-program")
    assert error.errno == errno.ENOENT
    assert error.step == "run no-such-program"
    assert error.strerror == "run no-such-program: no such file or directory"


def test_missing_interpreter_is_told_from_a_missing_script(tmp_path: Path) -> None:
    """The kernel reports the same errno for both."""
    script = tmp_path / "app.sh"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)
    assert "interpreter" in str(failure(str(script)))


def test_file_that_is_no_program_is_refused(tmp_path: Path) -> None:
    """It is not executable, or its format is unknown to the kernel."""
    script = tmp_path / "app.sh"
    script.write_text("echo\n")
    assert failure(str(script)).errno == errno.EACCES
    script.chmod(0o755)
    assert failure(str(script)).errno == errno.ENOEXEC


def test_missing_directory_is_named(tmp_path: Path) -> None:
    """The release may have been removed meanwhile."""
    error = failure("true", directory=f"{tmp_path}/gone")
    assert error.strerror == (
        f"enter the directory {tmp_path}/gone: no such file or directory"
    )


def test_missing_user_is_named() -> None:
    """The look-up fails before anything is changed."""
    error = failure("true", user="no-such-user")
    assert error.strerror == "find the user no-such-user: there is none"
    error = failure("true", group="no-such-group")
    assert error.strerror == "find the group no-such-group: there is none"


def test_impossible_limit_is_named() -> None:
    """Tell what was asked for, what stands in the way, and what to do."""
    error = failure("true", limits={"core_bytes": 0, "open_files": 1 << 40})
    assert error.step == f"set its limits core_bytes = 0, open_files = {1 << 40}"
    assert "/proc/sys/fs/nr_open" in str(error.strerror)


def test_why_a_limit_is_refused() -> None:
    """The hard limit is named, with how to start the supervisor with more."""
    reason = limits.why_refused("open_files", 100_000, 4096, 1 << 20)
    assert "the hard limit of the supervisor is 4096" in reason
    assert "LimitNOFILE=100000" in reason
    assert "ulimit -Hn 100000" in reason
    assert "(/proc/sys/fs/nr_open)" in limits.why_refused("open_files", 9, 8, 8)
    assert "LimitCORE=7" in limits.why_refused("core_bytes", 7, 0, -1)


def test_umask_is_the_given_one(tmp_path: Path) -> None:
    """Files that the program makes have no more rights than that leaves them."""
    command = ("sh", "-c", f"umask; touch {tmp_path}/made")
    assert output(*command, umask=0o027) == "0027\n"
    assert (tmp_path / "made").stat().st_mode & 0o777 == 0o640


def test_impossible_argument_is_named() -> None:
    """A command from JSON may contain a zero byte."""
    assert "null byte" in str(failure("echo", "a\0b"))
    assert failure().step == "start"


@pytest.mark.parametrize("filtered", [False, True])
def test_child_that_is_stopped_does_not_stop_us(
    monkeypatch: pytest.MonkeyPatch, filtered: bool
) -> None:
    """The child is killed after `START_S`."""
    monkeypatch.setattr(spawn, "START_S", 0.2)
    monkeypatch.setattr(
        identity, "find", lambda *_: os.kill(os.getpid(), signal.SIGSTOP)
    )
    error = failure("true", filtered=filtered)
    assert error.errno == errno.ETIMEDOUT


def test_child_that_dies_before_it_is_the_program_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The error says that it died."""
    monkeypatch.setattr(
        identity, "find", lambda *_: os.kill(os.getpid(), signal.SIGKILL)
    )
    assert "died" in str(failure("true", filtered=True))
