"""Write a balancer's configuration, or check one while a server behind it drains.

`gapless balancer nginx|haproxy APP` prints, for the hosts of a fleet, what makes "503, try
another server" true; with --server HOST:PORT ... for the servers that are named.  `gapless
balancer check URL` asks a balancer GET, POST, a POST whose body is late and a large one,
while `gapless drain` is on at one of its servers, and names the settings that let a refusal
through; with --next URL it goes on when the other one drains in its place.
"""

from __future__ import annotations

import argparse
import select
from collections.abc import Callable
from urllib.parse import SplitResult, urlsplit

from gapless.balancer import haproxy, nginx, probing
from gapless.balancer.findings import findings, findings_of_next
from gapless.balancer.model import Member, Pool, identifier
from gapless.balancer.request_kinds import RequestCounts
from gapless.base import clock
from gapless.base.errors import (
    DONE,
    FAILED,
    GaplessError,
    MisuseError,
    NotFoundError,
    TimedOutError,
)
from gapless.cli import configuration, output

_WRITERS = {"nginx": nginx.configuration, "haproxy": haproxy.configuration}
NEXT_S = 600.0
"""How long the next server is waited for."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `balancer` understands."""
    parser.add_argument("what", choices=[*_WRITERS, "check"])
    parser.add_argument(
        "target",
        nargs="?",
        default="",
        metavar="APP|URL",
        help="the fleet to write for; of the balancer, to check it",
    )
    parser.add_argument(
        "--draining",
        default="",
        metavar="URL",
        help="of the server that drains: be sure",
    )
    parser.add_argument(
        "--next",
        default="",
        metavar="URL",
        help="of the server that drains after it: both in turn show more",
    )
    parser.add_argument("--name", default="", help="what to call the pool (the app)")
    parser.add_argument(
        "--server",
        action="append",
        default=[],
        metavar="HOST:PORT",
        help="one of them, in place of a fleet",
    )
    parser.add_argument(
        "--port", type=int, default=0, help="of apps that listen on several"
    )
    parser.add_argument("--listen", default=":80", metavar="[HOST]:PORT")
    parser.add_argument(
        "--health",
        default="",
        metavar="PATH",
        help="of the app: says no before requests are refused, if no agent answers",
    )
    parser.add_argument(
        "--largest-body-mb",
        type=int,
        default=1,
        metavar="N",
        help="tried elsewhere (1)",
    )
    configuration.add(parser)


def run(asked: argparse.Namespace) -> int:
    """Write or check."""
    if asked.what == "check":
        return _check(asked)
    if asked.server:
        app, members = "app", tuple(Member(address=each) for each in asked.server)
    else:
        app, members = _fleet(asked)
    health = asked.health
    if any(each.health for each in members):
        from gapless.agent.health_endpoint import path_of  # noqa: PLC0415 - loads sockets

        health = path_of(app)
    pool = Pool(
        name=asked.name or identifier(app),
        members=members,
        listen=asked.listen,
        health=health,
        largest_body_bytes=asked.largest_body_mb << 20,
    )
    if mistakes := pool.mistakes():
        raise MisuseError("\n".join(mistakes))
    print(_WRITERS[asked.what](pool), end="")
    return DONE


def _fleet(asked: argparse.Namespace) -> tuple[str, tuple[Member, ...]]:
    """Return the hosts of a fleet that are known, there or not, by name.

    One whose address nobody knows is an error: a balancer would leave it out for good.
    Raises GaplessError.
    """
    from gapless.agent.open_store import open_store  # noqa: PLC0415 - loads TLS
    from gapless.cli import fleets  # noqa: PLC0415 - the same

    found = configuration.one_fleet(asked.config, asked.target)
    store = open_store(found, fleets.complain)
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
            if not asked.port or address.endswith(f":{asked.port}")
        ]
        if len(fitting) == 1:
            members.append(
                Member(address=fitting[0], name=each.host, health=each.health)
            )
        elif fitting:
            mistakes.append(
                f"{each.host} listens on {', '.join(fitting)}: say which, --port N"
            )
        else:
            mistakes.append(
                f"{each.host}: no address is known; run its agent with --address, or "
                f"`gapless rollout forget {store.app} {each.host}`"
            )
    if mistakes:
        raise MisuseError("\n".join(mistakes))
    return store.app, tuple(members)


# --- check ------------------------------------------------------------------------------


def _check(asked: argparse.Namespace) -> int:
    where = _url(asked.target)
    if asked.next and not asked.draining:
        raise MisuseError("--next: name the server that drains first with --draining")
    if asked.draining and not _drains(_url(asked.draining)):
        raise GaplessError(
            f"{asked.draining} does not refuse requests: nothing would be shown",
            hint="`gapless drain` on that server, and the drain library in its app",
        )
    say = (lambda _: None) if asked.json else _say
    found = findings(_ask(where, say))
    if asked.next:
        _wait_for_next(asked, say)
        found += findings_of_next(_ask(where, say))
    if asked.json:
        output.as_json({"right": not found, "findings": found})
    elif found:
        for each in found:
            print(output.paint(f"wrong: {each}", "red"))
    elif asked.draining:
        print(output.paint("right: no refusal reached the client", "green"))
    else:
        print("no refusal reached the client")
        print(
            "hint: that shows something only while a server drains; name it: --draining"
        )
    return FAILED if found else DONE


def _ask(where: SplitResult, say: Callable[[str], None]) -> list[RequestCounts]:
    tallies = []
    for tally in probing.send_all(where):
        tallies.append(tally)
        state = f"{tally.refused} refused, {tally.failed} failed"
        say(f"{tally.kind.name:<22} {tally.sent} asked, {state}")
    return tallies


def _wait_for_next(asked: argparse.Namespace, say: Callable[[str], None]) -> None:
    """Wait until the second server drains in the place of the first."""
    say(
        f"now `gapless undrain` behind {asked.draining}, and `gapless drain` behind "
        f"{asked.next}, at once"
    )
    until = clock.monotonic() + NEXT_S
    while _drains(_url(asked.draining)) or not _drains(_url(asked.next)):
        if clock.monotonic() >= until:
            raise TimedOutError(f"{asked.next} does not drain in its place")
        select.select([], [], [], 0.02)


def _say(text: str) -> None:
    print(text, flush=True)


def _drains(where: SplitResult) -> bool:
    try:
        return probing.is_draining(where)
    except OSError as error:
        raise GaplessError(f"could not ask {where.geturl()}: {error}") from error


def _url(text: str) -> SplitResult:
    found = urlsplit(text)
    if found.scheme not in ("http", "https") or not found.netloc:
        raise MisuseError(f"{text!r} is no URL; write http://HOST:PORT/path")
    return found
