"""Which addresses a generation may leave, and which it is expected to serve."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gapless.supervisor.decide.addresses import (
    covers,
    dropped,
    expected,
    overlap,
    reaches,
)
from gapless.supervisor.memory.spec import AppSpec

A, B, C = "127.0.0.1:8000", "127.0.0.1:8001", "127.0.0.1:8002"


@pytest.mark.parametrize(
    ("wide", "narrow"),
    [
        (A, A),
        ("0.0.0.0:8000", A),
        ("[::]:8000", A),
        ("[::]:8000", "0.0.0.0:8000"),
        ("[::]:8000", "[::1]:8000"),
        ("[::]:8000", "[::]:8000 v6only"),
        ("[::]:8000 v6only", "[::1]:8000"),
        ("[::]:8000 v6only", "[::1]:8000 v6only"),
    ],
)
def test_a_wider_address_covers_a_narrower_one(wide: str, narrow: str) -> None:
    """Not the other way round, unless they are one."""
    assert covers(wide, narrow)
    assert covers(narrow, wide) == (wide == narrow)
    assert overlap(narrow, wide)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (A, B),
        ("0.0.0.0:8000", B),
        (A, "127.0.0.2:8000"),
        ("[::]:8000 v6only", A),
        ("[::]:8000 v6only", "0.0.0.0:8000"),
        ("0.0.0.0:8000", "[::1]:8000"),
        ("[::1]:8000", A),
    ],
)
def test_other_addresses_share_no_connection(one: str, other: str) -> None:
    """Another port, another host, or IPv6 alone."""
    assert not overlap(one, other)


@pytest.mark.parametrize(
    ("group", "host", "comes"),
    [
        *((A, "127.0.0.1", True), (A, "127.0.0.2", False), (A, "::1", False)),
        *((A, "::ffff:127.0.0.1", True), (A, "0.0.0.0", True)),
        *(("[::1]:8000", "::", True), ("[::1]:8000", "127.0.0.1", False)),
        *(("0.0.0.0:8000", "10.0.0.1", True), ("0.0.0.0:8000", "::1", False)),
        *(("[::]:8000", "127.0.0.1", True), ("[::]:8000", "::1", True)),
        *(("[::]:8000 v6only", "::1", True), ("[::]:8000 v6only", "127.0.0.1", False)),
        *(("udp:127.0.0.1:8000", "127.0.0.1", False), (B, "127.0.0.1", False)),
    ],
)
def test_where_a_connection_comes_to(group: str, host: str, comes: bool) -> None:
    """An address of IPv4 may be written as one of IPv6; none at all is loopback."""
    assert reaches(group, host, 8000) is comes


@pytest.mark.parametrize(
    ("ordinal", "listens", "found"),
    [
        (0, {0: {A}, 1: {B}}, {A}),
        (1, {0: {A}, 1: {B}}, {B}),
        (2, {0: {A}, 1: {B}}, set()),
        (2, {0: {A, C}, 1: {B, C}}, {C}),
        (1, {0: {A, C}}, set()),
        (2, {0: {A}, 1: {A}}, {A}),
        (0, {}, {A, B, C}),
        (0, {0: {A, "127.0.0.1:9"}}, {A}),
    ],
)
def test_each_seat_listens_where_it_did(
    ordinal: int, listens: dict[int, set[str]], found: set[str]
) -> None:
    """A seat that had no instance listens where all others did."""
    assert expected(ordinal, listens, {A, B, C}, ()) == found
    assert expected(ordinal, listens, {A, B, C}, {A}) == found - {A}


RUNNING = AppSpec(
    name="web",
    command=("node", "--inspect=9229", "app.js"),
    directory="/srv",
    environment={"PORT": "8000", "PEER": "http://10.0.0.1:8002/", "HOME": "/8000"},
    configured=("PORT", "PEER"),
)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, {}),
        ({"environment": {"PORT": "8001"}}, {A: "environment.PORT changed"}),
        ({"environment": {"PORT": "8001", "PEER": "x:8000"}}, {}),
        ({"listen": ("127.0.0.1:1",)}, {}),
        ({"command": ("node", "app.js")}, {"127.0.0.1:9229": "command changed"}),
        ({"command": ("node", "--inspect", "app.js")}, {}),
        ({"drops": ("8000",)}, {A: "drops = [8000]"}),
        ({"drops": (":8000",)}, {A: "drops = [:8000]"}),
        ({"drops": (A,)}, {A: f"drops = [{A}]"}),
        ({"drops": ("127.0.0.2:8000", "800")}, {}),
    ],
)
def test_what_was_taken_out_of_the_configuration_is_dropped(
    changes: dict[str, Any], found: dict[str, str]
) -> None:
    """A number that only stands somewhere in a word is no port."""
    wanted = replace(RUNNING, **changes)
    assert dropped(RUNNING, wanted, (A, "127.0.0.1:9229")) == found


@pytest.mark.parametrize(
    ("changes", "is_dropped"),
    [
        ({}, True),
        ({"command": ("node", "--inspect", "app.js")}, False),
        ({"command": ("node", "--inspect-brk=127.0.0.1:9229", "app.js")}, False),
        ({"environment": {"NODE_OPTIONS": "--inspect"}}, False),
        ({"environment": {"PORT": "9229"}}, False),
        ({"listen": ("127.0.0.1:9229",)}, False),
    ],
)
def test_a_debugger_that_a_signal_opened_is_left(
    changes: dict[str, Any], *, is_dropped: bool
) -> None:
    """No configuration names it, so that no new generation would open it again."""
    running = replace(RUNNING, **{"command": ("node", "app.js"), **changes})
    found = dropped(running, running, (A, "127.0.0.1:9229", "0.0.0.0:9229"))
    assert set(found) == ({"127.0.0.1:9229"} if is_dropped else set())


def test_an_inherited_variable_that_is_the_port_counts() -> None:
    """As with `PORT=8001 gapless reload web --update-env`."""
    running = replace(RUNNING, configured=())
    wanted = replace(running, environment={"PORT": "8001"})
    assert list(dropped(running, wanted, (A,))) == [A]


def test_naming_other_addresses_gives_up_those_before() -> None:
    """`listen` names all that are meant."""
    running = replace(RUNNING, listen=(A, B), environment={}, configured=())
    wanted = replace(running, listen=(B, C))
    assert dropped(running, wanted, (A, B)) == {A: "listen changed"}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (("--max-old-space-size=8000", "app.js"), ("app.js",)),
        (("--timeout", "8000"), ("--timeout", "9000")),
        (("-w", "8000"), ("-w", "2")),
    ],
)
def test_a_number_that_is_no_port_gives_nothing_up(
    before: tuple[str, ...], after: tuple[str, ...]
) -> None:
    """It only was the same by chance."""
    running = replace(RUNNING, command=("node", *before), environment={})
    assert dropped(running, replace(running, command=("node", *after)), (A,)) == {}


@pytest.mark.parametrize("name", ["TIMEOUT_MS", "CACHE_SIZE"])
def test_a_variable_of_another_kind_gives_nothing_up(name: str) -> None:
    """Though it holds the number of the port."""
    running = replace(RUNNING, environment={name: "8000"}, configured=(name,))
    assert dropped(running, replace(running, environment={name: "9"}), (A,)) == {}


@pytest.mark.parametrize(
    "words",
    [
        ("8000",),
        ("-p", "8000"),
        ("--port", "8000"),
        ("--port=8000",),
        ("-b", "127.0.0.1:8000"),
        ("--bind=0.0.0.0:8000",),
        ("--listen", "tcp://0.0.0.0:8000"),
    ],
)
def test_a_word_of_the_command_that_was_the_port_gives_it_up(
    words: tuple[str, ...],
) -> None:
    """In the forms that servers know."""
    running = replace(RUNNING, command=("node", *words), environment={})
    assert list(dropped(running, replace(running, command=("node",)), (A,))) == [A]
