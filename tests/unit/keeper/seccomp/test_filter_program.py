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
MACHINES = sorted(ARCHITECTURE)


def verdict(
    machine: str, number: int, length: int = 0, architecture: int | None = None
) -> int:
    """Run the classic BPF program on one system call, as the kernel would."""
    seccomp_data = {
        0: number,
        4: ARCHITECTURE[machine] if architecture is None else architecture,
        32: length & 0xFFFFFFFF,
    }
    program = filter_program.filter_program(machine)
    at, accumulator = 0, 0
    for _ in range(len(program)):
        code, if_true, if_false, constant = program[at]
        at += 1
        match code:
            case 0x20:
                accumulator = seccomp_data[constant]
            case 0x15:
                at += if_true if accumulator == constant else if_false
            case 0x25:
                at += if_true if accumulator > constant else if_false
            case 0x06:
                return constant
            case _:
                pytest.fail(f"unknown instruction {code:#x}")
    pytest.fail("the program runs off its end")


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("length", [16, 28, 111, 128, -1])
def test_binds_of_internet_addresses_wait(machine: str, length: int) -> None:
    """IPv4, IPv6, and every length beyond that of a Unix-domain address."""
    assert verdict(machine, BIND[machine], length) == NOTIFY


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("length", [0, 2, 15, 17, 27, 29, 66, 110])
def test_binds_of_other_lengths_never_wait(machine: str, length: int) -> None:
    """Such addresses are Unix-domain, netlink or invalid."""
    assert verdict(machine, BIND[machine], length) == ALLOW


@pytest.mark.parametrize("machine", MACHINES)
def test_listen_waits(machine: str) -> None:
    """The call to listen shows that the program takes connections now."""
    assert verdict(machine, LISTEN[machine]) == NOTIFY


@pytest.mark.parametrize("machine", MACHINES)
def test_other_architectures_pass(machine: str) -> None:
    """The numbers of a 32-bit program differ: 49 is geteuid on i386."""
    assert verdict(machine, BIND[machine], 16, architecture=0x40000003) == ALLOW


@given(st.sampled_from(MACHINES), st.integers(0, 0xFFFFFFFF), st.integers(0, 200))
def test_no_other_call_ever_waits(machine: str, number: int, length: int) -> None:
    """Also no x32 call, which has bit 30 set."""
    if number not in (BIND[machine], LISTEN[machine]):
        assert verdict(machine, number, length) == ALLOW


def test_x32_calls_pass() -> None:
    """Their numbers begin at 2^30; their architecture is that of x86-64."""
    assert verdict("x86_64", 49 | 1 << 30, 16) == ALLOW


def test_unknown_machine_has_no_program() -> None:
    """The numbers of an unknown machine are not guessed."""
    with pytest.raises(LookupError):
        filter_program.filter_program("riscv64")
