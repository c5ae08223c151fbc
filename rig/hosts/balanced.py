"""nginx or HAProxy in front of hosts: as gapless writes them, or with defaults."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rig import wait

NGINX = """
daemon off; user root; worker_processes 2; pid {directory}/nginx.pid; error_log stderr;
events {{ worker_connections 512; }}
http {{
  access_log off;
  client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/f; uwsgi_temp_path {directory}/u;
  scgi_temp_path {directory}/s;
  include {directory}/pool.conf;
}}
"""
PLAIN = """
upstream app {{ {servers} }}
server {{
  listen 127.0.0.1:{port};
  location / {{ proxy_pass http://app; {more} }}
}}
"""


def plain_nginx(addresses: list[str], port: int, more: str = "") -> str:
    """Return an nginx that somebody wrote who knows no more than its defaults."""
    servers = " ".join(f"server {each};" for each in addresses)
    return PLAIN.format(servers=servers, port=port, more=more)


@contextmanager
def serving(directory: Path, name: str, configuration: str, port: int) -> Iterator[int]:
    """Run a balancer with a configuration that listens on a port of loopback."""
    (directory / "pool.conf").write_text(configuration)
    (directory / "nginx.conf").write_text(NGINX.format(directory=directory))
    argv = {
        "nginx": ["nginx", "-p", str(directory), "-c", f"{directory}/nginx.conf"],
        "haproxy": ["haproxy", "-db", "-f", f"{directory}/pool.conf"],
    }[name]
    with (directory / "balancer.log").open("ab") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=log)
    try:
        wait.until(lambda: wait.answers(port), f"{name} to serve")
        yield port
    finally:
        process.terminate()
        process.wait(20)
