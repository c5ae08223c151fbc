"""What `gapless init` writes for a file for PM2 means the same as that file."""

from __future__ import annotations

import json
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gapless.config import site
from gapless.config.choice import Choice
from gapless.config.detect import pm2
from gapless.config.pm2.gapless_field import GaplessField
from gapless.config.pm2.pm2_file import Pm2File
from gapless.config.toml.toml_file import TomlFile
from gapless.supervisor.memory.spec import AppSpec, Log

SHELL = {"PATH": "/usr/bin:/bin"}
FULL = {
    "name": "api",
    "script": "./app.py",
    "args": ["--queue", 'a "b"'],
    "cwd": "sub",
    "namespace": "shop",
    "instances": 3,
    "env": {"PORT": 3000, "A": "1", "B": 'x"\\\n', "C D": "é\x7f"},
    "env_file": ["-.env"],
    "error_file": "logs/err.log",
    "out_file": "/var/log/out.log",
    "log_date_format": "YYYY-MM-DD",
    "merge_logs": False,
    "pid_file": "run/api.pid",
    "max_restarts": 5,
    "min_uptime": 2000,
    "restart_delay": 1500,
    "stop_exit_codes": [0, 3],
    "autorestart": False,
    "kill_timeout": 9000,
    "shutdown_with_message": True,
    "treekill": False,
    "wait_ready": True,
    "listen_timeout": 12000,
    "max_memory_restart": "300M",
    "cron_restart": "0 4 * * *",
    "watch": ["src", "/etc/hosts"],
    "ignore_watch": ["*.log"],
    "watch_delay": 1000,
    "instance_var": "NUMBER",
    "increment_var": "PORT",
    "uid": "nobody",
    "gid": "nogroup",
    "gapless": {
        "alive": {"http": "/health", "every_s": 5},
        "drain_timeout_s": 120,
        "drops": [9229, "127.0.0.1:9230"],
        "umask": "027",
        "outgoing": [5432],
        "min_healthy_s": 0.5,
        "overlap": False,
        "shared_files": ["data/*"],
        "takeover": False,
        "affinity": "address",
        "preload": False,
        "interception": False,
        "limits": {"open_files": 1024, "core_mb": 1, "memory_mb": 64.5},
        "log": {"rotate_mb": 1.5, "rotate_hours": 24, "keep": 7},
    },
}
CASES: dict[str, list[dict[str, Any]]] = {
    "least": [{"script": "app.py"}],
    "full": [FULL],
    "two": [
        {"name": "a b", "script": "app.py", "gapless": {"health": "/up"}},
        {"script": "sleep 1; sleep 2", "gapless": {"after": ["a b"]}},
    ],
    "backoff": [{"script": "app.py", "exp_backoff_restart_delay": 100}],
    "no logs": [{"script": "app.py", "disable_logs": True}],
    "all processors": [{"script": "app.py", "instances": "max"}],
    "same names": [{"name": "x", "script": "app.py"}, {"name": "x", "script": "ls"}],
    "by notify": [{"script": "app.py", "wait_ready": True}],
    "a shared port": [
        {"name": "a", "script": "app.py", "gapless": {"share_ports": "web"}},
        {
            "name": "b",
            "script": "app.py",
            "exec_mode": "cluster",
            "interpreter": "node",
        },
    ],
    "a port that is asked for": [
        {"script": "app.py", "gapless": {"checks_port": True}},
        {
            "name": "b",
            "script": "app.py",
            "interpreter": "node",
            "gapless": {"unhandled_rejections": "strict", "environment_file": ".env"},
        },
    ],
}


def directory(tmp_path: Path) -> Path:
    """Return a directory with a program in it, and one below it."""
    for each in (tmp_path, tmp_path / "sub"):
        each.mkdir(exist_ok=True)
        (each / "app.py").write_text("")
    return tmp_path


def converted(
    folder: Path, apps: list[dict[str, Any]], profile: str = ""
) -> tuple[dict[str, AppSpec], dict[str, AppSpec], str]:
    """Return the specs of a declaration, and of what is written for it."""
    file = folder / "app.json"
    file.write_text(json.dumps({"apps": apps}))
    choice = Choice(environment=SHELL, started_in=str(folder), profile=profile)
    source = Pm2File(str(file), str)
    before = source.load(choice)
    declared = [
        pm2.Declared(spec=each, declaration=source.declared[each.label or name])
        for name, each in before.apps.items()
    ]
    text = pm2.write(source.file, profile, declared, before.warnings)
    (folder / "gapless.toml").write_text(text)
    after = TomlFile(str(folder / "gapless.toml"), str).load(choice)
    return before.apps, after.apps, text


