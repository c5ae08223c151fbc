"""Write a balancer's configuration, or check one while a server behind it drains.

`gapless balancer nginx|haproxy --server HOST:PORT ...` prints what makes "503, try another
server" true.  `gapless balancer check URL` asks a balancer GET, POST, a POST whose body is
late and a large one, while `gapless drain` is on at one of its servers, and names the
settings that let a refusal through.
"""

from __future__ import annotations

import argparse
from urllib.parse import SplitResult, urlsplit

from gapless.balancer import haproxy, nginx, probing
from gapless.balancer.model import Pool
from gapless.base.errors import DONE, FAILED, GaplessError, MisuseError
from gapless.cli import show

_WRITERS = {"nginx": nginx.configuration, "haproxy": haproxy.configuration}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `balancer` understands."""
    parser.add_argument("what", choices=[*_WRITERS, "check"])
    parser.add_argument(
        "url", nargs="?", default="", help="of the balancer, to check it"
    )
    parser.add_argument(
        "--draining",
        default="",
        metavar="URL",
        help="of the server that drains: be sure",
    )
    parser.add_argument("--name", default="app", help="what to call the pool (app)")
    parser.add_argument(
        "--server", action="append", default=[], metavar="HOST:PORT", help="one of them"
    )
    parser.add_argument("--listen", default=":80", metavar="[HOST]:PORT")
    parser.add_argument(
        "--health",
        default="",
        metavar="PATH",
        help="says no before requests are refused",
    )
    parser.add_argument(
        "--largest-body-mb",
        type=int,
        default=1,
        metavar="N",
        help="tried elsewhere (1)",
    )
    parser.add_argument("--json", action="store_true", help="the same for machines")


def run(asked: argparse.Namespace) -> int:
    """Write or check."""
    if asked.what == "check":
        return _check(asked)
    pool = Pool(
        name=asked.name,
        servers=tuple(asked.server),
        listen=asked.listen,
        health=asked.health,
        largest_body_bytes=asked.largest_body_mb << 20,
    )
    if mistakes := pool.mistakes():
        raise MisuseError("\n".join(mistakes))
    print(_WRITERS[asked.what](pool), end="")
    return DONE


def _check(asked: argparse.Namespace) -> int:
    where = _url(asked.url)
    if asked.draining and not _drains(_url(asked.draining)):
        raise GaplessError(
            f"{asked.draining} does not refuse requests: nothing would be shown",
            hint="`gapless drain` on that server, and the drain library in its app",
        )
    tallies = []
    for tally in probing.ask_all(where):
        tallies.append(tally)
        if not asked.json:
            state = f"{tally.refused} refused, {tally.failed} failed"
            print(f"{tally.kind.name:<22} {tally.asked} asked, {state}", flush=True)
    found = probing.findings(tallies)
    if asked.json:
        show.as_json({"right": not found, "findings": found})
    elif found:
        for each in found:
            print(show.paint(f"wrong: {each}", "red"))
    elif asked.draining:
        print(show.paint("right: no refusal reached the client", "green"))
    else:
        print("no refusal reached the client")
        print(
            "hint: that shows something only while a server drains; name it: --draining"
        )
    return FAILED if found else DONE


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
