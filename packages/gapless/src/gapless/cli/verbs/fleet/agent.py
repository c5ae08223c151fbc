"""Follow the rollouts of a fleet on this host.

Runs in the foreground, for systemd or as an app under gapless.  --once does what this host
has to do now, and ends: for cron.  While the coordinator does not answer nothing changes,
and every app serves on.

With --health (or `health_listen` in the file) it answers load balancers for each app, on
/APP: 200 while the app serves, 404 while it leaves, 503 when it does not run.  Without a
host it listens on this host's own address and on loopback; `*:PORT` is every address.
"""

from __future__ import annotations

import argparse
import select
from collections.abc import Mapping
from signal import SIGINT, SIGTERM

from gapless.agent import address, membership
from gapless.agent.app_listing import AppListing
from gapless.agent.health import sockets
from gapless.agent.health.askers import AllowedAskers
from gapless.agent.health.endpoint import HealthEndpoint
from gapless.base import wakeup
from gapless.base.errors import DONE, FAILED, MisuseError, NotFoundError
from gapless.cli import arguments, configuration, output
from gapless.cli.fleet import trust_warnings
from gapless.cli.fleet.follower_thread import FollowerThread
from gapless.client import Client
from gapless.config.toml.fleets import Fleet

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
        _endpoint(
            listen,
            {app: fleets[app] for app in fleets if listens[app] == listen},
            args.address,
            listing,
        )
        for listen in sorted({*listens.values()} - {""})
    ]
    output.print_line(f"{host} follows {', '.join(fleets)}")
    for endpoint in endpoints:
        output.print_line(f"{host} answers load balancers on {endpoint}")
    for fleet in fleets.values():
        for warning in trust_warnings.of_host(fleet):
            output.print_line(f"warning: {warning}")
    for each in followers:
        each.thread.start()
    while not select.select([numbers], [], [], CHECK_THREADS_S)[0]:
        # A thread that has died would leave one app without its agent.
        threads = all(each.thread.is_alive() for each in followers)
        if not (threads and all(each.is_running for each in endpoints)):
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


def _endpoint(
    listen: str, fleets: Mapping[str, Fleet], given: str, listing: AppListing
) -> HealthEndpoint:
    """Answer for the apps that have one address.  Raises MisuseError."""
    first, *others = fleets.values()
    if any(each.health_from != first.health_from for each in others):
        raise MisuseError(
            f"{', '.join(fleets)} have one health_listen, {listen}, and not the same "
            "health_from",
            hint="write the same health_from for each, or ports of their own",
        )
    own = [
        address.host_addresses(first, given, listen).host,
        address.own_address(first),
    ]
    return HealthEndpoint(
        sockets.listen(listen, own),
        tuple(fleets),
        listing,
        allowed=AllowedAskers(first.health_from),
        complain=output.print_line,
    )
