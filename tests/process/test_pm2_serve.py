"""`pm2 serve`: static files as an app that is handed over, declared in three ways."""

from __future__ import annotations

import json
from pathlib import Path

from rig.fixtures.declarations import ask
from rig.hosts.host import Host
from rig.load import engine
from rig.load.process import run_load
from rig.wait import free_port

PASSWORD = "not-for-everybody"


def site(directory: Path, version: int) -> Path:
    """Write a directory to serve."""
    directory.mkdir()
    (directory / "index.html").write_text(f"release {version} pid 1\n")
    return directory


def test_a_directory_is_served_and_released_without_loss(host: Host) -> None:
    """Each generation serves what the link names when it starts."""
    port = free_port()
    link = host.directory / "current"
    link.symlink_to(site(host.directory / "one", 1))
    said = host.ok("pm2", "serve", link, port, "--spa", "--name", "site")
    assert f"serving {link} on 0.0.0.0:{port}" in said
    assert ask(port, "/any/path") == b"release 1 pid 1\n"
    site(host.directory / "two", 2)
    with run_load(port, engine.NEW, engine.KEEP_ALIVE) as under_load:
        under_load.wait_for_version("1")
        link.unlink()
        link.symlink_to(host.directory / "two")
        assert under_load.versions().keys() == {"1"}
        host.ok("pm2", "reload", "site")
        under_load.wait_for_version("2")
        assert under_load.stop().lost == 0
    again = host.gapless("pm2", "serve", link, port, "--name", "site")
    assert (again.returncode, "runs already" in again.stderr) == (1, True)
    wrong = host.gapless("pm2", "serve", link, "x")
    assert (wrong.returncode, "'x' is no port" in wrong.stderr) == (1, True)
    listing = host.gapless("pm2", "serve", "--ftp")
    assert "python3 -m http.server" in listing.stderr


def test_a_password_is_in_no_command_line(host: Host) -> None:
    """It comes from a variable, and goes by one; half of a login is refused."""
    port = free_port()
    site(host.directory / "public", 1)
    words = ("serve", "public", port, "--basic-auth-username", "amy")
    open_door = host.gapless(*words)
    assert (open_door.returncode, "a name and a password" in open_door.stderr) == (
        2,
        True,
    )
    host.environment["PM2_SERVE_BASIC_AUTH_PASSWORD"] = PASSWORD
    host.ok(*words)
    assert b"401" in ask(port, "/")
    for pid in host.processes():
        assert PASSWORD not in Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    del host.environment["PM2_SERVE_BASIC_AUTH_PASSWORD"]
    host.ok("reload", "all", "--update-env")
    assert b"401" in ask(port, "/")


def test_files_declare_sites(host: Host) -> None:
    """By `static` beside `apps`, or by the script `serve`; each serves its directory."""
    ports = [free_port() for _ in range(2)]
    for name in ("first", "second"):
        site(host.directory / name, 1)
    (host.directory / "app.json").write_text(
        json.dumps(
            {
                "apps": [
                    {
                        "name": "second",
                        "script": "serve",
                        "env": {"PM2_SERVE_PATH": "second", "PM2_SERVE_PORT": ports[1]},
                    }
                ],
                "static": [{"path": "./first", "port": ports[0], "spa": True, "x": 1}],
            }
        )
    )
    done = host.gapless("start", "app.json")
    assert done.returncode == 0, done.stderr
    assert "static: x: there is no such key" in done.stderr
    assert ask(ports[0], "/any/path") == b"release 1 pid 1\n"
    assert b"release" not in ask(ports[1], "/any/path")
    assert ask(ports[1], "/") == b"release 1 pid 1\n"
    name = f"static-page-server-{ports[0]}"
    assert {row["name"] for row in host.json("list")["apps"]} == {name, "second"}
    host.ok("stop", "app.json")
