"""The command `gapless`: find the verb, and import the module of that verb only."""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Callable

import gapless
from gapless.base import paths
from gapless.base.errors import DONE, FAILED, MISUSE, GaplessError
from gapless.cli import output
from gapless.cli.terminal import outlet
from gapless.cli.verbs import ALIASES, PACKAGES, TOPICS, parsers


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return its exit code."""
    words = sys.argv[1:] if arguments is None else arguments
    outlet.install(is_data=False)
    if len(words) > 1 and words[0] == "help":
        words = [words[1], "--help"]
    if not words or words[0] in ("-h", "--help", "help"):
        print(overview())
        return DONE
    if words[0] in ("-V", "--version", "version"):
        _print_versions()
        return DONE
    verb = _verb(words[0])
    paths.reenter()
    module = parsers.module(verb)
    outlet.install(is_data=hasattr(module, "DATA"))
    parser = parsers.parser(verb, module)
    if parser is None:
        return _run_and_report(verb, lambda: module.run_words(words[1:]), as_json=False)
    own, rest = _split_at_dashes(words[1:])
    args = parser.parse_args(own)
    if rest and not hasattr(module, "REST"):
        parser.error(f"no words are allowed after --: {' '.join(rest)}")
    if rest:
        setattr(args, module.REST, rest)
    as_json = getattr(args, "json", False)
    if getattr(args, "plain", False):
        output.be_plain()
    return _run_and_report(verb, lambda: module.run(args), as_json=as_json)


def _print_versions() -> None:
    """Print what is installed, and what runs, if it answers."""
    print(f"gapless {gapless.__version__}", flush=True)
    from gapless.cli.upgrade import running  # noqa: PLC0415 - rare
    from gapless.client import Client  # noqa: PLC0415 - rare

    try:
        found = running.ask(Client(starts=False))
    except GaplessError:
        return  # the home is not ours: whatever runs there is not asked
    if found is not None:
        print("\n".join(running.lines(found)))


def _run_and_report(verb: str, run: Callable[[], int], *, as_json: bool) -> int:
    """Run a verb, print the error if there is one, and return the exit code."""
    try:
        return int(run())
    except GaplessError as error:
        _print_error(error, as_json=as_json)
        return error.exit_code
    except KeyboardInterrupt:
        code = output.print_interrupted("an operation that has begun goes on")
        print("hint: `gapless list` shows the state of the apps", file=sys.stderr)
        return code
    except BrokenPipeError:
        # The reader of the output has ended.  Python's flush at exit must not fail too.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return FAILED
    except OSError as error:
        where = f" on {error.filename}" if error.filename else ""
        reason = (error.strerror or str(error)).lower()
        failure = GaplessError(f"{verb} failed{where}: {reason}")
        _print_error(failure, as_json=as_json)
        return FAILED


def _split_at_dashes(words: list[str]) -> tuple[list[str], list[str]]:
    """Return the words before --, and those after it, which are for another program."""
    if "--" not in words:
        return words, []
    dashes = words.index("--")
    return words[:dashes], words[dashes + 1 :]


def overview() -> str:
    """Return the help of `gapless` alone: every verb, by topic."""
    lines = ["usage: gapless VERB ...", ""]
    lines.append("Releases new versions of apps without losing a request.")
    for topic in TOPICS:
        lines += ["", f"{topic.title}:"]
        lines += [f"  {verb:<11} {does}" for verb, does in topic.verbs.items()]
    others: dict[str, list[str]] = {}
    for alias, verb in ALIASES.items():
        others.setdefault(verb, []).append(alias)
    words = (f"{', '.join(known)} = {verb}" for verb, known in others.items())
    lines += ["", "Other words for the same:", f"  {'; '.join(words)}"]
    lines += ["", "`gapless VERB --help` shows the arguments of a verb."]
    return "\n".join(lines)


def _verb(word: str) -> str:
    word = ALIASES.get(word, word)
    if word in PACKAGES:
        return word
    from gapless.cli.verbs import other_words  # noqa: PLC0415 - rare

    print(f"gapless: there is no verb {word!r}", file=sys.stderr)
    hint = other_words.of_verb(word)
    # A guess that is far off may name a verb that ends something.
    if close := difflib.get_close_matches(word, [*PACKAGES, *ALIASES], 1, 0.7):
        hint = hint or f"did you mean `gapless {close[0]}`?"
    hint = hint or "`gapless` lists them"
    print(f"hint: {hint}", file=sys.stderr)
    sys.exit(MISUSE)


def _print_error(error: GaplessError, *, as_json: bool) -> None:
    if as_json:
        output.print_json({"error": error.describe()})
        return
    print(f"gapless: {error.message}", file=sys.stderr)
    if error.hint:
        print(f"hint: {error.hint}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
