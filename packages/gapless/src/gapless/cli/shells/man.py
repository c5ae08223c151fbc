"""Pages for man(1), from what --help is made from and the types of the keys.  Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from gapless.cli.shells.words import Argument, Verb

_EXIT_STATUS = (
    ("0", "done"),
    ("1", "it failed; what served before serves"),
    ("2", "the command or the configuration asks for something impossible"),
    ("3", "there is no such app, file, program, directory or release"),
    ("4", "it took longer than it was allowed to; what was begun goes on"),
)
_ENVIRONMENT = (
    ("GAPLESS_HOME", "the directory of the supervisor, its socket, logs and state"),
    ("GAPLESS_STARTS", "no: a command starts no supervisor where none runs"),
    ("NO_COLOR", "anything: no colours"),
)


def verb_page(verb: Verb, version: str) -> str:
    """Return the page gapless-VERB(1)."""
    usage = " ".join(verb.usage.removeprefix("usage: ").split())
    text = _head(f"gapless-{verb.name}", 1, version)
    text += _section(
        "NAME", f"gapless\\-{_escaped(verb.name)} \\- {_escaped(verb.does)}"
    )
    text += _section("SYNOPSIS", _lines(usage))
    text += _section("DESCRIPTION", _paragraphs(verb.description))
    if verb.places:
        text += _section(
            "ARGUMENTS", "\n".join(_argument(each) for each in verb.places)
        )
    if verb.options:
        text += _section("OPTIONS", "\n".join(_argument(each) for each in verb.options))
    if verb.aliases:
        text += _section("ALIASES", _lines(", ".join(verb.aliases)))
    text += _section("EXIT STATUS", _list(_EXIT_STATUS))
    return text + _section("SEE ALSO", ".BR gapless (1),\n.BR gapless.toml (5)")


def overview_page(verbs: Sequence[Verb], version: str) -> str:
    """Return the page gapless(1)."""
    text = _head("gapless", 1, version)
    text += _section(
        "NAME", "gapless \\- release new versions of apps without losing a request"
    )
    text += _section("SYNOPSIS", ".B gapless\n.I VERB\n[\\fIARGUMENT\\fR ...]")
    topics = dict.fromkeys(each.topic for each in verbs)
    for topic in topics:
        rows = [(each.name, each.does) for each in verbs if each.topic == topic]
        text += _section(topic.upper(), _list(rows))
    text += _section("EXIT STATUS", _list(_EXIT_STATUS))
    text += _section("ENVIRONMENT", _list(_ENVIRONMENT))
    pages = ",\n".join(f".BR gapless\\-{_escaped(each.name)} (1)" for each in verbs)
    return text + _section("SEE ALSO", f".BR gapless.toml (5),\n{pages}")


def file_page(version: str) -> str:
    """Return the page gapless.toml(5)."""
    from gapless.config.reference import keys  # noqa: PLC0415 - for this page alone

    text = _head("gapless.toml", 5, version)
    text += _section("NAME", "gapless.toml \\- apps, their releases and their fleets")
    for table in keys.TABLES:
        text += _section(table.heading, _paragraphs(f"{table.schema.__doc__}"))
        text += _keys(table.schema)
        for key in keys.keys_of(table.schema):
            for inner in key.tables:
                text += f".SS {_escaped(f'{key.name}: {inner.__doc__}')}\n"
                text += _keys(inner)
    return text + _section("SEE ALSO", ".BR gapless (1),\n.BR gapless\\-check (1)")


def _keys(schema: type) -> str:
    from gapless.config.reference import keys  # noqa: PLC0415 - for this page alone

    text = ""
    for key in keys.keys_of(schema):
        unit = f", in {key.unit}" if key.unit else ""
        text += f".TP\n.B {_escaped(key.name)}\n"
        text += f"{_lines(f'{key.allowed}{unit}. {key.description}')}\n.br\n"
        text += f"{_lines(f'{key.name} = {key.example}')}\n"
    return text


def _head(name: str, section: int, version: str) -> str:
    return f'.TH "{_escaped(name).upper()}" {section} "" "gapless {version}" ""\n'


def _section(title: str, text: str) -> str:
    return f".SH {_escaped(title)}\n{text}\n"


def _argument(argument: Argument) -> str:
    if not argument.spellings:
        title = f"\\fI{_escaped(argument.name)}\\fR"
    else:
        title = ", ".join(f"\\fB{_escaped(each)}\\fR" for each in argument.spellings)
        title += f" \\fI{_escaped(argument.name)}\\fR" if argument.name else ""
    does = argument.does
    if argument.choices:
        does = f"{does}{'; ' if does else ''}one of: {', '.join(argument.choices)}"
    return f".TP\n{title}\n{_lines(does) or _lines('see above')}"


def _list(rows: Sequence[tuple[str, str]]) -> str:
    return "\n".join(f".TP\n.B {_escaped(name)}\n{_lines(does)}" for name, does in rows)


def _paragraphs(text: str) -> str:
    parts = re.split(r"\n\s*\n", text.strip())
    return "\n.PP\n".join(_lines(" ".join(each.split())) for each in parts)


def _lines(text: str) -> str:
    """Return a text as lines that are no requests: a dot in front is a dot."""
    return "\n".join(
        f"\\&{line}" if line.startswith((".", "'")) else line
        for line in _escaped(text).splitlines()
    )


def _escaped(text: str) -> str:
    return text.replace("\\", "\\e").replace("-", "\\-").replace('"', "\\(dq")
