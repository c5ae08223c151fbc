"""The parser of a verb: for the command line, and for what is made from all of them."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any, NoReturn

from gapless.base.errors import MISUSE
from gapless.cli.verbs import module_of

if TYPE_CHECKING:
    from gapless.cli.verbs import other_words


class Parser(argparse.ArgumentParser):
    """A parser that says what to type in place of words that are refused."""

    _words: Sequence[str] = ()

    def parse_known_args(  # type: ignore[override]  # of several forms one is used
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        """Parse words, and keep them for the hint."""
        self._words = sys.argv[1:] if args is None else args
        return super().parse_known_args(args, namespace)

    def takes(self) -> other_words.Takes:
        """Return what the verb takes, as hints have to know it."""
        from gapless.cli.verbs import other_words  # noqa: PLC0415 - rare

        return other_words.Takes(
            options=tuple(self._option_string_actions),
            several_apps=any(
                each.metavar == "APP" and each.nargs in ("+", "*")
                for each in self._actions
            ),
        )

    def error(self, message: str) -> NoReturn:
        """Print usage, error and hint, and end the command."""
        from gapless.cli.verbs import other_words  # noqa: PLC0415 - rare

        self.print_usage(sys.stderr)
        print(f"{self.prog}: error: {message}", file=sys.stderr)
        verb = self.prog.rpartition(" ")[2]
        if hint := other_words.of_arguments(verb, self._words, self.takes(), message):
            print(f"hint: {hint}", file=sys.stderr)
        sys.exit(MISUSE)


def module(verb: str) -> ModuleType:
    """Return the module that implements a verb."""
    return importlib.import_module(module_of(verb))


def parser(verb: str, implementation: ModuleType) -> argparse.ArgumentParser | None:
    """Return the parser of a verb; None if it parses its words itself."""
    if hasattr(implementation, "RAW"):
        return None
    found = Parser(
        prog=f"gapless {verb}",
        description=implementation.__doc__,
        allow_abbrev=False,
    )
    vars(found)["color"] = False  # Python 3.14's control sequences would be escaped
    implementation.add_arguments(found)
    return found
