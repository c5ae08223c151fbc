"""Files by which other programs start an app: what they say of the command.  Pure.

No app is made of them, since their other settings would be lost without a word.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator

from gapless.base.outside import secrets
from gapless.config.detect.facts import Facts

_COMPOSE = tuple(
    f"{name}.{ending}"
    for name in ("compose", "docker-compose")
    for ending in ("yml", "yaml")
)
_BEFORE_PROGRAM = "-@:+!"
"""What systemd takes from the beginning of ExecStart (systemd.service(5))."""
_LONGEST = 200
_LONGEST_MASKED = 4096
"""A longer line is cut before secrets are looked for in it, too."""


def commands(facts: Facts) -> list[str]:
    """Return what each such file says, in words for a hint."""
    return list(_commands(facts))


def _commands(facts: Facts) -> Iterator[str]:
    for file in facts.matching(r"[^/]+\.service|(?:deploy|systemd|etc)/[^/]+\.service"):
        yield _said(facts, file, _systemd, "ExecStart", "docs/howto/from-systemd.md")
    for file in facts.matching(r"(?:[^/]+/)?supervisord?[^/]*\.(?:conf|ini)"):
        yield _said(facts, file, _supervisord, "command", "docs/programs.md")
    if "Dockerfile" in facts.files:
        yield _said(facts, "Dockerfile", _docker, "CMD", "docs/programs.md")
    if file := facts.first(_COMPOSE):
        yield f"{file} starts containers, gapless programs: write what runs in them"


def _said(
    facts: Facts,
    file: str,
    read: Callable[[Iterable[str]], Iterator[str]],
    key: str,
    page: str,
) -> str:
    lines = (line.strip() for line in facts.head(file).split("\n"))
    found = [each for each in read(lines) if each]
    if not found:
        return f"{file} has no {key} that could be read here ({page})"
    line = _masked(found[-1])
    shown = line if len(line) <= _LONGEST else f"{line[: _LONGEST - 3]}..."
    return f"{file} has {key}: {shown} ({page})"


def _systemd(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        key, _, value = line.partition("=")
        if key.rstrip() == "ExecStart":
            yield value.lstrip().lstrip(_BEFORE_PROGRAM)


def _supervisord(lines: Iterable[str]) -> Iterator[str]:
    is_program = False
    for line in lines:
        if line.startswith("["):
            is_program = line.startswith("[program:")
        key, _, value = line.partition("=")
        if is_program and key.rstrip() == "command":
            yield value.lstrip()


def _docker(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        word, *rest = line.split(None, 1)[:2] or [""]
        if word.upper() in ("CMD", "ENTRYPOINT"):
            yield "".join(rest)


def _masked(line: str) -> str:
    """Return a command as it may be shown: as words, or as a list in JSON."""
    line = line[:_LONGEST_MASKED]
    if line.startswith("["):
        try:
            return json.dumps(secrets.shown(json.loads(line)), ensure_ascii=False)
        except (ValueError, RecursionError):
            pass
    return secrets.in_text(line)
