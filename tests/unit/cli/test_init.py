"""`gapless init` writes nothing over what somebody wrote."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from gapless.base.errors import MisuseError, NotFoundError
from gapless.cli.verbs.apps import init


def run(directory: Path, *flags: str) -> int:
    """Run the verb as the command line does."""
    parser = argparse.ArgumentParser()
    init.add_arguments(parser)
    return init.run(parser.parse_args([*flags, str(directory)]))


def test_a_file_that_is_there_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without --force; a link is replaced by it, and not followed."""
    file = tmp_path / "gapless.toml"
    (tmp_path / "index.html").write_text("found")
    run(tmp_path, "--print")
    printed = capsys.readouterr().out
    assert not file.exists()
    file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(MisuseError, match="is left as it is"):
        run(tmp_path)
    assert run(tmp_path, "--force") == 0
    assert file.read_text() == printed
    assert not (tmp_path / "elsewhere").exists()
    told = capsys.readouterr().out.splitlines()
    assert told == [
        f"wrote {file}: static files, since index.html is there; it listens on "
        "127.0.0.1:8080",
        f"next: cd {tmp_path} && gapless start",
    ]


def test_what_is_not_known_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And of a file for PM2 whose values depend on its run nothing is written."""
    with pytest.raises(NotFoundError, match="nothing here tells how it is started"):
        run(tmp_path)
    (tmp_path / "ecosystem.config.js").write_text(
        "module.exports = {apps: [{script: process.env.SCRIPT}]}"
    )
    assert run(tmp_path) == 0
    assert "gapless reads it as it is" in capsys.readouterr().out
    assert list(tmp_path.glob("*.toml")) == []


def test_a_secret_of_the_shell_is_not_written_down(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By code whose values depend on its run, unless they are asked for."""
    monkeypatch.setenv("KEY", "hidden")
    (tmp_path / "jobs.py").touch()
    code = "exports.apps = [{ script: 'jobs.py', watch: ['a/*'], env: { KEY: "
    code += "process.env.KEY }, ignore_watch: ['**/*.log'] }];\n"
    (tmp_path / "ecosystem.config.js").write_text(code)
    assert run(tmp_path) == 0
    said = capsys.readouterr().out
    assert "(process.env.KEY): gapless reads it as it is" in said
    assert "gapless start ecosystem.config.js" in said
    assert not (tmp_path / "gapless.toml").exists()
    assert run(tmp_path, "--values") == 0
    assert '"hidden"' in (tmp_path / "gapless.toml").read_text()


@pytest.mark.parametrize(
    "value",
    [
        "__dirname.replace(/\\/*$/, '') && process.env.KEY",
        "'x'.replace(/'/g, '') && process.env.KEY || ''",
        "[].map['constr' + 'uctor']('return pro' + 'cess')().env['KEY']",
    ],
)
def test_no_way_of_code_to_a_secret_of_the_shell_is_left(
    value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What words do not tell, a run with few variables does."""
    monkeypatch.setenv("KEY", "hidden")
    (tmp_path / "jobs.py").touch()
    (tmp_path / "ecosystem.config.js").write_text(
        f"exports.apps = [{{ script: 'jobs.py', env: {{ KEY: {value} }} }}];\n"
    )
    assert run(tmp_path) == 0
    assert not (tmp_path / "gapless.toml").exists()
    assert run(tmp_path, "--values") == 0
    assert '"hidden"' in (tmp_path / "gapless.toml").read_text()


def test_code_that_is_the_same_in_each_run_is_written_and_prints_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is read again with few variables."""
    (tmp_path / "jobs.py").touch()
    (tmp_path / "ecosystem.config.js").write_text(
        "console.log('read');\nexports.apps = [{ script: 'jobs.py' }];\n"
    )
    assert run(tmp_path) == 0
    assert (tmp_path / "gapless.toml").exists()
    assert capsys.readouterr().err == "read\n"


def test_a_password_in_what_was_seen_is_not_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The line of a package.json is told, and may have one."""
    started = '{"scripts": {"start": "node a.js --password=hunter2"}}'
    (tmp_path / "package.json").write_text(started)
    assert run(tmp_path) == 0
    said = capsys.readouterr().out
    assert "--password=***" in said
    assert "hunter2" not in said


def test_what_comes_next_can_be_typed_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the profile that was asked for, wherever the app is."""
    directory = tmp_path / "my app"
    directory.mkdir()
    (directory / "ecosystem.config.js").write_text(
        "module.exports = {apps: [{script: process.env.SCRIPT}]}"
    )
    assert run(directory, "--env", "production") == 0
    said = capsys.readouterr().out
    there = f"cd '{directory}' && gapless "
    assert f"next: {there}start ecosystem.config.js --env production\n" in said
    assert f"or: {there}init --values --env production, which" in said


def test_a_text_that_is_no_unicode_is_refused(tmp_path: Path) -> None:
    """JSON can have half of a pair; a file cannot."""
    (tmp_path / "jobs.py").touch()
    app = '{"apps": [{"script": "jobs.py", "env": {"A": "\\ud800"}}]}'
    (tmp_path / "app.json").write_text(app)
    with pytest.raises(MisuseError):
        run(tmp_path)
    assert not (tmp_path / "gapless.toml").exists()


@pytest.mark.parametrize("port", ["0", "65536", "x", "1e3", "-1", "9" * 30])
def test_a_port_is_checked(tmp_path: Path, port: str) -> None:
    """It reaches the command of the app."""
    with pytest.raises(SystemExit):
        run(tmp_path, f"--port={port}")
