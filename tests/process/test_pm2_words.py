"""Words that name apps, files that are started again, lists that are saved."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import signal

from gapless.cli.verbs.machine import startup
from rig.fixtures.declarations import HTTP, Declarations
from rig.hosts.host import ORDINARY_USER
from rig.load import engine
from rig.load.process import run_load
from rig.wait import free_port, until


def test_what_a_command_is_about(declared: Declarations) -> None:
    """Names, ids, namespaces, patterns, files, standard input, several at once."""
    declared.write("idle.js", "setInterval(() => {}, 1000); process.send('ready')")
    idle = {"script": "idle.js", "wait_ready": True}
    declared.start(
        idle | {"name": "api-1", "namespace": "back"},
        idle | {"name": "api-2", "namespace": "back", "instances": 2},
        idle | {"name": "web app", "namespace": "front"},
    )
    host = declared.host

    def stopped() -> set[str]:
        rows = host.json("list")["apps"]
        return {row["name"] for row in rows if row["status"] == "stopped"}

    def stop(*words: str) -> set[str]:
        host.ok("stop", *words)
        found = stopped()
        for name in found:
            host.ok("start", name)
        return found

    assert stop("0") == {"api-1"}
    assert stop("back") == {"api-1", "api-2"}
    assert stop("/^web/") == {"web app"}
    assert stop("front", "api-1") == {"web app", "api-1"}
    assert stop("app.json") == {"api-1", "api-2", "web app"}
    one = host.app("api-2")["ids"][1]
    done = host.gapless("stop", one)
    assert done.returncode == 2
    assert "is one of 2 instances of api-2" in done.stderr
    assert host.gapless("stop", "/nobody/").returncode == 3
    assert "no regular expression" in host.gapless("stop", "/(/").stderr
    piped = json.dumps(idle | {"name": "piped"})
    host.ok("start", "-", standard_input=piped)
    assert host.status("piped") == "online"
    host.ok("start", "app.json", "--only", "api-1")
    assert host.app("api-1")["generation"] > 1


def test_a_file_starts_what_is_not_there_and_hands_over_what_is(
    declared: Declarations,
) -> None:
    """Instances, script and directory change with the file."""
    host = declared.host
    declared.start_listening(declared.http())
    below = host.directory / "below"
    below.mkdir()
    (below / "http.js").write_text(HTTP.replace("release ", "release below-"))
    declared.declare(
        declared.http(instances=3, cwd="below"),
        {"name": "new", "script": "http.js", "env": {"PORT": free_port()}},
    )
    with run_load(declared.port, engine.NEW, engine.KEEP_ALIVE) as under_load:
        under_load.wait_for_version("1")
        said = host.ok("start", "app.json")
        under_load.wait_for_version("below-1")
        assert under_load.stop().lost == 0
    assert "web: reload done" in said
    assert "new: start done" in said
    assert host.app("web")["instances"]["ready"] == 3


# --- what is kept -------------------------------------------------------------------


def test_save_and_resurrect(declared: Declarations) -> None:
    """What ran runs again, what was stopped is listed; only the owner reads the file."""
    host = declared.host
    declared.start(declared.http(), declared.http(autostart=False) | {"name": "off"})
    host.ok("save")
    dump = host.home / "dump.json"
    assert dump.stat().st_mode & 0o777 == 0o600
    host.ok("delete", "all")
    assert host.json("list")["apps"] == []
    host.ok("resurrect")
    assert (host.status("web"), host.status("off")) == ("online", "stopped")
    assert "nothing to do" in host.ok("resurrect")
    dump.write_text("{")
    done = host.gapless("resurrect")
    assert (done.returncode, "could not read" in done.stderr) == (1, True)


def test_startup_installs_a_unit(declared: Declarations) -> None:
    """The unit is enabled in an image by systemctl; --print prints what is written."""
    host = declared.host
    root = host.directory / "image"
    printed = host.ok("startup", "--print", "--home", "/srv/g")
    said = host.ok("startup", "--root", root, "--home", "/srv/g")
    unit = root / "etc/systemd/system/gapless-root.service"
    assert unit.read_text() == printed
    assert "Environment=GAPLESS_HOME=/srv/g" in printed
    assert "KillMode=process" in printed
    if "enabled" in said:
        wants = root / "etc/systemd/system/multi-user.target.wants"
        assert (wants / unit.name).is_symlink()
    host.ok("startup", "--root", root, "--remove")
    assert not unit.exists()


def test_the_line_that_pm2_prints_installs_a_unit(declared: Declarations) -> None:
    """`--hp` is the home directory, as there; its other options have their meaning."""
    host = declared.host
    host.command_prefix = ORDINARY_USER
    said = host.gapless("pm2", "startup", "systemd", "-u", "root", "--hp", "/srv/h")
    assert "sudo " in said.stderr
    assert "pm2 startup systemd -u root --hp /srv/h" in said.stderr
    args = ["--service-name", "web apps", "--wait-ip", "--hp", "/srv/h"]
    named = host.gapless("pm2", "startup", "-u", "root", *args)
    assert "/web\\x20apps.service" in named.stderr
    assert "--hp /srv/h --service-name 'web apps' --wait-ip" in named.stderr


def test_units_of_pm2s_options() -> None:
    """The unit that is written waits for the network, and names the home in the home."""
    args = argparse.ArgumentParser()
    startup.add_arguments(args)
    given = args.parse_args(["--print", "-u", "root"])
    given.user_home, given.wait_ip = "/srv/h/", True
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        startup.run(given)
    unit = printed.getvalue()
    assert "Environment=GAPLESS_HOME=/srv/h/.gapless\n" in unit
    assert "After=network-online.target\nWants=network-online.target\n" in unit


def test_env_is_applied_by_name_or_refused(declared: Declarations) -> None:
    """What cannot be applied is an error: no option is ignored."""
    declared.write("idle.js", "setInterval(() => {}, 1000); process.send('ready')")
    idle = {"script": "idle.js", "wait_ready": True, "name": "idle"}
    declared.start(idle | {"env": {"WHICH": "a"}, "env_b": {"WHICH": "b"}})
    host = declared.host
    host.ok("reload", "idle", "--env", "b")
    assert "WHICH=b" in host.ok("env", "idle")
    host.ok("reload", "idle")
    assert "WHICH=b" in host.ok("env", "idle")
    host.ok("start", "sleep", "--name", "bare", "--", "1000")
    host.ok("stop", "bare")
    for words, reason in (
        (("restart", "idle", "--env", "b"), "a restart keeps the configuration"),
        (("reload", "idle", "--only", "idle"), "--only chooses among the apps"),
        (("reload", "bare", "--env", "b"), "--env chooses within a PM2 file"),
        (("start", "bare", "--env", "b"), "--env chooses within a PM2 file"),
    ):
        done = host.gapless(*words)
        assert (done.returncode, reason in done.stderr) == (2, True), done.stderr


def test_reset_counts_from_zero(declared: Declarations) -> None:
    """Only the counter changes; the app is left alone."""
    declared.start(declared.http())
    host = declared.host
    pid = host.app("web")["pids"][0]
    os.kill(pid, signal.SIGKILL)
    until(lambda: host.row("web")["restarts"] == 1, "the restart")
    host.ok("reset", "web")
    assert host.app("web")["restarts"] == 0
    assert host.ok("pid", "web").split() == [str(p) for p in host.app("web")["pids"]]


def test_one_declaration_runs_in_two_profiles(declared: Declarations) -> None:
    """append_env_to_name: each is started, and reloaded in its own profile."""
    host, ports = declared.host, [free_port(), free_port()]
    app = declared.http(append_env_to_name=True)
    app |= {f"env_{n}": {"PORT": p, "P": n} for n, p in zip("ab", ports, strict=True)}
    declared.declare(app)
    for profile in ("a", "b", "b"):
        host.ok("start", "app.json", "--env", profile)
    assert [host.app(f"web-{name}")["generation"] for name in "ab"] == [1, 2]
    host.ok("reload", "app.json")
    assert [host.app(f"web-{name}")["generation"] for name in "ab"] == [2, 3]
    assert [host.json("env", f"web-{name}")["P"] for name in "ab"] == ["a", "b"]


def test_start_without_a_target_takes_the_file_that_is_there(
    declared: Declarations,
) -> None:
    """As PM2 does; if there is none, the error lists the names."""
    done = declared.host.gapless("start")
    assert done.returncode == 2
    assert "gapless.toml, ecosystem.config.js" in done.stderr
    declared.write("idle.js", "setInterval(() => {}, 1000)")
    text = "module.exports = { apps: [{ name: 'idle', script: 'idle.js' }] }"
    declared.write("ecosystem.config.js", text)
    declared.host.ok("start")
    assert declared.host.status("idle") == "online"
