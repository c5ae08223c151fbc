"""PM2's verbs, each by what gapless has for it.

`VERBS` is the whole list: what is not in it is no verb of PM2.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gapless.base.errors import DONE, GaplessError, MisuseError
from gapless.cli import selection
from gapless.cli.pm2 import (
    deploy,
    ecosystem,
    inspected,
    inspector,
    instead,
    machine,
    ours,
    settings,
    trigger,
)
from gapless.cli.pm2.words import Words
from gapless.client import Client
from gapless.config.file_kinds import is_configuration


def run(words: Words, import_verb: ours.Import) -> int:
    """Run a command line of PM2; return the exit code.  Raises GaplessError."""
    ours.Verbs.module = staticmethod(import_verb)
    verb = VERBS.get(words.verb)
    if verb is None:
        raise MisuseError(
            f"pm2 has no verb {words.verb!r}"
            if words.verb
            else "pm2: there is no verb",
            hint="`gapless pm2 --help` lists them; see docs/pm2.md",
        )
    return verb(words)


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
    about = ours.aliased(words) or [""]
    return _worst([ours.run("start", [each], **asked) for each in about])


def _reload(words: Words) -> int:
    fields = words.fields()
    if words.rest is not None:
        fields["args"] = list(words.rest)
    files = [each for each in words.about if is_configuration(each)]
    if files and "name" in fields:
        raise MisuseError(
            f"pm2 {words.verb} {files[0]} --name: a file names its apps itself",
            hint=f"pm2 {words.verb} APP --name {fields['name']}",
        )
    # Of a file: for all that it declares.
    return ours.run(
        "reload", ours.some(words), **fields, **_chosen(words), changes=fields
    )


def _end(verb: str) -> ours.Run:
    return lambda words: ours.run(
        verb, ours.some(words), only=words.given.get("only", "")
    )


def _scale(words: Words) -> int:
    *apps, count = words.about or ("",)
    if len(own := ours.aliased(replace(words, about=tuple(apps)))) > 1:
        raise MisuseError(
            f"pm2 scale {apps[0]}: {len(own)} apps have this name: {', '.join(own)}",
            hint=f"name one: pm2 scale {own[0]} {count}",
        )
    return ours.run("scale", [*own, count] if words.about else [])


def _serve(words: Words) -> int:
    given = words.given
    if given.get("listing"):
        raise MisuseError(
            "pm2 serve --ftp: directories are not listed",
            hint="pm2 start 'python3 -m http.server 8080' --name files",
        )
    directory, port = (*words.about, "", "")[:2]
    return ours.run(
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
    return ours.run("list", [], sort=str(words.given.get("sort", "")))


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
    return ours.run(
        "logs", ours.aliased(words), follow=not words.has("nostream"), **chosen
    )


def _ping(words: Words) -> int:
    _ = words
    Client(starts=False).request("ping")  # PM2's starts a daemon: here looking does not
    print("{ msg: 'pong' }")
    return DONE


def _id(words: Words) -> int:
    client = Client(starts=False)
    names = selection.names(client, ours.aliased(words) or ["all"])
    rows = {
        row["name"]: row["ids"] for row in client.request("list", only="names")["apps"]
    }
    print([identity for name in names for identity in rows[name]])
    return DONE


def _prettylist(words: Words) -> int:
    _ = words
    print(inspected.text(ours.Verbs.module("jlist").items(Client(starts=False))))
    return DONE


def _report(words: Words) -> int:
    _ = words
    for verb in ("doctor", "list"):
        try:
            ours.run(verb, [])
        except GaplessError as error:
            print(error.message)
    return DONE


def _reload_logs(words: Words) -> int:
    _ = words
    print(
        "nothing to do: a log that was moved or removed is opened anew for its next line"
    )
    return DONE


VERBS: dict[str, ours.Run] = {
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
    **dict.fromkeys(("describe", "desc", "info", "show"), ours.of_each("describe")),
    **dict.fromkeys(("update", "updatePM2"), machine.update),
    **dict.fromkeys(("ecosystem", "init"), ecosystem.write),
    "stop": _end("stop"),
    "scale": _scale,
    "reset": ours.of_apps("reset"),
    "env": ours.of_each("env"),
    "pid": ours.of_apps("pid"),
    "flush": ours.of_apps("flush"),
    "sendSignal": ours.of_apps("signal"),
    "jlist": ours.simply("jlist"),
    "prettylist": _prettylist,
    "id": _id,
    "ping": _ping,
    "logs": _logs,
    "report": _report,
    "reloadLogs": _reload_logs,
    **dict.fromkeys(("save", "dump"), machine.save),
    "trigger": trigger.run,
    "cleardump": machine.cleardump,
    "resurrect": machine.resurrect,
    "startup": machine.startup,
    "unstartup": machine.unstartup,
    "kill": machine.kill,
}
"""Every verb of PM2."""
