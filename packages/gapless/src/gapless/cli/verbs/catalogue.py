"""Every verb with its arguments, as values, for completions and man pages."""

from __future__ import annotations

from gapless.cli.shells.words import Verb, arguments_of
from gapless.cli.verbs import ALIASES, TOPICS, parsers


def verbs() -> list[Verb]:
    """Return every verb, by topic."""
    return [
        verb(name, does, topic.title)
        for topic in TOPICS
        for name, does in topic.verbs.items()
    ]


def only(name: str) -> Verb:
    """Return the verb of a name; no other one is imported."""
    (topic,) = [each for each in TOPICS if name in each.verbs]
    return verb(name, topic.verbs[name], topic.title)


def verb(name: str, does: str, topic: str) -> Verb:
    """Return one verb."""
    module = parsers.module(name)
    parser = parsers.parser(name, module)
    return Verb(
        name=name,
        does=does,
        topic=topic,
        aliases=tuple(alias for alias, of in ALIASES.items() if of == name),
        arguments=tuple(arguments_of(parser)) if parser is not None else (),
        usage=parser.format_usage()
        if parser is not None
        else f"usage: gapless {name} ...",
        description=(module.__doc__ or "").strip(),
    )
