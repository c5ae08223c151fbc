"""Configuration for nginx (1.9.13 or newer).  Pure.

Sources: ngx_http_proxy_module and ngx_http_upstream_module in nginx's documentation.  Each
line prevents a failure that was measured (docs/balancers.md).
"""

from __future__ import annotations

from gapless.balancer.model import Pool


def configuration(pool: Pool) -> str:
    """Return an upstream and a server, for the inside of `http { }`.

    Raises MisuseError.
    """
    pool.checked()
    retry = f"{pool.name}_again".replace(".", "_").replace("-", "_")
    servers = "\n".join(
        f"    server {each.address} max_fails=0;" + (f"  # {label}" * bool(each.name))
        for each, label in zip(pool.members, pool.labels(), strict=True)
    )
    listen = pool.listen.removeprefix(":")
    return f"""\
# Written by `gapless balancer nginx`; include it inside http {{ }}.
upstream {pool.name} {{
    zone {pool.name} 64k;      # one state for all workers
    # A refusal is no failure: else a server that serves again gets nothing for 10 s, and
    # after two drains in a row no server is left.
    # There are no health checks (they need nginx Plus): a server that drains answers 503,
    # and the request goes to another one.
{servers}
    # No keepalive: a POST on a connection that the server has closed is not sent again.
}}

server {{
    listen {listen};

    location / {{
        proxy_pass http://{pool.name};
        proxy_set_header Host $host;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_set_header X-Forwarded-Proto $scheme;
        proxy_request_buffering on;  # a streamed body cannot be sent again
        # The server was not reached or broke off before an answer: GET again, POST never.
        proxy_next_upstream error timeout;
        # A 503 is tried elsewhere by a location of its own, also for POST: a server that
        # refuses has not begun the request.
        proxy_intercept_errors on;
        error_page 503 = @{retry};
    }}

    location @{retry} {{
        proxy_pass http://{pool.name};
        proxy_set_header Host $host;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_set_header X-Forwarded-Proto $scheme;
        proxy_next_upstream http_503 non_idempotent;
    }}
}}
"""
