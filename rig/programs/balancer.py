"""nginx or HAProxy in front of hosts, with a configuration that the caller brings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rig import wait
from rig.background import BackgroundProcess
from rig.programs import nginx

DEFAULTS = """
upstream app {{ {servers} }}
server {{
  listen 127.0.0.1:{port};
  location / {{ proxy_pass http://app; {more} }}
}}
"""


def nginx_with_defaults(addresses: list[str], port: int, more: str = "") -> str:
    """Return a pool for nginx without any setting of gapless, but for *more*."""
    servers = " ".join(f"server {each};" for each in addresses)
    return DEFAULTS.format(servers=servers, port=port, more=more)


@contextmanager
def start_balancer(directory: Path, name: str, configuration: str) -> Iterator[None]:
    """Run nginx or HAProxy with a configuration until the block ends; do not wait."""
    pool, main = directory / "pool.conf", directory / "nginx.conf"
    pool.write_text(configuration)
    include = f"  include {pool};"
    frame = nginx.configuration(
        directory, include, main="daemon off; user root;", workers=2
    )
    main.write_text(frame)
    argv = {
        "nginx": ["nginx", "-p", str(directory), "-c", str(main), "-e", "stderr"],
        "haproxy": ["haproxy", "-db", "-f", str(pool)],
    }[name]
    process = BackgroundProcess(directory / "balancer.log")
    process.start(argv)
    try:
        yield
    finally:
        process.terminate()


@contextmanager
def serving_balancer(
    directory: Path, name: str, configuration: str, port: int
) -> Iterator[int]:
    """Run a balancer until the block ends; begin when *port* of loopback answers."""
    with start_balancer(directory, name, configuration):
        wait.until(lambda: wait.answers(port), f"{name} to serve")
        yield port
