"""The configurations that are written for balancers."""

from __future__ import annotations

import re

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
        ({"timeout_s": 0}, "the timeout: 1 to"),
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


NEEDS = (
    "proxy_http_version 1.1;",
    "proxy_set_header Connection $connection_of_shop_",
    "proxy_connect_timeout 2s;",
    "proxy_read_timeout 90s;",
    "proxy_next_upstream_timeout 90s;",
    "proxy_request_buffering on;",
    "client_max_body_size 5242880;",
)


def test_each_location_of_nginx_has_what_it_needs() -> None:
    """From the server, which holds as long as no location says otherwise."""
    pool = Pool(
        name="shop",
        members=members("a:1", "b:2"),
        timeout_s=90,
        largest_body_bytes=5 << 20,
    )
    server = nginx.configuration(pool).split("server {\n", 1)[1]
    shared, *locations = server.split("    location ")
    assert len(locations) == 6
    for line in NEEDS:
        assert line in shared
        name = line.split()[0]
        for each in locations:
            if "_websocket {" not in each or name != "proxy_read_timeout":
                assert name + " " not in each
    for each in locations:
        if "proxy_pass" in each:
            allowed = each.split("proxy_next_upstream ")[1].split(";")[0].split()
            assert not {"error", "non_idempotent"} <= set(allowed)


def test_two_pools_of_nginx_share_no_name() -> None:
    """Their files are read into one `http { }`, and a variable has to be short."""
    names = ("my-app", "my_app", "my.app", "app", "app_1", "a" * 63 + "b", "a" * 64)
    shared: list[str] = []
    for name in names:
        written = nginx.configuration(Pool(name=name, members=members("a:1", "b:2")))
        defined = re.findall(
            r"^upstream (\S+)|^map \S.* (\$\w+) \{$", written, re.MULTILINE
        )
        shared += [one or other for one, other in defined]
    assert len(shared) == 6 * len(names)
    assert len({*shared}) == len(shared)
    # 64 bytes, less two pointers (variables_hash_bucket_size).
    assert all(len(each) - 1 <= 46 for each in shared if each.startswith("$"))


def test_no_upstream_of_nginx_keeps_connections() -> None:
    """Nor those that take turns, which are as many as nginx allows, with each server."""
    pool = Pool(name="shop", members=members(*(f"h{own}:1" for own in range(20))))
    written = nginx.configuration(pool)
    upstreams = re.findall(
        r"^upstream (\S+) \{(.*?)\n?\}$", written, re.DOTALL | re.MULTILINE
    )
    assert len(upstreams) == 8
    assert all("keepalive_requests 1;" in text for _, text in upstreams)
    for number in range(20):
        assert written.count(f"server h{number}:1 max_fails=0;") == 2


def test_haproxy_waits_as_long_as_nginx() -> None:
    """For an answer; a connection that does not open is given up soon."""
    pool = Pool(name="shop", members=members("a:1", "b:2"), timeout_s=90)
    written = haproxy.configuration(pool)
    for line in ("connect 2s", "client 90s", "server 90s", "tunnel 3600s"):
        assert f"timeout {line}" in written


def members(*addresses: str) -> tuple[Member, ...]:
    """Return members without names."""
    return tuple(Member(address=each) for each in addresses)
