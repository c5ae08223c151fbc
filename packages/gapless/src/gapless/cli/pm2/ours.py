"""Verbs of gapless, run with the words of a command of PM2."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from types import ModuleType
from typing import Any

from gapless.base.errors import MisuseError
from gapless.cli import selection
from gapless.cli.pm2.words import Words
from gapless.client import Client

Run = Callable[[Words], int]
Import = Callable[[str], ModuleType]


class Verbs:
    """What imports a verb of gapless: handed down, since verbs are above this."""

    module: Import


def run(verb: str, about: list[str], **settings: Any) -> int:
    """Run a verb with arguments, and with what its options would set."""
    module = Verbs.module(verb)
    parser = argparse.ArgumentParser(prog=f"pm2 {verb}", allow_abbrev=False)
    module.add_arguments(parser)
    args = parser.parse_args(["--", *about] if about else [])
    for name, value in settings.items():
        setattr(args, name, value)
    return int(module.run(args))


# --- the apps that a command is about: several may have one name of PM2's -----------------


def aliased(words: Words) -> list[str]:
    """Return what a command is about, by the names that its apps have here."""
    if not words.about:
        return []
    return selection.of_alias(Client(starts=False), words.about)


def some(words: Words) -> list[str]:
    """Return what a command is about, which has to be something.  Raises MisuseError."""
    if not words.about:
        raise MisuseError(
            f"pm2 {words.verb} what? name an app, or `all`",
            hint="`pm2 list` names the apps",
        )
    return aliased(words)


def simply(verb: str) -> Run:
    """Return what runs a verb about the same words."""
    return lambda words: run(verb, list(words.about))


def of_apps(verb: str) -> Run:
    """Return what runs a verb about the same apps."""
    return lambda words: run(verb, aliased(words))


def of_each(verb: str) -> Run:
    """Return what runs a verb that knows one app about each of several."""
    return lambda words: max(run(verb, [each]) for each in some(words))
