"""Replace the running supervisor and keeper by the version that is installed.

No request and no line of a log is lost; commands that wait go on.  A version that does not
start changes nothing.
"""

from __future__ import annotations

import argparse
import os
from typing import Any

from gapless.base import clock, interpreter
from gapless.base.errors import DONE, FAILED, MisuseError
from gapless.cli import arguments, output
from gapless.cli.upgrade import earlier, silence
from gapless.client import Client
from gapless.supervisor.upgrade import installed
from gapless.supervisor.upgrade.renewal import TOO_OLD

_UNKNOWN = "there is no request"
"""What a supervisor says that does not know the request."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `upgrade`."""
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Upgrade what runs."""
    client = Client()
    if not client.lives():
        if args.json:
            output.print_json({"supervisor": None, "keeper": None})
        else:
            print("nothing runs here; the next command starts the installed version")
        return DONE
    say = output.print_nothing if args.json else output.print_line
    report = _upgrade(client, say)
    if args.json:
        output.print_json(report)
    else:
        _print(report)
    return FAILED if report["keeper"]["stays"] not in (None, TOO_OLD) else DONE


def _upgrade(client: Client, say: Any) -> dict[str, Any]:
    argv = interpreter.successor("gapless.supervisor.run")
    token, before = os.urandom(8).hex(), client.ping()
    silent: list[float | None] = []

    def told(event: dict[str, Any]) -> None:
        if event["step"] == "tried":
            say(f"version {event['version']} could take over: {event['package']}")
        elif event["step"] == "handing over":
            say("the supervisor hands over")

    def told_and_measured(event: dict[str, Any]) -> None:
        told(event)
        if event["step"] == "handing over":
            silent.append(
                silence.until(client, lambda now: now.get("upgraded") == token)
            )

    try:
        report: dict[str, Any] = client.request(
            "upgrade",
            token=token,
            argv=argv,
            package=installed.package_directory(),
            asked_at=clock.boottime(),
            on_event=told_and_measured,
        )
    except MisuseError as error:
        found = client.ping()
        if _UNKNOWN not in error.message or found is None:
            raise
        return earlier.replace(client, found, argv, told)
    if not report["supervisor"]["old"]["pid"] and before is not None:
        # The new one died meanwhile, and the next knows nothing of the one before.
        old = {name: before.get(name) for name in ("version", "pid", "package")}
        report["supervisor"]["old"] = old
    return report | {"without_control_ms": silent[-1] if silent else None}


def _print(report: dict[str, Any]) -> None:
    for name in ("supervisor", "keeper"):
        old, new = report[name]["old"], report[name]["new"]
        before, after = (
            each["version"] or "of an earlier version" for each in (old, new)
        )
        if report[name].get("stays"):
            print(f"{name} {before} stays (pid {old['pid']}): {report[name]['stays']}")
            if report[name]["stays"] == TOO_OLD:
                print("it works with this version; `gapless shutdown` ends it")
            continue
        print(f"{name} {before} -> {after} (pid {old['pid']} -> {new['pid']})")
    if report["without_control_ms"] is not None:
        print(f"commands waited for {report['without_control_ms']:.0f} ms")
