"""Unmodified web servers whose apps log the number of each request.

The apps are in `rig/apps/numbered`.  A host runs one; `Numbered.difference` says whether
each request of a load ran exactly once.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from typing import Any

from rig import wait
from rig.hosts.host import APPS, SERVERS, Host
from rig.load.executions import Differences, differences
from rig.load.traffic import Traffic
from rig.programs import compiled, nginx

SOURCES = APPS / "numbered"
PYTHON = str(SERVERS / "python")
ADDRESS = "127.0.0.1:PORT"
FIXED: dict[str, list[str]] = {
    "uvicorn": [
        *(PYTHON, "-m", "uvicorn", "--port", "PORT", "--no-access-log", "asgi:app"),
    ],
    "gunicorn-gthread": [
        *(str(SERVERS / "gunicorn"), "-b", ADDRESS, "--threads", "8", "wsgi:app"),
    ],
    "waitress": [
        *(str(SERVERS / "waitress-serve"), f"--listen={ADDRESS}", "--threads=16"),
        "wsgi:app",
    ],
    "hypercorn": [str(SERVERS / "hypercorn"), "-b", ADDRESS, "asgi:app"],
    "granian": [
        *(str(SERVERS / "granian"), "--interface=asgi", "--port=PORT"),
        *("--no-access-log", "asgi:app"),
    ],
    "cheroot": [PYTHON, "-m", "cheroot", "--bind", ADDRESS, "wsgi:app"],
    "tornado": [PYTHON, "tornado_app.py"],
    "aiohttp": [PYTHON, "aiohttp_app.py"],
    "threads": ["python3", "threads.py"],
    "node": ["node", "app.js"],
    "puma": ["puma", "-q", "-t", "8:8", "-b", f"tcp://{ADDRESS}", "config.ru"],
}
MADE: dict[str, Callable[[], list[str]]] = {
    "go": lambda: [str(compiled.go(SOURCES / "app.go"))],
    "java": lambda: [
        *("java", "-cp", str(compiled.java(SOURCES / "Numbered.java")), "Numbered"),
    ],
}
ANSWER = """return 200 "release {release} pid $pid number $arg_id\\n";"""
INNER = "unix:{directory}/release-{release}.sock"
NGINX_LOCATIONS = {
    "nginx": f"proxy_pass http://{INNER};",
    "nginx-early": ANSWER,
}
"""`return` answers before the body of a request was read; a proxy reads it first."""
PROGRAMS = (*FIXED, *MADE, *NGINX_LOCATIONS)
NGINX = f"""
  log_format number "$arg_id $request_method $length {{release}}";
  map $arg_id $numbered {{{{ "" 0; default 1; }}}}
  map $content_length $length {{{{ "" 0; default $content_length; }}}}
  client_max_body_size 16m;
  server {{{{ listen {INNER}; location / {{{{ {ANSWER} }}}} }}}}
  server {{{{
    listen 127.0.0.1:{{port}};
    access_log {{log}} number if=$numbered;
    location / {{{{ LOCATION }}}}
  }}}}"""


def command(program: str, port: int) -> list[str]:
    """Return the command of one of the PROGRAMS, but nginx, that listens on a port."""
    argv = FIXED.get(program) or MADE[program]()
    return [word.replace("PORT", str(port)) for word in argv]


class Numbered:
    """An app of one of the PROGRAMS on a host."""

    def __init__(
        self, host: Host, program: str, more: str = "", arguments: tuple[str, ...] = ()
    ) -> None:
        """*more* is what else its configuration says; *arguments* go to the program."""
        self.host, self.program, self._more = host, program, more
        self.port = wait.free_port()
        self.log = host.directory / "numbers"
        self.ledger = host.directory / "ledger"
        host.environment["NUMBERS"] = str(self.log)
        self._argv = [*self._command(), *arguments]

    def start(self) -> None:
        """Start release 1, and wait until it answers."""
        self._declare(1)
        self.host.start_file("app.toml", "app")
        wait.until(lambda: wait.answers(self.port), f"{self.program} to answer")

    def release(self, number: int) -> dict[str, Any]:
        """Release the app again; return the report."""
        self._declare(number)
        report: dict[str, Any] = self.host.json("reload", "app.toml")
        assert report["outcome"] == "done", report
        return report

    def difference(self, traffics: Iterable[Traffic]) -> Differences:
        """Return which requests of the ledger did not run exactly once.

        nginx writes to its log after it has answered: what is missing may come soon.
        """

        def read() -> Differences:
            with self.ledger.open() as ledger, self.log.open() as log:
                return differences(ledger, log, traffics)

        with contextlib.suppress(AssertionError):
            wait.until(lambda: not read().missing, "every answered request logged", 5)
        return read()

    def _command(self) -> list[str]:
        if self.program in NGINX_LOCATIONS:
            return nginx.command(self.host.directory)
        return command(self.program, self.port)

    def _declare(self, release: int) -> None:
        if self.program in NGINX_LOCATIONS:
            self._write_configuration(release)
        self.host.declare(
            "app",
            self._argv,
            port=self.port,
            release=str(release),
            directory=SOURCES,
            more=self._more,
        )

    def _write_configuration(self, release: int) -> None:
        own = self.host.directory
        http = NGINX.replace("LOCATION", NGINX_LOCATIONS[self.program]).format(
            directory=own, log=self.log, port=self.port, release=release
        )
        text = nginx.configuration(own, http, main="daemon off; user root;")
        (own / "nginx.conf").write_text(text)


if __name__ == "__main__":
    for make in MADE.values():
        make()  # so that no test waits for a compiler
