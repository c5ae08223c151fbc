"""A gapless.toml to begin with, from what was found.  Pure."""

from __future__ import annotations

import json
import re

from gapless.base.names import RESERVED, is_app_name
from gapless.config.detect.facts import Draft, Found, Line

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_LONGEST = 100
_LONGEST_NAME = 40
_SHORTEST = 8
"""So wide is the name of an app at least, where commands are listed."""
_MORE = (
    Line(text='instances = "cpus"', why="as many as processors; default: 1"),
    Line(
        text="stop = { drain_timeout_s = 120 }",
        why="longer than the longest request; default: 30",
    ),
    Line(
        text="overlap = false",
        why="if it holds state that exists once: a queue, a cache, a file",
    ),
)


def write(found: Found, others: list[str]) -> str:
    """Return the content of the file."""
    names = app_names(found)
    width = max(len(names[0]), _SHORTEST)
    does = {
        "start": f"starts {_listed(names)}",
        f"reload {names[0]}": "hands over to a new version, losing no request",
        "check": "says what is wrong in this file",
    }
    lines = [f"# {in_comment(found.kind)}: {in_comment(found.why)}."]
    lines += [f"# gapless {verb:<{width + 7}} {what}" for verb, what in does.items()]
    lines += [f"# First: {in_comment(each)}" for each in found.first]
    lines += [f"# Also seen, and not written: {in_comment(each)}" for each in others]
    for name, app in zip(names, found.apps, strict=True):
        lines += ["", *_table(name, app)]
    lines += [f"# {in_comment(each, 200)}" for each in found.remarks]
    lines += [
        "",
        "# Releases: `gapless publish TARBALL` unpacks below base, and hands over.",
        f"# [release.{toml_key(names[0])}]",
        '# base = "/srv/releases"',
    ]
    return "\n".join(lines) + "\n"


def app_names(found: Found) -> list[str]:
    """Return names for the apps, which they may have, each once."""
    names: list[str] = []
    for app in found.apps:
        name = re.sub(r"[^A-Za-z0-9_-]+", "-", app.name)[:_LONGEST_NAME].strip("-")
        if not is_app_name(name) or name in RESERVED:
            name = "app"
        while name in names:
            name += "-2"
        names.append(name)
    return names


def _table(name: str, app: Draft) -> list[str]:
    lines = [f"[app.{toml_key(name)}]"]
    remarks = [line.why for line in app.lines if not line.text]
    words = ", ".join(toml_text(word) for word in app.command)
    if remarks:
        lines.append(f"# {in_comment(remarks[0])}")
    lines.append(f"command = [{words}]")
    if app.environment:
        pairs = ", ".join(
            f"{toml_key(key)} = {value if isinstance(value, int) else toml_text(value)}"
            for key, value in app.environment.items()
        )
        lines.append(f"environment = {{ {pairs} }}")
    kept = [line for line in app.lines if line.text]
    lines += [_line(line) for line in kept if line.is_active]
    lines += [f"# {_line(line)}" for line in kept if not line.is_active]
    own = {_key(line) for line in kept}
    lines += [f"# {_line(line)}" for line in _MORE if _key(line) not in own]
    return lines


def _line(line: Line) -> str:
    return f"{line.text}  # {in_comment(line.why)}" if line.why else line.text


def _key(line: Line) -> str:
    return line.text.partition(" =")[0]


def toml_key(name: str) -> str:
    """Return a name as a key of TOML."""
    return name if _BARE.fullmatch(name) else toml_text(name)


def toml_text(value: str) -> str:
    """Return a text as TOML has it."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def in_comment(text: str, longest: int = _LONGEST) -> str:
    """Return a text that fits into one line of comment, whatever a file has in it."""
    line = "".join(each if each.isprintable() else " " for each in text)
    return line if len(line) <= longest else f"{line[: longest - 3]}..."


def _listed(names: list[str]) -> str:
    return ", ".join(names)
