"""PM2's verbs, each by what gapless has for it.

`VERBS` is the whole list: what is not in it is no verb of PM2.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from types import ModuleType
from typing import Any

from gapless.base.errors import DONE, GaplessError, MisuseError
from gapless.cli import selection
from gapless.cli.pm2 import (
    deploy,
    ecosystem,
    inspected,
    inspector,
    instead,
    settings,
    trigger,
)
from gapless.cli.pm2.words import Words
from gapless.client import Client

Run = Callable[[Words], int]
Import = Callable[[str], ModuleType]


class _Ours:
    """What imports a verb of gapless: handed down, since verbs are above this."""

    verb: Import


def run(words: Words, import_verb: Import) -> int:
    """Run a command line of PM2; return the exit code.  Raises GaplessError."""
    _Ours.verb = staticmethod(import_verb)
    verb = VERBS.get(words.verb)
    if verb is None:
        raise MisuseError(
            f"pm2 has no verb {words.verb!r}"
            if words.verb
            else "pm2: there is no verb",
            hint="`gapless pm2 --help` lists them; see docs/pm2.md",
        )
    return verb(words)


def _ours(verb: str, about: list[str], **settings: Any) -> int:
    """Run a verb of gapless with arguments, and with what its options would set."""
    module = _Ours.verb(verb)
    parser = argparse.ArgumentParser(prog=f"pm2 {verb}", allow_abbrev=False)
    module.add_arguments(parser)
    args = parser.parse_args(["--", *about] if about else [])
    for name, value in settings.items():
        setattr(args, name, value)
    return int(module.run(args))


def _simply(verb: str) -> Run:
    """Return what runs a verb of gapless about the same words."""
    return lambda words: _ours(verb, list(words.about))


def _chosen(words: Words) -> dict[str, Any]:
    """Return what chooses among what a file declares, and how it is read."""
    return {
        "env": words.given.get("env"),
        "only": str(words.given.get("only", "")),
        "update_env": words.has("update_env"),
    }


# --- apps ---------------------------------------------------------------------------------


def _start(words: Words) -> int:
    asked = {
        **_chosen(words),
        **words.fields(),
        "like_pm2": True,
        "again": words.has("force"),
        "foreground": words.has("foreground"),
        "arguments": list(words.rest or ()),
    }
    if words.has("port"):
        asked["port"] = words.given["port"]
    return _worst([_ours("start", [each], **asked) for each in words.about or [""]])


def _reload(words: Words) -> int:
    fields = words.fields()
    if words.rest is not None:
        fields["args"] = list(words.rest)
    return _ours("reload", _some(words), **_chosen(words), changes=fields)


def _end(verb: str) -> Run:
    return lambda words: _ours(verb, _some(words), only=words.given.get("only", ""))


def _some(words: Words) -> list[str]:
    if not words.about:
        raise MisuseError(
            f"pm2 {words.verb} what? name an app, or `all`",
            hint="`pm2 list` names the apps",
        )
    return list(words.about)


def _serve(words: Words) -> int:
    given = words.given
    if given.get("listing"):
        raise MisuseError(
            "pm2 serve --ftp: directories are not listed",
            hint="pm2 start 'python3 -m http.server 8080' --name files",
        )
    directory, port = (*words.about, "", "")[:2]
    return _ours(
        "serve",
        [],
        directory=directory,
        port=port or str(given.get("port", "")),
        like_pm2=True,
        **{
            name: given[name]
            for name in ("name", "spa", "username", "password")
            if name in given
        },
    )


def _worst(codes: list[int]) -> int:
    return max(codes)


# --- looking ------------------------------------------------------------------------------


def _list(words: Words) -> int:
    return _ours("list", [], sort=str(words.given.get("sort", "")))


def _logs(words: Words) -> int:
    # Not --raw: PM2 means without names, which is so here; terminals stay protected.
    known = {"json": "as_objects"} | {
        name: name
        for name in (
            *("only_error", "only_output", "highlight", "timestamp"),
            "as_pairs",
        )
    }
    chosen = {
        to: words.given[name] for name, to in known.items() if name in words.given
    }
    if words.has("lines"):
        lines = str(words.given["lines"])
        if not lines.isdigit():
            raise MisuseError(f"pm2 logs --lines {lines}: this is no number of lines")
        chosen["lines"] = int(lines)
    return _ours("logs", list(words.about), follow=not words.has("nostream"), **chosen)


def _ping(words: Words) -> int:
    _ = words
    Client(starts=False).request("ping")  # PM2's starts a daemon: here looking does not
    print("{ msg: 'pong' }")
    return DONE


def _id(words: Words) -> int:
    client = Client(starts=False)
    names = selection.names(client, list(words.about) or ["all"])
    rows = {
        row["name"]: row["ids"] for row in client.request("list", only="names")["apps"]
    }
    print([identity for name in names for identity in rows[name]])
    return DONE


def _prettylist(words: Words) -> int:
    _ = words
    print(inspected.text(_Ours.verb("jlist").items(Client(starts=False))))
    return DONE


def _report(words: Words) -> int:
    _ = words
    for verb in ("doctor", "list"):
        try:
            _ours(verb, [])
        except GaplessError as error:
            print(error.message)
    return DONE


# --- this machine -------------------------------------------------------------------------


def _startup(words: Words, *, remove: bool = False) -> int:
    given = words.given
    # PM2's --hp is the home directory of the user, and its unit is a name.
    known = {
        "user": "user",
        "unit": "service",
        "wait_ip": "wait_ip",
        "home": "user_home",
    }
    asked = {to: given[name] for name, to in known.items() if name in given}
    return _ours("startup", list(words.about), remove=remove, **asked)


def _unstartup(words: Words) -> int:
    return _startup(words, remove=True)


def _update(words: Words) -> int:
    _ = words
    return _ours("upgrade", [])


def _reload_logs(words: Words) -> int:
    _ = words
    print(
        "nothing to do: a log that was moved or removed is opened anew for its next line"
    )
    return DONE


def _kill(words: Words) -> int:
    """End everything and forget it, as PM2 does: `save` first, and `resurrect` has it."""
    _ = words
    if Client().request("list", only="names")["apps"]:
        _ours("delete", ["all"])
    return _ours("shutdown", [])


def _cleardump(words: Words) -> int:
    _ = words
    return _ours("save", [], clear=True)


VERBS: dict[str, Run] = {
    **instead.verbs(),
    **dict.fromkeys(
        ("start", "startOrRestart", "startOrReload", "startOrGracefulReload"), _start
    ),
    **dict.fromkeys(("reload", "restart", "gracefulReload"), _reload),
    **dict.fromkeys(("delete", "del"), _end("delete")),
    **dict.fromkeys(("list", "ls", "l", "ps", "status"), _list),
    **dict.fromkeys(("serve", "expose"), _serve),
    **dict.fromkeys(("set", "multiset"), settings.write),
    **dict.fromkeys(("get", "conf", "config"), settings.read),
    "unset": settings.remove,
    "deploy": deploy.say,
    "inspect": inspector.open_in,
    **dict.fromkeys(("describe", "desc", "info", "show"), _simply("describe")),
    **dict.fromkeys(("update", "updatePM2"), _update),
    **dict.fromkeys(("ecosystem", "init"), ecosystem.write),
    "stop": _end("stop"),
    "scale": _simply("scale"),
    "reset": _simply("reset"),
    "env": _simply("env"),
    "pid": _simply("pid"),
    "flush": _simply("flush"),
    "sendSignal": _simply("signal"),
    "jlist": _simply("jlist"),
    "prettylist": _prettylist,
    "id": _id,
    "ping": _ping,
    "logs": _logs,
    "report": _report,
    "reloadLogs": _reload_logs,
    **dict.fromkeys(
        ("save", "dump"), lambda words: _ours("save", [], force=words.has("force"))
    ),
    "trigger": trigger.run,
    "cleardump": _cleardump,
    "resurrect": _simply("resurrect"),
    "startup": _startup,
    "unstartup": _unstartup,
    "kill": _kill,
}
"""Every verb of PM2."""
