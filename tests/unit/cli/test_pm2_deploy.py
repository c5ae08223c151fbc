"""`pm2 deploy`: the commands that it names are those of the file, and the shell's."""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from gapless.base.errors import MisuseError, NotFoundError
from gapless.cli.pm2 import deploy
from gapless.cli.pm2.words import parse

TARGET: dict[str, Any] = {
    "user": "node",
    "host": ["10.0.0.1", {"host": "10.0.0.2", "user": "other"}, "amy@10.0.0.3"],
    "port": 2222,
    "key": "/keys/a key",
    "ssh_options": "StrictHostKeyChecking=no",
    "ref": "origin/main",
    "repo": "git@example.org:shop.git",
    "path": "/var/www/my shop",
    "pre-deploy-local": "make assets",
    "post-deploy": "npm install && pm2 reload ecosystem.json",
}


def test_each_host_gets_its_command() -> None:
    """With its user, the port, the key and what the file does afterwards."""
    local, *lines = deploy.git_commands(TARGET, [])
    assert local == "make assets"
    words = [shlex.split(line) for line in lines]
    hosts = [each[-2] for each in words]
    assert hosts == ["node@10.0.0.1", "other@10.0.0.2", "amy@10.0.0.3"]
    assert words[0][:5] == ["ssh", "-p", "2222", "-i", "/keys/a key"]
    assert words[0][5:7] == ["-o", "StrictHostKeyChecking=no"]
    assert words[0][-1] == (
        "cd '/var/www/my shop/source' && git fetch --all --tags"
        " && git reset --hard origin/main"
        " && npm install && pm2 reload ecosystem.json"
    )
    pushed = [shlex.split(line) for line in deploy.release_commands(TARGET, [])]
    assert pushed[0][4] == "node@10.0.0.1:/var/www/my shop"
    assert shlex.split(pushed[0][6])[:3] == ["ssh", "-p", "2222"]


@pytest.mark.parametrize("command", [["setup"], ["update"], ["revert", "1"], ["v2"]])
def test_the_commands_do_what_they_say(command: list[str], tmp_path: Path) -> None:
    """With git and a shell, on directories of this test."""

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", "-c", "user.name=x", "-c", "user.email=x@y", *words],
            cwd=tmp_path / "repo",
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()

    def run(words: list[str]) -> None:
        (line,) = deploy.git_commands(target, words)
        subprocess.run(
            ["bash", "-ec", shlex.split(line)[-1]], check=True, capture_output=True
        )

    (tmp_path / "repo").mkdir()
    git("init", "-q", "-b", "main")
    git("commit", "-q", "--allow-empty", "-m", "one")
    target = {"repo": str(tmp_path / "repo"), "path": str(tmp_path / "a b")}
    target |= {"ref": "origin/main", "host": "h"}
    run(["setup"])
    assert (tmp_path / "a b/current/.git").is_dir()
    first = git("rev-parse", "HEAD")
    git("commit", "-q", "--allow-empty", "-m", "two")
    git("tag", "v2")
    if command[0] != "setup":
        run(["update"] if command[0] == "revert" else command)
    if command[0] == "revert":
        run(command)
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"],
        cwd=tmp_path / "a b/source",
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    assert (head == first) == (command[0] in ("setup", "revert"))


def test_it_refuses_and_names_the_environments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is done: the exit code says so."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotFoundError):
        deploy.say(parse(["deploy", "production"]))
    Path("ecosystem.json").write_text(json.dumps({"deploy": {"production": TARGET}}))
    assert deploy.say(parse(["deploy", "production"])) == 1
    assert deploy.say(parse(["deploy", "ecosystem.json", "production", "revert"])) == 1
    said = capsys.readouterr().err
    assert "gapless push . --to 'node@10.0.0.1:/var/www/my shop'" in said
    assert "gapless rollback APP" in said
    with pytest.raises(MisuseError) as refused:
        deploy.say(parse(["deploy", "staging"]))
    assert "production" in refused.value.hint
