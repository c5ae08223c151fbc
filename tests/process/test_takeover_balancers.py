"""Releases behind a balancer that keeps its connections to the app: each request runs once.

Neither balancer tries a request again: it must not hide a loss.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from rig.fixtures import takeover
from rig.hosts.host import Host
from rig.matrix import times
from rig.programs.balancer import serving_balancer
from rig.programs.numbered import Numbered
from rig.wait import free_port

NGINX = """
client_max_body_size 16m;
upstream app {{ server 127.0.0.1:{app}; keepalive 32; }}
server {{
  listen 127.0.0.1:{port};
  location / {{
    proxy_pass http://app;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_next_upstream off;
  }}
}}
"""
HAPROXY = """
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  retries 0
listen app
  bind 127.0.0.1:{port}
  http-reuse always
  server app 127.0.0.1:{app}
"""
CONFIGURATIONS = {"nginx": NGINX, "haproxy": HAPROXY}


@pytest.mark.parametrize("count", times(3, 20))
@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_a_release_loses_no_request_on_a_kept_connection_of_a_balancer(
    host: Host, tmp_path: Path, name: str, count: int
) -> None:
    """Each connection of the balancer carries requests of many clients."""
    app = Numbered(host, "uvicorn", takeover.CONFIGURATION)
    app.start()
    port = free_port()
    text = CONFIGURATIONS[name].format(app=app.port, port=port)
    with serving_balancer(tmp_path, name, text, port):
        outcome = takeover.release_under_load(app, count, port)
    takeover.assert_nothing_was_lost(app, outcome)
