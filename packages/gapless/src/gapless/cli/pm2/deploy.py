"""`pm2 deploy ENVIRONMENT [COMMAND]`: what to type in its place, for this very file.

PM2 lets each host run git.  gapless uploads a release, which is another thing, so nothing
is guessed: both ways are printed, with the hosts, paths and commands of the file.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from gapless.base.errors import FAILED, MisuseError, NotFoundError
from gapless.cli import output
from gapless.cli.pm2.words import Words
from gapless.config.file_kinds import is_configuration

_DEFAULTS = (
    *(f"ecosystem.config.{ending}" for ending in ("js", "cjs", "mjs")),
    *("ecosystem.json", "ecosystem.json5", "package.json"),
)


def say(words: Words) -> int:
    """Print what to type; return the code of a failure.  Raises GaplessError."""
    about = list(words.about)
    is_file = bool(about) and (is_configuration(about[0]) or os.path.isfile(about[0]))
    path = about.pop(0) if is_file else _default()
    section = _section(path)
    if not about or about[0] not in section:
        raise MisuseError(
            f"pm2 deploy: {path} has no deploy.{about[0]}"
            if about
            else "pm2 deploy where? name an environment",
            hint=f"deploy of {path} has: {', '.join(section) or 'nothing'}",
        )
    name, *command = about
    target = section[name]
    if not isinstance(target, dict) or not target.get("path"):
        raise MisuseError(f"{path}: deploy.{name}.path is missing")
    output.print_error(
        f"pm2 deploy {' '.join(about)}: nothing was done; gapless runs no git on hosts"
    )
    output.print_error("hint: with git there as PM2 has it, type:")
    for line in git_commands(target, command):
        output.print_error(f"  {line}")
    output.print_error(
        "hint: with releases, which are handed over and can be rolled back, type:"
    )
    for line in release_commands(target, command):
        output.print_error(f"  {line}")
    output.print_error("hint: docs/push.md says what [release.NAME] needs there, once")
    return FAILED


def git_commands(target: Mapping[str, Any], command: list[str]) -> Iterator[str]:
    """Yield, for each host, the command that does what PM2 would do there."""
    root = str(target["path"]).rstrip("/")
    source, ref = shlex.quote(f"{root}/source"), str(target.get("ref", "origin/master"))
    repository = shlex.quote(str(target.get("repo", "REPO")))
    branch = shlex.quote(ref.removeprefix("origin/"))
    verb, *rest = command or ["update"]
    into = f"cd {source}"
    steps: dict[str, list[object]] = {
        "setup": [
            target.get("pre-setup"),
            f"mkdir -p {shlex.quote(root)}/shared",
            f"git clone --branch {branch} {repository} {source}",
            f"ln -sfn {source} {shlex.quote(f'{root}/current')}",
            into,
            target.get("post-setup"),
        ],
        "revert": [
            into,
            f"git reset --hard 'HEAD@{{{_number(rest)}}}'",
            target.get("post-deploy"),
        ],
        "exec": [into, " ".join(rest)],
        "run": [into, " ".join(rest)],
        "current": [into, "git rev-parse --short HEAD"],
        "curr": [into, "git rev-parse --short HEAD"],
        "previous": [into, "git rev-parse --short 'HEAD@{1}'"],
        "prev": [into, "git rev-parse --short 'HEAD@{1}'"],
        "list": [into, "git reflog"],
    }
    update: list[object] = [
        into,
        target.get("pre-deploy"),
        "git fetch --all --tags",
        f"git reset --hard {shlex.quote(ref if verb == 'update' else verb)}",
        target.get("post-deploy"),
    ]
    script = " && ".join(str(each) for each in steps.get(verb, update) if each)
    if verb not in steps and (local := target.get("pre-deploy-local")):
        yield str(local)
    for host, user in _hosts(target):
        yield f"{ssh(target)} {_login(host, user)} {shlex.quote(script)}"


def release_commands(target: Mapping[str, Any], command: list[str]) -> Iterator[str]:
    """Yield, for each host, the command of gapless that comes nearest."""
    root = str(target["path"]).rstrip("/")
    verb = (command or ["update"])[0]
    there = {
        "setup": f"mkdir -p {shlex.quote(root)}/src {shlex.quote(root)}/dist",
        "revert": "gapless rollback APP",
        "list": "gapless releases APP",
        "current": "gapless releases APP",
        "curr": "gapless releases APP",
        "previous": "gapless releases APP",
        "prev": "gapless releases APP",
        "exec": f"gapless run APP -- {' '.join(command[1:])}",
        "run": f"gapless run APP -- {' '.join(command[1:])}",
    }
    for host, user in _hosts(target):
        if verb in there:
            yield f"{ssh(target)} {_login(host, user)} {shlex.quote(there[verb])}"
        else:
            to = shlex.quote(f"{f'{user}@' if user else ''}{host}:{root}")
            own = ssh(target)
            with_ssh = f" --ssh {shlex.quote(own)}" if own != "ssh" else ""
            yield f"gapless push . --to {to}{with_ssh} --wait"


def ssh(target: Mapping[str, Any]) -> str:
    """Return the command of ssh, with the options of the file."""
    words = ["ssh"]
    if target.get("port"):
        words += ["-p", str(target["port"])]
    if target.get("key"):
        words += ["-i", str(target["key"])]
    options = target.get("ssh_options", [])
    for each in [options] if isinstance(options, str) else options:
        words += ["-o", str(each)]
    return shlex.join(words)


def _hosts(target: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    user = str(target.get("user", ""))
    hosts = target.get("host", "HOST")
    for each in hosts if isinstance(hosts, list) else [hosts]:
        if isinstance(each, dict):
            yield str(each.get("host", "HOST")), str(each.get("user", user))
        else:
            name, at, host = str(each).rpartition("@")
            yield host, name if at else user


def _login(host: str, user: str) -> str:
    return shlex.quote(f"{user}@{host}" if user else host)


def _number(rest: list[str]) -> int:
    return int(rest[0]) if rest and rest[0].isdigit() else 1


def _default() -> str:
    for name in _DEFAULTS:
        if os.path.isfile(name):
            return name
    raise NotFoundError(
        f"pm2 deploy: there is none of these here: {', '.join(_DEFAULTS)}",
        hint="pm2 deploy FILE ENVIRONMENT",
    )


def _section(path: str) -> dict[str, Any]:
    from gapless.config.pm2 import files  # noqa: PLC0415 - only to read a file

    content = files.read(path)
    found = content.get("deploy") if isinstance(content, dict) else None
    if not isinstance(found, dict):
        raise MisuseError(f"pm2 deploy: {path} has no section deploy")
    return found
