"""Files by which other programs start an app: what they say of the command.  Pure.

No app is made of them, since their other settings would be lost without a word.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from gapless.config.detect.facts import Facts

_COMPOSE = tuple(
    f"{name}.{ending}"
    for name in ("compose", "docker-compose")
    for ending in ("yml", "yaml")
)
_EXEC_START = re.compile(r"^ExecStart=[-@:+!]*(\S.*)$", re.MULTILINE)
_PROGRAM = re.compile(
    r"^\[program:[^\]\n]+\]\s*(?:^(?!\[).*$\s*)*?^command\s*=\s*(\S.*)$", re.MULTILINE
)
_CMD = re.compile(r"^(?:CMD|ENTRYPOINT)\s+(\S.*)$", re.MULTILINE | re.IGNORECASE)
_LONGEST = 200


def commands(facts: Facts) -> list[str]:
    """Return what each such file says, in words for a hint."""
    return list(_commands(facts))


def _commands(facts: Facts) -> Iterator[str]:
    for file in facts.matching(r"[^/]+\.service|(?:deploy|systemd|etc)/[^/]+\.service"):
        yield _said(facts, file, _EXEC_START, "ExecStart", "docs/howto/from-systemd.md")
    for file in facts.matching(r"(?:[^/]+/)?supervisord?[^/]*\.(?:conf|ini)"):
        yield _said(facts, file, _PROGRAM, "command", "docs/programs.md")
    if "Dockerfile" in facts.files:
        yield _said(facts, "Dockerfile", _CMD, "CMD", "docs/programs.md")
    if file := facts.first(_COMPOSE):
        yield f"{file} starts containers, gapless programs: write what runs in them"


def _said(
    facts: Facts, file: str, pattern: re.Pattern[str], key: str, page: str
) -> str:
    found = pattern.findall(facts.head(file))
    if not found:
        return f"{file} has no {key} that could be read here ({page})"
    line = found[-1].strip()
    shown = line if len(line) <= _LONGEST else f"{line[: _LONGEST - 3]}..."
    return f"{file} has {key}: {shown} ({page})"
