"""Configuration for nginx (1.15.8 or newer).  Pure.

Sources: ngx_http_proxy_module, ngx_http_upstream_module and ngx_http_core_module
(error_page) in nginx's documentation.  Each line prevents a failure that was measured
(docs/balancers.md).

Rule: a request goes on to another server if one refused it, or if no byte of it was sent
(`$upstream_bytes_sent`, hence 1.15.8).  nginx itself does not tell a POST that met a closed
port from one whose server died in it, once `non_idempotent` is allowed for the refusals.
"""

from __future__ import annotations

import hashlib
import re

from gapless.balancer.model import (
    CONNECT_TIMEOUT_S,
    TUNNEL_TIMEOUT_S,
    Pool,
)

_MOST_TURNS = 7
"""A request changes its place 10 times at most: once to `_again`, then it takes turns."""
_NOT_KEPT = "keepalive_requests 1;"


def configuration(pool: Pool) -> str:
    """Return upstreams, maps and a server, for the inside of `http { }`.

    Raises MisuseError.
    """
    pool.checked()
    name = pool.name
    word = _word(name)
    listen = pool.listen.removeprefix(":")
    servers = [f"server {each.address} max_fails=0;" for each in pool.members]
    listed = "\n".join(
        f"    {server}" + (f"  # {label}" * bool(each.name))
        for server, each, label in zip(
            servers, pool.members, pool.labels(), strict=True
        )
    )
    groups = [servers[start::_MOST_TURNS] for start in range(_MOST_TURNS)]
    groups = [each for each in groups if each]
    turns = "\n".join(
        f"upstream {word}_{number} {{ {' '.join(group)} {_NOT_KEPT} }}"
        for number, group in enumerate(groups, start=1)
    )
    numbers = "\n".join(
        f'    "~^([^:]*:){{{number}}}" {word}_{number};'
        for number in range(len(groups), 1, -1)
    )
    return f"""\
# Written by `gapless balancer nginx`; include it inside http {{ }}.
upstream {name} {{
    zone {name} 64k;      # one state for all workers
    # A refusal is no failure: else a server that serves again gets nothing for 10 s, and
    # after two drains in a row no server is left.
    # There are no health checks (they need nginx Plus): a server that drains answers 503,
    # and the request goes to another one.
{listed}
    # No connection is kept, as nginx 1.29.7 and newer would: a POST on one that the server
    # has closed is not sent again.  Some servers close it without saying so.
    {_NOT_KEPT}
}}

# The same servers one by one, for a request that met a refusal and then a server that is
# not there.
{turns}

map $http_upgrade $connection_of_{word} {{
    default close;
    websocket upgrade;
}}

map $upstream_bytes_sent $turn_of_{word} {{
    volatile;
    default {word}_1;
{numbers}
}}

# Where a request goes that was not answered.  Each place that was tried adds a colon.
map "$upstream_bytes_sent|$upstream_status $request_method" $next_of_{word} {{
    volatile;
    default @{word}_failed;
    "~^([^:|]*:){{{len(groups) + 1}}}" @{word}_failed;
    # No byte was sent: the server was not reached, and the request was not begun.
    "~^(.* )?0[|]" @{word}_turn;
    # The server refuses, and has not begun it.
    "~[ |]503 [^ ]*$" @{word}_turn;
    # It broke off, and the request may run twice.
    "~[ |]502 (GET|HEAD|OPTIONS|TRACE|PUT|DELETE)$" @{word}_turn;
    # It was silent for too long, and may still be at it.
    "~[ |]504 [^ ]*$" @{word}_late;
}}

server {{
    listen {listen};
    client_max_body_size {pool.largest_body_bytes};

    # These hold for all locations below.  One that sets a header repeats the others.
    proxy_http_version 1.1;
    proxy_set_header Connection $connection_of_{word};
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Host $host;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    proxy_set_header X-Forwarded-Proto $scheme;
    proxy_request_buffering on;  # a streamed body cannot be sent again
    proxy_connect_timeout {CONNECT_TIMEOUT_S}s;  # a host without power answers nothing
    # A server may be silent for as long as a drain waits for it.  After that nothing is
    # sent to another server: the request may still run.
    proxy_read_timeout {pool.timeout_s}s;
    proxy_send_timeout {pool.timeout_s}s;
    proxy_next_upstream_timeout {pool.timeout_s}s;
    recursive_error_pages on;

    location / {{
        if ($connection_of_{word} = upgrade) {{ return 599; }}
        error_page 599 = @{word}_websocket;
        proxy_pass http://{name};
        # The server was not reached or broke off before an answer: GET again, POST never.
        proxy_next_upstream error timeout;
        # A 503 is tried elsewhere by a location of its own, also for POST: a server that
        # refuses has not begun the request.
        proxy_intercept_errors on;
        error_page 503 = @{word}_again;
    }}

    # It remembers whom it tried.  With `error` here a POST would run twice whose server
    # dies in it, so a server that is not there ends it.
    location @{word}_again {{
        proxy_pass http://{name};
        proxy_next_upstream http_503 non_idempotent;
        error_page 502 504 = $next_of_{word};
    }}

    location @{word}_turn {{
        proxy_pass http://$turn_of_{word};
        proxy_next_upstream http_503 non_idempotent;
        proxy_intercept_errors on;
        error_page 502 503 504 = $next_of_{word};
    }}

    location @{word}_failed {{ return 502; }}
    location @{word}_late {{ return 504; }}

    location @{word}_websocket {{
        proxy_pass http://{name};
        proxy_next_upstream error timeout http_503;
        proxy_read_timeout {TUNNEL_TIMEOUT_S}s;
        proxy_send_timeout {TUNNEL_TIMEOUT_S}s;
    }}
}}
"""


def _word(name: str) -> str:
    """Return a word for the names that nginx shares between all of its servers.

    Two pools have two words, also where a variable takes fewer letters than their names
    have; and it is short, since nginx refuses long names of variables
    (variables_hash_bucket_size).
    """
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{re.sub('[^A-Za-z0-9]', '_', name)[:12]}_{digest}"
