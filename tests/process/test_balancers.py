"""Recycling behind real load balancers: 503 and another try, nothing failed or doubled."""

from __future__ import annotations

import collections
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rig import load
from rig.host import APPS, SERVERS, Host
from rig.running import running
from rig.wait import free_port, until

POST = load.Traffic(
    kind="post",
    concurrency=4,
    method="POST",
    path="/echo",
    body_bytes=10_000,
    echoes=True,
)
LATE_BODY = load.Traffic(
    kind="late-body",
    concurrency=2,
    method="POST",
    path="/echo",
    body_bytes=4_000,
    body_s=0.1,
    echoes=True,
)
TRAFFICS = (load.NEW, load.KEEP_ALIVE, POST, LATE_BODY)

# docs/balancers.md explains each line.
NGINX = """
daemon off; worker_processes 2; pid {directory}/nginx.pid; error_log stderr;
events {{ worker_connections 512; }}
http {{
  access_log off;
  client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/f; uwsgi_temp_path {directory}/u;
  scgi_temp_path {directory}/s;
  upstream app {{
    zone app 64k;
    server 127.0.0.1:{one} max_fails=0; server 127.0.0.1:{two} max_fails=0;
  }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://app; proxy_next_upstream error timeout;
      proxy_intercept_errors on; error_page 503 = @again;
    }}
    location @again {{
      proxy_pass http://app; proxy_next_upstream http_503 non_idempotent;
    }}
  }}
}}
"""
HAPROXY = """
global
  maxconn 2000
defaults
  mode http
  timeout connect 5s
  timeout client 30s
  timeout server 30s
  option http-buffer-request
  retries 12
  option redispatch 1
  retry-on conn-failure 503
frontend users
  bind 127.0.0.1:{port}
  default_backend app
backend app
  balance roundrobin
  server one 127.0.0.1:{one}
  server two 127.0.0.1:{two}
"""


@contextmanager
def balancer(name: str, directory: Path, one: int, two: int) -> Iterator[int]:
    """Run nginx or HAProxy in front of two ports; yield its own."""
    port = free_port()
    path = directory / f"{name}.conf"
    text = NGINX if name == "nginx" else HAPROXY
    path.write_text(text.format(directory=directory, port=port, one=one, two=two))
    argv = {
        "nginx": ["nginx", "-p", str(directory), "-c", str(path), "-e", "stderr"],
        "haproxy": ["haproxy", "-db", "-f", str(path)],
    }[name]
    process = subprocess.Popen(argv, stderr=subprocess.DEVNULL)
    try:
        yield port
    finally:
        process.terminate()
        process.wait(20)


@contextmanager
def two_hosts(first: Host) -> Iterator[tuple[Host, Host]]:
    """Add a second host to the one of the test."""
    with tempfile.TemporaryDirectory(prefix="gapless-") as directory:
        second = Host(Path(directory))
        try:
            yield first, second
        finally:
            second.close()


@pytest.mark.parametrize("how", ["recycle", "drain"])
@pytest.mark.parametrize("name", ["nginx", "haproxy"])
def test_two_servers_recycle_and_no_request_fails_or_runs_twice(
    host: Host, tmp_path: Path, name: str, how: str
) -> None:
    """One after the other, and both a second time soon after."""
    ledger = tmp_path / "ledger"
    ports = (free_port(), free_port())
    refused = 0
    with two_hosts(host) as hosts, balancer(name, tmp_path, *ports) as port:
        for each, own in zip(hosts, ports, strict=True):
            each.environment["LEDGER"] = str(ledger)
            each.start("app", command(own), port=own, more="overlap = false")
        until(lambda: curl(port) == 0, f"{name} to serve")
        with running(port, *TRAFFICS) as under_load:
            under_load.wait_for(100)
            for release in ("2", "3"):
                for each, own in zip(hosts, ports, strict=True):
                    each.declare(
                        "app",
                        command(own),
                        port=own,
                        release=release,
                        more="overlap = false",
                    )
                    if how == "drain":
                        each.ok("drain")
                        under_load.wait_for(200)
                        each.ok("undrain")
                    else:
                        recycled = each.json("reload", "app")
                        assert recycled["outcome"] == "done", recycled
                        refused += recycled["requests"]["refused"]
                    under_load.wait_for(50)
            report = under_load.stop()
    assert report.lost == 0, str(report)
    assert refused or how == "drain", "no request was refused: nothing was shown"
    counts = collections.Counter(ledger.read_text().split())
    doubled = [number for number, times in counts.items() if times > 1]
    assert not doubled
    assert (
        len(counts)
        == report.kinds["post"]["requests"] + (report.kinds["late-body"]["requests"])
    )


def command(port: int) -> list[str]:
    """Return the command of the app that keeps a ledger."""
    own = ["-m", "uvicorn", "--port", str(port), "--no-access-log", "ledger_app:app"]
    return [str(SERVERS / "python"), *own]


def curl(port: int) -> int:
    """Return curl's exit code."""
    argv = ["curl", "-sf", "-o", "/dev/null", f"http://127.0.0.1:{port}/"]
    return subprocess.run(argv, check=False, cwd=APPS).returncode
