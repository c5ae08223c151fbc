"""nginx or HAProxy in front of hosts, with a configuration that the caller brings."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rig import wait
from rig.background import BackgroundProcess
from rig.hosts.host import GAPLESS
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


def written(name: str, servers: Sequence[str], port: int, *options: str) -> str:
    """Return the configuration that `gapless balancer` writes."""
    words = [*(f"--server={server}" for server in servers), *options]
    return subprocess.run(
        [str(GAPLESS), "balancer", name, *words, f"--listen=127.0.0.1:{port}"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout


@contextmanager
def balancer(
    name: str,
    directory: Path,
    *servers: int | str,
    spoil: Sequence[tuple[str, str]] = (),
    options: Sequence[str] = (),
) -> Iterator[int]:
    """Run nginx or HAProxy in front of addresses, or ports of loopback; yield its own port.

    *spoil* holds replacements in its configuration.
    """
    port = wait.free_port()
    addresses = [f"127.0.0.1:{own}" if isinstance(own, int) else own for own in servers]
    text = written(name, addresses, port, *options)
    for right, wrong in spoil:
        assert right in text
        text = text.replace(right, wrong)
    with start_balancer(directory, name, text):
        yield port


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
        "nginx": [
            os.environ.get("RIG_NGINX", "nginx"),
            "-p",
            str(directory),
            "-c",
            str(main),
            "-e",
            "stderr",
        ],
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
