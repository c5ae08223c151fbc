"""Operations: sent to the supervisor for all apps at once, followed, and reported."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

from gapless.base import codec
from gapless.base.errors import DONE, GaplessError, MisuseError
from gapless.cli import output, selection, sequence
from gapless.cli.display import reports
from gapless.cli.progress import choice
from gapless.cli.this_host import shell_limits
from gapless.client import Client, in_parts
from gapless.supervisor.decide import order

if TYPE_CHECKING:
    from gapless.cli.app_requests import AppRequest

PrintStep = Callable[[dict[str, Any]], None] | None
Send = Callable[[str, PrintStep], dict[str, Any]]
"""Sends the request about one app, prints its steps, and returns its report."""


def run_all(
    apps: list[str],
    send: Send,
    *,
    as_json: bool,
    after: order.After | None = None,
    client: Client | None = None,
) -> int:
    """Send a request for every app at the same time, and print each report.

    Each request is sent when those of the apps that it is *after* have begun.
    Returns the exit code.  Raises GaplessError if there is one app only, and it failed.
    """
    outcomes: dict[str, dict[str, Any] | GaplessError] = {}
    with choice.shown(apps, as_json=as_json, client=client) as shown:

        def run_one(app: str, begun: Callable[[], None]) -> None:
            def told(event: dict[str, Any]) -> None:
                begun()
                shown.step(event)

            try:
                outcomes[app] = send(app, told)
            except GaplessError as error:
                outcomes[app] = error
            shown.end(app, *choice.outcome_of(outcomes[app]))

        sequence.run(apps, after or {}, run_one)
    if len(apps) == 1 and isinstance(error := outcomes[apps[0]], GaplessError):
        raise error
    return _print_outcomes([(app, outcomes[app]) for app in apps], as_json=as_json)


def request_all(
    client: Client,
    apps: list[str],
    op: str,
    *,
    as_json: bool,
    after: order.After | None = None,
    **fields: Any,
) -> int:
    """Send the same request for every app; return the exit code."""

    def send(app: str, print_step: PrintStep) -> dict[str, Any]:
        report: dict[str, Any] = client.request(
            op, on_event=print_step, app=app, **fields
        )
        return report

    return run_all(apps, send, as_json=as_json, after=after, client=client)


def end(args: argparse.Namespace, op: str) -> int:
    """Stop or delete the apps that a command names; return the exit code.

    What others are after ends behind them.
    """
    client = Client()
    only = [name for name in getattr(args, "only", "").split(",") if name]
    apps = selection.names(client, args.app, ends=True, only=only)
    after = order.backwards(apps, selection.after(client))
    return request_all(client, apps, op, as_json=args.json, after=after)


def send_all(
    client: Client,
    requests: Collection[AppRequest],
    *,
    as_json: bool,
    recycle: bool = False,
    drops: Collection[str] = (),
) -> int:
    """Send all requests, in the order that the apps want; return the exit code."""
    by_name = {request.spec.name: request for request in requests}
    if len(by_name) != len(requests):
        raise MisuseError("an app was named twice")

    _register(client, requests)
    # All apps of a supervisor have the same limits: one of them tells.
    first = next(iter(by_name), "")

    def send(app: str, print_step: PrintStep) -> dict[str, Any]:
        request = by_name[app]
        if request.action == "register":
            return {"app": app, "action": "register", "outcome": "done"}
        fields: dict[str, Any] = {"spec": codec.encode(request.spec)}
        if request.action != "start":
            fields |= {"app": app, "recycle": recycle}
            if drops:  # an older supervisor does not know it
                fields["drops"] = list(drops)
        report: dict[str, Any] = client.request(
            request.action, on_event=print_step, **fields
        )
        if app == first and report.get("outcome") == "done":
            warning = shell_limits.warning_about(client, request.spec)
            report |= {"warning": warning} if warning else {}
        return report

    after = {name: request.spec.after for name, request in by_name.items()}
    return run_all(list(by_name), send, as_json=as_json, after=after, client=client)


def _register(client: Client, requests: Collection[AppRequest]) -> None:
    """Add apps to the list, so that they have their ids in the order of their file.

    One app alone gets its ids when it starts.
    """
    wanted = [
        request
        for request in requests
        if request.action == "register"
        or (request.action == "start" and len(requests) > 1)
    ]
    for part in in_parts(wanted):
        specs = [codec.encode(request.spec) for request in part]
        try:
            registered = client.request("register", specs=specs)["registered"]
        except (
            MisuseError
        ):  # one is refused, or an older supervisor takes one at a time
            for request in part:
                _register_one(client, request)
            continue
        for request in part:
            name = request.spec.name
            if request.action == "register" and name not in registered:
                raise MisuseError(f"{name} runs already")


def _register_one(client: Client, request: AppRequest) -> None:
    try:
        client.request("register", spec=codec.encode(request.spec))
    except MisuseError:
        if request.action == "register":
            raise
        # Its start reports that it runs already, or is refused.


def _print_outcomes(
    outcomes: list[tuple[str, dict[str, Any] | GaplessError]], *, as_json: bool
) -> int:
    code = DONE
    rows = []
    for app, outcome in outcomes:
        if isinstance(outcome, GaplessError):
            code = max(code, outcome.exit_code)
            rows.append({"app": app, "error": outcome.describe()})
            if not as_json:
                print(output.paint(f"{app}: {outcome.message}", "red"))
        elif as_json:
            code = max(code, reports.exit_code(outcome))
            rows.append(outcome)
        else:
            code = max(code, reports.print_report(outcome))
    if as_json:
        output.print_json(rows[0] if len(rows) == 1 else rows)
    return code
