"""Accept PM2's own verbs and options, for scripts that call `pm2`.

`gapless pm2 --install` writes the commands `pm2` and `pm2-runtime` beside `gapless`; where
the real ones are in PATH they run those.  `--remove` removes them.
"""

from __future__ import annotations

import importlib
import os

import gapless
from gapless.base.errors import (
    DONE,
    FAILED,
    MISUSE,
    NOT_FOUND,
    TIMED_OUT,
    GaplessError,
)
from gapless.cli.command_path import command_path
from gapless.cli.pm2 import home, shim
from gapless.cli.pm2.words import in_foreground, parse
from gapless.cli.verbs import module_of

_FAILURES = (FAILED, MISUSE, NOT_FOUND, TIMED_OUT)
RAW = True
"""This verb parses all words itself."""


def run_words(words: list[str]) -> int:
    """Run the verb of gapless that `pm2 WORDS` means.  Raises GaplessError."""
    if words[:1] in (["--install"], ["--remove"]):
        directory = words[1] if len(words) > 1 else os.path.dirname(command_path())
        act = shim.install if words[0] == "--install" else shim.remove
        print(act(directory))
        return DONE
    is_runtime = words[:1] == [shim.RUNTIME]
    parsed = parse(words[1:] if is_runtime else words)
    if parsed.has("version") or parsed.verb == "version":
        print(f"gapless {gapless.__version__}, in place of pm2")
        return DONE
    home.choose()
    from gapless.cli.pm2 import verbs  # noqa: PLC0415 - what it imports takes time

    if not words or parsed.has("help") or parsed.verb == "help":
        print(__doc__.strip())
        print(f"\nverbs: {' '.join(sorted(verbs.VERBS))}")
        return DONE if words else MISUSE
    if is_runtime:
        parsed = in_foreground(parsed, verbs.VERBS)
    try:
        code = verbs.run(parsed, lambda verb: importlib.import_module(module_of(verb)))
    except GaplessError as error:
        # PM2 knows one exit code for everything that failed.
        raise GaplessError(error.message, hint=error.hint) from error
    finally:
        home.name_as_pm2()
    return min(code, FAILED) if code in _FAILURES else code
