"""The examples run without gapless and with it, as their pages say."""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rig import wait
from rig.hosts.host import ROOT, Host

EXAMPLES = ROOT / "examples"
PORTS = {"asgi": 8001, "node": 8002, "perl": 8003, "any-program": 8004}
HTTP_EXAMPLES = ("asgi", "node", "perl")
BUILDS = {"asgi": ["./build.sh"], "node": ["npm", "ci", "--no-audit", "--no-fund"]}
BODY = os.urandom(200_000)


@pytest.fixture
def built(tmp_path: Path) -> Callable[[str], tuple[Path, int]]:
    """Return a function that copies and builds an example, on a free port."""

    def build(name: str) -> tuple[Path, int]:
        directory = tmp_path / name
        port = wait.free_port()
        shutil.copytree(
            EXAMPLES / name,
            directory,
            ignore=shutil.ignore_patterns(".venv", "node_modules"),
        )
        if name in BUILDS:
            subprocess.run(BUILDS[name], cwd=directory, check=True, timeout=180)
        configuration = directory / "gapless.toml"
        text = configuration.read_text()
        assert str(PORTS[name]) in text
        configuration.write_text(text.replace(str(PORTS[name]), str(port)))
        return directory, port

    return build


@contextmanager
def without_gapless(directory: Path) -> Iterator[None]:
    """Run the command of an example without gapless."""
    app = tomllib.loads((directory / "gapless.toml").read_text())["app"]
    (table,) = app.values()
    environment = {k: str(v) for k, v in table.get("environment", {}).items()}
    with subprocess.Popen(
        table["command"],
        cwd=directory,
        env=os.environ | environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            yield
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(10)


def ask(port: int, method: str, path: str, body: bytes | None = None) -> bytes:
    """Return the body of an answer, which must be 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, body)
        answer = connection.getresponse()
        text = answer.read()
        assert answer.status == 200, text
        return text
    finally:
        connection.close()


def answers(port: int) -> bool:
    """Return whether a program answers on a port."""
    try:
        return bool(ask(port, "GET", "/"))
    except OSError:
        return False


def runs_without_gapless(name: str, directory: Path, port: int) -> None:
    """Check that the app names its release, delays an answer, and echoes a whole body."""
    with without_gapless(directory):
        wait.until(lambda: answers(port), f"{name} answers")
        assert ask(port, "GET", "/").startswith(b"release 1 pid ")
        assert ask(port, "GET", "/slow?s=0.1").startswith(b"release 1 pid ")
        assert ask(port, "POST", "/echo", BODY) == BODY
        assert ask(port, "POST", "/echo", b"") == b""


@pytest.mark.parametrize("name", PORTS)
def test_an_example_runs_alone_then_starts_and_reloads_with_its_own_file(
    host: Host, built: Callable[[str], tuple[Path, int]], name: str
) -> None:
    """After a change of VERSION, `gapless reload` brings the new release."""
    directory, port = built(name)
    if name in HTTP_EXAMPLES:
        runs_without_gapless(name, directory, port)
    host.ok("start", directory / "gapless.toml")
    # A slow first start counts as an app without a port after min_uptime_s (LIMITS).
    wait.until(lambda: host.row(name)["addresses"], f"{name} to listen", 30)
    assert ask(port, "GET", "/")
    (directory / "VERSION").write_text("2\n")
    host.ok("reload", name)
    if name in HTTP_EXAMPLES:
        assert ask(port, "GET", "/").startswith(b"release 2 pid ")
        assert ask(port, "POST", "/echo", BODY) == BODY
    assert host.app(name)["generation"] == 2
