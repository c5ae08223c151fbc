"""The words of a command line of PM2: its verb, what it is about, and its options.

PM2 takes options before the verb, behind it, and between what it is about; `--name=x` and
`--name x`; and after `--` everything is for the app.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from gapless.base.errors import MisuseError
from gapless.cli.pm2.options import BY_SPELLING, FIELDS, LISTS, Option, Takes

_UNSET = "null"
"""The value that takes an option back, as in PM2."""
_PLACE = "watch"
"""The one field that a value and its absence both set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """A command line of PM2."""

    verb: str = ""
    about: tuple[str, ...] = ()
    """What the verb is about: apps, files, a number of instances."""
    rest: tuple[str, ...] | None = None
    """What stands after --; None without one."""
    given: dict[str, Any] = field(default_factory=dict)
    """What options set, by the names of `options`."""

    def fields(self) -> dict[str, Any]:
        """Return what options say about an app, by the names of fields."""
        return {name: v for name, v in self.given.items() if name in FIELDS}

    def has(self, name: str) -> bool:
        """Return whether an option was given."""
        return name in self.given


def parse(words: list[str]) -> Words:
    """Return a command line in its parts.  Raises MisuseError."""
    own, rest = words, None
    if "--" in words:
        at = words.index("--")
        own, rest = words[:at], tuple(words[at + 1 :])
    plain: list[str] = []
    given: dict[str, Any] = {}
    waiting = list(_single(own))
    while waiting:
        word = waiting.pop(0)
        option, attached = _option(word)
        if option is None:
            plain.append(word)
            continue
        value: str | list[str] | None = attached
        if value is None:
            value = _value(option, word, waiting, has_target=len(plain) > 1)
        if option.sets:
            given[option.sets] = _read(option, value, given)
    return Words(
        verb=plain[0] if plain else "", about=tuple(plain[1:]), rest=rest, given=given
    )


def in_foreground(words: Words, verbs: Collection[str]) -> Words:
    """Return what a command line of pm2-runtime means: `start`, to stay in front.

    It may name a file at once; other verbs are as they are.
    """
    if words.verb in verbs and not words.verb.startswith("start"):
        return words
    about = (
        words.about if words.verb.startswith("start") else (words.verb, *words.about)
    )
    return replace(
        words,
        verb="start",
        about=tuple(each for each in about if each),
        given={**words.given, "foreground": True},
    )


def _single(words: list[str]) -> Iterator[str]:
    """Yield the words, several short options in one word as several: -fs as -f -s."""
    for word in words:
        letters = word[1:]
        flags = [f"-{letter}" for letter in letters]
        is_short = re.fullmatch(r"-[A-Za-z]{2,}", word) is not None
        if is_short and all(
            each in BY_SPELLING and BY_SPELLING[each].takes is Takes.NOTHING
            for each in flags
        ):
            yield from flags
        else:
            yield word


def _option(word: str) -> tuple[Option | None, str | None]:
    """Return the option that a word is, and the value that it holds, if it does."""
    if not word.startswith("-") or word == "-" or re.fullmatch(r"-\d+", word):
        return None, None
    name, equals, value = word.partition("=")
    if name in BY_SPELLING:
        return BY_SPELLING[name], value if equals else None
    if word[:2] in BY_SPELLING and not word.startswith("--"):
        return BY_SPELLING[word[:2]], word[2:]  # -i4
    raise MisuseError(
        f"pm2: there is no option {name}",
        hint="docs/pm2.md lists those of PM2; what is for the app stands after --",
    )


def _value(
    option: Option, word: str, waiting: list[str], *, has_target: bool
) -> str | list[str] | None:
    """Take the value of an option from the words that wait."""
    if option.takes is Takes.NOTHING:
        return None
    if option.takes is Takes.MAYBE:
        if not waiting or waiting[0].startswith("-"):
            return None
        last = not any(not each.startswith("-") for each in waiting[1:])
        if not has_target and (last or os.path.isfile(waiting[0])):
            return None  # `start --watch a.js` is about a.js
        return waiting.pop(0)
    if not waiting:
        raise MisuseError(f"pm2: {word} needs a value")
    # It may begin with a dash: -i -1, --node-args --inspect.
    found = waiting.pop(0)
    if option.takes is Takes.CODES:
        codes = [found]
        while waiting and waiting[0].isdigit():
            codes.append(waiting.pop(0))
        return codes
    return found


def _read(option: Option, value: Any, given: dict[str, Any]) -> Any:
    """Return what an option sets."""
    if option.takes is Takes.NOTHING:
        return option.to
    if value is None:
        return True
    if value == _UNSET and option.sets in FIELDS:
        return None
    if option.sets == _PLACE:
        if value in ("true", "false"):
            return value == "true"
        before = given.get(_PLACE)
        return [*(before if isinstance(before, list) else []), *_split(value)]
    if option.sets in LISTS:
        return [*given.get(option.sets, []), *_split(value)]
    if option.takes is Takes.CODES:
        listed = value if isinstance(value, list) else [value]
        return [*given.get(option.sets, []), *(n for w in listed for n in _split(w))]
    return value


def _split(value: str) -> list[str]:
    return [word for word in re.split(r"[,\s]+", value.strip("[] ")) if word]
