"""Show this host on a web page: apps live, releases as they happen, reports as pictures.

Runs in the foreground, for systemd or as an app under gapless; on 127.0.0.1, for whoever
has the link.  It only shows, unless --actions lets it change apps.  Needs `pip install
'gapless[web]'`.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import socket
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

from gapless.base.errors import DONE, MisuseError, NotFoundError, UnavailableError
from gapless.base.names import is_host_name
from gapless.cli import arguments, configuration, output
from gapless.client import Client

if TYPE_CHECKING:
    from gapless.cli.deeds import OnStep
    from gapless.web.deeds import Deed, Perform

INSTALL = "pip install 'gapless[web]'"
PACKAGES = ("starlette", "uvicorn", "gapless_drain")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `web`."""
    parser.add_argument(
        "--listen",
        default="127.0.0.1:9470",
        metavar="[HOST:]PORT",
        help="default: %(default)s; other addresses than loopback need TLS",
    )
    parser.add_argument(
        "--actions",
        action="store_true",
        help="let the page start, reload, restart, stop, scale and roll back apps, and "
        "hold, resume and abort rollouts",
    )
    parser.add_argument(
        "--link", action="store_true", help="print the link with the token, and end"
    )
    parser.add_argument(
        "--token-file",
        default="",
        metavar="FILE",
        help="the file that has the token, made if it is missing; "
        "default: $GAPLESS_HOME/web.token",
    )
    parser.add_argument(
        "--host",
        action="append",
        default=[],
        metavar="NAME",
        help="a name by which browsers may call this host, beside its addresses; may be "
        "repeated",
    )
    parser.add_argument(
        "--tls-cert", default="", metavar="FILE", help="a certificate (PEM)"
    )
    parser.add_argument("--tls-key", default="", metavar="FILE", help="and its key")
    arguments.add_config(parser, table="rollout", otherwise=" if there is one")


def run(args: argparse.Namespace) -> int:
    """Serve the page until a signal."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise NotFoundError(
            f"the web page needs packages that are not installed: {', '.join(missing)}",
            hint=f"{INSTALL}, for {sys.executable}",
        )
    from gapless.web import address, token_file  # noqa: PLC0415 - for this verb

    if bool(args.tls_cert) != bool(args.tls_key):
        raise MisuseError("TLS needs both --tls-cert and --tls-key")
    if args.tls_cert:
        address.check_certificate(args.tls_cert, args.tls_key)
    for name in args.host:
        if not is_host_name(name):
            raise MisuseError(f"--host {name[:80]!a}: this is no name of a host")
    # The page may be an app: a supervisor that it started would end with it.
    os.environ["GAPLESS_STARTS"] = "no"
    client = Client(starts=False)
    client.make_home()
    token = token_file.token(args.token_file or token_file.path_in(client.home))
    scheme = "https" if args.tls_cert else "http"
    if args.link:
        port = address.split(args.listen)[1]
        shown = address.names(args.listen, args.host, socket.gethostname())[0]
        shown = f"[{shown}]" if ":" in shown else shown
        output.print_line(f"{scheme}://{shown}:{port}/?token={token}")
        return DONE
    _serve(args, client, token, scheme)
    return DONE


def _serve(args: argparse.Namespace, client: Client, token: str, scheme: str) -> None:
    from gapless.cli.fleet import page_rollouts  # noqa: PLC0415 - loads TLS
    from gapless.web import address  # noqa: PLC0415 - for this verb
    from gapless.web.serve import Place, serve  # noqa: PLC0415 - an optional extra
    from gapless.web.site import Host  # noqa: PLC0415 - the same

    fleets = {}
    if args.config or os.path.exists("gapless.toml"):
        fleets = configuration.fleets(args.config)
    listener = address.listen(args.listen, is_secure=bool(args.tls_cert))
    host = Host(
        name=socket.gethostname(),
        home=client.home,
        perform=_performer(client, args.config) if args.actions else None,
        rollouts=partial(page_rollouts.read, fleets) if fleets else None,
    )
    place = Place(
        listener=listener,
        names=[
            name.lower().rstrip(".")
            for name in address.names(args.listen, args.host, socket.gethostname())
        ],
        token=token,
        certificate=args.tls_cert,
        key=args.tls_key,
    )
    link = f"{scheme}://{address.shown(listener)}/"
    if sys.stdout.isatty():
        output.print_line(f"open {link}?token={token}")
    else:  # what is printed may be kept as a log
        output.print_line(
            f"the page is on {link}; `gapless web --link` prints the link"
        )
    serve(host, place, client)


def _performer(client: Client, config: str) -> Perform:
    """Return what does a deed; it starts no supervisor."""
    from gapless.cli import deeds  # noqa: PLC0415 - few pages may act

    def perform(deed: Deed, on_step: OnStep) -> dict[str, Any]:
        if not client.is_running() and deeds.needs_supervisor(config, deed):
            raise UnavailableError(
                f"{deed.action} {deed.app}: no supervisor runs here",
                hint=f"`gapless {deed.action} {deed.app}` on the host starts one",
            )
        return deeds.perform(client, config, deed, on_step)

    return perform