def comparable(built: AppSpec, *, logs: bool, pid_file: bool) -> AppSpec:
    """Return a spec without what is of PM2 alone, and without defaults that differ.

    Where a file names its *logs* or its *pid_file*, they are compared too.
    """
    log = replace(built.log, own=(), rotate_own=False) if logs else Log()
    most = 16 if built.restart.max == 15 else built.restart.max
    return replace(
        built,
        config_file="",
        started_in="",
        label="",
        alias="",
        profile="",
        mode="",
        announce=False,
        autostart=True,
        survives_rejections=False,
        pid_file=built.pid_file if pid_file else "",
        log=log,
        restart=replace(built.restart, max=most),
    )


@pytest.mark.parametrize("name", CASES)
def test_it_means_the_same(tmp_path: Path, name: str) -> None:
    """But for what has no key: that is in the comments."""
    before, after, _ = converted(directory(tmp_path), CASES[name])
    is_full = name == "full"
    expected, found = (
        {n: comparable(each, logs=is_full, pid_file=is_full) for n, each in of.items()}
        for of in (before, after)
    )
    assert found == expected
    if name == "no logs":
        assert {after["app"].log.output, after["app"].log.error} == {"NULL"}
    elif name == "all processors":
        assert 'instances = "cpus"' in (tmp_path / "gapless.toml").read_text()


def test_every_key_of_the_field_gapless_is_in_a_case() -> None:
    """A new one is converted too."""
    given = [each.get("gapless", {}) for case in CASES.values() for each in case]
    known = {each.name for each in msgspec.structs.fields(GaplessField)}
    assert {key for each in given for key in each} == known


def test_what_has_no_key_is_a_comment(tmp_path: Path) -> None:
    """Profiles that were not chosen, fields without an effect, and PM2's own ways."""
    app = {
        "name": "x",
        "script": "app.py",
        "interpreter": "node",
        "autostart": False,
        "filter_env": True,
        "log_file": True,
        "out_file": "o.log",
        "env_production": {"A": 1},
        "env_test": {"A": 2},
        "watch_options": {"a": 1},
    }
    folder = directory(tmp_path)
    _, after, text = converted(folder, [app], "production")
    assert after["x"].environment["A"] == "1"
    for words in (
        "watch_options",
        "autostart",
        "filter_env",
        "log_file: true",
        "--env test",
        "rejection",
    ):
        assert any(words in line for line in text.splitlines() if line[:1] == "#")
    assert "--env production" not in text


@pytest.mark.parametrize(
    ("fields", "rotates", "is_told"),
    [
        ({"out_file": "o.log", "error_file": "e.log"}, False, False),
        ({"out_file": "o.log", "error_file": "NULL"}, False, False),
        ({"error_file": "e.log"}, True, True),
        ({"error_file": "NULL"}, True, False),
        ({"log_file": "all.log"}, True, True),
        ({"out_file": "o.log", "gapless": {"log": {"keep": 1}}}, True, False),
    ],
)
def test_a_log_of_gapless_does_not_grow_without_end(
    tmp_path: Path, fields: dict[str, Any], rotates: bool, is_told: bool
) -> None:
    """Where one stream has a file of the user's, the other one's is moved aside still."""
    folder = directory(tmp_path)
    _, after, text = converted(folder, [{"name": "x", "script": "app.py", **fields}])
    assert bool(after["x"].log.rotate_bytes) is rotates
    assert ("are moved aside at 10 MB too" in text) is is_told


def test_static_files_stay_static_files(tmp_path: Path) -> None:
    """`serve` is a script of PM2, which is a program of ours."""
    folder = directory(tmp_path)
    app = {"name": "site", "script": "serve", "env": {site.PATH: ".", site.PORT: 8080}}
    before, after, _ = converted(folder, [app])
    assert after["site"].command == before["site"].command
    assert after["site"].ready == before["site"].ready


ODD = st.text(max_size=12).filter(lambda text: "\0" not in text)


@given(
    words=st.lists(ODD, max_size=3),
    variables=st.dictionaries(
        ODD.filter(lambda k: k and "=" not in k), ODD, max_size=6
    ),
)
@settings(max_examples=60)
def test_every_text_is_the_same_text(
    tmp_path_factory: pytest.TempPathFactory,
    words: list[str],
    variables: dict[str, str],
) -> None:
    """Quotes, line ends, control characters: whatever the file has."""
    folder = directory(tmp_path_factory.getbasetemp() / "odd")
    app = {"name": "x", "script": "app.py", "args": words, "env": variables}
    before, after, text = converted(folder, [app])
    tomllib.loads(text)
    assert after["x"].command == before["x"].command
    assert after["x"].environment == before["x"].environment
