"""The words that a verb may have, from its parser, as plain values."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum


class Value(Enum):
    """What stands in the place of an argument, and how a shell completes it."""

    NONE = "none"  #: nothing: a flag
    APP = "app"  #: the name of an app; live
    FILE = "file"
    DIRECTORY = "directory"
    TARGET = "target"  #: an app or a file
    CHOICE = "choice"  #: one of a few words
    WORD = "word"  #: anything else


_BY_METAVAR = {
    "APP": Value.APP,
    "FILE": Value.FILE,
    "PATH": Value.FILE,
    "KEY": Value.FILE,
    "TARBALL": Value.FILE,
    "PROGRAM": Value.FILE,
    "DIR": Value.DIRECTORY,
    "DIRECTORY": Value.DIRECTORY,
    "TARGET": Value.TARGET,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Argument:
    """An option, or a word without a dash."""

    spellings: tuple[str, ...]
    """None for a word without a dash."""
    name: str
    """What stands for its value in the help; empty for a flag."""
    does: str
    value: Value
    choices: tuple[str, ...] = ()
    is_repeated: bool = False
    is_optional: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Verb:
    """A verb of the command line."""

    name: str
    does: str
    topic: str
    aliases: tuple[str, ...] = ()
    arguments: tuple[Argument, ...] = ()
    usage: str = ""
    description: str = ""

    @property
    def options(self) -> tuple[Argument, ...]:
        """Those that begin with a dash."""
        return tuple(each for each in self.arguments if each.spellings)

    @property
    def places(self) -> tuple[Argument, ...]:
        """Those that are told by their place."""
        return tuple(each for each in self.arguments if not each.spellings)


def arguments_of(parser: argparse.ArgumentParser) -> Iterator[Argument]:
    """Yield the arguments of a parser, as its help names them."""
    for action in parser._actions:  # noqa: SLF001 - argparse has no other list of them
        if action.help == argparse.SUPPRESS:
            continue
        choices = tuple(str(each) for each in action.choices or ())
        takes = action.nargs != 0
        metavar = action.metavar
        name = metavar if isinstance(metavar, str) else action.dest.upper()
        yield Argument(
            spellings=tuple(action.option_strings),
            name=name if takes else "",
            does=_help(parser, action),
            value=_value(name, choices) if takes else Value.NONE,
            choices=choices,
            is_repeated=action.nargs in ("*", "+"),
            is_optional=action.nargs in ("*", "?"),
        )


def _help(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    """Return the help of an argument, with what stands for values filled in."""
    filled = {**vars(action), "prog": parser.prog}
    return " ".join(((action.help or "") % filled).split())


def _value(name: str, choices: tuple[str, ...]) -> Value:
    if choices:
        return Value.CHOICE
    first = name.partition("|")[0]
    if name.partition("|")[2] and _BY_METAVAR.get(first) is Value.APP:
        return Value.TARGET
    return _BY_METAVAR.get(first, Value.WORD)
