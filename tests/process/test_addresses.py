"""Addresses that come late, move, go, or become wider: no connection falls into a hole."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from rig.hosts.host import APPS, ROOT, Host
from rig.load import engine
from rig.load.late_handshake import LateHandshake
from rig.load.process import run_load
from rig.programs import npm
from rig.wait import SLOWER, answers, free_port, until

TRAFFIC = (engine.NEW, engine.POST)


def declare(host: Host, release: int, more: str = "", **variables: object) -> None:
    """Write the configuration of an app that listens where PLACES says."""
    table = {"RELEASE": str(release)} | {k: str(v) for k, v in variables.items()}
    pairs = ", ".join(f"{name} = {json.dumps(v)}" for name, v in table.items())
    host.configure(
        f'[app.app]\ncommand = ["python3", "threads.py"]\ndirectory = "{APPS}"\n'
        f"environment = {{ {pairs} }}\nmin_healthy_s = 0.3\n{more}\n",
        "app.toml",
    )


def start(host: Host, port: int, more: str = "", **variables: object) -> None:
    """Start the app, and wait until it answers on a port."""
    declare(host, 1, more, **variables)
    host.ok("start", "app.toml")
    until(lambda: answers(port), "it answers")


def test_a_port_that_is_bound_after_the_switch_is_never_in_a_hole(
    host: Host, tmp_path: Path
) -> None:
    """The generation before serves it until then; the new one has it at once."""
    first, late, go = free_port(), free_port(), tmp_path / "go"
    places = f"127.0.0.1:{first} 127.0.0.1:{late}@{go}"
    go.touch()
    more = 'ready = "listening"'
    start(host, late, more, PLACES=places)
    go.unlink()
    declare(host, 2, more, PLACES=places)
    with run_load(late, *TRAFFIC) as under_load:
        under_load.wait_for_version("1")
        command = host.begin("reload", "app.toml")
        assert command.stdout is not None
        seen = ""
        while "yet" not in seen:  # it was switched to, and this is what it lacks
            seen = command.stdout.readline()
            assert seen
        assert f"127.0.0.1:{late}" in seen
        under_load.wait_for(20)
        go.touch()
        under_load.wait_for_version("2")
        command.communicate()
        under_load.wait_for(20)
        report = under_load.stop()
    assert command.returncode == 0
    assert report.lost == 0, str(report)


@pytest.mark.parametrize("wider", ["0.0.0.0", "[::]"])
def test_a_wider_address_takes_over_from_a_narrower_one(host: Host, wider: str) -> None:
    """Clients of the narrow one are served by either, until its generation has ended."""
    port = free_port()
    start(host, port, PLACES=f"127.0.0.1:{port}")
    with run_load(port, *TRAFFIC) as under_load:
        under_load.wait_for_version("1")
        declare(host, 2, PLACES=f"{wider}:{port}")
        host.ok("reload", "app.toml")
        under_load.wait_for_version("2")
        declare(host, 3, PLACES=f"{wider}:{port}")
        host.ok("reload", "app.toml")
        under_load.wait_for_version("3")
        report = under_load.stop()
    assert report.lost == 0, str(report)
    assert host.app("app")["addresses"] == [f"{wider}:{port}"]


@pytest.mark.skipif(os.geteuid() != 0, reason="raw(7) needs root")
def test_a_handshake_that_began_at_the_narrow_address_is_served(host: Host) -> None:
    """Its last step comes when new connections pass that socket by already."""
    port = free_port()
    start(host, port, PLACES=f"127.0.0.1:{port}")
    declare(host, 2, PLACES=f"0.0.0.0:{port}")
    command = host.begin("reload", "app.toml")
    assert command.stdout is not None
    while "takes all new" not in command.stdout.readline():
        assert command.poll() is None
    clients = [LateHandshake(port, 0.6 * SLOWER) for _ in range(3)]
    command.communicate()
    assert [each.join() for each in clients] == ["answered"] * 3


def test_a_wider_address_is_probed_itself(host: Host) -> None:
    """And not the narrower one beside it, of the generation before."""
    port = free_port()
    more = 'ready = { http = "/release", timeout_s = 5 }'
    start(host, port, more, PLACES=f"127.0.0.1:{port}")
    declare(host, 2, more, PLACES=f"0.0.0.0:{port}", BROKEN=1)
    done = host.gapless("reload", "app.toml")
    assert done.returncode == 1
    assert "it answered 500" in done.stdout
    assert answers(port)


def test_a_narrower_address_is_refused_and_steals_nothing(host: Host) -> None:
    """The kernel would send it the connections of the one that serves."""
    port = free_port()
    start(host, port, PLACES=f"0.0.0.0:{port}")
    with run_load(port, *TRAFFIC) as under_load:
        under_load.wait_for_version("1")
        declare(host, 2, PLACES=f"127.0.0.1:{port}")
        done = host.gapless("reload", "app.toml")
        under_load.wait_for(20)
        report = under_load.stop()
    assert done.returncode == 1
    assert f"is a part of 0.0.0.0:{port}" in done.stdout + done.stderr
    assert report.lost == 0, str(report)
    assert not report.versions.get("2")


@pytest.mark.parametrize(
    "place",
    [
        "127.0.0.1",
        pytest.param("0.0.0.0", marks=pytest.mark.soak),
        pytest.param("[::]", marks=pytest.mark.soak),
    ],
)
def test_a_program_may_ask_where_its_port_is_free(host: Host, place: str) -> None:
    """It binds the port everywhere and closes it, before it binds what it serves on."""
    port = free_port()
    variables = {
        "ASKS": f"[::]:{port} 0.0.0.0:{port} 127.0.0.1:{port} [::1]:{port}",
        "PLACES": f"{place}:{port}",
    }
    start(host, port, **variables)
    with run_load(port, *TRAFFIC) as under_load:
        under_load.wait_for_version("1")
        declare(host, 2, **variables)
        host.ok("reload", "app.toml")
        under_load.wait_for_version("2")
        report = under_load.stop()
    assert report.lost == 0, str(report)
    assert host.app("app")["addresses"] == [f"{place}:{port}"]


ASKING = """
import http from 'node:http'
const port = Number(process.env.PORT)
const ask = {
  'detect-port': async m => (await m.detect(port)),
  'get-port': async m => (await m.default({ port })),
  'portfinder': async m => (await m.default.getPortPromise({ port, stopPort: port + 9 })),
}[process.argv[2]]
const found = await ask(await import(process.argv[2]))
const release = process.env.RELEASE
http.createServer((_, answer) => answer.end(`release ${release}\n`)).listen(found)
"""


@pytest.mark.soak
@pytest.mark.parametrize("package", ["detect-port", "get-port", "portfinder"])
def test_packages_that_look_for_a_free_port_find_their_own(
    host: Host, package: str
) -> None:
    """They bind and close it on each address of the host, and so does each release."""
    modules = npm.node_modules(ROOT / "rig" / "programs" / "free_ports")
    (host.directory / "node_modules").symlink_to(modules)
    (host.directory / "app.mjs").write_text(ASKING)
    port, argv = free_port(), ["node", "app.mjs", package]
    how = 'ready = "listening"\n'
    where = host.directory
    host.start("app", argv, port=port, directory=where, more=how)
    until(lambda: answers(port), "it answers")
    with run_load(port, engine.NEW, engine.KEEP_ALIVE) as under_load:
        under_load.wait_for_version("1")
        for release in ("2", "3"):
            host.declare(
                "app", argv, port=port, release=release, directory=where, more=how
            )
            host.ok("reload", "app.toml")
            under_load.wait_for_version(release)
        report = under_load.stop()
    assert report.lost == 0, str(report)
    assert host.app("app")["addresses"] == [f"[::]:{port}"]


def test_an_address_of_another_app_is_refused_by_its_name(host: Host) -> None:
    """Also where one of the two is wider."""
    port = free_port()
    start(host, port, PLACES=f"127.0.0.1:{port}")
    more = 'ready = "listening"'
    host.declare("other", ["python3", "threads.py"], port=port, release="1", more=more)
    text = (host.directory / "other.toml").read_text()
    places = 'PLACES = "0.0.0.0:PORT", RELEASE'
    (host.directory / "other.toml").write_text(text.replace("RELEASE", places))
    done = host.gapless("start", "other.toml")
    assert done.returncode == 1
    assert "belongs to the app app" in done.stdout + done.stderr
    assert "hint: an address has one app" in done.stdout + done.stderr


def test_a_port_for_each_instance_is_kept(host: Host) -> None:
    """Each seat listens where it did; fewer seats close their ports."""
    port = free_port()
    variables = {"PORT": port, "PLACES": "127.0.0.1:PORT"}
    more = 'instances = 3\nincrement_variable = "PORT"'
    start(host, port + 2, more, **variables)
    with run_load(port, *TRAFFIC) as under_load:
        under_load.wait_for_version("1")
        declare(host, 2, more, **variables)
        host.ok("reload", "app.toml")
        under_load.wait_for_version("2")
        host.ok("scale", "app", 2)
        host.ok("scale", "app", 1)
        host.ok("scale", "app", 3)
        report = under_load.stop()
    assert report.lost == 0, str(report)
    until(lambda: answers(port + 2), "the third instance answers")
    host.ok("scale", "app", 2)
    assert not answers(port + 2)
    assert answers(port + 1)


def test_a_port_that_the_file_changes_has_moved(host: Host) -> None:
    """The word that was the old port says that this is meant, and `check` foretells it."""
    old, new = free_port(), free_port()
    start(host, old, PORT=old)
    declare(host, 2, PORT=new)
    assert f"gives up 127.0.0.1:{old}" in host.ok("check", "app.toml")
    host.ok("reload", "app.toml")
    assert answers(new)
    assert not answers(old)


def test_a_recycle_closes_the_port_that_it_left(host: Host) -> None:
    """Nobody would accept there."""
    old, new = free_port(), free_port()
    start(host, old, "overlap = false", PORT=old)
    declare(host, 2, "overlap = false", PORT=new)
    host.ok("reload", "app.toml")
    assert answers(new)
    assert not answers(old)
    assert host.app("app")["addresses"] == [f"127.0.0.1:{new}"]


def test_a_port_that_moves_without_a_word_needs_one(host: Host, tmp_path: Path) -> None:
    """It is told soon, with the option that lets it; nothing is taken away before."""
    old, new, moved = free_port(), free_port(), tmp_path / "app.py"
    code = (APPS / "threads.py").read_text()

    def release(port: int) -> None:
        moved.write_text(
            code.replace('os.environ.get("PORT", sys.argv[-1])', f'"{port}"')
        )

    release(old)
    host.configure(
        f'[app.app]\ncommand = ["python3", "app.py"]\ndirectory = "{tmp_path}"\n'
        "min_healthy_s = 0.3\nready = { timeout_s = 6 }\n",
        "app.toml",
    )
    host.ok("start", "app.toml")
    until(lambda: answers(old), "it answers")
    release(new)
    done = host.gapless("reload", "app")
    assert done.returncode == 1
    assert f"--drop {old}" in done.stdout + done.stderr
    assert answers(old)
    host.ok("reload", "app", "--drop", old)
    assert answers(new)
    assert not answers(old)


def test_a_program_that_binds_what_listen_names_gets_that_socket(host: Host) -> None:
    """It need not know of LISTEN_FDS, and may have other addresses besides."""
    port, other = free_port(), free_port()
    more = f'listen = ["127.0.0.1:{port}"]'
    variables = {"PLACES": f"127.0.0.1:{port} 127.0.0.1:{other}"}
    start(host, other, more, **variables)
    with run_load(port, *TRAFFIC) as under_load, run_load(other, *TRAFFIC) as beside:
        under_load.wait_for_version("1")
        declare(host, 2, more, **variables)
        host.ok("reload", "app.toml")
        under_load.wait_for_version("2")
        beside.wait_for_version("2")
        assert under_load.stop().lost == 0
        assert beside.stop().lost == 0


CADDYFILE = """
{{
  admin 127.0.0.1:{admin}
  storage file_system {storage}
}}
http://127.0.0.1:{port} {{
  header X-Release "release {release}"
  respond "release {release}"
}}
"""


@pytest.mark.soak
@pytest.mark.parametrize("ready", ['"auto"', '"listening"'])
def test_caddy_loses_nothing(host: Host, tmp_path: Path, ready: str) -> None:
    """It binds its admin port first, and those of its sites when it has read them."""
    port, admin, file = free_port(), free_port(), tmp_path / "Caddyfile"

    def write(release: int) -> None:
        file.write_text(
            CADDYFILE.format(port=port, admin=admin, storage=tmp_path, release=release)
        )

    command = json.dumps(["caddy", "run", "--config", str(file)])
    host.configure(
        f"[app.caddy]\ncommand = {command}\nready = {ready}\n"
        f'environment = {{ HOME = "{tmp_path}" }}\nmin_healthy_s = 0.3\n'
    )
    write(1)
    host.ok("start", "gapless.toml")
    until(lambda: answers(port), "it answers")
    with run_load(port, engine.NEW, engine.KEEP_ALIVE) as under_load:
        under_load.wait_for_version("1")
        for release in (2, 3):
            write(release)
            host.ok("reload", "caddy")
            under_load.wait_for_version(str(release))
        report = under_load.stop()
    assert report.lost == 0, str(report)
