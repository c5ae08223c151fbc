"""Follow the rollouts of a fleet on this host.

Runs in the foreground, for systemd or as an app under gapless.  --once does what this host
has to do now, and ends: for cron.  While the coordinator does not answer nothing changes,
and every app serves on.

With --health (or `health_listen` in the file) it answers load balancers for each app, on
/APP: 200 while the app serves, 404 while it leaves, 503 when it does not run.
"""

from __future__ import annotations

import argparse
import select
from signal import SIGINT, SIGTERM

from gapless.agent import address, membership
from gapless.agent.app_listing import AppListing
from gapless.agent.health_endpoint import HealthEndpoint
from gapless.base import wakeup
from gapless.base.errors import DONE, FAILED, NotFoundError
from gapless.cli import arguments, configuration, output
from gapless.cli.fleet import trust_warnings
from gapless.cli.fleet.follower_thread import FollowerThread
from gapless.client import Client

CHECK_THREADS_S = 5.0
LAST_STEP_S = 60.0
"""How long a host's turn may go on after SIGTERM: a handoff is not left half-done."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `agent`."""
    parser.add_argument(
        "--once",
        action="store_true",
        help="do what is to do now, then end: for cron",
    )
    parser.add_argument(
        "--host",
        default="",
        metavar="NAME",
        help="the name of this host; default: GAPLESS_HOST, or its host name",
    )
    parser.add_argument(
        "--address",
        default="",
        metavar="HOST[:PORT]",
        help="the address at which load balancers reach this host; "
        "default: `address` of the file, else detected",
    )
    parser.add_argument(
        "--health",
        default="",
        metavar="[HOST]:PORT",
        help="answer load balancers here: 200, 404 while the app leaves, 503; "
        "default: health_listen of the file",
    )
    arguments.add_config(parser, table="rollout", otherwise="")


def run(args: argparse.Namespace) -> int:
    """Follow every fleet of the configuration."""
    fleets = configuration.fleets(args.config)
    if not fleets:
        raise NotFoundError(
            f"{args.config or 'gapless.toml'} has no [rollout.NAME]",
            hint="it says how a fleet changes: slots = 1",
        )
    host = membership.host_name(args.host)
    listens = {
        # With --once the agent ends at once, so it answers no load balancer.
        app: "" if args.once else args.health or each.health_listen
        for app, each in fleets.items()
    }
    followers = [
        FollowerThread(
            each,
            host,
            address.host_addresses(each, args.address, listens[each.release.app]),
        )
        for each in fleets.values()
    ]
    client = Client()
    try:
        membership.remember(client.home, fleets, host)
    except OSError as error:  # `drain` cannot ask the others then; releases go on
        output.print_line(f"could not write {client.home.fleets}: {error}")
    if args.once:
        return max(each.run_once() for each in followers)
    numbers = wakeup.on((SIGTERM, SIGINT))
    listing = AppListing(lambda: client.request("list") if client.has_apps() else None)
    endpoints = [
        HealthEndpoint(each, [app for app in fleets if listens[app] == each], listing)
        for each in sorted({*listens.values()} - {""})
    ]
    output.print_line(f"{host} follows {', '.join(fleets)}")
    for fleet in fleets.values():
        for warning in trust_warnings.of_host(fleet):
            output.print_line(f"warning: {warning}")
    for each in followers:
        each.thread.start()
    while not select.select([numbers], [], [], CHECK_THREADS_S)[0]:
        # A thread that has died would leave one app without its agent.
        if not all(each.thread.is_alive() for each in followers):
            return FAILED
    # Load balancers are answered to the end: the last turn may be a recycle.
    for each in followers:
        each.follower.stopping.set()
    for each in followers:
        if each.is_acting:
            each.thread.join(LAST_STEP_S)
    for endpoint in endpoints:
        endpoint.close()
    return DONE
