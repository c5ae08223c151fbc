"""The command `gapless`: finds the verb, and imports no other."""

from __future__ import annotations

import argparse
import difflib
import importlib
import json
import os
import sys
from collections.abc import Callable

import gapless
from gapless.base.errors import FAILED, MISUSE, GaplessError
from gapless.cli.verbs import ALIASES, ROOMS, TOPICS, module_of


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return its exit code."""
    words = sys.argv[1:] if arguments is None else arguments
    if not words or words[0] in ("-h", "--help", "help"):
        print(overview())
        return 0
    if words[0] in ("-V", "--version", "version"):
        print(f"gapless {gapless.__version__}")
        return 0
    verb = _verb(words[0])
    module = importlib.import_module(module_of(verb))
    if hasattr(module, "RAW"):
        return _guarded(verb, lambda: module.run_words(words[1:]), as_json=False)
    parser = argparse.ArgumentParser(
        prog=f"gapless {verb}", description=module.__doc__, allow_abbrev=False
    )
    module.add_arguments(parser)
    own, rest = _split_at_dashes(words[1:])
    asked = parser.parse_args(own)
    if rest and not hasattr(module, "REST"):
        parser.error(f"nothing may follow --: {' '.join(rest)}")
    if rest:
        setattr(asked, module.REST, rest)
    as_json = getattr(asked, "json", False)
    return _guarded(verb, lambda: module.run(asked), as_json=as_json)


def _guarded(verb: str, run: Callable[[], int], *, as_json: bool) -> int:
    """Run a verb; tell what goes wrong, and return the exit code."""
    try:
        return int(run())
    except GaplessError as error:
        _complain(error, as_json=as_json)
        return error.exit_code
    except KeyboardInterrupt:
        print("\ngapless: interrupted; what was asked for goes on", file=sys.stderr)
        print("hint: `gapless list` shows how far it is", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Whoever read our output has gone: say nothing, not even at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return FAILED
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        reason = (error.strerror or str(error)).lower()
        trouble = GaplessError(f"{verb} could not go on:{where}: {reason}")
        _complain(trouble, as_json=as_json)
        return FAILED


def _split_at_dashes(words: list[str]) -> tuple[list[str], list[str]]:
    """Return what is ours and, behind --, what is another program's."""
    if "--" not in words:
        return words, []
    place = words.index("--")
    return words[:place], words[place + 1 :]


def overview() -> str:
    """Return the help of `gapless` alone: every verb, by topic."""
    lines = ["usage: gapless VERB ...", ""]
    lines.append("Releases new versions of apps without losing a request.")
    for topic in TOPICS:
        lines += ["", f"{topic.title}:"]
        lines += [f"  {verb:<11} {does}" for verb, does in topic.verbs.items()]
    lines += ["", "`gapless VERB --help` tells more."]
    return "\n".join(lines)


def _verb(word: str) -> str:
    word = ALIASES.get(word, word)
    if word in ROOMS:
        return word
    close = difflib.get_close_matches(word, [*ROOMS, *ALIASES], 1)
    print(f"gapless: there is no verb {word!r}", file=sys.stderr)
    hint = f"did you mean `gapless {close[0]}`?" if close else "`gapless` lists them"
    print(f"hint: {hint}", file=sys.stderr)
    sys.exit(MISUSE)


def _complain(error: GaplessError, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"error": error.describe()}))
        return
    print(f"gapless: {error.message}", file=sys.stderr)
    if error.hint:
        print(f"hint: {error.hint}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
