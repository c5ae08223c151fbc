"""Accept PM2's own verbs and options, for scripts that call `pm2`.

`gapless pm2 --install` writes a command `pm2` beside `gapless`; where a real PM2 is in PATH
the command runs that one.  `--remove` removes it.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable

import gapless
from gapless.base.errors import DONE, FAILED, MISUSE, MisuseError
from gapless.cli import pm2_shim
from gapless.cli.command_path import command_path

RAW = True
"""This verb parses all words itself."""
_START = ["start", "startOrRestart", "startOrReload", "startOrGracefulReload"]
_SAME = (
    *("stop", "delete", "del", "reload", "list", "ls", "l", "ps", "status"),
    *("describe", "desc", "info", "show", "flush", "reset", "env", "pid", "scale"),
    *("sendSignal", "jlist", "save", "resurrect", "startup", "kill", "logs"),
)
"""Verbs that gapless has by the same name."""
_RENAMED = {"gracefulReload": "reload", "restart": "reload", "dump": "save"}
_IGNORED = (
    *("-f", "--force", "-s", "--silent", "-m", "--mini-list", "-a", "--attach"),
    *("--no-color", "--no-pmx", "--no-vizion", "--no-automation", "--disable-trace"),
    *("--source-map-support", "--disable-source-map-support"),
    *("--raw", "--err", "--out", "--highlight", "--no-prefix"),
)
_IGNORED_WITH_VALUE = ("--parallel", "--format", "--timestamp", "--sort")


def run_words(words: list[str]) -> int:
    """Run the verb of gapless that `pm2 WORDS` means.  Raises GaplessError."""
    if words[:1] in (["--install"], ["--remove"]):
        directory = words[1] if len(words) > 1 else os.path.dirname(command_path())
        act = pm2_shim.install if words[0] == "--install" else pm2_shim.remove
        print(act(directory))
        return DONE
    if not words or words[0] in ("-h", "--help", "help"):
        print(__doc__.strip())
        print(f"\nverbs: {' '.join(sorted({*_SAME, *_RENAMED, *_START, *_OWN}))}")
        return DONE if words else MISUSE
    if words[0] in ("-v", "--version", "-V", "version"):
        print(f"gapless {gapless.__version__}, in place of pm2")
        return DONE
    return _dispatch(_without_ignored(words))


def _dispatch(words: list[str]) -> int:
    # By name: __main__ imports the verbs, so no verb may import __main__.
    main: Callable[[list[str]], int] = importlib.import_module("gapless.__main__").main

    if not words:
        raise MisuseError("there is no verb")
    verb, rest = words[0], words[1:]
    if verb in _OWN:
        return _OWN[verb](rest)
    if verb in _START:
        return main(["start", "--like-pm2", *rest])
    if verb == "logs":
        rest = _logs(rest)
    elif verb == "unstartup":
        return main(["startup", "--remove", *rest])
    if verb not in (*_SAME, *_RENAMED):
        print(f"gapless: there is no counterpart of `pm2 {verb}`", file=sys.stderr)
        print("hint: `gapless` lists its verbs; see docs/pm2.md", file=sys.stderr)
        return FAILED
    return main([_RENAMED.get(verb, verb), *rest])


def _without_ignored(words: list[str]) -> list[str]:
    """Return the words without options that have no effect here; after -- all stay."""
    own = words[: words.index("--")] if "--" in words else words
    kept: list[str] = []
    skip = False
    for word in own:
        if skip:
            skip = False
        elif word in _IGNORED_WITH_VALUE:
            skip = True
        elif word not in _IGNORED:
            kept.append(word)
    return kept + words[len(own) :]


def _logs(words: list[str]) -> list[str]:
    """Return the words for `logs`: PM2 follows by default, with --nostream not."""
    if "--nostream" in words:
        return [word for word in words if word != "--nostream"]
    return [*words, "--follow"]


def _ping(words: list[str]) -> int:
    _ = words
    from gapless.client import Client  # noqa: PLC0415 - only here

    Client(starts=False).request("ping")
    print("{ msg: 'pong' }")
    return DONE


def _id(words: list[str]) -> int:
    from gapless.cli import selection  # noqa: PLC0415 - only here
    from gapless.client import Client  # noqa: PLC0415 - only here

    client = Client(starts=False)
    names = selection.names(client, words or ["all"])
    rows = {
        row["name"]: row["ids"] for row in client.request("list", only="names")["apps"]
    }
    print([identity for name in names for identity in rows[name]])
    return DONE


def _update(words: list[str]) -> int:
    _ = words
    print("nothing to update: gapless keeps nothing in memory that an update replaces")
    return DONE


_OWN: dict[str, Callable[[list[str]], int]] = {
    "ping": _ping,
    "id": _id,
    "update": _update,
}
