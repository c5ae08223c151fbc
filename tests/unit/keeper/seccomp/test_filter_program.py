"""Which system calls the filter allows and which wait, found by running its program."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gapless.keeper.seccomp import filter_program

ALLOW, NOTIFY = 0x7FFF0000, 0x7FC00000
ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
BIND = {"x86_64": 49, "aarch64": 200}
LISTEN = {"x86_64": 50, "aarch64": 201}
CONNECT = {"x86_64": 42, "aarch64": 203}
UNLINKS = [("x86_64", 87), ("x86_64", 263), ("aarch64", 35)]
MACHINES = sorted(ARCHITECTURE)


def verdict(
    machine: str,
    number: int,
    length: int = 0,
    architecture: int | None = None,
    *,
    paths: bool = False,
    connects: bool = False,
) -> int:
    """Run the classic BPF program on one system call, as the kernel would."""
    seccomp_data = {
        0: number,
        4: ARCHITECTURE[machine] if architecture is None else architecture,
        32: length & 0xFFFFFFFF,
    }
    program = filter_program.filter_program(machine, paths=paths, connects=connects)
    at, accumulator = 0, 0
    for _ in range(len(program)):
        code, if_true, if_false, constant = program[at]
        at += 1
        match code:
            case 0x20:
                accumulator = seccomp_data[constant]
            case 0x15:
                at += if_true if accumulator == constant else if_false
            case 0x06:
                return constant
            case _:
                pytest.fail(f"unknown instruction {code:#x}")
    pytest.fail("the program runs off its end")


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("length", [0, 2, 12, 16, 28, 66, 110, 128, -1])
def test_binds_wait(machine: str, length: int) -> None:
    """Of every length: a path may be as long as an address of another kind."""
    assert verdict(machine, BIND[machine], length) == NOTIFY
    assert verdict(machine, BIND[machine], length, paths=True) == NOTIFY


@pytest.mark.parametrize("machine", MACHINES)
def test_internet_connections_never_wait(machine: str) -> None:
    """Of an app that serves on a path, a connection to one waits."""
    for length in (16, 28):
        assert verdict(machine, CONNECT[machine], length, paths=True) == ALLOW
    for length in (5, 27, 110):
        assert verdict(machine, CONNECT[machine], length, paths=True) == NOTIFY
        assert verdict(machine, CONNECT[machine], length) == ALLOW


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("paths", [False, True])
def test_connections_wait_of_a_program_that_checks_its_port(
    machine: str, paths: bool
) -> None:
    """Of every length: some pass that of the longest address (connect(2))."""
    for length in (0, 16, 28, 110, 128, -1):
        found = verdict(machine, CONNECT[machine], length, paths=paths, connects=True)
        assert found == NOTIFY


@pytest.mark.parametrize(("machine", "number"), UNLINKS)
def test_unlinks_wait_only_where_a_path_is_served(machine: str, number: int) -> None:
    """Who removes many files would feel it."""
    assert verdict(machine, number, paths=True) == NOTIFY
    assert verdict(machine, number, paths=True, connects=True) == NOTIFY
    assert verdict(machine, number) == ALLOW
    assert verdict(machine, number, connects=True) == ALLOW


@pytest.mark.parametrize("machine", MACHINES)
def test_listen_waits(machine: str) -> None:
    """The call to listen shows that the program takes connections now."""
    assert verdict(machine, LISTEN[machine]) == NOTIFY
    assert verdict(machine, LISTEN[machine], paths=True) == NOTIFY
    assert verdict(machine, LISTEN[machine], connects=True) == NOTIFY


@pytest.mark.parametrize("machine", MACHINES)
def test_other_architectures_pass(machine: str) -> None:
    """The numbers of a 32-bit program differ: 49 is geteuid on i386."""
    assert verdict(machine, BIND[machine], 16, architecture=0x40000003) == ALLOW


@given(st.sampled_from(MACHINES), st.integers(0, 0xFFFFFFFF), st.integers(0, 200))
def test_no_other_call_ever_waits(machine: str, number: int, length: int) -> None:
    """Also no x32 call, which has bit 30 set."""
    if number not in (BIND[machine], LISTEN[machine]):
        assert verdict(machine, number, length) == ALLOW
    if number not in (BIND[machine], LISTEN[machine], CONNECT[machine]) and (
        (machine, number) not in UNLINKS
    ):
        assert verdict(machine, number, length, paths=True) == ALLOW
        assert verdict(machine, number, length, paths=True, connects=True) == ALLOW


def test_x32_calls_pass() -> None:
    """Their numbers begin at 2^30; their architecture is that of x86-64."""
    assert verdict("x86_64", 49 | 1 << 30, 16) == ALLOW


def test_unknown_machine_has_no_program() -> None:
    """The numbers of an unknown machine are not guessed."""
    with pytest.raises(LookupError):
        filter_program.filter_program("riscv64")
