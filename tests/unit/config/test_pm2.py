"""Fields of declarations for PM2: values, defaults, spellings, effects."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gapless.config.choice import Choice
from gapless.config.declarations import declaration_file
from gapless.config.pm2 import dates, fields
from gapless.supervisor.memory import spec
from rig.fixtures.project import Project
from rig.hosts.host import ROOT

CPUS = len(os.sched_getaffinity(0))


def value(built: spec.AppSpec, path: str) -> Any:
    """Return a field of a spec by its dotted path."""
    found: Any = built
    for name in path.split("."):
        found = getattr(found, name)
    return found


PLAIN = [
    # field, value, where, what
    ("name", "shop", "name", "shop"),
    ("name", "my shop:1", "name", "my shop:1"),
    ("namespace", "web", "namespace", "web"),
    ("args", "a 'b c' --d", "command", ("node", "index.js", "a", "b c", "--d")),
    ("args", ["a", 1, "b c"], "command", ("node", "index.js", "a", "1", "b c")),
    ("node_args", "--expose-gc", "command", ("node", "--expose-gc", "index.js")),
    ("env_file", ".env", "environment_files", (".env",)),
    ("env_file", [".env", "-more"], "environment_files", (".env", "-more")),
    ("gapless", {"environment_file": ".env"}, "environment_files", (".env",)),
    ("gapless", {"umask": "027"}, "umask", "027"),
    ("gapless", {"limits": {"open_files": 9000}}, "limits.open_files", 9000),
    ("instances", 3, "instances", 3),
    ("instances", "3", "instances", 3),
    ("instances", 0, "instances", CPUS),
    ("instances", "max", "instances", CPUS),
    ("instances", -1, "instances", max(1, CPUS - 1)),
    ("instances", -99, "instances", 1),
    ("exec_mode", "cluster", "mode", "cluster"),
    ("exec_mode", "cluster_mode", "mode", "cluster"),
    ("exec_mode", "fork", "mode", "fork"),
    ("autorestart", False, "restart.automatic", False),
    ("autostart", False, "autostart", False),
    ("max_restarts", 5, "restart.max", 4),
    ("max_restarts", 0, "restart.max", 0),
    ("max_restarts", 5, "restart.first", True),
    ("restart_delay", 100, "restart.first", True),
    ("restart_delay", 0, "restart.first", False),
    ("exp_backoff_restart_delay", 100, "restart.first", True),
    ("min_uptime", 5000, "restart.first", False),
    ("out", "o.log", "log.own", ("output",)),
    ("log_file", True, "log.own", ()),
    ("gapless", {"log": {"rotate_mb": 1}}, "log.rotate_bytes", 1 << 20),
    ("gapless", {"log": {}}, "log.rotate_own", True),
    ("min_uptime", 5000, "restart.min_uptime_s", 5.0),
    ("min_uptime", "5000", "restart.min_uptime_s", 5.0),
    ("min_uptime", "10s", "restart.min_uptime_s", 10.0),
    ("min_uptime", "2m", "restart.min_uptime_s", 120.0),
    ("min_uptime", "1h", "restart.min_uptime_s", 3600.0),
    ("restart_delay", 1500, "restart.delay_s", 1.5),
    ("restart_delay", 0, "restart.delay_s", 0.0),
    ("exp_backoff_restart_delay", 100, "restart.backoff_s", 0.1),
    ("stop_exit_codes", [0, 143], "restart.stop_exit_codes", (0, 143)),
    ("stop_exit_codes", 3, "restart.stop_exit_codes", (3,)),
    ("max_memory_restart", 1000, "renew.memory_bytes", 1000),
    ("max_memory_restart", "300K", "renew.memory_bytes", 300 << 10),
    ("max_memory_restart", "200M", "renew.memory_bytes", 200 << 20),
    ("max_memory_restart", "1G", "renew.memory_bytes", 1 << 30),
    ("cron_restart", "0 3 * * *", "renew.cron", "0 3 * * *"),
    ("cron_restart", "0", "renew.cron", ""),
    ("cron_restart", 0, "renew.cron", ""),
    ("kill_timeout", 5000, "stop.kill_timeout_s", 5.0),
    ("kill_timeout", "5000", "stop.kill_timeout_s", 5.0),
    ("kill_timeout", 0, "stop.kill_timeout_s", 0.0),
    ("wait_ready", True, "ready.when", spec.When.NOTIFY),
    ("listen_timeout", 5000, "ready.timeout_s", 5.0),
    ("shutdown_with_message", True, "stop.message", True),
    ("treekill", False, "stop.tree", False),
    ("watch_delay", 1000, "renew.watch_delay_s", 1.0),
    ("ignore_watch", ["logs", "*.tmp"], "renew.ignore", ("logs", "*.tmp")),
    ("ignore_watch", "logs", "renew.ignore", ("logs",)),
    ("watch", False, "renew.watch", ()),
    ("instance_var", "INSTANCE_ID", "instance_variable", "INSTANCE_ID"),
    ("increment_var", "PORT", "increment_variable", "PORT"),
    ("pid_file", "/run/shop.pid", "pid_file", "/run/shop.pid"),
    ("out_file", "/var/log/o.log", "log.output", "/var/log/o.log"),
    ("error_file", "/var/log/e.log", "log.error", "/var/log/e.log"),
    ("uid", "www-data", "user", "www-data"),
    ("uid", 33, "user", "33"),
    ("gid", "www-data", "group", "www-data"),
    ("merge_logs", True, "log.by_instance", False),
    ("merge_logs", False, "log.by_instance", True),
    ("log_date_format", "YY-MM-DD HH:mm:ss", "log.date_format", "%y-%m-%d %H:%M:%S"),
    ("time", True, "log.date_format", "%Y-%m-%dT%H:%M:%S"),
    ("log_type", "json", "log.format", "pm2-json"),
    ("out_file", "/dev/null", "log.output", "NULL"),
    ("error_file", "NULL", "log.error", "NULL"),
    ("disable_logs", True, "log.output", "NULL"),
]
DEFAULTS = {
    "name": "index",
    "namespace": "default",
    "command": ("node", "index.js"),
    "instances": 1,
    "mode": "fork",
    "autostart": True,
    "restart.automatic": True,
    "restart.max": 15,
    "restart.min_uptime_s": 1.0,
    "restart.delay_s": None,
    "restart.backoff_s": 0.0,
    "restart.stop_exit_codes": (),
    "renew": spec.Renew(),
    "stop.signal": "SIGINT",
    "stop.message": False,
    "stop.kill_timeout_s": 1.6,
    "stop.tree": True,
    "ready.when": spec.When.AUTO,
    "ready.timeout_s": 30.0,
    "log.format": "plain",
    "log.date_format": "",
    "log.combined": "",
    "log.by_instance": False,
    "announce": True,
    "preload": True,
    "survives_rejections": True,
}


@pytest.mark.parametrize(("field", "declared", "where", "expected"), PLAIN)
def test_a_field_means_what_pm2_says(
    project: Project, field: str, declared: Any, where: str, expected: Any
) -> None:
    """Each field gives the expected part of the spec, without a warning."""
    assert value(project.one(**{field: declared}), where) == expected
    assert not project.warnings


def test_defaults_are_those_of_pm2(project: Project) -> None:
    """A field that is not set has the default of the table in docs/pm2.md."""
    built = project.one()
    assert {path: value(built, path) for path in DEFAULTS} == DEFAULTS
    logs = project.home / "logs"
    assert built.log.output == str(logs / "index-out.log")
    assert built.log.error == str(logs / "index-error.log")
    assert built.pid_file == str(project.home / "pids" / "index.pid")
    assert built.declared_directory == str(project.directory)


@pytest.mark.parametrize("field", [f for f in fields.FIELDS if f.star])
def test_every_field_that_a_drop_in_needs_is_tested_here(field: fields.Field) -> None:
    """A starred field has a case or a test in this file."""
    here = Path(__file__).read_text()
    assert f'("{field.name}"' in here or f"test_{field.name.rstrip('_*')}" in here


def test_script_is_a_file_a_program_or_a_line(project: Project) -> None:
    """The extension, PATH or bash decide; an executable without extension runs itself."""
    assert project.one("job.py").command == ("python3", "job.py")
    assert project.one("run.sh").command == ("bash", "run.sh")
    assert project.one("sleep", args="9").command == ("sleep", "9")
    line = project.one("sleep 9 && true", name="x")
    assert line.command == ("bash", "-c", "sleep 9 && true")
    tool = project.directory / "tool"
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    assert project.one("tool").command == ("./tool",)
    assert project.one("tool", interpreter="none").command == ("./tool",)
    absolute = str(project.directory / "index.js")
    assert project.one(absolute).command == ("node", absolute)
    assert "there is no file" in project.complaint(script="not-there.js")


@pytest.mark.parametrize("alias", ["exec", "cmd", "command"])
def test_script_has_aliases(project: Project, alias: str) -> None:
    """All of PM2's names for `script` are accepted."""
    (built,) = project.load({alias: "index.js"}).values()
    assert built.command == ("node", "index.js")


