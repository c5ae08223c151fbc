"""PM2's own verbs and options, for scripts that call `pm2`.

`gapless pm2 --install` puts a command `pm2` beside `gapless`, which steps aside where a
real PM2 is in PATH; `--remove` takes it away.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable

import gapless
from gapless.base.errors import FAILED, MISUSE, GaplessError, MisuseError, NotFoundError

RAW = True
"""All words are ours, whatever they look like."""
MARK = "Written by `gapless pm2 --install`"
_SHIM = """\
#!/bin/sh
# {mark}; `gapless pm2 --remove` takes it away.
# Where a real PM2 is in PATH it is that which runs.
IFS=:
for directory in $PATH; do
  candidate="${{directory:-.}}/pm2"
  if [ -f "$candidate" ] && [ -x "$candidate" ] && ! grep -q '{mark_in_grep}' "$candidate"
  then
    exec "$candidate" "$@"
  fi
done
exec '{command}' pm2 "$@"
"""
_START = ["start", "startOrRestart", "startOrReload", "startOrGracefulReload"]
_SAME = (
    *("stop", "delete", "del", "reload", "list", "ls", "l", "ps", "status"),
    *("describe", "desc", "info", "show", "flush", "reset", "env", "pid", "scale"),
    *("sendSignal", "jlist", "save", "resurrect", "startup", "kill", "logs"),
)
"""These are verbs or aliases of ours."""
_RENAMED = {"gracefulReload": "reload", "restart": "reload", "dump": "save"}
_IGNORED = (
    *("-f", "--force", "-s", "--silent", "-m", "--mini-list", "-a", "--attach"),
    *("--no-color", "--no-pmx", "--no-vizion", "--no-automation", "--disable-trace"),
    *("--source-map-support", "--disable-source-map-support"),
    *("--raw", "--err", "--out", "--highlight", "--no-prefix"),
)
_IGNORED_WITH_VALUE = ("--parallel", "--format", "--timestamp", "--sort")


def run_words(words: list[str]) -> int:
    """Do what `pm2 WORDS` would.  Raises GaplessError."""
    if words[:1] in (["--install"], ["--remove"]):
        place = words[1] if len(words) > 1 else _beside()
        return _install(place) if words[0] == "--install" else _remove(place)
    if not words or words[0] in ("-h", "--help", "help"):
        print(__doc__.strip())
        print(f"\nverbs: {' '.join(sorted({*_SAME, *_RENAMED, *_START, *_OWN}))}")
        return 0 if words else MISUSE
    if words[0] in ("-v", "--version", "-V", "version"):
        print(f"gapless {gapless.__version__}, in the place of pm2")
        return 0
    return _dispatch(_without_ignored(words))


def _dispatch(words: list[str]) -> int:
    # By name: the command line imports its verbs, and no verb imports it.
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
        print(f"gapless: it has nothing in the place of `pm2 {verb}`", file=sys.stderr)
        print("hint: `gapless` lists what it can do; docs/pm2.md", file=sys.stderr)
        return FAILED
    return main([_RENAMED.get(verb, verb), *rest])


def _without_ignored(words: list[str]) -> list[str]:
    """Return the words without options that mean nothing here; behind -- all stay."""
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
    """PM2 follows unless told otherwise."""
    if "--nostream" in words:
        return [word for word in words if word != "--nostream"]
    return [*words, "--follow"]


def _ping(words: list[str]) -> int:
    _ = words
    from gapless.client import Client  # noqa: PLC0415 - only here

    Client().request("ping")
    print("{ msg: 'pong' }")
    return 0


def _id(words: list[str]) -> int:
    from gapless.cli import selection  # noqa: PLC0415 - only here
    from gapless.client import Client  # noqa: PLC0415 - only here

    client = Client()
    names = selection.names(client, words or ["all"])
    rows = {row["name"]: row["ids"] for row in client.request("list")["apps"]}
    print([identity for name in names for identity in rows[name]])
    return 0


def _update(words: list[str]) -> int:
    _ = words
    print("gapless keeps nothing in memory that had to be updated")
    return 0


_OWN: dict[str, Callable[[list[str]], int]] = {
    "ping": _ping,
    "id": _id,
    "update": _update,
}


# --- the command `pm2` --------------------------------------------------------------


def _beside() -> str:
    """Return the directory in which `gapless` itself is."""
    return os.path.dirname(_gapless())


def _gapless() -> str:
    own = os.path.abspath(sys.argv[0])
    if os.path.basename(own) == "gapless":
        return own
    return os.path.join(os.path.dirname(sys.executable), "gapless")


def _install(directory: str) -> int:
    path = os.path.join(os.path.abspath(directory), "pm2")
    if os.path.lexists(path) and not _is_ours(path):
        raise GaplessError(
            f"{path} is there, and not ours", hint="name another directory"
        )
    text = _SHIM.format(
        mark=MARK,
        mark_in_grep=MARK.replace("`", "."),
        command=_gapless().replace("'", "'\\''"),
    )
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path, 0o755)  # noqa: S103 - a command for everybody
    print(f"wrote {path}: `pm2` is gapless where no real PM2 is in PATH")
    return 0


def _remove(directory: str) -> int:
    path = os.path.join(os.path.abspath(directory), "pm2")
    if not os.path.lexists(path):
        raise NotFoundError(f"there is no {path}")
    if not _is_ours(path):
        raise GaplessError(f"{path} is not ours: it stays")
    os.unlink(path)
    print(f"removed {path}")
    return 0


def _is_ours(path: str) -> bool:
    try:
        with open(path, encoding="utf-8") as file:
            return MARK in file.read(4096)
    except (OSError, UnicodeDecodeError):
        return False
