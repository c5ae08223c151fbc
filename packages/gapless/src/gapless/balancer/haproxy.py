"""Configuration for HAProxy (2.4 or newer).  Pure.

Sources: HAProxy's configuration manual (retry-on, option http-buffer-request, redispatch,
http-check disable-on-404, observe).  Each line prevents a failure that was measured
(docs/balancers.md).
"""

from __future__ import annotations

from gapless.balancer.model import CONNECT_TIMEOUT_S, TUNNEL_TIMEOUT_S, Member, Pool

_MARGIN_BYTES = 16 << 10
"""The buffer holds head and body, less what HAProxy reserves (tune.maxrewrite)."""


def configuration(pool: Pool) -> str:
    """Return a whole configuration; `global` may say more in another file.

    Raises MisuseError.
    """
    pool.checked()
    servers = "\n".join(
        f"    server {label} {each.address}" + _check(pool, each)
        for each, label in zip(pool.members, pool.labels(), strict=True)
    )
    check = ""
    if pool.health:
        check = f"""\
    # The check fails first: no request reaches a server that is about to refuse.  404
    # means: send nothing new, finish what is begun.  503 would mean that it is dead.
    option httpchk GET {pool.health}
    http-check disable-on-404
    # The agent that answers the check may be restarted: it may be away for 10 s.  A server
    # that cannot be reached is found by its requests (layer4) at once.  Not layer7: that
    # counts each refusal as a failure.
    default-server inter 500ms fall 20 rise 1
    default-server observe layer4 error-limit 5 on-error mark-down
"""
    return f"""\
# Written by `gapless balancer haproxy`; name it with -f after your own files.
global
    # A request is tried again only if one buffer holds it; a connection has two buffers.
    tune.bufsize {pool.largest_body_bytes + _MARGIN_BYTES}

defaults {pool.name}
    mode http
    timeout connect {CONNECT_TIMEOUT_S}s  # a host without power answers nothing
    # A server may be silent for as long as a drain waits for it; a websocket for longer.
    timeout client {pool.timeout_s}s
    timeout server {pool.timeout_s}s
    timeout tunnel {TUNNEL_TIMEOUT_S}s

frontend {pool.name}
    bind {pool.listen if not pool.listen.startswith(":") else "*" + pool.listen}
    default_backend {pool.name}

backend {pool.name}
    balance roundrobin        # leastconn would prefer a server whose 503 is fast
    # Without this a body that comes after its head is never sent to another server.
    option http-buffer-request
    # A request on a kept connection that the server has closed is not sent again: its
    # client is disconnected.  So connections to servers are not kept; those of clients are.
    option http-server-close
    # Only requests that were not begun: not connected, or refused before the app saw them.
    retry-on conn-failure 503
    # HAProxy remembers only the last server that it tried: it may meet a refusal again.
    retries {max(30, 6 * len(pool.members))}
    option redispatch 1
{check}{servers}
"""


def _check(pool: Pool, member: Member) -> str:
    """Return how a server is checked: at its health endpoint, or at the app itself.

    A server without a health endpoint is not checked if others have one.
    """
    if member.health:
        host, _, port = member.health.rpartition(":")
        return f" check addr {host.strip('[]')} port {port}"
    has_endpoints = any(each.health for each in pool.members)
    return " check" if pool.health and not has_endpoints else ""