def test_exec_interpreter(project: Project) -> None:
    """An interpreter is a name, a path or none; a missing one is an error."""
    assert project.one("index.js", interpreter="bash").command[0] == "bash"
    python = sys.executable
    assert project.one("job.py", exec_interpreter=python).command[0] == python
    assert "there is no 'node@99'" in project.complaint(interpreter="node@99")
    assert "not executable" in project.complaint(interpreter="none")
    if project.one("job.py", interpreter="python").command[0] not in (
        "python",
        "python3",
    ):
        pytest.fail("python is python3 where there is no other")


def test_every_spelling_of_a_field_is_understood(project: Project) -> None:
    """A field may be written in snake_case, in camelCase or by an alias."""
    for field in fields.FIELDS:
        for alias in field.aliases:
            assert fields.BY_NAME[alias] is field
    assert project.one(killTimeout=2000).stop.kill_timeout_s == 2.0
    assert project.one(maxMemoryRestart="1M").renew.memory_bytes == 1 << 20
    assert project.one(cron="* * * * *").renew.cron == "* * * * *"
    for name in ("out", "output", "out_log", "outFile"):
        assert project.one(**{name: "x.log"}).log.output.endswith("/project/x.log")


def test_cwd_and_what_is_relative_to_it(project: Project) -> None:
    """Paths are relative to cwd, and cwd to the directory of the command."""
    below = project.directory / "below"
    below.mkdir()
    (below / "index.js").write_text("")
    built = project.one(
        cwd="below", out_file="o.log", pid_file="p.pid", watch=["src"], log_file="c.log"
    )
    assert built.directory == str(below)
    assert built.log.output == f"{below}/o.log"
    assert built.log.combined == f"{below}/c.log"
    assert built.pid_file == f"{below}/p.pid"
    assert built.renew.watch == (f"{below}/src",)
    assert project.one(cwd="below", watch=True).renew.watch == (str(below),)
    assert "there is no directory" in project.complaint(cwd="not-there")


