"""The environment, log paths and pid files of an instance."""

from __future__ import annotations

import subprocess

import pytest

from gapless.supervisor.act import environment, log_settings, pid_files
from gapless.supervisor.memory import spec


def app(**fields: object) -> spec.AppSpec:
    """Return an app with three instances."""
    plain = {
        "name": "shop",
        "command": ("node", "a.js"),
        "directory": "/",
        "instances": 3,
    }
    return spec.AppSpec(**{**plain, **fields})  # type: ignore[arg-type]  # fields of it


def variables(wanted: spec.AppSpec, ordinal: int, **from_files: str) -> dict[str, str]:
    """Return the environment of one instance."""
    return environment.variables(
        wanted,
        from_files,
        key="shop/1/0/1",
        generation=1,
        ordinal=ordinal,
        identity=7 + ordinal,
        home="/home",
    )


def test_instance_var_and_increment_var() -> None:
    """Both variables grow by one from the first instance to the next."""
    wanted = app(
        instance_variable="ID", increment_variable="PORT", environment={"PORT": "3000"}
    )
    found = [variables(wanted, ordinal) for ordinal in range(3)]
    assert [each["ID"] for each in found] == ["0", "1", "2"]
    assert [each["NODE_APP_INSTANCE"] for each in found] == ["0", "1", "2"]
    assert [each["PORT"] for each in found] == ["3000", "3001", "3002"]
    absent = app(increment_variable="N")
    assert [variables(absent, ordinal)["N"] for ordinal in range(3)] == ["0", "1", "2"]


def test_the_apps_own_variables_come_before_files_and_the_shell() -> None:
    """What the shell had is the least, gapless's own variables are the last word."""
    wanted = app(
        environment={"A": "shell", "B": "shell", "C": "own"},
        configured=("C",),
        increment_variable="PORT",
    )
    found = variables(wanted, 1, B="file", C="file", PORT="80", GAPLESS_APP="file")
    assert [found[name] for name in "ABC"] == ["shell", "file", "own"]
    assert (found["PORT"], found["GAPLESS_APP"]) == ("81", "shop")


def test_the_variables_of_a_login_are_those_of_the_apps_user() -> None:
    """But for those that the app sets itself, and not for an app without a user."""
    names = ("HOME", "USER", "LOGNAME", "SHELL")
    shell = {"HOME": "/home/me", "XDG_RUNTIME_DIR": "/run/user/0", "PATH": "/bin"}
    assert environment.of_its_user(app(environment=shell), {}) == ()
    assert variables(app(environment=shell), 0)["XDG_RUNTIME_DIR"] == "/run/user/0"
    other = app(user="www-data", environment=shell)
    assert environment.of_its_user(other, {}) == names
    found = variables(other, 0)
    assert "XDG_RUNTIME_DIR" not in found
    assert found["PATH"] == "/bin"
    own = app(user="www-data", environment=shell, configured=("HOME",))
    assert environment.of_its_user(own, {"SHELL": "/bin/sh"}) == ("USER", "LOGNAME")
    kept = app(
        user="www-data", environment=shell, configured=("HOME", "XDG_RUNTIME_DIR")
    )
    assert variables(kept, 0)["XDG_RUNTIME_DIR"] == "/run/user/0"


def test_what_pm2_tells_a_program() -> None:
    """An app that was declared for PM2 gets its name, namespace and id."""
    told = variables(app(announce=True, namespace="web"), 1)
    assert (told["name"], told["namespace"], told["pm_id"]) == ("shop", "web", "8")
    assert "pm_id" not in variables(app(), 1)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/l/shop.log", "/l/shop-4.log"),
        ("/l/shop-out.log", "/l/shop-out-4.log"),
        ("/l/shop.txt", "/l/shop.txt"),  # as PM2 does
        ("NULL", "NULL"),
    ],
)
def test_logs_by_instance(path: str, expected: str) -> None:
    """The id goes before `.log`; a path without it stays."""
    assert log_settings.log_path(path, 4) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [("/r/shop.pid", "/r/shop-4.pid"), ("/r/shop", "/r/shop-4")],
)
def test_pid_files(path: str, expected: str) -> None:
    """The id goes before `.pid` or at the end, so that each instance has its own file."""
    assert pid_files.path_of(path, 4) == expected


@pytest.mark.parametrize(
    "name", ["plain.js", "with space.js", 'quote".js', "back\\.js"]
)
def test_node_options_are_understood_by_node(tmp_path: object, name: str) -> None:
    """Node reads the preload after the options that were set before."""
    path = f"{tmp_path}/{name}"
    with open(path, "w", encoding="utf-8") as file:
        file.write("console.log('loaded');")
    options = environment.with_preload("--no-deprecation", path)
    done = subprocess.run(
        ["node", "-e", "console.log(process.noDeprecation)"],
        env={"NODE_OPTIONS": options, "PATH": "/usr/local/bin:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "loaded\ntrue\n", done.stderr
    assert environment.with_preload(options, path) == options


@pytest.mark.parametrize(
    ("command", "options", "expected"),
    [
        (("node", "--permission", "app.js"), "", True),
        (("/usr/bin/node", "--experimental-permission", "app.js"), "", True),
        (("npm", "start"), "--no-warnings --permission", True),
        (("node", "--permission", "--allow-fs-read=*", "app.js"), "", False),
        (("node", "app.js"), "--no-warnings", False),
        (("node", "--permission-audit", "app.js"), "", False),
        (("node", "-r", "./own.js", "--permission", "app.js"), "", True),
        (("node", "--permission", "--allow-fs-read", "*", "app.js"), "", False),
        (("node", "app.js", "--permission"), "", False),
        (("npm", "start", "--", "--permission"), "", False),
        (("java", "--permission"), "", False),
    ],
)
def test_who_is_confined_by_node(
    command: tuple[str, ...], options: str, expected: bool
) -> None:
    """Node would not start such a program with the preload."""
    assert environment.has_permissions(app(command=command), options) is expected


@pytest.mark.parametrize(
    ("command", "ready", "expected"),
    [
        ("node", "auto", {"NODE_CHANNEL_FD"}),
        ("python3", "auto", set()),
        ("python3", "notify", {"NODE_CHANNEL_FD", "GAPLESS_CHANNEL_FD"}),
        ("bash", "notify", {"NODE_CHANNEL_FD", "GAPLESS_CHANNEL_FD"}),
        ("npm", "notify", {"GAPLESS_CHANNEL_FD"}),
        ("/usr/bin/yarn", "notify", {"GAPLESS_CHANNEL_FD"}),
        ("npm", "auto", set()),
    ],
)
def test_who_gets_nodes_channel(command: str, ready: str, expected: set[str]) -> None:
    """A runner would use the channel itself; the app below it gets it from the preload."""
    wanted = app(command=(command, "start"), ready=spec.Ready(when=spec.When(ready)))
    found = set(environment.channel_variables(wanted))
    assert found - {"NODE_CHANNEL_SERIALIZATION_MODE"} == expected
