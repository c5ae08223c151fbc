"""Two generations that would write the same file, or want the same lock, do not overlap."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from rig.hosts.host import SERVERS, Host
from rig.load import engine
from rig.load.process import run_load
from rig.wait import free_port, until

TRAFFIC = (engine.NEW, engine.KEEP_ALIVE)


def declare(host: Host, port: int, release: str, holds: str, more: str = "") -> Path:
    """Declare the app that holds a file; return the path of that."""
    state = host.directory / ("app.log" if holds == "append" else "state")
    variables = f'PORT = "{port}", RELEASE = "{release}", HOLDS = "{holds}"'
    app = Path(__file__).parents[2] / "rig" / "apps" / "state" / "holds_file.py"
    host.configure(
        f"[app.app]\ncommand = {json.dumps(['python3', str(app)])}\n"
        f'environment = {{ {variables}, STATE = "{state}" }}\n'
        f"min_healthy_s = 0.3\n{more}\n"
    )
    return state


def start(host: Host, holds: str, more: str = "") -> tuple[int, Path]:
    """Start the app; return its port, and the path of its file."""
    port = free_port()
    state = declare(host, port, "1", holds, more)
    host.start_file("gapless.toml", "app")
    return port, state


@pytest.mark.parametrize("holds", ["write", "late"])
def test_a_file_that_both_write_stops_the_switch(host: Host, holds: str) -> None:
    """Also if it is opened after the program listens; and nothing is written to it."""
    port, state = start(host, holds)
    until(state.exists, "the file is open")
    with run_load(port, *TRAFFIC) as under_load:
        under_load.wait_for_version("1")
        declare(host, port, "2", holds)
        done = host.gapless("reload", "app")
        report = under_load.stop()
    assert done.returncode == 1, done.stdout
    assert f"both have {state} open for writing" in done.stdout
    assert "overlap = false" in done.stdout
    assert f'shared_files = ["{state}"]' in done.stdout
    assert report.lost == 0, str(report)
    assert report.versions.keys() <= {"1", ""}
    assert state.read_text() == ""  # a stop signal would have let it write
    assert host.app("app")["generation"] == 1


def test_a_lock_that_the_new_one_waits_for_is_named(host: Host) -> None:
    """It does not listen, and the reason says why; --json has the hint too."""
    port, state = start(host, "lock")
    declare(host, port, "2", "lock")
    report = host.json("reload", "app")
    assert report["outcome"] == "failed"
    assert f"holds a lock on {state}, and generation 2 waits for it" in report["reason"]
    assert "overlap = false" in report["hint"]
    declare(host, port, "3", "lock", "overlap = false")
    host.ok("reload", "app")


@pytest.mark.parametrize(
    ("holds", "more"),
    [
        ("write", 'shared_files = ["stat*"]'),
        ("write", "instances = 2"),
        ("append", ""),
        ("sqlite", ""),
    ],
)
def test_what_is_shared_by_design_is_handed_over(
    host: Host, holds: str, more: str
) -> None:
    """A file that the app may share, or shares already, a log, a database of SQLite."""
    port, _ = start(host, holds, more)
    declare(host, port, "2", holds, more)
    host.ok("reload", "app")
    assert host.app("app")["generation"] == 2


# --- real programs --------------------------------------------------------------------


def redis(port: int, *words: str) -> str:
    """Send one command to a redis; return the first line of the answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall((" ".join(words) + "\r\n").encode())
        return connection.makefile().readline().strip()


def test_redis_keeps_what_it_has_acknowledged(host: Host) -> None:
    """A second one with the same append-only file never serves, and never writes."""
    port = free_port()
    command = f"redis-server --port {port} --bind 127.0.0.1 --appendonly yes --save ''"
    text = f'[app.redis]\ncommand = "{command}"\n'
    host.configure(text)
    host.start_file("gapless.toml", "redis")
    until(lambda: redis(port, "PING") == "+PONG", "redis to answer")
    for number in range(20):
        assert redis(port, "SET", f"key{number}", "1") == "+OK"
    done = host.gapless("reload", "redis")
    assert done.returncode == 1, done.stdout
    assert "appendonly.aof.1.incr.aof open for writing" in done.stdout
    assert redis(port, "SET", "last", "1") == "+OK"
    host.configure(f"{text}overlap = false\n")
    host.ok("reload", "redis")
    assert redis(port, "DBSIZE") == ":21"


@pytest.mark.soak
@pytest.mark.parametrize(
    ("option", "names"),
    [
        ("--storage.tsdb.use-lockfile", "lock DB directory"),
        ("--log.level=warn", "data/queries.active open for writing"),
    ],
)
def test_prometheus_has_its_directory_alone(
    host: Host, option: str, names: str
) -> None:
    """It dies of its lock, and its last words are known; without one it maps a file."""
    port = free_port()
    (host.directory / "prometheus.yml").write_text("scrape_configs: []\n")
    host.configure(
        "[app.prometheus]\n"
        'command = ["prometheus", "--config.file=prometheus.yml", '
        f'"--storage.tsdb.path=data", "{option}", '
        f'"--web.listen-address=127.0.0.1:{port}"]\n'
        'ready = { http = "/-/ready" }\n'
    )
    host.start_file("gapless.toml", "prometheus")
    done = host.gapless("reload", "prometheus")
    assert done.returncode == 1, done.stdout
    assert names in done.stdout
    assert "overlap = false" in done.stdout


@pytest.mark.soak
@pytest.mark.parametrize("name", ["gunicorn", "unicorn"])
def test_a_pid_file_of_its_own_is_known(host: Host, name: str) -> None:
    """The reload fails with what to leave out."""
    (host.directory / "wsgi.py").write_text(
        "def app(e, start):\n    start('200 OK', []); return [b'ok']\n"
    )
    (host.directory / "config.ru").write_text("run lambda { |e| [200, {}, ['ok']] }\n")
    address, own = f"127.0.0.1:{free_port()}", f"{host.directory}/own.pid"
    (host.directory / "unicorn.rb").write_text(f'listen "{address}"\npid "{own}"\n')
    command = {
        "gunicorn": [str(SERVERS / name), "-b", address, "--pid", own, "wsgi:app"],
        "unicorn": [name, "-c", "unicorn.rb", "config.ru"],
    }[name]
    host.configure(f"[app.app]\ncommand = {json.dumps(command)}\n")
    host.start_file("gapless.toml", "app")
    until((host.directory / "own.pid").exists, "its pid file")
    report = host.json("reload", "app")
    assert report["outcome"] == "failed"
    assert "pid file of its own" in report["hint"]