def test_cwd_keeps_the_link_of_a_release(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The spec keeps the link, so that each generation follows it again."""
    link = project.directory.parent / "current"
    link.symlink_to(project.directory)
    monkeypatch.chdir(link)
    monkeypatch.setenv("PWD", str(link))
    built = project.one()
    assert (built.declared_directory, built.directory) == (
        str(link),
        str(project.directory),
    )
    assert built.config_file == str(link / "app.json")


def test_a_script_beside_its_file_is_found(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The script is found beside its file from any working directory."""
    text = json.dumps({"script": "index.js"})
    (project.directory / "app.json").write_text(text)
    monkeypatch.chdir("/")
    monkeypatch.setenv("PWD", "/")
    source = declaration_file(str(project.directory / "app.json"))
    choice = Choice(environment=project.environment)
    (built,) = source.load(choice).apps.values()
    assert built.directory == str(project.directory)


def test_node_maps_stack_traces_where_there_is_a_map(project: Project) -> None:
    """Unless it is turned off; what is not Node knows no such option."""
    option = "--enable-source-maps"
    assert option not in project.one().command
    assert option in project.one(source_map_support=True).command
    (project.directory / "index.js.map").write_text("{}")
    assert option in project.one().command
    assert option not in project.one(disable_source_map_support=True).command
    assert option not in project.one(source_map_support=False).command


def test_static_files_are_an_app(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The script `serve`, but for a file of that name; a missing package is named."""
    (project.directory / "public").mkdir()
    env = {"PM2_SERVE_PATH": "public"}
    built = project.one(script="serve", env=env)
    assert built.command[1:] == ("-P", "-m", "gapless.static_site")
    assert built.ready.when.value == "listening"
    path = {"PM2_SERVE_PATH": str(project.directory / "public")}
    assert project.one(script="serve", env=path).command[-1] == path["PM2_SERVE_PATH"]
    assert "no directory" in project.complaint(
        script="serve", env={"PM2_SERVE_PATH": "nothing"}
    )
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert "not installed: starlette" in project.complaint(script="serve", env=env)
    own = project.directory / "serve"
    own.write_text("#!/bin/sh\n")
    own.chmod(0o755)
    assert project.one(script="serve").command == ("./serve",)


def test_env_becomes_text(project: Project) -> None:
    """Values are written as in JavaScript; a variable that is null is not set."""
    env = {"A": 1, "B": True, "C": {"x": [1, "y"]}, "D": "d", "E": None, "F": 1.5}
    built = project.one(env=env, port=3000)
    own = {name: built.environment[name] for name in built.configured}
    assert own == {
        "A": "1",
        "B": "true",
        "C": '{"x":[1,"y"]}',
        "D": "d",
        "F": "1.5",
        "PORT": "3000",
    }
    assert built.environment["SHELL"] == "sh"


def test_env_of_a_profile_is_laid_over(project: Project) -> None:
    """--env NAME lays env_NAME over env; an unknown NAME gives a warning."""
    declared: dict[str, Any] = {
        "env": {"A": "1", "B": "1"},
        "env_production": {"B": "2"},
    }
    built = project.one(**declared, profile="production")
    assert (built.environment["A"], built.environment["B"]) == ("1", "2")
    assert built.profile == "production"
    assert project.one(**declared).environment["B"] == "1"
    project.one(**declared, profile="staging")
    assert "--env staging finds no such field; it has: production" in str(
        project.warnings
    )
    named = project.one(append_env_to_name=True, name="x", profile="production")
    assert named.name == "x-production"


def test_env_file_is_a_file_or_the_profile_of_that_name(project: Project) -> None:
    """PM2 knows it only as the variables of `--env file`."""
    built = project.one(env_file={"A": "1"}, profile="file")
    assert built.environment_files == ()
    assert built.environment["A"] == "1"
    both = project.one(env_file=".env", gapless={"environment_file": ["-b"]})
    assert both.environment_files == (".env", "-b")
    for wrong in ({"umask": 27}, {"umask": "9"}, {"environment_file": ["-"]}):
        assert project.complaint(gapless=wrong)


def test_filter_env(project: Project) -> None:
    """`true`, a name or parts of names filter the shell's variables; PATH and HOME stay."""
    project.environment |= {"AWS_KEY": "1", "LANG": "C"}
    assert set(project.one(filter_env=True).environment) == {"PATH", "HOME"}
    assert "AWS_KEY" not in project.one(filter_env="AWS_KEY").environment
    left = project.one(filter_env=["AWS", "LA"]).environment
    assert set(left) == {"PATH", "HOME", "SHELL"}


def test_exec_mode_and_merge_logs_follow_from_instances(project: Project) -> None:
    """Node with `instances` is a cluster; only a fork without `instances` has one log."""
    assert project.one(instances=1).mode == "cluster"
    assert project.one(instances=1).log.by_instance
    assert project.one("job.py", instances=2).mode == "fork"
    assert project.one("job.py", instances=2).log.by_instance
    assert not project.one("job.py").log.by_instance


def test_growing_delays_go_on_for_ever(project: Project) -> None:
    """With growing delays restarts are unlimited, unless max_restarts is set."""
    assert project.one(exp_backoff_restart_delay=100).restart.max > 1_000_000
    limited = project.one(exp_backoff_restart_delay=100, max_restarts=3)
    assert limited.restart.max == 2


def test_pm2s_own_variables_are_read(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PM2's variables change defaults, not values in a file."""
    monkeypatch.setenv("PM2_KILL_TIMEOUT", "2500")
    monkeypatch.setenv("PM2_KILL_SIGNAL", "SIGTERM")
    monkeypatch.setenv("PM2_GRACEFUL_LISTEN_TIMEOUT", "7000")
    built = project.one()
    assert (built.stop.kill_timeout_s, built.stop.signal) == (2.5, "SIGTERM")
    assert built.ready.timeout_s == 7.0
    assert project.one(kill_timeout=100).stop.kill_timeout_s == 0.1
    monkeypatch.setenv("PM2_KILL_USE_MESSAGE", "1")
    monkeypatch.setenv("PM2_NODE_OPTIONS", "--expose-gc")
    monkeypatch.setenv("PM2_PROCESS_INSTANCE_VAR", "NUMBER")
    built = project.one()
    assert built.stop.message
    assert built.command == ("node", "--expose-gc", "index.js")
    assert built.instance_variable == "NUMBER"
    assert not project.one(shutdown_with_message=False).stop.message
    assert not project.one("job.py").stop.message, "it cannot hear a message"


def test_what_pm2_has_no_field_for(project: Project) -> None:
    """The field `gapless` holds the settings that PM2 has no field for."""
    extra = {"health": "/health", "drain_timeout_s": 60, "preload": False}
    extra |= {"affinity": "address", "checks_port": True}
    built = project.one(gapless=extra | {"outgoing": [5432], "shared_files": ["data"]})
    assert built.outgoing == (5432,)
    assert built.shared_files == ("data",)
    assert (built.ready.when, built.ready.path) == (spec.When.HTTP, "/health")
    assert built.stop.drain_timeout_s == 60
    assert not built.preload
    assert built.affinity is spec.Affinity.ADDRESS
    assert built.checks_port
    assert "known keys: health" in project.complaint(gapless={"helth": "/"})


def test_a_health_path_is_not_in_place_of_a_message(project: Project) -> None:
    """Whoever waits for `ready` is not told that something else was waited for."""
    message = "shop: gapless.health: wait_ready: true waits for process.send('ready')"
    assert message in project.complaint(wait_ready=True, gapless={"health": "/"})
    built = project.one(wait_ready=False, gapless={"health": "/"})
    assert built.ready.when is spec.When.HTTP
    two = {"when": {"http": "/a"}, "http": "/b"}
    assert "gapless.alive: two paths" in project.complaint(gapless={"alive": two})


def test_limits_and_order_are_those_of_a_gapless_toml(project: Project) -> None:
    """Other apps are named as in the file, whatever their names are here."""
    web = {
        "name": "web",
        "script": "index.js",
        "append_env_to_name": True,
        "gapless": {"after": ["db"], "limits": {"memory_mb": 64, "cpu_percent": 50}},
    }
    db = {"name": "db", "script": "job.py", "append_env_to_name": True, "env_x": {}}
    built = project.load([web | {"env_x": {}}, db], profile="x", only=("web",))["web-x"]
    assert built.after == ("db-x",)
    assert (built.limits.memory_bytes, built.limits.cpu_percent) == (64 << 20, 50)
    message = "shop: gapless.after: there is no app 'db' in this file; it has shop"
    assert message in project.complaint(gapless={"after": ["db"]})
    assert "gapless" in project.complaint(gapless={"limits": {"memory_mb": 0}})


def test_liveness_is_asked_as_the_field_gapless_says(project: Project) -> None:
    """The keys are those of a gapless.toml."""
    asks = {"http": "/up", "every_s": 5, "failures": 2}
    built = project.one(gapless={"alive": asks})
    assert built.alive == spec.Alive(
        when=spec.Asks.HTTP, path="/up", every_s=5, failures=2
    )
    assert project.one(gapless={"alive": "listening"}).alive.when is (
        spec.Asks.LISTENING
    )
    assert "alive" in project.complaint(gapless={"alive": {"every": 5}})


# --- dates --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("YYYY-MM-DD HH:mm:ss.SSS Z", "%Y-%m-%d %H:%M:%S.%L %:z"),
        ("YY/M/D h:m:s A", "%y/%-m/%-d %-I:%-M:%-S %p"),
        ("dddd, MMMM D [at] HH[h]", "%A, %B %-d at %Hh"),
        ("100%", "100%%"),
    ],
)
def test_date_formats_are_translated(pattern: str, expected: str) -> None:
    """Tokens of day.js are translated, the longest first; text in brackets stays."""
    assert dates.strftime_format(pattern) == expected


# --- the page -----------------------------------------------------------------------


EFFECTS = {
    fields.Effect.SAME: "as PM2",
    fields.Effect.BETTER: "differs",
    fields.Effect.NONE: "no effect",
}


def test_the_page_has_the_same_table() -> None:
    """docs/pm2.md has the names, default, effect and text of every field."""
    page = (ROOT / "docs" / "pm2.md").read_text()
    for field in fields.FIELDS:
        names = ", ".join(f"`{name}`" for name in (field.name, *field.aliases))
        star = " ★" if field.star else ""
        effect = EFFECTS[field.effect]
        row = f"| {names}{star} | {field.default or '-'} | {effect} | {field.says} |"
        assert row in page, row


def test_reading_configuration_costs_the_supervisor_nothing() -> None:
    """The supervisor does not import the parsers of files."""
    code = "import sys, gapless.supervisor.loop; print('json5' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"
