"""Configuration files: any text is a configuration, or an error that names the file."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gapless.base.errors import GaplessError, MisuseError
from gapless.config.choice import Choice
from gapless.config.pm2.pm2_file import Pm2File
from gapless.config.toml import fleets, tables
from gapless.config.toml.toml_file import TomlFile

DEEP = 20_000
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=6),
    st.sampled_from(
        ["a.js", "1", "5s", "-1", "/", "SIGTERM", "../..", "a\0b", "max", "1G"]
    ),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.text(max_size=4), inner, max_size=3),
    ),
    max_leaves=4,
)
PM2_FIELDS = (
    *(
        "name",
        "script",
        "args",
        "cwd",
        "env",
        "env_x",
        "instances",
        "exec_mode",
        "watch",
    ),
    *("ignore_watch", "max_memory_restart", "cron_restart", "kill_timeout", "out_file"),
    *(
        "error_file",
        "log_file",
        "interpreter",
        "node_args",
        "wait_ready",
        "listen_timeout",
    ),
    *(
        "max_restarts",
        "min_uptime",
        "restart_delay",
        "exp_backoff_restart_delay",
        "uid",
    ),
    *("gid", "port", "increment_var", "instance_var", "log_date_format", "gapless"),
    *(
        "filter_env",
        "env_file",
        "stop_exit_codes",
        "merge_logs",
        "treekill",
        "autorestart",
    ),
)
TOML_KEYS = (
    *("command", "directory", "instances", "environment", "ready", "stop", "restart"),
    *("listen", "after", "limits", "umask", "environment_file", "alive", "takeover"),
    *("overlap", "recycle", "watch", "memory", "log", "user", "drops", "outgoing"),
    *("base", "push", "build", "shared", "keep", "hooks", "slots", "canary", "waves"),
    *(
        "freeze",
        "health_listen",
        "health_from",
        "address",
        "etcd",
        "prefix",
        "timeout_s",
    ),
)
PIECES = [
    *(
        "[app.a]",
        "[release.a]",
        "[rollout.a]",
        "[coordinator]",
        "[[app]]",
        "[app]",
        "\n",
    ),
    *(
        "=",
        '"',
        "'''",
        "{",
        "}",
        "[",
        "]",
        ",",
        "1",
        "true",
        "1979-05-27",
        ".",
        "#",
        " ",
    ),
    *(f"{key} = " for key in TOML_KEYS),
]


def load_toml(path: Path) -> None:
    """Read all that a gapless.toml can declare."""
    TomlFile(str(path), lambda name: name).load(Choice(environment={}))
    tables.load_releases(str(path), {})
    fleets.load(str(path), {})


def load_pm2(path: Path) -> None:
    """Read a file of PM2."""
    Pm2File(str(path), lambda name: name).load(Choice(environment={"PATH": "/bin"}))


def refuses(load: Callable[[Path], None], name: str, content: bytes) -> None:
    """Fail if reading a file raises anything but an error with a message."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, name)
        path.write_bytes(content)
        message = "it was read"
        try:
            load(path)
        except GaplessError as error:
            message = error.message
        assert message


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        inner = ", ".join(f"{json.dumps(k)} = {_toml(v)}" for k, v in value.items())
        return f"{{ {inner} }}"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    if value is None:
        return '""'
    return json.dumps(value).replace("NaN", "nan").replace("Infinity", "inf")


TABLES = st.tuples(
    st.sampled_from(["app.a", "release.a", "rollout.a", "coordinator", "x", "app"]),
    st.dictionaries(st.sampled_from(TOML_KEYS), VALUES, max_size=4),
)


def _text(found: list[tuple[str, dict[str, Any]]]) -> bytes:
    lines = []
    for name, values in found:
        lines.append(f"[{name}]")
        lines += [f"{key} = {_toml(value)}" for key, value in values.items()]
    return "\n".join(lines).encode(errors="surrogatepass")


TOML = st.one_of(
    st.lists(TABLES, max_size=4, unique_by=lambda each: each[0]).map(_text),
    st.lists(st.sampled_from(PIECES), max_size=20).map(lambda p: "".join(p).encode()),
    st.binary(max_size=60),
)
PM2 = st.one_of(
    st.dictionaries(st.sampled_from(PM2_FIELDS), VALUES, max_size=5).map(
        lambda app: json.dumps({"apps": [{"script": "/bin/sh", **app}]}).encode()
    ),
    VALUES.map(lambda value: json.dumps({"apps": value}).encode()),
    st.lists(
        st.sampled_from(
            [*"{}[],:\"'/*\\\n+-", "apps", "name", "0x", "NaN", "//", "\\u"]
        ),
        max_size=20,
    ).map(lambda p: "".join(p).encode()),
    st.binary(max_size=60),
)


@settings(max_examples=100, deadline=None)
@given(TOML)
def test_any_toml_is_a_configuration_or_an_error(content: bytes) -> None:
    """Whatever stands at which key."""
    refuses(load_toml, "gapless.toml", content)


@settings(max_examples=100, deadline=None)
@given(PM2, st.sampled_from(["app.json", "app.json5", "app.yaml"]))
def test_any_file_of_pm2_is_a_configuration_or_an_error(
    content: bytes, name: str
) -> None:
    """JSON, JSON with comments, YAML."""
    refuses(load_pm2, name, content)


@pytest.mark.soak
@settings(max_examples=20_000, deadline=None)
@given(TOML, PM2, st.sampled_from(["app.json", "app.yaml"]))
def test_any_configuration_for_long(toml: bytes, pm2: bytes, name: str) -> None:
    """The same, with many more of them."""
    refuses(load_toml, "gapless.toml", toml)
    refuses(load_pm2, name, pm2)


@pytest.mark.parametrize(
    ("load", "name", "content"),
    [
        (load_toml, "gapless.toml", b"a = " + b"[" * DEEP),
        (load_toml, "gapless.toml", b"a = " + b"{a=" * DEEP),
        (load_pm2, "a.json", b"[" * DEEP),
        (load_pm2, "a.json", b'{"a":' * DEEP),
        (load_pm2, "a.json5", b"[/**/" * 2000),
        (load_pm2, "a.yaml", b"[" * 500),
        (
            load_pm2,
            "a.json",
            b'{"apps": [{"script": "/bin/sh", "instances": 1' + b"0" * 5000,
        ),
        (load_pm2, "a.yaml", b"a: &a [*a]"),
        (load_pm2, "a.yaml", b"apps: &a [*a]"),
        (load_pm2, "a.yaml", b"a: !!python/object/apply:os.system [id]"),
    ],
)
def test_what_is_too_deep_is_refused(
    load: Callable[[Path], None], name: str, content: bytes, tmp_path: Path
) -> None:
    """With its name; a parser that recurses is not the end of the command."""
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(MisuseError, match=name):
        load(path)
