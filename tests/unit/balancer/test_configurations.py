"""What a balancer is told, and what is concluded from its answers."""

from __future__ import annotations

import pytest

from gapless.balancer import haproxy, nginx, probing
from gapless.balancer.model import Member, Pool


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"servers": ("10.0.0.2:1",)}, "one server cannot hand a request to another"),
        ({"servers": ("10.0.0.2:1", "10.0.0.2:1")}, "named twice"),
        ({"servers": ("10.0.0.2", "10.0.0.3:1")}, "'10.0.0.2' is no address"),
        ({"servers": ("10.0.0.2:70000", "b:1")}, "'10.0.0.2:70000' is no address"),
        ({"servers": (":1", "b:1")}, "a server needs a host"),
        ({"name": "a b"}, "name 'a b'"),
        ({"health": "health"}, "write a path"),
        ({"health": "/a b"}, "write a path"),
        ({"listen": "80"}, "'80' is no address"),
    ],
)
def test_a_pool_that_cannot_be_says_why(fields: dict[str, object], said: str) -> None:
    """Nothing of it gets into a configuration."""
    plain: dict[str, object] = {"name": "app"} | fields
    pool = Pool(members=members(*plain.pop("servers", ("a:1", "b:2"))), **plain)  # type: ignore[arg-type, misc]  # fields of it
    assert said in "; ".join(pool.mistakes())
    right = Pool(name="app", members=members("a:1", "[::1]:2"), health="/h")
    assert right.mistakes() == []


def test_who_has_an_answer_of_its_agent_is_checked_there() -> None:
    """One without is not checked: the app itself does not know that path."""
    pool = Pool(
        name="shop",
        members=(
            Member(address="10.0.0.2:3000", name="s1", health="10.0.0.2:3001"),
            Member(address="[fd00::3]:3000", name="s 2", health="[fd00::3]:3001"),
            Member(address="10.0.0.4:3000"),
        ),
        health="/shop",
    )
    written = haproxy.configuration(pool)
    assert "server s1 10.0.0.2:3000 check addr 10.0.0.2 port 3001\n" in written
    assert "server s_2 [fd00::3]:3000 check addr fd00::3 port 3001\n" in written
    assert "server s3 10.0.0.4:3000\n" in written
    assert "httpchk GET /shop" in written
    assert "server 10.0.0.2:3000 max_fails=0;  # s1\n" in nginx.configuration(pool)


def test_without_an_agent_the_app_is_checked_itself() -> None:
    """By the path that is named; without one there is no check."""
    pool = Pool(name="shop", members=members("a:1", "b:2"), health="/health")
    assert haproxy.configuration(pool).count(" check\n") == 2
    pool = Pool(name="shop", members=members("a:1", "b:2"))
    assert "check" not in haproxy.configuration(pool)


def members(*addresses: str) -> tuple[Member, ...]:
    """Return servers without names."""
    return tuple(Member(address=each) for each in addresses)


def tallies(*refused: str, failed: str = "") -> list[probing.Tally]:
    """Return answers in which these kinds were refused."""
    return [
        probing.Tally(
            kind=kind,
            asked=24,
            refused=12 if kind.name in refused else 0,
            failed=3 if kind.name == failed else 0,
        )
        for kind in probing.KINDS
    ]


POSTS = ("POST", "POST with a late body", "large POST")


@pytest.mark.parametrize(
    ("refused", "said"),
    [
        (("GET", *POSTS), "not sent to another server, or not often enough"),
        (POSTS, "non_idempotent"),
        (("POST with a late body", "large POST"), "a body that comes after its head"),
        (("large POST",), "tune.bufsize"),
    ],
)
def test_what_is_wrong_is_concluded(refused: tuple[str, ...], said: str) -> None:
    """The widest mistake that explains the answers, and only that."""
    (finding,) = probing.findings(tallies(*refused))
    assert said in finding


def test_what_fails_when_the_next_one_drains_is_told_apart() -> None:
    """A server that refused a moment ago serves again, and nobody asks it."""
    assert probing.later_findings(tallies()) == []
    (finding,) = probing.later_findings(tallies(failed="GET"))
    assert "3 of 96" in finding
    assert "max_fails=0" in finding


def test_other_failures_are_told_apart() -> None:
    """A 502 is no refusal."""
    assert probing.findings(tallies()) == []
    (finding,) = probing.findings(tallies(failed="GET"))
    assert "GET: 3 of 24 failed otherwise" in finding
    assert "max_fails=0" in finding
