"""Errors in a gapless.toml name the file, the line and the key."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gapless.base import codec
from gapless.base.errors import MisuseError, NotFoundError
from gapless.config.choice import inherited
from gapless.config.toml import tables
from gapless.supervisor.memory import spec

WRONG = {
    "command = 3": "gapless.toml:2: app.a.command: expected str | array, got int; found 3",
    'command = "true"\ninstances = 0': "gapless.toml:3: app.a.instances",
    'command = "true"\nready = "soon"': "gapless.toml:3: app.a.ready",
    'command = "true"\nready = { http = "health" }': "gapless.toml:3: app.a.ready",
    'command = "true"\nstop = { drain_timeout_s = -1 }': "app.a.stop.drain_timeout_s",
    'command = "true"\nlisten = ["nowhere"]': "is no address",
    'command = "true"\nlisten = ["127.0.0.1:70000"]': "is no address",
    'command = "true"\nrecycle = { max_unavailable = 0 }': "recycle.max_unavailable",
    'command = "true"\noverlap = "never"': "app.a.overlap",
    'command = "true"\ntakeover = "never"': "app.a.takeover",
    'command = "true"\noutgoing = [0]': "app.a.outgoing",
    'command = "true"\nshared_files = [""]': "app.a.shared_files",
    'command = "true"\nshared_files = "data"': "app.a.shared_files",
    'command = "true"\noutgoing = ["db:5432"]': "app.a.outgoing",
    'command = "true"\noutgoing = 5432': "app.a.outgoing",
    'command = ""': "the command is empty",
    'command = "sleep \'1"': "no closing quotation",
    "instances = 2": "command is missing",
    'command = "true"\nlog = { formt = "json" }': "did you mean format?",
    'command = "true': "this is not TOML",
}


@pytest.mark.parametrize("text", WRONG)
def test_what_is_wrong_is_named(tmp_path: Path, text: str) -> None:
    """Every kind of mistake has its message."""
    path = tmp_path / "gapless.toml"
    path.write_text(f"[app.a]\n{text}\n")
    with pytest.raises(MisuseError) as caught:
        tables.load(str(path), dict(os.environ))
    assert WRONG[text] in caught.value.message


def test_defaults_are_what_the_manual_says(tmp_path: Path) -> None:
    """A table with only a command has the documented defaults."""
    path = tmp_path / "gapless.toml"
    path.write_text('[app.a]\ncommand = ["true", "x y"]\n')
    app = tables.load(str(path), dict(os.environ)).apps["a"]
    assert app.command == ("true", "x y")
    assert app.directory == str(tmp_path.resolve())
    assert (app.instances, app.min_healthy_s) == (1, 2.0)
    assert app.ready == spec.Ready()
    assert app.stop == spec.Stop()
    assert codec.decode(spec.AppSpec, codec.encode(app)) == app


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ('"auto"', spec.Taking.AUTO),
        ("true", spec.Taking.ALWAYS),
        ("false", spec.Taking.NEVER),
    ],
)
def test_takeover_is_auto_or_yes_or_no(
    tmp_path: Path, written: str, meant: spec.Taking
) -> None:
    """`auto` leaves out what an app may trust less than its host."""
    path = tmp_path / "gapless.toml"
    path.write_text(f'[app.a]\ncommand = "true"\ntakeover = {written}\n')
    assert tables.load(str(path), dict(os.environ)).apps["a"].takeover is meant


def test_ports_of_databases_are_kept_in_order(tmp_path: Path) -> None:
    """The ports are sorted, each once, and reach the supervisor so."""
    path = tmp_path / "gapless.toml"
    path.write_text(
        '[app.a]\ncommand = "true"\noutgoing = [5432, 3306, 5432]\n'
        'shared_files = ["data/*"]\n'
    )
    app = tables.load(str(path), dict(os.environ)).apps["a"]
    assert app.outgoing == (3306, 5432)
    assert app.shared_files == ("data/*",)
    assert codec.decode(spec.AppSpec, codec.encode(app)) == app


def test_a_probe_may_be_written_in_three_ways(tmp_path: Path) -> None:
    """Both long forms give the same spec."""
    for written in (
        '{ http = "/health", timeout_s = 5 }',
        '{ when = { http = "/health" }, timeout_s = 5 }',
    ):
        path = tmp_path / "gapless.toml"
        path.write_text(f'[app.a]\ncommand = "true"\nready = {written}\n')
        app = tables.load(str(path), dict(os.environ)).apps["a"]
        assert app.ready == spec.Ready(when=spec.When.HTTP, path="/health", timeout_s=5)


def test_what_belongs_to_the_caller_does_not_reach_the_app() -> None:
    """Variables of the caller's own process are not inherited."""
    found = inherited({"PATH": "/bin", "NOTIFY_SOCKET": "@x", "LISTEN_FDS": "1"})
    assert found == {"PATH": "/bin"}


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    """A missing file, directory or program is a NotFoundError."""
    path = tmp_path / "gapless.toml"
    with pytest.raises(NotFoundError):
        tables.load(str(path), {})
    for text in ('command = "no-such-program"', 'command = "true"\ndirectory = "no"'):
        path.write_text(f"[app.a]\n{text}\n")
        with pytest.raises(NotFoundError):
            tables.load(str(path), dict(os.environ))
