"""The configurations that are written for balancers."""

from __future__ import annotations

import pytest

from gapless.balancer import haproxy, nginx
from gapless.balancer.model import Member, Pool


@pytest.mark.parametrize(
    ("fields", "mistake"),
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
def test_a_pool_that_cannot_be_says_why(
    fields: dict[str, object], mistake: str
) -> None:
    """So that no configuration is written for it."""
    plain: dict[str, object] = {"name": "app"} | fields
    pool = Pool(members=members(*plain.pop("servers", ("a:1", "b:2"))), **plain)  # type: ignore[arg-type, misc]  # fields of it
    assert mistake in "; ".join(pool.mistakes())
    right = Pool(name="app", members=members("a:1", "[::1]:2"), health="/h")
    assert right.mistakes() == []


def test_a_server_with_a_health_endpoint_is_checked_there() -> None:
    """A server without one is not checked: its app does not know that path."""
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
    """By the path of the pool; without a path there is no check."""
    pool = Pool(name="shop", members=members("a:1", "b:2"), health="/health")
    assert haproxy.configuration(pool).count(" check\n") == 2
    pool = Pool(name="shop", members=members("a:1", "b:2"))
    assert "check" not in haproxy.configuration(pool)


def members(*addresses: str) -> tuple[Member, ...]:
    """Return members without names."""
    return tuple(Member(address=each) for each in addresses)
