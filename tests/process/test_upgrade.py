"""The running processes are replaced by the installed version: no request is lost."""

from __future__ import annotations

import contextlib
import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rig.hosts import control
from rig.hosts.host import SERVERS, Host
from rig.load.engine import Traffic
from rig.load.process import Load, run_load
from rig.matrix import times
from rig.programs import versions
from rig.programs.versions import Version
from rig.wait import free_port, until

PACED = Traffic(kind="new", concurrency=1, pause_s=0.05)
COUNTING = (
    "let n = 0; require('http').createServer((q, r) => { console.log(`line ${++n}`);"
    " q.resume(); q.on('end', () => r.end('release 1\\n')); })"
    ".listen(process.env.PORT, '127.0.0.1')"
)
"""Writes a numbered line for each request that it gets."""


PATIENT = "stop = { drain_timeout_s = 300 }"
"""What is under way may take as long as an upgrade on a slow machine."""


def four_apps(host: Host) -> dict[str, int]:
    """Start four apps of different kinds; return their ports."""
    python, gunicorn = str(SERVERS / "python"), str(SERVERS / "gunicorn")
    ports = {name: free_port() for name in ("node", "uvicorn", "gunicorn", "counting")}
    uvicorn = [python, "-m", "uvicorn", "asgi_app:app", "--no-access-log", "--port"]
    commands = {
        "node": ["node", "app.js"],
        "uvicorn": [*uvicorn, str(ports["uvicorn"])],
        "gunicorn": [gunicorn, "wsgi_app:app", "-b", f"127.0.0.1:{ports['gunicorn']}"],
        "counting": ["node", "-e", COUNTING],
    }
    for name, command in commands.items():
        host.start(name, command, port=ports[name], more=PATIENT)
    return ports


@contextlib.contextmanager
def loads(ports: dict[str, int]) -> Iterator[dict[str, Load]]:
    """Run a load on each app; at the end nothing may have been lost."""
    with contextlib.ExitStack() as stack:
        found = {
            name: stack.enter_context(run_load(port, PACED))
            for name, port in ports.items()
        }
        yield found
        for name, each in found.items():
            report = each.stop()
            assert report.lost == 0, f"{name}: {report}"


def all_answer(found: dict[str, Load]) -> None:
    """Wait until each app has answered some more requests."""
    for each in found.values():
        each.wait_for(5)


def pids_of(host: Host) -> dict[str, list[int]]:
    """Return the pids of the instances of each app."""
    listed: Any = control.ask(host.home, "list")
    return {row["name"]: row["pids"] for row in listed["apps"]}


def runs(host: Host) -> tuple[str, str | None]:
    """Return the versions of the supervisor and the keeper that run."""
    found: Any = control.ask(host.home, "ping")
    return found["version"], found.get("keeper_version")


def lines_of(host: Host, app: str) -> list[int]:
    """Return the numbers of the lines in the log of an app."""
    texts = [path.read_text() for path in (host.home / "logs").glob(f"{app}*.log")]
    return [int(each) for text in texts for each in re.findall(r"line (\d+)", text)]


def upgraded(host: Host, version: Version | None) -> dict[str, Any]:
    """Upgrade to a version, None: the one of this checkout; return the report."""
    if version is not None:
        host.program = version.program
    else:
        host.program = Host(host.directory).program
    done = host.gapless("upgrade", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


@pytest.mark.parametrize("count", times(1, 4))
def test_four_apps_are_served_while_what_runs_is_replaced(
    host: Host, tmp_path: Path, count: int
) -> None:
    """A reload that waits gets its report, pids stay, and no line of a log is missing."""
    later = versions.make(tmp_path / "later", "9.0.0", *versions.WRITES_MORE)
    ports = four_apps(host)
    before = pids_of(host)
    supervisor, ours = host.supervisor_pid(), _ours(host)
    with (
        loads(ports) as found,
        socket.create_connection(("127.0.0.1", ports["node"])) as slow,
    ):
        all_answer(found)
        # The old generation waits for the rest of this request, and so does the reload.
        slow.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf ")
        host.declare(
            "node",
            ["node", "app.js"],
            port=ports["node"],
            release="2",
            more=PATIENT,
        )
        reload = host.begin("reload", "node.toml", "--json")
        found["node"].wait_for_version("2")
        report = upgraded(host, later)
        assert report["supervisor"]["new"]["version"] == "9.0.0"
        assert report["supervisor"]["new"]["pid"] == supervisor
        assert isinstance(report["without_control_ms"], float)
        assert report["keeper"]["new"]["pid"] == report["keeper"]["old"]["pid"]
        assert runs(host) == ("9.0.0", "9.0.0")
        assert reload.poll() is None
        all_answer(found)
        slow.sendall(b"whole")
        assert reload.communicate(timeout=60)[0].count('"outcome": "done"') == 1
        for number in range(1, count):  # back, and there again
            upgraded(host, later if number % 2 == 0 else None)
            all_answer(found)
    assert host.supervisor_pid() == supervisor
    after = pids_of(host)
    assert {**after, "node": []} == {**before, "node": []}
    numbers = lines_of(host, "counting")
    assert numbers == list(range(1, len(numbers) + 1))
    until(lambda: _ours(host) == ours, "no process of the upgrade")


def _ours(host: Host) -> set[int]:
    """Return the pids of our own processes."""
    return {pid for pid, text in host.processes().items() if "gapless" in text[:40]}
