"""Write a load balancer's configuration, or check one while a server behind it drains.

`gapless balancer nginx|haproxy APP` prints a configuration for the hosts of a fleet, with
which a request that one server refuses is sent to another; with --server HOST:PORT ... for
the servers that are named.  `gapless balancer check URL` sends a balancer GET, POST, a POST
whose body is late and a large POST, while `gapless drain` is on at one of its servers, and
prints the settings that let a refusal through.  With --next URL it goes on when the next
server drains in the place of the first.
"""

from __future__ import annotations

import argparse
import math

from gapless.balancer import haproxy, nginx
from gapless.balancer.model import (
    LONGEST_TIMEOUT_S,
    SHORTEST_TIMEOUT_S,
    Member,
    Pool,
    identifier,
)
from gapless.base.errors import DONE, MisuseError, NotFoundError
from gapless.cli import arguments, configuration, output
from gapless.cli.fleet import balancer_check

_WRITERS = {"nginx": nginx.configuration, "haproxy": haproxy.configuration}

DATA = True
"""What it prints is the content of a file, or a value: a pipe gets it unchanged."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `balancer`."""
    parser.add_argument("what", choices=[*_WRITERS, "check"])
    parser.add_argument(
        "target",
        nargs="?",
        default="",
        metavar="APP|URL",
        help="nginx, haproxy: the app of the fleet; check: the URL of the balancer",
    )
    parser.add_argument(
        "--draining",
        default="",
        metavar="URL",
        help="check: the server that drains; it must refuse requests now",
    )
    parser.add_argument(
        "--next",
        default="",
        metavar="URL",
        help="check: the server that drains after that one; wait for it, and send again",
    )
    parser.add_argument(
        "--name",
        default="",
        help="the name of the pool; default: made of the app's, or `app`",
    )
    parser.add_argument(
        "--server",
        action="append",
        default=[],
        metavar="HOST:PORT",
        help="a server of the pool, in place of a fleet; may be given several times",
    )
    parser.add_argument(
        "--port",
        type=int,
        default=0,
        help="the port of the app, if it listens on several",
    )
    parser.add_argument(
        "--listen",
        default=":80",
        metavar="[HOST]:PORT",
        help="the address of the balancer (default: :80)",
    )
    parser.add_argument(
        "--health",
        default="",
        metavar="PATH",
        help="the health path of the app, which fails before requests are refused; "
        "used where no agent answers balancers; default: no check",
    )
    parser.add_argument(
        "--largest-body-mb",
        type=int,
        default=1,
        metavar="N",
        help="the largest body, in MiB, that is sent to another server (default: 1); "
        "nginx answers 413 to larger ones, 0: it takes any size",
    )
    parser.add_argument(
        "--timeout",
        type=int,
        metavar="SECONDS",
        help="how long a server may be silent in a request (default: stop.drain_timeout_s "
        "of the app, if the configuration declares it; at least 60)",
    )
    arguments.add_config(parser)
    arguments.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Write or check."""
    if args.what == "check":
        return balancer_check.run(args)
    if args.server:
        app, members = "app", tuple(Member(address=each) for each in args.server)
        drain_s = 0.0
    else:
        app, members, drain_s = _fleet_members(args)
    health = args.health
    if any(each.health for each in members):
        from gapless.agent.health.answer import path_of  # noqa: PLC0415 - rare

        health = path_of(app)
    pool = Pool(
        name=args.name or identifier(app),
        members=members,
        listen=args.listen,
        health=health,
        largest_body_bytes=args.largest_body_mb << 20,
        timeout_s=min(max(SHORTEST_TIMEOUT_S, math.ceil(drain_s)), LONGEST_TIMEOUT_S)
        if args.timeout is None
        else args.timeout,
    )
    print(_WRITERS[args.what](pool), end="")
    return DONE


def _fleet_members(
    args: argparse.Namespace,
) -> tuple[str, tuple[Member, ...], float]:
    """Return the app of a fleet, all hosts that the fleet knows, how long they drain.

    A host without a known address is an error: a balancer would leave it out for good.
    Raises GaplessError.
    """
    from gapless.agent.open_store import open_store  # noqa: PLC0415 - loads TLS

    try:
        found = configuration.fleet(args.config, args.target)
    except NotFoundError as error:
        raise NotFoundError(
            error.message,
            hint="without a fleet name the servers: --server HOST:PORT for each; one "
            "server alone needs no such file (docs/one-host.md)",
        ) from None
    store = open_store(found, output.print_error)
    reports = sorted(store.hosts.all().values(), key=lambda each: each.host)
    if not reports:
        raise NotFoundError(
            f"{store.app}: no host follows yet", hint="run `gapless agent` on each"
        )
    members, mistakes = [], []
    for each in reports:
        fitting = [
            address
            for address in each.addresses
            if not args.port or address.endswith(f":{args.port}")
        ]
        if len(fitting) == 1:
            members.append(
                Member(address=fitting[0], name=each.host, health=each.health)
            )
        elif fitting:
            mistakes.append(
                f"{each.host} listens on {', '.join(fitting)}: choose one with --port N"
            )
        else:
            mistakes.append(
                f"{each.host}: no address is known; run its agent with --address, or "
                f"`gapless rollout forget {store.app} {each.host}`"
            )
    if mistakes:
        raise MisuseError("\n".join(mistakes))
    return store.app, tuple(members), configuration.drain_timeout_s(found)
