"""nginx: what every configuration of it needs that is run beside others."""

from __future__ import annotations

from pathlib import Path

FRAME = """
{main} worker_processes {workers}; pid {directory}/nginx.pid; error_log stderr;
events {{ worker_connections 512; }}
http {{
  access_log off;
  client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/f; uwsgi_temp_path {directory}/u;
  scgi_temp_path {directory}/s;
{http}
}}
"""


def configuration(
    directory: Path, http: str, *, main: str = "daemon off;", workers: int = 1
) -> str:
    """Return a configuration that keeps its files in a directory.

    *http* stands inside its block `http`, *main* in front of all.
    """
    return FRAME.format(main=main, workers=workers, directory=directory, http=http)


def answering(directory: Path, port: int, release: int, *, main: str) -> str:
    """Return a configuration that answers each request with the number of a release."""
    answer = f'location / {{ return 200 "release {release}\\n"; }}'
    http = f"  server {{ listen 127.0.0.1:{port}; {answer} }}"
    return configuration(directory, http, main=main, workers=2)


def command(directory: Path) -> list[str]:
    """Return what runs it with the nginx.conf in a directory."""
    return ["/usr/sbin/nginx", "-p", str(directory), "-c", f"{directory}/nginx.conf"]
