"""Configuration for nginx (1.9.13 or newer).  Pure.

Sources: ngx_http_proxy_module and ngx_http_upstream_module in nginx's documentation; each
line answers a failure that was measured (docs/balancers.md).
"""

from __future__ import annotations

from gapless.balancer.model import Pool


def configuration(pool: Pool) -> str:
    """Return what belongs inside `http { }`: an upstream and a server."""
    again = f"{pool.name}_again".replace(".", "_").replace("-", "_")
    servers = "\n".join(
        f"    server {each.address} max_fails=0;"
        + (f"  # {each.name}" * bool(each.name))
        for each in pool.members
    )
    listen = pool.listen.removeprefix(":")
    return f"""\
# Written by `gapless balancer nginx`; include it inside http {{ }}.
upstream {pool.name} {{
    zone {pool.name} 64k;      # one state for all workers
    # A refusal is no failure: else a server that came back stays out for 10 s, and two
    # in a row leave nobody.
    # Nobody asks whether a server leaves (that is nginx Plus): its 503 says it, and the
    # request goes to another one.
{servers}
    # No keepalive: a POST that meets a kept connection closed is not sent again.
}}

server {{
    listen {listen};

    location / {{
        proxy_pass http://{pool.name};
        proxy_set_header Host $host;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_set_header X-Forwarded-Proto $scheme;
        proxy_request_buffering on;  # what was streamed cannot be sent again
        # Who could not be reached or broke off before an answer: GET again, POST never.
        proxy_next_upstream error timeout;
        # A 503 is sent elsewhere from a place of its own, where POST may follow: a server
        # that refuses has not begun the request.
        proxy_intercept_errors on;
        error_page 503 = @{again};
    }}

    location @{again} {{
        proxy_pass http://{pool.name};
        proxy_set_header Host $host;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_set_header X-Forwarded-Proto $scheme;
        proxy_next_upstream http_503 non_idempotent;
    }}
}}
"""
